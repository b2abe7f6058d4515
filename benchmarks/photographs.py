"""Photographs of single digits under named difficulties: what an artifact reads of each kind.

    python -m benchmarks.photographs [ARTIFACT] [--count 200] [--kind NAME]... [--sheets DIR] [--out DIR]

The digits are real where SHANKHA_DATA (else ../shared/data) holds CMATERdb's training part and NumtaDB, else our own
synthetic writer's. Each is redrawn at the photograph's resolution with crisp edges, so that it shows neither its
source's pixels nor its source's blur. `--out` writes class folders per kind; `--sheets` writes contact sheets, each
picture beside its ink map, misread ones first.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.preprocess import DigitPreprocessing, Image, ink_image
from data.readers.npz import read_cmaterdb, read_numtadb_npz
from data.synth.handwriting import Hand, write_digit
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader
from training.augmentation.handwriting import redrawn

ROOT: Final = Path(__file__).resolve().parents[1]
ARTIFACT: Final = ROOT / "models" / "weights" / "digits-int8"
WHITE: Final = (244.0, 246.0, 246.0)
BLACK: Final = (40.0, 36.0, 34.0)
Colour = tuple[float, float, float]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class Photograph:
    """One photograph of a digit; the defaults are a clean, well-lit picture of black ink on white paper.

    `size_wh` in pixels; `share` the digit's longest side over the frame's shortest; `place` where in the free room it
    lies (0 to 1 each way); `thickness` the change of `redrawn`; colours BGR; `grain`, `texture`, `shadow` and `slope`
    strengths 0 to 1; `angle` of rules, shadow and slope in radians; `softness` of the shadow's edge as a share of the
    side; `rules` lines across the paper, `pitch` apart as a share of the side, `crossed` both ways, `rule_depth` their
    strength; `noise` and `blur` standard deviations in grey levels and in shares of the side; `borders` the frame's
    sides (left, top, right, bottom) that show a cell's border; `intrusion` how far a neighbour's stroke reaches in.
    """

    size_wh: tuple[int, int] = (128, 128)
    share: float = 0.7
    place: tuple[float, float] = (0.5, 0.5)
    thickness: float = 0.0
    ink: Colour = BLACK
    paper: Colour = WHITE
    grain: float = 0.0
    texture: float = 0.0
    shadow: float = 0.0
    slope: float = 0.0
    angle: float = 0.0
    softness: float = 0.02
    pitch: float = 0.0
    crossed: bool = False
    rule_depth: float = 0.3
    noise: float = 1.5
    blur: float = 0.004
    jpeg: int = 92
    borders: tuple[bool, ...] = field(default=(False,) * 4)
    intrusion: float = 0.0


Draw = Callable[[np.random.Generator], Photograph]


def _frame(rng: np.random.Generator, low: float = 60, high: float = 320) -> tuple[int, int]:
    longest = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    sides = np.round(longest * np.array([1.0, rng.uniform(0.75, 1.0)])).astype(int)
    width, height = sides if rng.random() < 0.5 else sides[::-1]
    return int(width), int(height)


def _plain(rng: np.random.Generator) -> Photograph:
    return Photograph(_frame(rng), share=rng.uniform(0.55, 0.8), place=(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)))


def _tinted(rng: np.random.Generator, colour: Colour) -> Colour:
    blue, green, red = np.clip(np.array(colour) + rng.normal(0, 12, 3), 0, 255)
    return float(blue), float(green), float(red)


def _turn(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * np.pi))


def _lined(rng: np.random.Generator, crossed: bool) -> Photograph:
    pitch = rng.uniform(0.18, 0.4) if crossed else rng.uniform(0.3, 0.8)
    return replace(
        _plain(rng), pitch=pitch, crossed=crossed, rule_depth=rng.uniform(0.15, 0.6), angle=rng.normal(0, 0.03)
    )


def _mixed(rng: np.random.Generator) -> Photograph:
    """Some of everything, each mildly."""
    parts = [rng.random() < 0.4 for _ in range(8)]
    paper = _tinted(rng, PAPERS[int(rng.integers(len(PAPERS)))]) if parts[0] else WHITE
    return replace(
        _plain(rng),
        share=rng.uniform(0.3, 0.95),
        place=(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)),
        thickness=rng.uniform(-0.5, 0.4),
        ink=_tinted(rng, PENS[int(rng.integers(len(PENS)))]) if parts[1] else BLACK,
        paper=paper,
        grain=0.5 * parts[2],
        texture=0.06 * parts[3],
        shadow=0.35 * parts[4],
        slope=0.4 * parts[5],
        softness=rng.uniform(0.01, 0.1),
        angle=_turn(rng) if parts[4] or parts[5] else 0.0,
        pitch=rng.uniform(0.3, 0.7) if parts[6] and not (parts[4] or parts[5]) else 0.0,
        noise=rng.uniform(1, 8),
        blur=rng.uniform(0.003, 0.015),
        jpeg=int(rng.integers(30, 95)),
        borders=tuple(parts[7] and rng.random() < 0.4 for _ in range(4)),
    )


PENS: Final[tuple[Colour, ...]] = ((150, 60, 30), (190, 110, 60), (40, 40, 200), (70, 130, 40), (120, 40, 90))
PAPERS: Final[tuple[Colour, ...]] = (
    (150, 220, 235),
    (200, 190, 240),
    (230, 205, 170),
    (180, 225, 190),
    (140, 175, 205),
)
PALE: Final[tuple[Colour, ...]] = ((230, 170, 150), (190, 160, 240), (110, 200, 250), (180, 215, 140))

KINDS: Final[dict[str, Draw]] = {
    "plain": _plain,
    "tiny": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 20, 30), share=rng.uniform(0.75, 0.98), blur=0.012),
    "tight": lambda rng: replace(_plain(rng), share=1.0),
    "loose": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 150, 600), share=rng.uniform(0.2, 0.35)),
    "very loose": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 500, 1200), share=rng.uniform(0.05, 0.12)),
    "large": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 1000, 3000), share=rng.uniform(0.3, 0.8)),
    "off centre": lambda rng: replace(
        _plain(rng), share=rng.uniform(0.35, 0.6), place=(float(rng.integers(2)), rng.uniform(0, 1))
    ),
    "thick": lambda rng: replace(_plain(rng), thickness=rng.uniform(-0.9, -0.5)),
    "thin": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 100, 600), thickness=rng.uniform(0.4, 0.7)),
    "pencil": lambda rng: replace(
        _plain(rng), ink=(rng.uniform(120, 185),) * 3, grain=rng.uniform(0.4, 0.9), texture=0.03, thickness=0.3
    ),
    "blue": lambda rng: replace(_plain(rng), ink=_tinted(rng, PENS[int(rng.integers(2))])),
    "red": lambda rng: replace(_plain(rng), ink=_tinted(rng, PENS[2])),
    "green": lambda rng: replace(_plain(rng), ink=_tinted(rng, PENS[3])),
    "pale gel": lambda rng: replace(_plain(rng), ink=_tinted(rng, PALE[int(rng.integers(4))])),
    "chalkboard": lambda rng: replace(
        _plain(rng), ink=(225, 230, 230), paper=_tinted(rng, (60, 75, 50)), grain=rng.uniform(0.2, 0.8), texture=0.05
    ),
    "light on dark, tight": lambda rng: replace(_plain(rng), ink=(235, 235, 235), paper=(30, 30, 30), share=1.0),
    "light on dark, thick": lambda rng: replace(
        _plain(rng), ink=(235, 235, 235), paper=(30, 30, 30), share=rng.uniform(0.8, 1), thickness=-0.8
    ),
    "tight, thick": lambda rng: replace(_plain(rng), share=1.0, thickness=-0.8),
    "coloured paper": lambda rng: replace(_plain(rng), paper=_tinted(rng, PAPERS[int(rng.integers(len(PAPERS)))])),
    "ruled": lambda rng: _lined(rng, crossed=False),
    "squared": lambda rng: _lined(rng, crossed=True),
    "shadow": lambda rng: replace(
        _plain(rng), shadow=rng.uniform(0.3, 0.6), softness=rng.uniform(0.005, 0.08), angle=_turn(rng)
    ),
    "uneven light": lambda rng: replace(_plain(rng), slope=rng.uniform(0.4, 0.8), angle=_turn(rng)),
    "texture": lambda rng: replace(_plain(rng), size_wh=_frame(rng, 100, 600), texture=rng.uniform(0.06, 0.14)),
    "jpeg": lambda rng: replace(_plain(rng), jpeg=int(rng.integers(8, 25))),
    "noise": lambda rng: replace(_plain(rng), noise=rng.uniform(12, 30)),
    "pale, noise": lambda rng: replace(_plain(rng), ink=(170, 165, 165), noise=rng.uniform(8, 14)),
    "blur": lambda rng: replace(_plain(rng), blur=rng.uniform(0.015, 0.035)),
    "borders": lambda rng: replace(_plain(rng), borders=tuple(rng.random(4) < 0.6), share=rng.uniform(0.5, 0.7)),
    "neighbour": lambda rng: replace(
        _plain(rng), intrusion=rng.uniform(0.06, 0.14), share=rng.uniform(0.5, 0.65), place=(0.5, 0.5)
    ),
    "mixed": _mixed,
}


def photograph(ink: Image, neighbour: Image, settings: Photograph, rng: np.random.Generator) -> Image:
    """Take the photograph.

    Args:
        ink: (h, w) uint8 tight ink of the digit, 0 paper, of any size.
        neighbour: The same, of the digit that may cut in.
        settings: What the photograph is like.
        rng: Draws grain, texture and noise.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    width, height = settings.size_wh
    cover = _placed(ink, settings)
    if settings.intrusion:
        cover = np.maximum(cover, _intruding(neighbour, settings, left=bool(rng.integers(2))))
    if settings.grain:
        grain = cv2.GaussianBlur(rng.random((height, width), np.float32), (0, 0), max(0.6, 0.006 * width))
        cover = cover * (1 - settings.grain * np.clip(0.5 + 4 * (grain - 0.5), 0, 1))
    paper = np.asarray(settings.paper, np.float32) * (1 - _lines(settings))[..., None]
    picture = paper + (np.asarray(settings.ink, np.float32) - paper) * cover[..., None]
    picture = picture * (_light(settings) * _texture(settings, rng))[..., None]
    spread = settings.blur * max(width, height)
    picture = cv2.GaussianBlur(picture, (0, 0), spread) if spread > 0.2 else picture
    picture = picture + rng.normal(0, settings.noise, picture.shape)
    _, packed = cv2.imencode(
        ".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg]
    )
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _drawn(ink: Image, size_wh: tuple[int, int], thickness: float) -> Field:
    """Coverage 0 to 1 of the digit redrawn, its longest side as asked; a margin keeps thickened strokes whole."""
    side = max(96, min(400, max(size_wh)))
    scale = side / max(ink.shape)
    grown = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    room = side // 6
    grown = cv2.copyMakeBorder(grown, room, room, room, room, cv2.BORDER_CONSTANT, value=0)
    smooth = cv2.GaussianBlur(grown, (0, 0), max(0.5, 0.4 * scale))
    # The sources' thinnest strokes are half a pixel's ink: without the gain they would break.
    crisp = tight(redrawn(cv2.convertScaleAbs(smooth, alpha=1.9), thickness))
    fit = max(size_wh) / max(crisp.shape)
    size = max(1, round(crisp.shape[1] * fit)), max(1, round(crisp.shape[0] * fit))
    return (
        cv2.resize(crisp, size, interpolation=cv2.INTER_AREA if fit < 1 else cv2.INTER_LINEAR).astype(np.float32) / 255
    )


