"""The whole survey, through the command line: tables, resuming, bad footage, and what must never look complete."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow.parquet import read_table as read_parquet

from apps.fish import publishing, survey
from apps.fish.footage import find_deployments
from apps.fish.ledger import Ledger
from apps.fish.model import ArtifactSource
from apps.fish.naming import LEDGER
from apps.main import run
from tests.apps.fish.blobs import WHITE, BlobSource, DeadlySource, write_clip
from tests.apps.fish.videos import moov_first
from tests.conftest import ROOT

EVERY_FRAME = ("--every", "1")
ROOT_TABLES = ("maxn.csv", "problems.csv", "summary.json")


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Three deployments: of two chapters, of one, and one without fish."""
    disk = tmp_path_factory.mktemp("clips") / "disk"
    write_clip(disk / "OP1" / "GX010007.MP4", 52)
    write_clip(disk / "OP1" / "GX020007.MP4", 32, first=52)
    write_clip(disk / "OP2" / "GX010008.MP4", 35, (2, 4))
    write_clip(disk / "OP3" / "GX010009.MP4", 8, (0,))
    return disk


@pytest.fixture
def disk(clips, tmp_path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "disk"))


@pytest.fixture(autouse=True)
def blobs(monkeypatch):
    """The survey finds blobs instead of fish: what is tested is everything around the network."""
    monkeypatch.setattr(survey, "ArtifactSource", BlobSource)


def surveyed(disk: Path, out: Path, *options: object) -> int:
    return run(["fish", "survey", str(disk), "--out", str(out), *map(str, options or EVERY_FRAME)])


def files(out: Path) -> dict[str, bytes]:
    """Everything that a survey wrote, but its ledger."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(LEDGER)
    }


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def detected(out: Path) -> dict[str, int]:
    """Segments in the ledger, by the chapter's label."""
    with Ledger(out) as ledger:
        rows = ledger._db.execute("SELECT label, count(number) FROM chapters LEFT JOIN segments USING (key) GROUP BY 1")
        return dict(rows.fetchall())


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory) -> Path:
    """Results of the disk, surveyed without a break."""
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(clips, out), cwd=ROOT, capture_output=True, check=True)
    return out


def command(disk: Path, out: Path, *options: str) -> list[str]:
    code = (
        "from apps.fish import survey, watch; from tests.apps.fish.blobs import BlobSource; "
        "survey.ArtifactSource = BlobSource; watch.SETTLED = 1.0; from apps.main import main; main()"
    )
    return [sys.executable, "-c", code, "fish", "survey", str(disk), "--out", str(out), *EVERY_FRAME, *options]


def test_a_disk_becomes_tables(whole):
    rows = table(whole / "maxn.csv")
    assert [(row["opcode"], row["maxn"], row["samples"], row["complete"]) for row in rows] == [
        ("OP1", "3", "84", "yes"),
        ("OP2", "4", "35", "yes"),
        ("OP3", "0", "8", "yes"),
    ]
    # Ten frames of one blob come first, then ten of three.
    assert (rows[0]["maxn_file"], rows[0]["maxn_frame"]) == ("OP1/GX010007.MP4", "10")
    assert [float(row["mean_count"]) for row in rows[1:]] == [pytest.approx((20 * 2 + 15 * 4) / 35, abs=1e-3), 0]
    assert (whole / "OP1" / "detections.parquet").is_file()
    assert table(whole / "problems.csv") == []
    assert json.loads((whole / "summary.json").read_text())["deployments"]["complete"] == 3
    assert not (whole / "UNFINISHED.txt").exists()
    assert not list(whole.glob(".*"))


