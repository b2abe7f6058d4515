"""The whole job, through the command line: tables, pictures, problems, resuming, and what bad input does to it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from apps.digits import job as jobs
from apps.digits.job import Job, read_pages
from apps.digits.pages import RECORDS, find_pages
from apps.digits.printing import print_form
from apps.digits.reading import SHIPPED_MODEL
from apps.digits.store import Store
from apps.main import run
from data.errors import FileAccessError
from data.forms import Form
from data.synth.camera import Scan, scan
from tests.apps.digits.paper import HOUSEHOLD_YAML, ROOT, BlockReader, block_page, filled_page, household, make_form
from tests.apps.digits.test_pages import LOCK, bomb, pdf

GOLDEN = Path(__file__).parent / "golden"
TABLES = ("forms.csv", "cells.csv", "problems.csv")
RULES = [
    {"name": "code", "label": "কোড · Code", "cells": 4, "required": True},
    {"name": "phone", "label": "ফোন · Phone", "cells": 6},
    {"name": "age", "label": "বয়স · Age", "cells": 3, "maximum": 120},
]
FORM = make_form(name="golden", fields=RULES)


def write_yaml(path: Path, form: Form) -> Path:
    path.write_text(form.model_dump_json(exclude_none=True), encoding="utf-8")
    return path


def save(path: Path, picture) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.ascontiguousarray(picture[..., ::-1])).save(path, compress_level=1)
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def blocks(monkeypatch):
    """The scan reads blocks instead of digits: what is tested is everything around the network."""
    monkeypatch.setattr(jobs, "DigitReader", lambda _artifact: BlockReader())
    monkeypatch.setattr(jobs, "FEW_PAGES", 1000)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scanned(*arguments: object, form: Form = FORM, out: str = "out") -> int:
    write_yaml(Path("form.yaml"), form)
    return run(["digits", "scan", *map(str, arguments), "--form", "form.yaml", "--out", out])


PAGES = {
    "scans/p1.png": {"code": "0123", "age": " 45", "phone": "678901"},
    "scans/p2.png": {"code": "4?5x", "age": "999", "phone": "1 2   "},
    "scans/p10.png": {"code": "", "age": "  7", "phone": "12?   "},
}


def fill_folder() -> None:
    for name, texts in PAGES.items():
        save(Path(name), block_page(FORM, texts))


def normal(content: bytes) -> str:
    """The table's text without the hashes of its pictures' names."""
    text = content.decode("utf-8-sig").replace("\r\n", "\n")
    return re.sub(r"-[0-9a-f]{8}-p001", "-HASH-p001", text)


@pytest.mark.parametrize("digits", ["latin", "bengali"])
def test_tables(here, blocks, digits, capsys):
    fill_folder()
    Path("scans/note.jpg").write_text("no picture")
    assert scanned("scans", "--digits", digits) == 0
    for name in TABLES:
        content = Path("out", name).read_bytes()
        assert content.startswith(b"\xef\xbb\xbf")  # a spreadsheet takes it for UTF-8
        assert content.count(b"\r\n") == content.count(b"\n")
        assert normal(content) == (GOLDEN / f"{digits}-{name}").read_text(encoding="utf-8")
    told = capsys.readouterr()
    assert "4 pages" in told.out
    assert "out/problems.csv lists" in told.out
    assert told.err.count("note.jpg: is no picture") == 1


def test_doubtful_digits_never_look_sure(here, blocks):
    fill_folder()
    assert scanned("scans") == 0
    rows = {row["file"]: row for row in table(Path("out/forms.csv"))}
    for name, texts in PAGES.items():
        for field, text in texts.items():
            assert rows[name][field] == (text if text.strip() else "")
    assert {row["file"]: row["status"] for row in rows.values()} == {
        "scans/p1.png": "ok",
        "scans/p2.png": "review",
        "scans/p10.png": "review",
    }


def test_pictures_show_every_cell(here, blocks):
    fill_folder()
    assert scanned("scans/p2.png") == 0
    cells = table(Path("out/cells.csv"))
    page = cv2.imread(str(next(Path("out/pages").glob("*.jpg"))))
    assert page.shape == (2339, 1654, 3)
    crops = cv2.imread("out/" + cells[0]["crop"])
    dark = {}
    for row in cells:
        x, y, width, height = map(int, row["crop_box"].split())
        part = crops[y : y + height, x : x + width]
        assert part.shape[:2] == (height, width)
        dark[row["field"], row["position"]] = bool((part[20:-20, 20:-20] < 100).any())
    assert dark == {(row["field"], row["position"]): row["state"] != "blank" for row in cells}
    # The boxes' colours: green, red and violet are there where the states are.
    blue, green, red = (page[..., channel].astype(int) for channel in range(3))
    assert ((green - red > 60) & (green - blue > 60)).sum() > 500
    assert ((red - green > 100) & (red - blue > 100)).sum() > 200
    assert ((red - green > 80) & (blue - green > 60)).sum() > 200


def test_a_run_again_reads_nothing_and_changes_nothing(here, blocks, monkeypatch):
    fill_folder()
    assert scanned("scans") == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    monkeypatch.setattr(jobs, "load_page", None)
    assert scanned("scans") == 0
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


def test_only_what_changed_is_read_again(here, blocks, monkeypatch):
    fill_folder()
    assert scanned("scans") == 0
    save(Path("scans/p2.png"), block_page(FORM, {"code": "9999"}))
    next(Path("out/pages").glob("p10*")).unlink()
    seen = []
    load = jobs.load_page
    monkeypatch.setattr(jobs, "load_page", lambda page: seen.append(page.path.name) or load(page))
    assert scanned("scans") == 0
    assert seen == ["p2.png", "p10.png"]
    assert table(Path("out/forms.csv"))[1]["code"] == "9999"
    seen.clear()
    assert (
        scanned("scans", form=make_form(name="golden", fields=[*RULES[:1], {**RULES[1], "maximum": 40}, RULES[2]])) == 0
    )
    assert len(seen) == 3
    assert "above the greatest value 40" in Path("out/problems.csv").read_text(encoding="utf-8-sig")


def test_results_of_another_form_are_not_overwritten(here, blocks, capsys):
    fill_folder()
    assert scanned("scans") == 0
    assert scanned("scans", form=make_form(name="other", fields=RULES)) == 1
    assert "holds the results of another form, golden" in capsys.readouterr().err


def test_names_of_files_are_no_formulas(here, blocks):
    fill_folder()
    for name in ("=1+2.png", "@x.png", "+1.png"):
        Path(name).write_bytes(Path("scans/p1.png").read_bytes())
    assert scanned("=1+2.png", "@x.png", "+1.png") == 0
    for name in TABLES:
        assert not re.search(r'^"?[=@+]', Path("out", name).read_text(encoding="utf-8-sig"), re.MULTILINE)
    assert {path.name[0] for path in Path("out/pages").iterdir()} == {"1", "x"}


def test_copies_of_a_file_are_told(here, blocks):
    fill_folder()
    Path("scans/p3.png").write_bytes(Path("scans/p1.png").read_bytes())
    assert scanned("scans") == 0
    (problem,) = [row for row in table(Path("out/problems.csv")) if row["kind"] == "same_file"]
    assert problem["file"] == "scans/p3.png"
    assert "scans/p1.png" in problem["problem"]


def test_summary_as_json(here, blocks, capsys):
    fill_folder()
    assert scanned("scans", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["pages"] == {"ok": 1, "review": 2, "failed": 0}
    assert summary["cells"] == {"digit": 22, "blank": 14, "struck": 1, "doubtful": 2}
    assert summary["resumed"] == 0
    assert json.loads(Path("out/summary.json").read_text()).items() <= summary.items()


def test_a_form_of_several_pages_in_one_pdf(here, blocks):
    form = make_form(name="long", fields=[{"name": f"f{i}", "label": f"Field {i}", "cells": 5} for i in range(20)])
    print_form(form, Path("blank.pdf"))
    assert scanned("blank.pdf", form=form) == 0
    rows = table(Path("out/forms.csv"))
    assert [(row["page"], row["form_page"], row["status"]) for row in rows] == [("1", "1", "ok"), ("2", "2", "ok")]
    assert list(rows[0])[4:] == [f"f{i}" for i in range(20)]


def bad_folder(folder: Path) -> dict[str, str]:
    """A folder of everything that can be wrong, and what is to be said of each file."""
    folder.mkdir()
    whole = pdf(folder / "whole.pdf").read_bytes()
    (folder / "whole.pdf").unlink()
    (folder / "cut.pdf").write_bytes(whole[: len(whole) // 2])
    pdf(folder / "locked.pdf", **LOCK, user_password="reader")  # noqa: S106
    bomb(folder / "bomb.png")
    (folder / "text.jpg").write_text("Dear Sir or Madam")
    (folder / "empty.png").touch()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    page = block_page(FORM, {"code": "0123"})
    save(folder / "half.png", page)
    content = (folder / "half.png").read_bytes()
    (folder / "half.png").write_bytes(content[: len(content) // 2])
    save(folder / "other.png", block_page(make_form(name="other"), {}))
    save(folder / "sheet.png", np.full_like(page, 250))
    save(folder / "mirror.png", page[:, ::-1])
    return {
        "cut.pdf": "cut short",
        "locked.pdf": "locked with a password",
        "bomb.png": "too large",
        "text.jpg": "is no picture",
        "empty.png": "is empty",
        "gone.png": "cannot be read",
        "half.png": "damaged or cut short",
        "other.png": "belongs to another form, other",
        "sheet.png": "the sheet is blank",
        "mirror.png": "mirrored",
    }


def test_bad_input_is_told_line_by_line_and_the_rest_is_read(here, blocks, capsys):
    expected = bad_folder(Path("scans"))
    page = block_page(FORM, {"code": "0123"})
    save(Path("scans/upside-down.png"), page[::-1, ::-1])
    torn = page.copy()
    torn[-400:, -400:] = 90
    save(Path("scans/torn.png"), torn)
    assert scanned("scans", "missing.pdf") == 0
    rows = {Path(row["file"]).name: row for row in table(Path("out/forms.csv"))}
    assert rows["upside-down.png"]["code"] == rows["torn.png"]["code"] == "0123"
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {*expected, "missing.pdf"}
    problems = table(Path("out/problems.csv"))
    for name, said in expected.items():
        (problem,) = [row for row in problems if Path(row["file"]).name == name]
        assert said in problem["problem"]
        assert problem["what_to_do"]
    assert [row["kind"] for row in problems if "torn.png" in row["file"]] == ["corner_missing"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("scans/", "missing.pdf"))]
    assert len(lines) == len(expected) + 1
    assert all(any(f"/{name}" in line and said in line for line in lines) for name, said in expected.items())


def test_nothing_that_can_be_read(here, blocks):
    bad_folder(Path("scans"))
    assert scanned("scans") == 2
    assert len(table(Path("out/forms.csv"))) == 10
    Path("nothing").mkdir()
    assert scanned("nothing", out="out2") == 2
    assert "holds no page" in Path("out2/problems.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("out", ["form.yaml", "form.yaml/results", "/proc/results"])
def test_results_that_cannot_be_written_are_told_before_any_work(here, monkeypatch, capsys, out):
    save(Path("scans/p.png"), np.full((50, 50, 3), 255, np.uint8))
    monkeypatch.setattr("apps.digits.scan.read_pages", None)
    assert scanned("scans", out=out) == 5
    assert "cannot be written" in capsys.readouterr().err


def test_a_model_that_cannot_be_used_is_told_before_any_work(here, monkeypatch, capsys):
    save(Path("scans/p.png"), np.full((50, 50, 3), 255, np.uint8))
    assert scanned("scans", "--model", "nowhere") == 5
    assert not Path("out").exists()


def test_a_full_disk_ends_the_scan_without_tables(here, blocks, monkeypatch):
    fill_folder()
    write = jobs.write_jpeg

    def full(path, picture):
        if "p10" in path.name:
            raise FileAccessError(path, "cannot be written (No space left on device)")
        write(path, picture)

    monkeypatch.setattr(jobs, "write_jpeg", full)
    assert scanned("scans") == 5
    assert Path("out/UNFINISHED.txt").exists()
    assert not any(Path("out", name).exists() for name in TABLES)
    monkeypatch.setattr(jobs, "write_jpeg", write)
    assert scanned("scans") == 0
    assert not Path("out/UNFINISHED.txt").exists()
    assert len(table(Path("out/forms.csv"))) == 3


# From here on the real reader, in processes of its own.
PAGE_COUNT = 8


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    """Scanned pages of the household form in synthetic handwriting."""
    folder = tmp_path_factory.mktemp("batch")
    for seed in range(PAGE_COUNT):
        rng = np.random.default_rng(seed)
        picture = scan(filled_page(household(), seed).image, 200, Scan.draw(rng), rng)
        cv2.imwrite(str(folder / f"p{seed}.jpg"), picture)
    return folder


@pytest.fixture(scope="module")
def whole(batch, tmp_path_factory) -> Path:
    """Results of the batch, read without a break."""
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(batch, out), cwd=ROOT, capture_output=True, check=True)
    return out


def command(folder: Path, out: Path) -> list[str]:
    code = "from apps.main import main; main()"
    arguments = ["digits", "scan", str(folder), "--form", str(HOUSEHOLD_YAML), "--out", str(out)]
    return [sys.executable, "-c", code, *arguments]


def descendants(process: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def wait_until(condition, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def whole_pictures(out: Path) -> bool:
    names = [path for folder in ("pages", "cells") for path in (out / folder).glob("[!.]*.jpg")]
    return all(path.read_bytes()[-2:] == b"\xff\xd9" for path in names)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_scan_that_was_ended_goes_on_where_it_was(batch, whole, tmp_path, how):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(batch, out), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_until(lambda: len(list(out.glob(f"{RECORDS}/[!.]*.json"))) >= 2)
    workers = descendants(process.pid)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as Ctrl-C does: every process of the group
    else:
        process.kill()
    _, told = process.communicate(timeout=240)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert b"Traceback" not in told
    wait_until(lambda: not any(map(alive, workers)))
    done = len(list(out.glob(f"{RECORDS}/[!.]*.json")))
    assert 2 <= done < PAGE_COUNT
    assert (out / "UNFINISHED.txt").exists()
    assert whole_pictures(out)
    assert not any((out / name).exists() for name in TABLES)

    again = subprocess.run(command(batch, out), cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{done} of the pages were read before" in again.stdout
    assert not (out / "UNFINISHED.txt").exists()
    assert not list(out.glob("*/.*-*.j*"))
    for name in (*TABLES, "summary.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_processes_change_neither_order_nor_results(batch, whole, tmp_path):
    job = Job(household(), SHIPPED_MODEL, tmp_path)
    job.store().begin(job.form)
    outcomes = list(read_pages(job, find_pages([batch], job.out), 1))
    assert [outcome.names.overlay[:8] for outcome in outcomes] == [f"pages/p{i}" for i in range(PAGE_COUNT)]
    assert [row["file"][-6:] for row in table(whole / "forms.csv")] == [f"p{i}.jpg" for i in range(PAGE_COUNT)]
    several = Store(whole, job.store().identity)
    for outcome in outcomes:
        assert job.store().load(outcome.names.record) == several.load(outcome.names.record)


@dataclass(frozen=True)
class DeadlyStore(Store):
    """Ends the process that asks for a certain page."""

    def names(self, page):
        if page.path.name == "p4.jpg":
            os._exit(1)
        return super().names(page)


class DeadlyJob(Job):
    """A job of which one page ends the process that reads it."""

    def store(self):
        store = super().store()
        return DeadlyStore(store.folder, store.identity)


def test_a_page_that_ends_its_process_is_listed_and_the_others_are_read(batch, tmp_path):
    job = DeadlyJob(household(), SHIPPED_MODEL, tmp_path / "out")
    job.store().begin(job.form)
    outcomes = list(read_pages(job, find_pages([batch], job.out), 2))
    assert [number for number, outcome in enumerate(outcomes) if outcome.failure] == [4]
    assert outcomes[4].failure.kind == "crashed"
    assert [outcome.names.overlay[:8] for outcome in outcomes if outcome.names] == [
        f"pages/p{number}" for number in range(PAGE_COUNT) if number != 4
    ]


def test_synthetic_handwriting_is_read_right_where_it_is_accepted(whole):
    cells = table(whole / "cells.csv")
    right = wrong = 0
    for seed in range(PAGE_COUNT):
        truth = {(cell.field, cell.position): cell.value for cell in filled_page(household(), seed).truth}
        for row in (row for row in cells if row["file"].endswith(f"p{seed}.jpg")):
            value = truth[row["field"], int(row["position"]) - 1]
            if row["state"] == "blank":
                assert value is None
            elif row["state"] == "digit":
                right += row["value"] == str(value)
                wrong += row["value"] != str(value)
    assert right > 200
    assert wrong <= 0.02 * right