def tight(ink: Image) -> Image:
    """The ink's bounding box."""
    x, y, width, height = cv2.boundingRect((ink > 60).astype(np.uint8))
    return np.ascontiguousarray(ink[y : y + height, x : x + width]) if width else ink


def _placed(ink: Image, settings: Photograph) -> Field:
    width, height = settings.size_wh
    side = max(6, round(settings.share * min(width, height)))
    digit = _drawn(ink, (side, side), settings.thickness)
    canvas = np.zeros((height, width), np.float32)
    if settings.share >= 1.0:  # a tight crop: the frame is the digit's own box
        return cv2.resize(digit, (width, height), interpolation=cv2.INTER_LINEAR)
    rows, columns = digit.shape
    left, top = round(settings.place[0] * (width - columns)), round(settings.place[1] * (height - rows))
    canvas[top : top + rows, left : left + columns] = digit
    return canvas


def _intruding(neighbour: Image, settings: Photograph, left: bool) -> Field:
    width, height = settings.size_wh
    side = round(settings.share * min(width, height))
    digit = _drawn(neighbour, (side, side), settings.thickness)
    seen = max(1, min(digit.shape[1], round(settings.intrusion * width)))
    top = (height - digit.shape[0]) // 2
    canvas = np.zeros((height, width), np.float32)
    if left:
        canvas[top : top + digit.shape[0], :seen] = digit[:, -seen:]
    else:
        canvas[top : top + digit.shape[0], -seen:] = digit[:, :seen]
    return canvas


