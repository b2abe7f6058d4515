"""Survey made-up footage and photograph the review of names: `docs/pictures/review.png`.

    uv run scripts/draw_review.py [FOLDER]

The footage is rendered; the truth about it, made unsure, stands in for a detector and for a species model, which does
not know one of the species. Needs Playwright and Chromium. FOLDER keeps the footage and the results.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvicorn
from numpy.typing import NDArray
from playwright.sync_api import Page, ViewportSize, sync_playwright

from apps.fish import survey
from apps.fish.decisions import History
from apps.fish.detecting import Model
from apps.fish.drawing import sized
from apps.fish.parts.choosing import LARGEST
from apps.fish.parts.looking import FrameDetector
from apps.fish.parts.sources import ArtifactPart
from apps.fish.parts.species import SpeciesLooker, SpeciesModel
from apps.fish.review.queue import read_queue
from apps.fish.review.server import HOST, review_app
from apps.main import run
from data.boxes import Boxes, ious
from data.preprocess import Image
from data.species import crops_around
from data.synth.footage import ClipSpec, Stock
from data.taxonomy import Taxon, Taxonomy
from scripts.draw_report import TRUTH, TruthDetector, TruthSource, checksum, few_colours, film

PICTURE = Path(__file__).resolve().parents[1] / "docs/pictures/review.png"
SIZE = ViewportSize(width=1180, height=640)
NAMES = ("bream", "damsel", "drummer", "sergeant", "trevally", "wrasse")
"""The species that the model knows; barracudas swim there, too."""


def stocks(**individuals: int) -> tuple[Stock, ...]:
    """So many fish of each species."""
    return tuple(Stock(species=name, individuals=count) for name, count in individuals.items())


FOOTAGE = ClipSpec(
    size_wh=(1280, 720),
    fps=10,
    seconds=14,
    roaming=1.7,
    farthest_m=2.4,
    turbidity=0.08,
    bed="rubble",
    snow=60,
    seagrass=1,
)
DEPLOYMENTS = {
    "REEF-01": FOOTAGE.model_copy(
        update={"water": "blue", "stocks": stocks(bream=4, drummer=7, barracuda=3, wrasse=3)}
    ),
    "REEF-02": FOOTAGE.model_copy(update={"stocks": stocks(trevally=4, drummer=5, sergeant=4, damsel=2)}),
}
KEYS = ("Enter", "u", "2", "Enter")


class Detector(TruthDetector):
    """Finds fish, whatever their species."""

    def label(self, species: str) -> int:
        """There is one name only."""
        return 0


class Namer(TruthDetector):
    """Names fish by the truth; the less of one shows, and the smaller it is, the less surely."""

    names = NAMES

    def __init__(self, truth: Path) -> None:
        super().__init__(truth)
        self.scores: dict[int, NDArray[np.float32]] = {}

    def crops(self, frame: Image, xyxy: Boxes) -> list[Image]:
        """Cut out the fish, and remember what is true of each."""
        # As large as they may be, so that they come back as they are.
        crops = [sized(crop, min(crop.shape[1], LARGEST // 2)) for crop in crops_around(frame, xyxy, 0.12)]
        fish = self.seen.get(checksum(frame), ())
        overlaps = ious(xyxy, np.array([one.xyxy for one in fish], np.float32).reshape(-1, 4))
        for crop, row in zip(crops, overlaps, strict=True):
            one = fish[int(row.argmax())]
            clearness, key = float(one.visible) * min(1.0, crop.shape[1] / 128), checksum(crop)
            self.scores[key] = self._of(one.species, clearness, key)
        return crops

    def score(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Log-probabilities (N, C)."""
        return np.stack([self.scores[checksum(crop)] for crop in crops])

    @staticmethod
    def _of(species: str, clearness: float, seed: int) -> NDArray[np.float32]:
        noise = np.random.default_rng(seed).normal(0, 1.1, len(NAMES))
        right = np.array([5.5 * clearness * (name == species) for name in NAMES])
        among = np.exp(right + noise)
        known = 0.97 if species in NAMES else 0.3
        return np.log(known * among / among.sum()).astype(np.float32)


@dataclass(frozen=True)
class DetectorSource(TruthSource):
    """Takes the place of the source of a trained detector; the folder is that of the footage."""

    def describe(self) -> Model:
        """Knows fish."""
        return Model("truth of made-up footage", "0" * 64, ("fish",), 0.5, 0.05)

    def load(self) -> Detector:
        """Read the truth."""
        return Detector(self.folder / TRUTH)


class NamerPart(ArtifactPart):
    """Takes the place of a species model; the folder is that of the footage."""

    name = "species"

    def describe(self) -> SpeciesModel:
        """Its species have no other names than those of the plans they are drawn by."""
        taxonomy = Taxonomy(taxa=tuple(Taxon(key=name) for name in NAMES))
        return SpeciesModel("truth of made-up footage, unsure", "0" * 64, NAMES, 0.5, taxonomy)

    def load(self, detector: FrameDetector) -> SpeciesLooker:
        """Read the truth."""
        return SpeciesLooker(Namer(self.folder / TRUTH), self.least_score)


@contextmanager
def reviewed(results: Path) -> Iterator[str]:
    """The address of a review of those results."""
    history = History(results)
    with socket.create_server((HOST, 0)) as listener:
        app = review_app(read_queue(results, history), history)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


def settle(page: Page) -> None:
    """Settle a few fish, as a person does, and wait for the pictures of the next one."""
    page.wait_for_selector("#crops img")
    for key in KEYS:
        page.keyboard.press(key)
        page.evaluate("busy.then(() => true)")
    page.wait_for_load_state("networkidle")


def photograph(results: Path, picture: Path) -> None:
    """Open the review in Chromium, without a window, and save what it shows."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not installed.")
    with reviewed(results) as address, sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport=SIZE)
        page.goto(address)
        settle(page)
        page.screenshot(path=picture)
        opened.close()
    few_colours(picture)


def main() -> None:
    """Render, survey, review, photograph."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        disk, results = folder / "disk", folder / "results"
        if not disk.exists():
            film(disk, DEPLOYMENTS)
        survey.ArtifactSource = DetectorSource  # type: ignore[assignment,misc]
        survey.SpeciesPart = NamerPart  # type: ignore[assignment,misc]
        run(["fish", "survey", str(disk), "--out", str(results), "--model", str(disk), "--species", str(disk)])
        (results / "review.jsonl").unlink(missing_ok=True)
        photograph(results, PICTURE)


if __name__ == "__main__":
    main()
