"""Photograph FiftyOne's App as a curator sees it: `docs/pictures/curate-*.png`.

    uv run --extra curate scripts/draw_curate.py [FOLDER]

The bundled pages are scanned, and the tank clip is surveyed (real footage, under the Apache licence 2.0, in the folder
of data that SHANKHA_DATA names); their results are opened, looked at and corrected. Needs Playwright and Chromium.
FOLDER keeps the results and the database.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from apps.curate import app, database
from apps.curate.plugin.person import remember
from apps.demo import EXAMPLES, FORM
from apps.main import run
from data.errors import MissingDependencyError
from scripts.draw_report import few_colours

PICTURES: Final = Path(__file__).resolve().parents[1] / "docs/pictures"
SIZE: Final = ViewportSize(width=1280, height=720)
PATIENCE: Final = 120_000
"""Milliseconds."""
NO_ADVERTISEMENT: Final = "localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')"
CELLS: Final = "household"
TANK: Final = "tank"


def prepare(folder: Path) -> None:
    """Scan, survey and open, as the tutorial does; what is there is not made again."""
    clip = Path(os.environ["SHANKHA_DATA"]) / "fish/tank-clip/fish.mp4"
    disk, survey, scan = (folder / name for name in ("disk", "survey", "scan"))
    if not disk.exists():
        (disk / "TANK").mkdir(parents=True)
        shutil.copy(clip, disk / "TANK")
    run(["fish", "survey", str(disk), "--out", str(survey)])
    run(["digits", "scan", str(EXAMPLES / "demo"), "--form", str(EXAMPLES / FORM), "--out", str(scan)])
    run(["curate", "open", str(survey), "--footage", str(disk), "--name", TANK, "--no-app"])
    run(["curate", "open", str(scan), "--name", CELLS, "--no-app"])


@contextmanager
def opened(home: Path) -> Iterator[Callable[[str], Page]]:
    """The App in Chromium, without a window: gives a page for the name of a dataset."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise MissingDependencyError("Chromium", "is not installed", cure="install it")
    with app.started(home) as running, sync_playwright() as driver:
        running.wait_until_ready()
        window = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])

        def show(dataset: str) -> Page:
            page = window.new_page(viewport=SIZE)
            page.set_default_timeout(PATIENCE)
            page.add_init_script(NO_ADVERTISEMENT)
            page.goto(running.address_of(dataset))
            panel(page).get_by_text(re.compile("class")).first.wait_for()
            return page

        yield show
        window.close()


def panel(page: Page) -> Locator:
    """What is in the grid and beside it."""
    return page.locator("#root")


def pick(page: Page, place: int) -> None:
    """Tick a picture of the grid."""
    tile = panel(page).locator("[data-cy=looker]").nth(place)
    tile.hover()
    box = tile.bounding_box()
    if box is not None:
        page.mouse.click(box["x"] + 19, box["y"] + 19)


def draw_cells(page: Page) -> None:
    """Cells of forms with one of them chosen, and the form that corrects two."""
    page.wait_for_timeout(4000)
    pick(page, 8)
    panel(page).get_by_role("button", name="Accept", exact=True).wait_for()
    _photograph(page, "curate-cells.png")
    pick(page, 9)
    panel(page).get_by_text("2 pictures selected").wait_for()
    panel(page).get_by_role("button", name="Correct ...", exact=True).click()
    page.get_by_role("radio", name="7", exact=True).check()
    _photograph(page, "curate-form.png")


def draw_frames(page: Page) -> None:
    """The frames of a survey with their boxes."""
    panel(page).get_by_role("button", name="MaxN frames", exact=True).click()
    page.get_by_text(re.compile(r"^[12] samples?$")).first.wait_for()
    panel(page).locator("[data-cy=looker]").first.wait_for()
    page.wait_for_timeout(8000)
    _photograph(page, "curate-frames.png")


def _photograph(page: Page, name: str) -> None:
    page.wait_for_timeout(2500)  # for what fades in and out
    page.screenshot(path=PICTURES / name)
    few_colours(PICTURES / name)


def main() -> None:
    """Prepare, look, photograph."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        home = folder / "curate"
        os.environ[database.FOLDER_VARIABLE] = str(home)
        prepare(folder)
        remember(home, "Asha Rao")
        with opened(home) as show:
            draw_cells(show(CELLS))
            draw_frames(show(f"{TANK} frames"))


if __name__ == "__main__":
    main()