def _grid(settings: Photograph) -> tuple[Field, Field]:
    """Coordinates along and across the settings' angle, 0 in the middle, 1 a frame's longest side."""
    width, height = settings.size_wh
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / max(width, height), (y - height / 2) / max(width, height)
    cos, sin = np.cos(settings.angle), np.sin(settings.angle)
    return cos * x + sin * y, cos * y - sin * x


def _lines(settings: Photograph) -> Field:
    """How far printed lines darken the paper, 0 to 1."""
    width, height = settings.size_wh
    dark = np.zeros((height, width), np.float32)
    half = max(0.5 / max(width, height), 0.006)
    along, across = _grid(settings)
    if settings.pitch:
        for way in (across, along) if settings.crossed else (across,):
            gap = np.abs((way / settings.pitch + 0.37) % 1.0 - 0.5) * settings.pitch
            dark = np.maximum(dark, settings.rule_depth * (gap < half))
    edge = max(1, round(0.02 * max(width, height)))
    first, last = slice(edge, 2 * edge), slice(-2 * edge, -edge)
    sides = np.s_[:, first], np.s_[first], np.s_[:, last], np.s_[last]
    for shown, part in zip(settings.borders, sides, strict=True):
        if shown:
            dark[part] = 0.5
    return dark


def _light(settings: Photograph) -> Field:
    along, across = _grid(settings)
    light = 1 - settings.slope * np.clip(along + 0.5, 0, 1)
    edge = np.clip(0.5 + (across + 0.15 * np.sin(settings.angle * 7)) / (2 * settings.softness), 0, 1)
    return (light * (1 - settings.shadow * edge)).astype(np.float32)


