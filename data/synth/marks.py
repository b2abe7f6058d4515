"""What else a pen and a form leave in a cell: strike-outs, scribbles, smears, border lines, neighbours' ink, specks.

Every function takes a (H, W) uint8 grey image, dark ink on light paper, and a generator, and gives a new image of
the same shape. Marks are laid on by multiplying, as ink is: paper shade and strokes below show through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
"""(N, 2) x, y in pixels."""
Side = Literal["left", "right", "top", "bottom"]

_SHIFT: Final = 4
_SCALE: Final = 1 << _SHIFT


def strike_out(image: Image, rng: np.random.Generator) -> Image:
    """Cross the digit out, as people do: one to three lines, an X, a zigzag, a scribble or a blot over its ink."""
    kinds: tuple[Callable[[Image, np.random.Generator], Image], ...] = (_lines, _cross, _zigzag, scribble, _blot)
    return kinds[rng.choice(5, p=(0.3, 0.25, 0.2, 0.17, 0.08))](image, rng)


def scribble(image: Image, rng: np.random.Generator) -> Image:
    """Cover the digit by a winding line, thick enough that nobody can read it."""
    x, y, width, height = _ink_box(image)
    turns = rng.uniform(3, 7)
    t = np.linspace(0, 1, 10 * int(np.ceil(turns)))
    drift = rng.uniform(0.2, 0.45)
    phase, lean = rng.uniform(0, 6.28), rng.uniform(-0.3, 0.3)
    angle = 6.283 * turns * t + phase
    along = drift * (2 * t - 1) + (0.55 - 0.7 * drift) * np.cos(angle)
    across = rng.uniform(0.38, 0.55) * np.sin(angle + rng.uniform(-0.6, 0.6)) + lean * along
    if rng.random() < 0.35:
        along, across = across, along
    wobble = rng.normal(0, 0.03, (t.size, 2))
    points = np.stack([x + width * (0.5 + along), y + height * (0.5 + across)], 1) + wobble * max(width, height)
    return _drawn(image, [points], _pen_width(image, rng), _ink_level(image, rng))


def smear(image: Image, rng: np.random.Generator) -> Image:
    """Wipe the wet ink along one direction; the stroke stays, fainter, with its trail."""
    reach = int(max(image.shape) * rng.uniform(0.12, 0.28)) | 1
    kernel = np.zeros((reach, reach), np.float32)
    angle = rng.uniform(-0.6, 0.6) + (np.pi if rng.random() < 0.5 else 0)
    centre = reach // 2
    tip = centre + np.array([np.cos(angle), np.sin(angle)]) * centre
    cv2.line(kernel, (centre, centre), (round(tip[0]), round(tip[1])), 1.0, max(1, reach // 8))
    kernel /= kernel.sum()
    wiped = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    strength = rng.uniform(0.5, 0.95)
    return np.minimum(wiped, cv2.addWeighted(image, 1 - strength, wiped, strength, 0)).astype(np.uint8)


def border_remains(image: Image, rng: np.random.Generator) -> Image:
    """Leave parts of the printed cell's border along one to four edges, straight, thin and mostly pale."""
    height, width = image.shape
    layer = np.full_like(image, 255)
    level = int(rng.uniform(70, 235))
    sides = rng.permutation(4)[: rng.integers(1, 4)]
    for side in sides:
        length, depth = (width, height) if side < 2 else (height, width)
        inset = rng.uniform(0, 0.09) * depth
        tilt = rng.normal(0, 0.012) * length
        start, end = (0.0, 1.0) if rng.random() < 0.6 else np.sort(rng.random(2))
        near = inset if side % 2 == 0 else depth - 1 - inset
        ends = np.array([[start * length, near + tilt * start], [end * length, near + tilt * end]])
        _draw(
            layer,
            ends if side < 2 else ends[:, ::-1],
            max(1, round(max(image.shape) * rng.uniform(0.012, 0.04))),
            level,
        )
    return _laid(image, layer)


def neighbour_strokes(image: Image, neighbour: Image, rng: np.random.Generator, side: Side = "left") -> Image:
    """Let the digit of the neighbouring cell reach in over one side.

    Args:
        image: The cell.
        neighbour: The digit next door, any size; only its part nearest to `side` comes in.
        rng: Decides how far it reaches (4 to 20 % of the cell) and where along the side.
        side: Where the neighbour is.
    """
    turned = np.ascontiguousarray(image.T) if side in ("top", "bottom") else image
    stroke = _inked_part(neighbour.T if side in ("top", "bottom") else neighbour)
    height, width = turned.shape
    scale = rng.uniform(0.55, 0.85) * height / max(stroke.shape)
    stroke = _resized(stroke, (max(1, round(stroke.shape[1] * scale)), max(1, round(stroke.shape[0] * scale))))
    reach = min(stroke.shape[1], max(1, round(width * rng.uniform(0.04, 0.2))))
    top = round(rng.uniform(0, height - stroke.shape[0]))
    layer = np.full_like(turned, 255)
    if side in ("left", "top"):
        layer[top : top + stroke.shape[0], :reach] = stroke[:, -reach:]
    else:
        layer[top : top + stroke.shape[0], -reach:] = stroke[:, :reach]
    result = _laid(turned, layer)
    return np.ascontiguousarray(result.T) if side in ("top", "bottom") else result


