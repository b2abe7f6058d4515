"""Whole pages: synthetic forms filled with real test digits, photographed and scanned, read by the real command.

    python -m benchmarks.pages [--pages 200] [--keep FOLDER]

The digits are CMATERdb's test part, found where SHANKHA_DATA (else ../shared/data) points.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pypdfium2

from apps.digits.printing import print_form
from data.forms import PageLayout, lay_out, load_form
from data.labels import NOT_A_DIGIT
from data.preprocess import Image
from data.readers.npz import read_cmaterdb
from data.synth.camera import Phone, Scan, photograph, scan
from data.synth.pages import Drawer, drawn_from, fill_page

ROOT: Final = Path(__file__).resolve().parents[1]
FORM: Final = ROOT / "benchmarks" / "forms" / "hundred.yaml"
DPI: Final = 200
FEW: Final = 20
Truth = dict[tuple[str, str, int], int | None]
"""Value of each cell by picture, field and position (from 0); None is blank."""


@dataclass(frozen=True)
class PagesReport:
    """What became of the photographed pages, and how fast the scanned ones were read.

    Cells are counted on the pages that were read. `accepted` cells are settled without a person: sure digits and
    blank cells; `review` is everything else, of which `review_not_digits` were really struck out. A page is
    `silently_wrong` where it was read and more than a fifth of its accepted cells are wrong: found in the wrong place.
    `unlisted` pages failed without a row in problems.csv. Memory is the peak of the largest process, in MB.
    """

    pages: int
    not_read: int
    unlisted: int
    silently_wrong: int
    cells: int
    accepted: int
    accepted_right: int
    accepted_digits: int
    accepted_digits_right: int
    review: int
    review_not_digits: int
    struck_accepted: int
    pages_per_second: float
    memory_few_mb: float
    memory_all_mb: float

    @property
    def right_share(self) -> float:
        """Share of the accepted cells that are right."""
        return self.accepted_right / max(1, self.accepted)

    @property
    def review_share(self) -> float:
        """Share of the cells that a person is shown."""
        return self.review / max(1, self.cells)


def run(data_folder: Path, pages: int = 200, keep: Path | None = None) -> PagesReport:
    """Make the pages, read them, and compare with what was written on them.

    Args:
        data_folder: Holds digits/cmaterdb.
        pages: Photographed pages; as many are scanned for speed.
        keep: Folder to leave pages and results in; without it they are removed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        test = read_cmaterdb(data_folder / "digits" / "cmaterdb", "test")
        drawer = drawn_from([test.read(index) for index in range(len(test))], test.labels)
        truth = make_pages(folder / "photographs", pages, drawer, device="phone")
        make_pages(folder / "scans", pages, drawer, device="scan")
        make_pages(folder / "few", min(FEW, pages), drawer, device="scan")
        memory_few, _ = scanned(folder / "few", folder / "few-results")
        memory_all, seconds = scanned(folder / "scans", folder / "scans-results")
        scanned(folder / "photographs", folder / "photographs-results")
        counts = score(folder / "photographs-results", truth)
        return PagesReport(
            pages=pages,
            **counts,
            pages_per_second=round(pages / seconds, 2),
            memory_few_mb=memory_few,
            memory_all_mb=memory_all,
        )


def make_pages(folder: Path, count: int, drawer: Drawer, device: str) -> Truth:
    """Write `count` pictures of filled pages; what is on a page depends on its number alone."""
    folder.mkdir(parents=True, exist_ok=True)
    blank, layout = _blank()
    truth: Truth = {}
    for number in range(count):
        rng = np.random.default_rng((number, len(device)))
        filled = fill_page(blank, layout, drawer, rng)
        name = f"page-{number:04d}.jpg"
        cv2.imwrite(str(folder / name), _taken(filled.image, device, rng), [cv2.IMWRITE_JPEG_QUALITY, 95])
        truth |= {(name, cell.field, cell.position): cell.value for cell in filled.truth}
    return truth


def _blank() -> tuple[Image, PageLayout]:
    form = load_form(FORM)
    with tempfile.TemporaryDirectory() as folder:
        print_form(form, Path(folder) / "blank.pdf")
        document = pypdfium2.PdfDocument((Path(folder) / "blank.pdf").read_bytes())
    page = document[0].render(scale=DPI / 72).to_numpy()[..., :3]
    return np.ascontiguousarray(page), lay_out(form)[0]


def _taken(page: Image, device: str, rng: np.random.Generator) -> Image:
    if device == "phone":
        return photograph(page, Phone.draw(rng), rng)
    return scan(page, DPI, replace(Scan.draw(rng), dpi=DPI), rng)


def scanned(pages: Path, out: Path) -> tuple[float, float]:
    """Run the command on a folder of pages.

    Returns:
        Peak memory in MB of its largest process, and its seconds from start to end.
    """
    watch = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=False); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    command = [sys.executable, "-c", "from apps.main import main; main()", "digits", "scan", str(pages)]
    command += ["--form", str(FORM), "--out", str(out), "--json"]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", watch, *command], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return round(float(done.stdout.split()[-1]), 1), time.perf_counter() - start


def score(out: Path, truth: Truth) -> dict[str, int]:
    """Counts of a `PagesReport` from a folder of results."""
    failed = {row["file"] for row in _rows(out / "forms.csv") if row["status"] == "failed"}
    listed = {row["file"] for row in _rows(out / "problems.csv")}
    count: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in _rows(out / "cells.csv"):
        value = truth[Path(row["file"]).name, row["field"], int(row["position"]) - 1]
        count["cells"] += 1
        if row["state"] not in {"digit", "blank"}:
            count["review"] += 1
            count["review_not_digits"] += value == NOT_A_DIGIT
            continue
        right = row["value"] == ("" if value is None else str(value))
        count["accepted"] += 1
        count["accepted_right"] += right
        count["struck_accepted"] += value == NOT_A_DIGIT
        accepted[row["file"]] += 1
        wrong[row["file"]] += not right
        if row["state"] == "digit":
            count["accepted_digits"] += 1
            count["accepted_digits_right"] += right
    count["not_read"] = len(failed)
    count["unlisted"] = len(failed - listed)
    count["silently_wrong"] = sum(wrong[file] > 0.2 * accepted[file] for file in accepted)
    names = "not_read unlisted silently_wrong cells accepted accepted_right accepted_digits accepted_digits_right"
    return {name: count[name] for name in (*names.split(), "review", "review_not_digits", "struck_accepted")}


def _rows(table: Path) -> Iterator[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.DictReader(stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    data_folder = Path(os.environ.get("SHANKHA_DATA", ROOT.parent / "shared" / "data"))
    report = run(data_folder, arguments.pages, arguments.keep)
    shares = {"right_share": round(report.right_share, 5), "review_share": round(report.review_share, 5)}
    print(json.dumps({**asdict(report), **shares}, indent=1))


if __name__ == "__main__":
    main()