def _texture(settings: Photograph, rng: np.random.Generator) -> Field:
    width, height = settings.size_wh
    if not settings.texture:
        return np.ones((height, width), np.float32)
    bumps = sum(
        cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), spread) * spread
        for spread in (0.8, 0.02 * width + 0.5)
    )
    return (1 + settings.texture * bumps / 2).astype(np.float32)


def digits(count: int, rng: np.random.Generator) -> list[tuple[Image, int]]:
    """`count` tight inks with their digit, the classes in turn: real ones where the data is, else synthetic ones."""
    folder = Path(os.environ.get("SHANKHA_DATA", ROOT.parent / "shared" / "data")) / "digits"
    if not folder.is_dir():
        drawn = [write_digit(i % 10, Hand.draw(rng), rng, height=96) for i in range(count)]
        return [(tight(255 - picture), i % 10) for i, picture in enumerate(drawn)]
    sets = read_cmaterdb(folder / "cmaterdb", "train"), read_numtadb_npz(folder / "numtadb" / "training-abc.npz")
    found = []
    for i in range(count):
        source = sets[i // 10 % 2]
        picture = source.read(int(rng.choice(np.flatnonzero(source.labels == i % 10))))
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        found.append((tight(grey if source.polarity == "light" else 255 - grey), i % 10))
    return found


def photographs(kind: str, count: int, seed: int = 0) -> tuple[list[Image], NDArray[np.int64]]:
    """`count` photographs of one kind, and their digits; the same seed photographs the same digits in every kind."""
    inks = digits(count, np.random.default_rng(seed))
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    taken = [photograph(ink, inks[i - 7][0], KINDS[kind](rng), rng) for i, (ink, _) in enumerate(inks)]
    return taken, np.array([digit for _, digit in inks], np.int64)


def write_class_folders(folder: Path, pictures: Sequence[Image], labels: NDArray[np.int64]) -> None:
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / str(label) / f"{index:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), picture)


def contact_sheet(pictures: Sequence[Image], labels: NDArray[np.int64], read: NDArray[np.int64]) -> Image:
    """The misread first: each picture, its ink map, and 'truth>read' above; 8 pairs a row, 48 at most."""
    order = np.argsort(read == labels, kind="stable")[:48]
    pairs = []
    for index in order:
        map_ = ink_image(pictures[index], DigitPreprocessing())
        shown = [pictures[index], cv2.cvtColor(map_, cv2.COLOR_GRAY2BGR)]
        pair = np.hstack([cv2.resize(part, (96, 96), interpolation=cv2.INTER_AREA) for part in shown])
        pair = cv2.copyMakeBorder(pair, 14, 4, 2, 2, cv2.BORDER_CONSTANT, value=(90, 90, 90))
        colour = (255, 255, 255) if read[index] == labels[index] else (80, 160, 255)
        cv2.putText(pair, f"{labels[index]}>{read[index]}", (4, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1)
        pairs.append(pair)
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % 8)
    return np.vstack([np.hstack(pairs[start : start + 8]) for start in range(0, len(pairs), 8)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", nargs="?", type=Path, default=ARTIFACT)
    parser.add_argument("--count", type=int, default=200, help="photographs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only these kinds")
    parser.add_argument("--out", type=Path, help="write class folders per kind here")
    parser.add_argument("--sheets", type=Path, help="write contact sheets here")
    return parser.parse_args()


def main() -> None:
    asked = _arguments()
    reader = DigitReader(Artifact.open(asked.artifact))
    shares = []
    for kind in asked.kind or KINDS:
        pictures, labels = photographs(kind, asked.count, asked.seed)
        readings = reader.read(pictures, polarity="auto")
        right = readings.values == labels
        shares.append(float(right.mean()))
        print(
            f"{kind:22s} {100 * shares[-1]:6.1f} %   not a digit {100 * readings.not_a_digit.mean():5.1f} %", flush=True
        )
        if asked.out:
            write_class_folders(asked.out / kind.replace(", ", "-").replace(" ", "-"), pictures, labels)
        if asked.sheets:
            asked.sheets.mkdir(parents=True, exist_ok=True)
            sheet = contact_sheet(pictures, labels, readings.values)
            cv2.imwrite(str(asked.sheets / f"{kind.replace(', ', '-').replace(' ', '-')}.png"), sheet)
    print(f"{'mean of kinds':22s} {100 * np.mean(shares):6.1f} %")


if __name__ == "__main__":
    main()