def specks(image: Image, rng: np.random.Generator) -> Image:
    """Sprinkle a few small spots: dust, photocopier dirt, pen dots."""
    layer = np.full_like(image, 255)
    height, width = image.shape
    count = int(rng.integers(1, 7))
    places = rng.random((count, 2)) * (width, height)
    radii = rng.uniform(0.004, 0.025, count) * max(height, width)
    levels = rng.uniform(20, 200, count)
    for (x, y), radius, level in zip(places, radii, levels, strict=True):
        centre = round(x * _SCALE), round(y * _SCALE)
        cv2.circle(layer, centre, max(6, round(radius * _SCALE)), int(level), -1, cv2.LINE_AA, _SHIFT)
    return _laid(image, layer)


def _lines(image: Image, rng: np.random.Generator) -> Image:
    x, y, width, height = _ink_box(image)
    slope = rng.uniform(-0.5, 0.5) * height
    reach = rng.uniform(0.06, 0.22, 2) * width
    count = rng.choice(3, p=(0.45, 0.4, 0.15)) + 1
    gap = height * rng.uniform(0.15, 0.3)
    strokes = []
    for number in range(count):
        middle = y + height * rng.uniform(0.42, 0.62) + gap * (number - (count - 1) / 2)
        wobble = rng.normal(0, 0.03, 3) * height
        strokes.append(
            np.array(
                [
                    [x - reach[0], middle - slope / 2 + wobble[0]],
                    [x + width / 2, middle + wobble[1]],
                    [x + width + reach[1], middle + slope / 2 + wobble[2]],
                ]
            )
        )
    return _drawn(image, strokes, _pen_width(image, rng), _ink_level(image, rng))


def _cross(image: Image, rng: np.random.Generator) -> Image:
    x, y, width, height = _ink_box(image)
    jitter = rng.normal(0, 0.08, (4, 2)) * (width, height)
    corners = np.array([[x, y], [x + width, y + height], [x + width, y], [x, y + height]], float) + jitter
    return _drawn(image, [corners[:2], corners[2:]], _pen_width(image, rng), _ink_level(image, rng))


def _zigzag(image: Image, rng: np.random.Generator) -> Image:
    x, y, width, height = _ink_box(image)
    count = int(rng.integers(6, 13))
    along = np.linspace(-0.05, 1.05, count) + rng.normal(0, 0.02, count)
    across = np.where(np.arange(count) % 2 == 0, rng.uniform(0, 0.25), rng.uniform(0.75, 1)) + rng.normal(
        0, 0.06, count
    )
    if rng.random() < 0.5:
        along, across = across, along
    points = np.stack([x + along * width, y + across * height], 1)
    return _drawn(image, [points], _pen_width(image, rng), _ink_level(image, rng))


def _blot(image: Image, rng: np.random.Generator) -> Image:
    x, y, width, height = _ink_box(image)
    angle = np.linspace(0, 6.283, 24, endpoint=False)
    phases = rng.uniform(0, 6.283, 3)
    radius = rng.uniform(0.4, 0.55) * (1 + 0.12 * np.sin(2 * angle + phases[0]) + 0.08 * np.sin(5 * angle + phases[1]))
    centre = (x + width * rng.uniform(0.42, 0.58), y + height * rng.uniform(0.42, 0.58))
    outline = np.stack([centre[0] + radius * width * np.cos(angle), centre[1] + radius * height * np.sin(angle)], 1)
    layer = np.full_like(image, 255)
    cv2.fillPoly(layer, [np.round(outline * _SCALE).astype(np.int32)], _ink_level(image, rng), cv2.LINE_AA, _SHIFT)
    # A blot is one lump: what it covers does not show through.
    return np.minimum(image, layer).astype(np.uint8)


def _ink_box(image: Image) -> tuple[int, int, int, int]:
    """x, y, width, height of the ink; the middle of the image where there is none."""
    darkest, lightest, _, _ = cv2.minMaxLoc(image)
    if lightest - darkest < 12:
        height, width = image.shape
        return width // 5, height // 5, max(2, 3 * width // 5), max(2, 3 * height // 5)
    _, mask = cv2.threshold(image, (darkest + lightest) / 2, 255, cv2.THRESH_BINARY_INV)
    x, y, width, height = cv2.boundingRect(mask)
    least = max(2, max(image.shape) // 5)
    grow_x, grow_y = max(0, least - width) // 2, max(0, least - height) // 2
    return x - grow_x, y - grow_y, width + 2 * grow_x, height + 2 * grow_y


def _pen_width(image: Image, rng: np.random.Generator) -> int:
    longest: int = max(image.shape)
    return max(1, round(longest * rng.uniform(0.03, 0.08)))


def _ink_level(image: Image, rng: np.random.Generator) -> int:
    """Grey level of a new stroke: about that of the ink already there, as a share of the paper."""
    darkest, lightest, _, _ = cv2.minMaxLoc(image)
    share: float = darkest / max(1.0, lightest) if lightest - darkest >= 12 else 0.25
    return int(min(180.0, max(0.0, 255 * (share + rng.normal(0.03, 0.06)))))


def _drawn(image: Image, strokes: list[Points], thickness: int, level: int) -> Image:
    layer = np.full_like(image, 255)
    for points in strokes:
        _draw(layer, points, thickness, level)
    return _laid(image, layer)


def _draw(layer: Image, points: Points, thickness: int, level: int) -> None:
    fixed = np.round(points * _SCALE).astype(np.int32)
    cv2.polylines(layer, [fixed], False, level, thickness, cv2.LINE_AA, _SHIFT)


def _laid(image: Image, layer: Image) -> Image:
    return np.asarray(cv2.multiply(image, layer, scale=1 / 255), np.uint8)


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _inked_part(image: Image) -> Image:
    x, y, width, height = _ink_box(image)
    left, top = max(0, x), max(0, y)
    return np.ascontiguousarray(image[top : y + height, left : x + width])
