"""The ledger: what is in it is done, what is not is done again, and nothing else is ever taken for it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.footage import ChapterAccount, ResumePoint, SampledFrame
from apps.fish.footage.frames import Tally
from apps.fish.identity import identify
from apps.fish.ledger import Ledger
from apps.fish.naming import LEDGER
from apps.fish.segments import Segment, Stretch, observations
from data.detections import Detections
from data.errors import FileAccessError, InputError
from tests.conftest import ROOT

ACCOUNT = ChapterAccount(codec="h264", size_wh=(64, 36), container="mp4", expected=9, decoded=7, duration=1.5)
PICTURE = np.zeros((36, 64, 3), np.uint8)


def resume(frame: int) -> ResumePoint:
    return ResumePoint(frame=frame, seconds=frame / 30, pts=frame * 512, picture=17, size=1000, tally=Tally())


def found(*scores: float) -> Detections:
    boxes = [[i, i, i + 2.5, i + 3] for i in range(len(scores))]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.arange(len(scores), dtype=np.int64)
    )


def segment(number: int, counts: list[int]) -> Segment:
    stretch = Stretch()
    frames = [number * 100 + i for i in range(len(counts))]
    stretch.add([SampledFrame(PICTURE, f, f / 30) for f in frames], [found(*[0.5] * count) for count in counts])
    return stretch.end(number, resume(frames[-1]))


def same(one: Segment, other: Segment) -> bool:
    columns = ("frame", "file_seconds", "sample", "xyxy", "scores", "labels")
    arrays = [(getattr(one, name), getattr(other, name)) for name in columns]
    plain = (one.number, one.size_wh, one.resume) == (other.number, other.size_wh, other.resume)
    return plain and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path) as opened:
        yield opened


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_a_segment_comes_back_from_its_block(counts):
    kept = segment(3, counts)
    assert same(Segment.unpacked(kept.packed(), 3, kept.resume), kept)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=4))
def test_segments_join_to_observations(parts):
    segments = [segment(number, counts) for number, counts in enumerate(parts)]
    seen = observations(segments, 2, 60.0, ("a", "b", "c"))
    counts = [count for part in parts for count in part]
    assert np.bincount(seen.sample, minlength=len(counts)).tolist() == counts
    assert (seen.samples.chapter == 2).all()
    np.testing.assert_allclose(seen.samples.seconds, seen.samples.file_seconds + 60)
    assert len(seen) == sum(counts)


def test_a_chapter_goes_on_where_it_was(ledger, tmp_path):
    assert ledger.chapter("k") is None
    ledger.begin("k", "A/GX01.MP4", 5)
    assert ledger.chapter("k").resume is None
    parts = [segment(0, [1, 0, 2]), segment(1, [0])]
    for part in parts:
        ledger.add("k", part)
    state = ledger.chapter("k")
    assert (state.segments, state.samples, state.resume, state.account) == (2, 4, parts[1].resume, None)
    ledger.finish("k", ACCOUNT)
    ledger.__exit__()
    with Ledger(tmp_path) as again:
        assert again.chapter("k").account == ACCOUNT
        assert again.chapter("k").changed_ns == 5
        assert all(map(same, again.segments("k"), parts))
        again.begin("k", "A/GX01.MP4", 6)
        assert again.chapter("k").segments == 0
        again.forget("k")
        assert again.chapter("k") is None


def test_deployments_are_kept_by_opcode(ledger):
    ledger.keep_deployment("B", "k1", {"B/maxn.csv": "00"})
    ledger.keep_deployment("A", "k2", {})
    ledger.keep_deployment("B", "k3", {"B/maxn.csv": "11"})
    assert ledger.deployments() == {"A": ("k2", {}), "B": ("k3", {"B/maxn.csv": "11"})}
    assert ledger.deployment("B") == ("k3", {"B/maxn.csv": "11"})
    assert ledger.deployment("C") == ("", {})
    ledger.drop_deployment("A")
    assert list(ledger.deployments()) == ["B"]


def test_a_segment_that_cannot_be_kept_leaves_what_was_kept(ledger):
    ledger.begin("k", "x", 0)
    ledger.add("k", segment(0, [1]))
    with pytest.raises(InputError, match="is damaged"):
        ledger.add("k", segment(0, [2]))
    assert len(ledger.segments("k")[0].scores) == 1
    ledger.add("k", segment(1, [2]))


def test_two_at_once_are_refused_and_the_next_goes_on(tmp_path):
    open_it = f"from pathlib import Path; from apps.fish.ledger import Ledger; Ledger(Path({str(tmp_path)!r}))"
    with Ledger(tmp_path) as ledger:
        ledger.begin("k", "x", 0)
        with pytest.raises(FileAccessError, match=r"is in use by another survey\. Wait until it ends"):
            Ledger(tmp_path)
    with Ledger(tmp_path) as ledger:
        done = subprocess.run([sys.executable, "-c", open_it], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "is in use by another survey" in done.stderr
        assert ledger.chapter("k") is not None
    assert subprocess.run([sys.executable, "-c", open_it], cwd=ROOT, check=False).returncode == 0


FULL = """
import resource, sys
from pathlib import Path
from apps.fish.ledger import Ledger
from data.errors import FileAccessError
from tests.apps.fish.test_ledger import segment
with Ledger(Path(sys.argv[1])) as ledger:
    ledger.begin("k", "x", 0)
    ledger.add("k", segment(0, [1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        for number in range(1, 2000):
            ledger.add("k", segment(number, [1] * 90))
    except FileAccessError as error:
        print(error, len(ledger.segments("k")) == number)
"""


def test_a_full_disk_loses_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "ledger.sqlite: cannot be written" in done.stdout
    assert done.stdout.strip().endswith("same command again. True"), done.stderr
    with Ledger(tmp_path) as ledger:
        kept = ledger.chapter("k").segments
        assert kept == len(ledger.segments("k")) > 1
        ledger.add("k", segment(kept, [1]))


def spoil_text(path: Path) -> None:
    path.write_text("This is no database, but long enough to have a header that could be one." * 40)


def spoil_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def spoil_kind(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mail (id)")
    db.close()


def spoil_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (spoil_text, "is damaged (file is not a database). Delete it and run the same command again"),
        (spoil_pages, "is damaged"),
        (spoil_version, "is a ledger of version 99; expected version 1. Choose another folder"),
        (spoil_kind, "is another program's database; expected a survey's ledger. Choose another folder"),
    ],
)
def test_a_ledger_that_is_none_is_told(tmp_path, spoil, line):
    with Ledger(tmp_path) as ledger:
        ledger.begin("k", "x", 0)
        for number in range(30):
            ledger.add("k", segment(number, [1] * 50))
    spoil(tmp_path / LEDGER)
    before = (tmp_path / LEDGER).read_bytes()
    with pytest.raises(InputError) as caught, Ledger(tmp_path) as ledger:
        ledger.segments("k")
    assert line in str(caught.value)
    assert (tmp_path / LEDGER).read_bytes() == before


def test_a_damaged_block_is_told(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.begin("k", "x", 0)
        ledger.add("k", segment(0, [1]))
    with sqlite3.connect(tmp_path / LEDGER) as db:
        db.execute("UPDATE segments SET block = substr(block, 1, 300) || zeroblob(50) || substr(block, 351)")
    db.close()
    with Ledger(tmp_path) as ledger, pytest.raises(InputError, match=r"ledger\.sqlite: is damaged .* Delete it"):
        ledger.segments("k")


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) * 24, (1 << 18) * 24 + 1, 20_000_000])
def test_a_file_is_known_by_its_content_alone(tmp_path, size):
    content = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes()
    one, other = tmp_path / "GX01.MP4", tmp_path / "copy" / "renamed.mp4"
    one.write_bytes(content)
    other.parent.mkdir()
    shutil.copyfile(one, other)
    assert identify(one).content == identify(other).content
    assert identify(one).size == size
    for changed in (content + b"x", content[:-1], b"y" + content[1:], content[:-1] + b"z"):
        if changed != content:
            other.write_bytes(changed)
            assert identify(one).content != identify(other).content


def test_a_file_that_is_gone_is_told(tmp_path):
    with pytest.raises(FileAccessError, match=r"GX01\.MP4: is gone\. Connect the disk again"):
        identify(tmp_path / "GX01.MP4")
