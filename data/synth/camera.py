"""What a scanner or a phone makes of a page: `Scan` and `Phone` hold the drawn parameters, `scan` and `photograph`
apply them. Parameters come from `draw`, apart from their use, so that a picture can be made again or changed in one
respect alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Coarse = NDArray[np.floating | np.integer]
Table = Literal["wood", "cloth", "plain"]

_COARSE: Final = 16
"""Light, shadow and table are drawn this many times smaller, then enlarged: they have no detail."""


@dataclass(frozen=True)
class Scan:
    """A flat-bed or feeder scan of a printed page.

    `quarter_turns` (anticlockwise) and `angle` (degrees) turn the sheet, `print_scale` shrinks the print about the
    sheet's middle, `offset_mm` shifts it. `dpi` is the scan's resolution. `contrast` and `brightness` act as
    value * contrast + brightness, `blur` is a Gaussian's sigma in pixels, `noise` its spread in grey levels.
    """

    quarter_turns: int
    angle: float
    print_scale: float
    offset_mm: tuple[float, float]
    dpi: int
    grey: bool
    lid: int
    contrast: float
    brightness: float
    blur: float
    noise: float
    jpeg_quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scan:
        """A scan as offices make them."""
        return cls(
            quarter_turns=int(rng.choice(4, p=(0.7, 0.08, 0.14, 0.08))),
            angle=float(np.clip(rng.normal(0, 1.2), -4, 4)),
            print_scale=float(rng.choice((1.0, 0.97, rng.uniform(0.85, 1.0)), p=(0.5, 0.25, 0.25))),
            offset_mm=(float(rng.normal(0, 1.2)), float(rng.normal(0, 1.2))),
            dpi=int(rng.choice((150, 200, 240, 300), p=(0.2, 0.45, 0.15, 0.2))),
            grey=bool(rng.random() < 0.3),
            lid=int(rng.choice((250, 225, 60), p=(0.7, 0.2, 0.1))),
            contrast=float(rng.uniform(0.88, 1.05)),
            brightness=float(rng.uniform(-6, 12)),
            blur=float(rng.uniform(0.3, 0.8)),
            noise=float(rng.uniform(0.5, 5)),
            jpeg_quality=int(rng.integers(60, 95)),
        )


@dataclass(frozen=True)
class Phone:
    """A photograph of the page lying on a table.

    `frame_wh` is the picture's size. `corners` are the page's corners in shares of the frame, clockwise from the
    page's own top left (so a turned page has them turned). `curl` bends the paper (share of its width, sideways and
    lengthwise). `light` is the fall-off across the picture (share, at `light_angle` in radians), `shadow` the depth
    of a soft shadow whose edge runs through `shadow_at` (shares of the frame) at `shadow_angle`. `blur` is the
    defocus (sigma, pixels), `motion` a shake (length in pixels, angle in radians). `white_balance` multiplies B, G, R.
    """

    frame_wh: tuple[int, int]
    corners: tuple[tuple[float, float], ...]
    curl: tuple[float, float]
    table: Table
    table_bgr: tuple[int, int, int]
    light: float
    light_angle: float
    shadow: float
    shadow_at: tuple[float, float]
    shadow_angle: float
    exposure: float
    white_balance: tuple[float, float, float]
    blur: float
    motion: tuple[float, float]
    noise: float
    jpeg_quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[float, float] = (210.0, 297.0)) -> Phone:
        """A photograph as taken by hand in a room; `size` is the page's width and height in mm."""
        long_side = int(rng.integers(2000, 2800))
        quarters = int(rng.choice(4, p=(0.82, 0.04, 0.1, 0.04)))
        # whoever photographs a page that lies across holds the phone across
        across = (quarters % 2 == 1) != (size[0] > size[1])
        frame_wh = (long_side, round(long_side * 0.75)) if across else (round(long_side * 0.75), long_side)
        warmth = rng.normal(0, 0.05)
        tables: tuple[Table, ...] = ("wood", "cloth", "plain")
        return cls(
            frame_wh=frame_wh,
            corners=_draw_corners(frame_wh, size, quarters, rng),
            curl=(float(rng.normal(0, 0.006)), float(rng.normal(0, 0.006))),
            table=tables[rng.integers(3)],
            table_bgr=_TABLES_BGR[rng.integers(len(_TABLES_BGR))],
            light=float(rng.uniform(0.0, 0.4)),
            light_angle=float(rng.uniform(-np.pi, np.pi)),
            shadow=float(rng.uniform(0.1, 0.4)) if rng.random() < 0.5 else 0.0,
            shadow_at=(float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.8))),
            shadow_angle=float(rng.uniform(-np.pi, np.pi)),
            exposure=float(rng.uniform(0.78, 1.02)),
            white_balance=(float(1 - warmth), 1.0, float(1 + warmth)),
            blur=float(rng.uniform(0.4, 1.1)),
            motion=(float(rng.choice((0.0, rng.uniform(1.5, 4.0)), p=(0.7, 0.3))), float(rng.uniform(0, np.pi))),
            noise=float(rng.uniform(1.0, 5.0)),
            jpeg_quality=int(rng.integers(70, 95)),
        )