def test_the_same_command_again_reads_nothing_and_changes_nothing(disk, whole, tmp_path, monkeypatch, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    monkeypatch.setattr(BlobSource, "load", None)
    assert surveyed(disk, out, *EVERY_FRAME, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["resumed"], told["samples"]) == (3, 127)
    assert files(out) == files(whole)


def test_workers_do_not_change_the_tables(disk, whole, tmp_path):
    assert surveyed(disk, tmp_path / "out", *EVERY_FRAME, "--workers", 3) == 0
    assert files(tmp_path / "out") == files(whole)


def test_a_renamed_disk_is_known_by_its_files(disk, whole, tmp_path, monkeypatch):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    moved = disk.rename(tmp_path / "elsewhere")
    for path in moved.rglob("*.MP4"):
        os.utime(path, (1, 1))
    monkeypatch.setattr(BlobSource, "load", None)
    assert surveyed(moved, out) == 0
    assert files(out) == files(whole)


def descendants(process: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def started(disk: Path, out: Path, pause: str, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        command(disk, out, *options),
        cwd=ROOT,
        env={**os.environ, "BLOB_PAUSE": pause},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")


def kill_somewhere(process: subprocess.Popen, out: Path, wait: float) -> None:
    """Kill the survey, not its workers, some time after it has kept something."""
    log = out / f"{LEDGER}-wal"
    wait_until(lambda: process.poll() is not None or (log.exists() and log.stat().st_size > 20_000))
    time.sleep(wait)
    workers = descendants(process.pid) if process.poll() is None else []
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(alive, workers)))


@needs_proc
def test_killed_again_and_again_it_ends_with_the_same_tables(disk, whole, tmp_path):
    out = tmp_path / "out"
    moments = random.Random(7)
    for _ in range(3):
        kill_somewhere(started(disk, out, "0.1"), out, moments.random())
    assert surveyed(disk, out) == 0
    assert files(out) == files(whole)


@needs_proc
def test_interrupted_it_says_how_to_go_on(disk, whole, tmp_path):
    out = tmp_path / "out"
    process = started(disk, out, "0.2")
    wait_until(lambda: (out / f"{LEDGER}-wal").exists() and (out / f"{LEDGER}-wal").stat().st_size > 30_000)
    workers = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"Interrupted. What is done is kept in" in told
    assert b"Traceback" not in told
    wait_until(lambda: not any(map(alive, workers)))
    assert (out / "UNFINISHED.txt").exists()
    assert not any((out / name).exists() for name in ROOT_TABLES)
    assert surveyed(disk, out) == 0
    assert files(out) == files(whole)


def test_it_goes_on_after_every_segment(clips, whole, tmp_path):
    """Whatever number of segments is kept, the rest comes out the same."""
    disk, out = clips / "OP1", tmp_path / "out"
    assert surveyed(disk, out) == 0
    expected = files(out)
    assert detected(out) == {"GX010007.MP4": 3, "GX020007.MP4": 2}
    for kept in range(3):
        with Ledger(out) as ledger:
            db = ledger._db
            db.execute("UPDATE chapters SET account = NULL")
            db.execute("DELETE FROM segments WHERE number >= ?", (kept,))
            db.execute("DELETE FROM deployments")
        assert surveyed(disk, out) == 0
        assert files(out) == expected


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        (("--every", "2"), True),
        ((*EVERY_FRAME, "--model", "another"), True),
        ((*EVERY_FRAME, "--threshold", "0.95", "--line", "0.5,0,0.5,1"), False),
    ],
)
def test_changed_settings_redo_what_depends_on_them(disk, whole, tmp_path, options, reads, monkeypatch, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    before = detected(out)
    if not reads:
        monkeypatch.setattr(BlobSource, "load", None)
    assert surveyed(disk, out, *options, "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 0
    after = detected(out)
    assert (after == before) != reads
    fresh = tmp_path / "fresh"
    monkeypatch.undo()
    monkeypatch.setattr(survey, "ArtifactSource", BlobSource)
    assert surveyed(disk, fresh, *options) == 0
    assert files(out) == files(fresh)


def test_two_at_once_are_refused(disk, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with Ledger(out):
        code = subprocess.run(command(disk, out), cwd=ROOT, capture_output=True, text=True, check=False)
    assert code.returncode == 5
    assert "out: is in use by another survey. Wait until it ends" in code.stderr


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("GoPro settings\n" * 50)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(b ^ 0xA5 for b in content[middle : middle + 400])
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [truncate, empty, text, flip], ids=lambda spoil: spoil.__name__)
def test_bad_footage_is_told_and_the_rest_goes_on(disk, whole, tmp_path, spoil, capsys):
    out = tmp_path / "out"
    spoil(disk / "OP1" / "GX020007.MP4")
    assert surveyed(disk, out) == 2
    rows = {row["opcode"]: row for row in table(out / "maxn.csv")}
    assert {opcode: row["complete"] for opcode, row in rows.items()} == {"OP1": "no", "OP2": "yes", "OP3": "yes"}
    problems = table(out / "problems.csv")
    assert {row["deployment"] for row in problems} == {"OP1"}
    assert any(row["footage_lost"] == "yes" and row["file"] == "OP1/GX020007.MP4" for row in problems)
    out_text, err = capsys.readouterr()
    assert "Not complete: OP1." in out_text
    assert "GX020007.MP4" in err
    unharmed = {name: content for name, content in files(whole).items() if name.startswith(("OP2", "OP3"))}
    assert unharmed.items() <= files(out).items()


def test_what_follows_a_cut_chapter_keeps_its_time(disk, whole, tmp_path):
    chapter = disk / "OP1" / "GX010007.MP4"
    whole_file = moov_first(chapter, tmp_path / "index-first.mp4").read_bytes()
    chapter.write_bytes(whole_file[: int(len(whole_file) * 0.7)])
    assert surveyed(disk, tmp_path / "out") == 2
    of_second = [
        read_parquet(out / "OP1" / "detections.parquet", filters=[("file", "=", "OP1/GX020007.MP4")])
        for out in (tmp_path / "out", whole)
    ]
    assert of_second[0]["seconds"].to_pylist() == pytest.approx(of_second[1]["seconds"].to_pylist())


def test_a_mended_copy_is_read_again(disk, whole, tmp_path):
    """Also where size and sampled bytes are those of the damaged file."""
    out = tmp_path / "out"
    chapter = disk / "OP1" / "GX020007.MP4"
    sound = chapter.read_bytes()
    flip(chapter)
    assert surveyed(disk, out) == 2
    assert surveyed(disk, out) == 2
    chapter.write_bytes(sound)
    assert surveyed(disk, out) == 0
    assert files(out) == files(whole)


def test_a_missing_chapter_never_looks_complete(disk, tmp_path):
    out = tmp_path / "out"
    (disk / "OP1" / "GX010007.MP4").unlink()
    assert surveyed(disk, out) == 2
    assert [row["complete"] for row in table(out / "maxn.csv")] == ["no", "yes", "yes"]


def test_nothing_to_read_is_told_and_earlier_results_stay(whole, tmp_path, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (tmp_path / "unplugged").mkdir()
    assert surveyed(tmp_path / "unplugged", out) == 2
    assert "unplugged: holds no footage" in capsys.readouterr().err
    assert files(out) == files(whole)


def test_another_disk_is_refused(clips, whole, tmp_path, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    shutil.copytree(clips / "OP3", tmp_path / "other" / "OP9")
    assert surveyed(tmp_path / "other", out) == 1
    assert "holds the results of other deployments (OP1, OP2, OP3)" in capsys.readouterr().err
    assert files(out) == files(whole)


def test_a_deployment_that_is_gone_leaves_the_tables(disk, whole, tmp_path):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (out / "OP2" / "notes.txt").write_text("mine")
    shutil.rmtree(disk / "OP2")
    shutil.rmtree(disk / "OP3")
    assert surveyed(disk, out) == 0
    assert [row["opcode"] for row in table(out / "maxn.csv")] == ["OP1"]
    assert sorted(row["kind"] for row in table(out / "problems.csv")) == ["gone", "gone"]
    assert [path.name for path in (out / "OP2").iterdir()] == ["notes.txt"]
    assert not (out / "OP3").exists()


def test_a_file_in_two_places_is_told_and_read_once(disk, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(disk / "OP3", disk / "OP4")
    assert surveyed(disk, out) == 0
    (problem,) = table(out / "problems.csv")
    assert (problem["deployment"], problem["kind"]) == ("OP4", "same_file")
    assert "the same as OP3/GX010009.MP4" in problem["problem"]
    assert detected(out)["OP3/GX010009.MP4"] == 1
    assert "OP4/GX010009.MP4" not in detected(out)


def test_a_file_changed_by_hand_is_written_anew(disk, whole, tmp_path):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (out / "OP1" / "maxn.csv").write_text("opcode,species\n")
    (out / "OP2" / "detections.parquet").unlink()
    assert surveyed(disk, out) == 0
    assert files(out) == files(whole)


@needs_proc
def test_a_file_that_vanishes_or_grows_while_it_is_read(disk, whole, tmp_path):
    out = tmp_path / "out"
    process = started(disk, out, "0.2")
    wait_until(lambda: (out / f"{LEDGER}-wal").exists() and (out / f"{LEDGER}-wal").stat().st_size > 30_000)
    with (disk / "OP1" / "GX010007.MP4").open("ab") as stream:
        stream.write(b"more" * 100)
    (disk / "OP2" / "GX010008.MP4").unlink()
    _, told = process.communicate(timeout=240)
    assert process.returncode == 2, told
    assert {row["opcode"]: row["complete"] for row in table(out / "maxn.csv")} == {"OP1": "no", "OP3": "yes"}
    lost = {row["file"] for row in table(out / "problems.csv") if row["footage_lost"] == "yes"}
    assert lost >= {"OP1/GX010007.MP4", "OP2/GX010008.MP4"}


@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "geteuid"), reason="root may write anywhere")
def test_an_unwritable_folder_is_told(disk, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert surveyed(disk, tmp_path / "file" / "out") == 5
    assert "cannot be written" in capsys.readouterr().err


def test_a_disk_that_fills_up_loses_nothing(disk, whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    real = publishing.sha256_of

    def full(path):
        if "OP2" in str(path):
            raise OSError(28, "No space left on device", str(path))
        return real(path)

    monkeypatch.setattr(publishing, "sha256_of", full)
    assert surveyed(disk, out) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert not any((out / name).exists() for name in ROOT_TABLES)
    assert (out / "UNFINISHED.txt").exists()
    assert not (out / "OP2").exists()
    monkeypatch.setattr(publishing, "sha256_of", real)
    assert surveyed(disk, out) == 0
    assert files(out) == files(whole)


def test_a_file_that_crashes_its_reader_harms_no_other(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "ArtifactSource", DeadlySource)
    write_clip(disk / "OP2" / "GX010008.MP4", 40, (0, 0, 1, WHITE))
    assert surveyed(disk, tmp_path / "out") == 2
    rows = {row["opcode"]: row for row in table(tmp_path / "out" / "maxn.csv")}
    assert {opcode: row["complete"] for opcode, row in rows.items()} == {"OP1": "yes", "OP2": "no", "OP3": "yes"}
    assert rows["OP2"]["samples"] == "20"
    (problem,) = table(tmp_path / "out" / "problems.csv")
    assert "crashed or ran out of memory" in problem["problem"]


@pytest.mark.parametrize("threshold", ["0.01", "1.5"])
def test_a_threshold_that_cannot_be_is_refused(disk, tmp_path, threshold, capsys):
    assert surveyed(disk, tmp_path / "out", "--threshold", threshold) == 1
    assert "expected 0.05 to 1" in capsys.readouterr().err


def test_the_fixture_is_found(disk):
    found, problems = find_deployments(disk)
    assert [one.opcode for one in found] == ["OP1", "OP2", "OP3"]
    assert problems == []


def test_real_footage_and_the_shipped_model_go_on_alike(shankha_data, tmp_path, monkeypatch):
    """Segments cut from the ledger come out of the real network as they were, whatever was detected before them."""
    monkeypatch.setattr(survey, "ArtifactSource", ArtifactSource)
    disk, out = tmp_path / "disk", tmp_path / "out"
    (disk / "TANK").mkdir(parents=True)
    shutil.copy(shankha_data / "fish" / "tank-clip" / "fish.mp4", disk / "TANK")
    assert surveyed(disk, out, "--every", "2") == 0
    expected = files(out)
    (row,) = table(out / "maxn.csv")
    assert (row["samples"], row["complete"]) == ("334", "yes")
    assert int(row["maxn"]) >= 2
    with Ledger(out) as ledger:
        ledger._db.execute("UPDATE chapters SET account = NULL")
        ledger._db.execute("DELETE FROM segments WHERE number = 1")
        ledger._db.execute("DELETE FROM deployments")
    assert surveyed(disk, out, "--every", "2") == 0
    assert files(out) == expected
