"""The real App in headless Chromium: views, the form of a correction, one click, and a page that is killed."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from apps.curate import app, fields
from apps.curate.plugin import edits
from apps.curate.plugin.person import person
from apps.curate.samples import dataset_of
from data.curation.collection import Collection, Label, Picture
from tests.apps.curate.plugin.test_operators import NAMES, SOURCE, picture

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 120_000
"""Milliseconds to wait for the App on a machine that is busy with other tests."""
NO_ADVERTISEMENT = "localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')"
OUTSIDE = re.compile(r"^(https?|wss?)://(?!127\.0\.0\.1[:/])")
DIGITS = 12
WRONG = 4

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def dataset(fiftyone_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Twelve digits; the first four are labelled 1 too high, which is suspected and a saved view."""
    folder = tmp_path_factory.mktemp("digits")
    pictures = tuple(
        Picture(f"{at}.png", picture(folder, f"{at}-{at % 10}.png"), (24, 24),
                (Label(str((at + (at < WRONG)) % 10), SOURCE),))
        for at in range(DIGITS)
    )  # fmt: skip
    dataset = dataset_of(Collection("digits", "digits", NAMES, pictures), "browsed digits")
    dataset.add_sample_field(fields.DOUBT, fiftyone_module.FloatField)
    dataset.set_values(fields.DOUBT, [0.9] * WRONG + [0.1] * (DIGITS - WRONG))
    dataset.set_values(fields.SUGGESTED, [str(at % 10) for at in range(DIGITS)])
    doubtful = fiftyone_module.ViewField(fields.DOUBT) > 0.5
    dataset.save_view("labels to doubt", dataset.match(doubtful))
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def address(dataset: Any, curate_home: Path) -> Iterator[str]:
    """The App, serving; nothing of it runs afterwards."""
    (curate_home / "person.txt").unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with app.started(curate_home, port) as running:
        server = psutil.Process(running.process.pid)
        running.wait_until_ready()
        yield running.address_of(dataset.name)
    assert not server.is_running()
    assert not [one.name() for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]


@contextlib.contextmanager
def browsing(address: str) -> Iterator[Any]:
    """A page that shows the dataset beside the panel; whatever leads out of this computer is refused."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.add_init_script(NO_ADVERTISEMENT)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.route(OUTSIDE, lambda route: route.abort())
        page.goto(address)
        panel(page).get_by_text("to doubt").first.wait_for()
        yield page
        browser.close()
    assert faults == []


def panel(page: Any) -> Any:
    return page.locator("#root")


def button(page: Any, name: str) -> Any:
    return panel(page).get_by_role("button", name=name, exact=True)


def shows(page: Any, text: str) -> None:
    panel(page).get_by_text(text).first.wait_for()


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    assert holds()


def pick(page: Any, place: int, so_many: int) -> None:
    """Tick a picture of the grid; so many are ticked then."""
    tile = page.locator("#root [data-cy=looker]").nth(place)
    tile.hover()
    box = tile.bounding_box()
    page.mouse.click(box["x"] + 19, box["y"] + 19)
    page.locator("#root [data-cy=panel-tab-samples]").get_by_text(str(so_many), exact=True).wait_for()


def labels(dataset: Any) -> list[str]:
    return dataset.values(f"{fields.TRUTH}.label")


def test_a_person_opens_a_view_gives_a_name_and_corrects_by_the_form(address, dataset, curate_home):
    with browsing(address) as page:
        shows(page, "12 pictures, 10 classes")
        page.get_by_text("Your name").locator("xpath=following::input[1]").fill("Asha Rao")
        page.wait_for_timeout(1000)  # the App hears of a field some time after it was filled in
        button(page, "Keep").click()
        until(lambda: person(curate_home) == "Asha Rao")
        button(page, "labels to doubt").click()
        page.get_by_text("4 samples").first.wait_for()
        pick(page, 0, 1)
        shows(page, "rather 0?")
        pick(page, 1, 2)
        shows(page, "2 pictures selected")
        button(page, "Correct ...").click()
        page.get_by_text("Correct the label: 2 pictures").wait_for()
        page.get_by_role("radio", name="7", exact=True).check()
        page.get_by_role("button", name="Correct", exact=True).click()
        until(lambda: labels(dataset)[:3] == ["7", "7", "3"])
        shows(page, "Undo: corrected 2 pictures to 7")
        shows(page, "2 corrected")
    (edit,) = edits.edits_of(dataset)
    assert (edit.who, edit.what, [change.before.name for change in edit.changes]) == ("Asha Rao", "correct", ["1", "2"])


def test_a_page_killed_between_click_and_answer_loses_nothing(address, dataset):
    before = edits.edits_of(dataset)
    with browsing(address) as page:
        button(page, "All pictures").click()
        page.get_by_text("12 samples").first.wait_for()
        if "samples" in page.locator("#root [data-cy=panel-tab-samples]").inner_text():
            page.keyboard.press("Escape")
        pick(page, 8, 1)
        with page.expect_request(lambda one: "/operators/execute" in one.url and "accept" in (one.post_data or "")):
            button(page, "Accept").click()
        page.close()
    until(lambda: len(edits.edits_of(dataset)) == len(before) + 1)
    until(lambda: dataset.count_values("tags").get(fields.ACCEPTED) == 1)
    accepted = edits.edits_of(dataset)[-1].changes[0]
    sample = dataset[accepted.sample]
    assert (sample[fields.TRUTH].label, sample[fields.TRUTH].by_name) == ("8", "Asha Rao")
    with browsing(address) as page:
        shows(page, "1 accepted")
        button(page, "Undo: accepted 1 picture").click()
        until(lambda: fields.ACCEPTED not in dataset.count_values("tags"))