_TABLES_BGR: Final = ((60, 95, 140), (40, 60, 90), (120, 150, 175), (70, 70, 75), (95, 85, 70), (45, 80, 50))


def _draw_corners(
    frame_wh: tuple[int, int], size: tuple[float, float], quarters: int, rng: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    """Corners of a page that lies turned and tilted, but whole, in the frame."""
    width, height = frame_wh
    box = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * size
    tilt = rng.normal(0, 0.035, (4, 2)).clip(-0.08, 0.08) * size
    turn = np.radians(np.clip(rng.normal(0, 5), -14, 14) + 90 * quarters)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    quad = (box + tilt) @ rotation.T
    low, high = quad.min(0), quad.max(0)
    scale = rng.uniform(0.86, 0.97) * np.min(np.array([width, height]) / (high - low))
    quad, room = (quad - low) * scale, np.array([width, height]) - (high - low) * scale
    quad = (quad + room * rng.uniform(0.2, 0.8, 2)) / (width, height)
    return tuple((float(x), float(y)) for x, y in quad)


def scan(page: Image, page_dpi: float, settings: Scan, rng: np.random.Generator) -> Image:
    """Scan a page.

    Args:
        page: (H, W, 3) BGR, the sheet at `page_dpi`.
        page_dpi: Its resolution.
        settings: How it is scanned.
        rng: For the noise alone.

    Returns:
        (H', W', 3) BGR at the scan's resolution, after JPEG.
    """
    height, width = page.shape[:2]
    ratio = settings.dpi / page_dpi
    size_wh = round(width * ratio), round(height * ratio)
    shift = np.array(settings.offset_mm) * page_dpi / 25.4
    turned = cv2.getRotationMatrix2D((width / 2, height / 2), settings.angle, settings.print_scale)
    matrix = turned + np.array([[0, 0, shift[0]], [0, 0, shift[1]]])
    sheet = cv2.warpAffine(page, ratio * matrix, size_wh, flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    sheet = _with_lid(np.asarray(sheet, np.uint8), settings)
    soft = cv2.GaussianBlur(sheet, (0, 0), settings.blur)
    if settings.grey:
        soft = cv2.cvtColor(cv2.cvtColor(soft, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    seen = soft.astype(np.float32) * np.float32(settings.contrast) + np.float32(settings.brightness)
    seen += _noise(size_wh, settings.noise, rng)
    return _after_jpeg(np.rot90(seen, settings.quarter_turns), settings.jpeg_quality)


def _with_lid(sheet: Image, settings: Scan) -> Image:
    """Where the turned sheet does not reach, the scanner sees its lid."""
    if settings.lid >= 250:
        return sheet
    height, width = sheet.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), settings.angle, 1.0)
    paper = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, (width, height))
    return np.where(paper[..., None] > 127, sheet, np.uint8(settings.lid)).astype(np.uint8)


def photograph(page: Image, settings: Phone, rng: np.random.Generator) -> Image:
    """Photograph a page.

    Args:
        page: (H, W, 3) BGR, the sheet.
        settings: How it is photographed.
        rng: For the table's texture and the noise alone.

    Returns:
        (H', W', 3) BGR of `settings.frame_wh`, after JPEG.
    """
    map_x, map_y = _page_coordinates(page, settings)
    paper = cv2.remap(page, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    cover = _cover(map_x, map_y, page.shape[1], page.shape[0])
    table = _table(settings, rng) * _cast_shadow(cover, settings)
    seen = np.asarray(table + (paper - table) * cover[..., None], np.float32)
    seen *= _lighting(settings)[..., None]
    seen *= np.array(settings.white_balance, np.float32)
    seen = _blurred(seen, settings)
    seen += _noise(settings.frame_wh, settings.noise, rng)
    return _after_jpeg(seen, settings.jpeg_quality)


def _page_coordinates(page: Image, settings: Phone) -> tuple[Field, Field]:
    """For every pixel of the frame the page's pixel that it sees."""
    height, width = page.shape[:2]
    frame_w, frame_h = settings.frame_wh
    there = np.array(settings.corners, np.float32) * np.array([frame_w, frame_h], np.float32)
    here = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    h = cv2.getPerspectiveTransform(there, here).astype(np.float32)
    x = np.arange(frame_w, dtype=np.float32)[None]
    y = np.arange(frame_h, dtype=np.float32)[:, None]
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    map_x = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth
    map_y = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth
    bend_x, bend_y = (np.float32(bend * width) for bend in settings.curl)
    if bend_x or bend_y:
        lengthwise = np.clip(map_y / height, 0, 1)
        sideways = np.clip(map_x / width, 0, 1)
        # a parabola: still at the edges, greatest in the middle
        map_x = map_x + bend_x * 4 * lengthwise * (1 - lengthwise)
        map_y = map_y + bend_y * 4 * sideways * (1 - sideways)
    return np.asarray(map_x, np.float32), np.asarray(map_y, np.float32)


def _cover(map_x: Field, map_y: Field, width: int, height: int) -> Field:
    """1 where the frame sees the page, 0 where the table, with a soft edge."""
    inside = np.minimum(np.minimum(map_x, width - map_x), np.minimum(map_y, height - map_y))
    return np.clip(inside + 0.5, 0, 1).astype(np.float32)


def _cast_shadow(cover: Field, settings: Phone) -> Field:
    """The page's own soft shadow on the table, (H, W, 1)."""
    small = cv2.resize(cover, None, fx=1 / _COARSE, fy=1 / _COARSE, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 0.008 * max(settings.frame_wh) / _COARSE + 0.5)
    return (1 - np.float32(0.35) * _enlarged(soft, settings))[..., None]


def _table(settings: Phone, rng: np.random.Generator) -> Field:
    """(H, W, 3): the table top."""
    width, height = (max(8, side // 4) for side in settings.frame_wh)
    rough = rng.standard_normal((height, width), np.float32)
    texture: Coarse
    if settings.table == "wood":
        planks = cv2.GaussianBlur(rng.standard_normal((height, max(4, width // 60)), np.float32), (1, 9), 0)
        texture = 1 + 0.16 * cv2.resize(planks, (width, height), interpolation=cv2.INTER_CUBIC) + 0.03 * rough
    elif settings.table == "cloth":
        x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
        texture = 1 + 0.08 * np.sin(1.3 * x) * np.sin(1.3 * y) + 0.05 * rough
    else:
        texture = 1 + 0.015 * rough
    return _enlarged(texture, settings)[..., None] * np.array(settings.table_bgr, np.float32)


def _lighting(settings: Phone) -> Field:
    """(H, W): fall-off, darker corners, and the soft edge of a shadow."""
    width, height = (max(8, side // _COARSE) for side in settings.frame_wh)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    along = x * np.cos(settings.light_angle) + y * np.sin(settings.light_angle)
    light = 1 - 0.5 * settings.light * (1 + along / 1.42) - 0.05 * (x**2 + y**2)
    at_x, at_y = 2 * settings.shadow_at[0] - 1, 2 * settings.shadow_at[1] - 1
    edge = (x - at_x) * np.cos(settings.shadow_angle) + (y - at_y) * np.sin(settings.shadow_angle)
    edge = edge + 0.08 * np.sin(4 * (x * np.sin(settings.shadow_angle) - y * np.cos(settings.shadow_angle)))
    light = light * (1 - settings.shadow * np.clip(0.5 + edge / 0.12, 0, 1))
    return np.float32(settings.exposure) * _enlarged(light, settings)


def _blurred(seen: Field, settings: Phone) -> Field:
    """Shaken and out of focus."""
    length, angle = settings.motion
    if length > 1:
        side = int(np.ceil(length)) | 1
        kernel = np.zeros((side, side), np.float32)
        reach = 0.5 * (length - 1) * np.array([np.cos(angle), np.sin(angle)])
        tips = np.round((side // 2 + np.array([-reach, reach])) * 16).astype(int)
        cv2.line(kernel, tips[0].tolist(), tips[1].tolist(), 1.0, 1, cv2.LINE_8, 4)
        seen = np.asarray(cv2.filter2D(seen, -1, kernel / kernel.sum()), np.float32)
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), settings.blur), np.float32)


def _enlarged(field: Coarse, settings: Phone) -> Field:
    """A coarse field, drawn at the frame's size."""
    large = cv2.resize(field.astype(np.float32), settings.frame_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _noise(size_wh: tuple[int, int], spread: float, rng: np.random.Generator) -> Field:
    """(H, W, 1): the same for all three colours, as sensors' luminance noise is after processing."""
    return np.float32(spread) * rng.standard_normal((size_wh[1], size_wh[0], 1), np.float32)


def _after_jpeg(image: Field, quality: int) -> Image:
    pixels = cv2.convertScaleAbs(np.maximum(image, 0))
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
