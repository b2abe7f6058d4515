"""Survey made-up footage and photograph the report: `docs/pictures/survey-report.png`.

    uv run scripts/draw_report.py [FOLDER]

The footage is rendered, one file of it is damaged, and the truth about it, a little blurred, stands in for a detector.
Needs Chromium. FOLDER keeps the footage and the results; without it they are thrown away.
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from apps.fish import survey
from apps.fish.detecting import Model
from apps.fish.footage import ChapterReader, parse_sampling
from apps.main import run
from data.detections import Detections
from data.preprocess import Image
from data.synth.footage import ClipSpec, FishTruth, Stock, write_clip

PICTURE = Path(__file__).resolve().parents[1] / "docs/pictures/survey-report.png"
EVERY = "0.2s"
NAMES = ("bream", "drummer", "trevally", "mullet", "barracuda")
TRUTH = "truth.pickle"
DEPLOYMENTS = {
    "MEADOW-01": ClipSpec(
        seconds=66,
        fps=12.5,
        stocks=(Stock(species="bream", individuals=6), Stock(species="drummer", individuals=3)),
        roaming=2.4,
        farthest_m=4.5,
    ),
    "MEADOW-02": ClipSpec(
        seconds=62,
        fps=12.5,
        stocks=(Stock(species="mullet", individuals=9, school=True), Stock(species="bream", individuals=3)),
        roaming=2.6,
        farthest_m=5,
    ),
    "RUBBLE-01": ClipSpec(
        seconds=61,
        fps=12.5,
        stocks=(Stock(species="trevally", individuals=5), Stock(species="drummer", individuals=4)),
        roaming=2.2,
        farthest_m=4.5,
        bed="rubble",
        water="blue",
    ),
}
DAMAGED = "MEADOW-02"
METADATA = """opcode,campaignid,site,location,status,latitude_dd,longitude_dd,depth_m,date_time,period_start
MEADOW-01,invented,Made-up Meadow,north,open,-16.7512,145.9031,6.5,2026-03-14T09:30:00,4
MEADOW-02,invented,Made-up Meadow,south,open,-16.7588,145.9064,7.2,2026-03-14T10:40:00,4
RUBBLE-01,invented,Made-up Rubble,east,closed,-16.7461,145.9160,11.8,2026-03-15T08:55:00,4
"""


def checksum(image: Image) -> int:
    """Tells decoded frames apart."""
    return zlib.crc32(image[::16].tobytes())


def film(disk: Path, deployments: Mapping[str, ClipSpec], damaged: str = "") -> None:
    """Render deployments, with what is in each sample under the checksum of its picture; then damage one."""
    seen: dict[int, tuple[FishTruth, ...]] = {}
    for seed, (opcode, spec) in enumerate(deployments.items(), 40):
        path = disk / opcode / f"GX01{seed:04d}.MP4"
        truth = write_clip(path, spec, seed)
        with ChapterReader(path, parse_sampling(EVERY)) as reader:
            for sample in reader:
                seen[checksum(sample.image)] = truth.of_frame(sample.frame)
        if opcode == damaged:
            content = bytearray(path.read_bytes())
            middle = len(content) * 2 // 3
            content[middle : middle + 3000] = bytes(byte ^ 0xA5 for byte in content[middle : middle + 3000])
            path.write_bytes(content)
    (disk / TRUTH).write_bytes(pickle.dumps(seen))


class TruthDetector:
    """Says what is in a frame by its checksum, not quite exactly and not quite surely."""

    def __init__(self, truth: Path) -> None:
        self.seen = pickle.loads(truth.read_bytes())  # noqa: S301  written above

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """Every fish of which enough shows."""
        return [self._one(checksum(frame)) for frame in frames]

    def label(self, species: str) -> int:
        """The number of what it calls them."""
        return NAMES.index(species)

    def _one(self, key: int) -> Detections:
        rng = np.random.default_rng(key)
        fish = [one for one in self.seen.get(key, ()) if one.visible >= 0.25]
        if not fish:
            return Detections.none()
        boxes = np.array([one.xyxy for one in fish])
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes += rng.normal(0, 0.02, boxes.shape) * sides
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = np.clip([0.35 + 0.6 * one.visible for one in fish] + rng.normal(0, 0.07, len(fish)), 0.06, 0.99)
        order = np.argsort(-scores, kind="stable")
        labels = np.array([self.label(one.species) for one in fish], np.int64)
        return Detections(boxes.astype(np.float32)[order], scores.astype(np.float32)[order], labels[order])


@dataclass(frozen=True)
class TruthSource:
    """Takes the place of the source of a trained detector; the folder is that of the footage."""

    folder: Path

    def describe(self) -> Model:
        """Five species."""
        return Model("truth of made-up footage, blurred", "0" * 64, NAMES, 0.5, 0.05)

    def load(self) -> TruthDetector:
        """Read the truth."""
        return TruthDetector(self.folder / TRUTH)


def photograph(page: Path, picture: Path, size: str = "1280,2150", *, dark: bool = False) -> None:
    """Open the page in Chromium, without a window, and save what it shows."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("Chromium is not installed.")
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=3000", f"--window-size={size}"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    with tempfile.TemporaryDirectory() as profile:
        where = [f"--user-data-dir={profile}", f"--screenshot={picture}", page.resolve().as_uri()]
        subprocess.run([browser, *flags, *where], check=True, capture_output=True, timeout=300)  # noqa: S603
    few_colours(picture)


def few_colours(picture: Path) -> None:
    """Make the file of a picture smaller."""
    with Pillow.open(picture) as drawn:
        few = drawn.convert("RGB").quantize(256, Pillow.Quantize.MAXCOVERAGE, kmeans=4, dither=Pillow.Dither.NONE)
        few.save(picture, optimize=True)


def main() -> None:
    """Render, survey, photograph."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        disk, results = folder / "disk", folder / "results"
        if not disk.exists():
            film(disk, DEPLOYMENTS, DAMAGED)
            (disk / "metadata.csv").write_text(METADATA, encoding="utf-8")
        survey.ArtifactSource = TruthSource  # type: ignore[assignment,misc]
        line = ["--line", "0.5,0,0.5,1", "--model", str(disk), "--every", EVERY]
        run(["fish", "survey", str(disk), "--out", str(results), *line])
        photograph(results / "report.html", PICTURE)


if __name__ == "__main__":
    main()
