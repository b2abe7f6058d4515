"""From a picture of a page to the page itself: found by its markers, turned upright and flattened at 200 dpi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.digits.markers import Marker, find_markers, find_near
from data.forms import MM_PER_INCH, Box, Form, PageLayout, lay_out
from data.preprocess import Image
from data.types import Problem

Matrix = NDArray[np.float64]
"""(3, 3) float64 homography."""

DPI: Final = 200
PIXELS_PER_MM: Final = DPI / MM_PER_INCH
LEAST_DPI: Final = 90
CORNERS: Final = ("top left", "top right", "bottom right", "bottom left")

_NEEDED: Final = 3
_WORST_RESIDUAL_MM: Final = 1.5
_BLANK_CONTRAST: Final = 25
_ONE_PAGE: Final = "take one page per picture, with nothing of another page in view"


class PageError(Exception):
    """A page that is not read, and why."""

    def __init__(self, kind: str, what: str, cure: str) -> None:
        super().__init__(what)
        self.problem = Problem(kind=kind, what=what, cure=cure)


@dataclass(frozen=True)
class Registration:
    """A page that was found.

    `page` is the paper seen straight from above, (H, W, 3) BGR uint8 at `DPI`; `to_source` takes its
    millimetres to pixels of the picture (`source_wh`). `missing` are the corners (0 to 3, clockwise from the top left)
    whose marker was not seen. `residual_mm` is the greatest distance of a marker's corner from where the layout
    has it; `dpi` the least resolution of the picture on the page.
    """

    layout: PageLayout
    page: Image
    to_source: Matrix
    source_wh: tuple[int, int]
    missing: tuple[int, ...]
    residual_mm: float
    dpi: float


class Register:
    """Finds the pages of one form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.layouts = lay_out(form)
        self._ids = {number for layout in self.layouts for number in layout.marker_ids}

    def __call__(self, picture: Image) -> Registration:
        """Find the form's page in a picture, (H, W) grey or (H, W, 3) BGR.

        Raises:
            PageError: There is no page of this form, or it cannot be read safely.
        """
        grey = picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        markers = find_markers(grey, self._enough)
        self._refuse_several_pages(markers)
        layout = self._choose_layout(markers)
        if layout is None:
            raise self._why_not(grey, markers)
        own = [marker for marker in markers if marker.id in layout.marker_ids]
        own += self._look_again(grey, layout, own)
        to_source, residual = fit_page(layout, own)
        dpi = _least_dpi(layout, to_source)
        if dpi < LEAST_DPI:
            found = f"the page is too small in the picture: {dpi:.0f} dpi, at least {LEAST_DPI} are needed"
            raise PageError("too_small", found, "scan it at 200 dpi, or move the camera closer")
        seen = {marker.id for marker in own}
        missing = tuple(i for i, number in enumerate(layout.marker_ids) if number not in seen)
        page = flatten(picture, to_source, layout.size, dpi)
        return Registration(layout, page, to_source, (grey.shape[1], grey.shape[0]), missing, residual, dpi)

    def _enough(self, markers: Sequence[Marker]) -> bool:
        seen = {marker.id for marker in markers}
        foreign = _corners_of(seen - self._ids)
        return any(seen >= set(layout.marker_ids) for layout in self.layouts) or len(foreign) == 4

    def _choose_layout(self, markers: Sequence[Marker]) -> PageLayout | None:
        seen = {marker.id for marker in markers}
        best = max(self.layouts, key=lambda layout: len(seen & set(layout.marker_ids)))
        return best if len(seen & set(best.marker_ids)) >= _NEEDED else None

    def _refuse_several_pages(self, markers: Sequence[Marker]) -> None:
        own = [marker for marker in markers if marker.id in self._ids]
        foreign = [marker for marker in markers if marker.id not in self._ids]
        if own:  # what is not of their size is no marker of a page beside this one
            side = float(np.median([marker.side for marker in own]))
            foreign = [marker for marker in foreign if 0.6 < marker.side / side < 1.7]
        ids = [marker.id for marker in own]
        pages = [layout for layout in self.layouts if len(set(layout.marker_ids) & set(ids)) >= 2]
        twice = len(ids) != len(set(ids)) or len(foreign) > 4
        if twice or (own and len(foreign) >= 2) or (len(pages) > 1 and not _share_ids(pages)):
            raise PageError("several_pages", "more than one page is in the picture", _ONE_PAGE)

    def _look_again(self, grey: Image, layout: PageLayout, own: Sequence[Marker]) -> list[Marker]:
        """The fourth marker, looked for where the other three say that it must be."""
        if len(own) != _NEEDED:
            return []
        to_source, _ = fit_page(layout, own)
        seen = {marker.id for marker in own}
        corner = next(i for i, number in enumerate(layout.marker_ids) if number not in seen)
        middle = cv2.perspectiveTransform(_box_corners(layout.markers[corner])[None].mean(1, keepdims=True), to_source)
        reach = 1.2 * max(marker.side for marker in own)
        near = find_near(grey, middle.reshape(2).astype(np.float32), reach)
        return [marker for marker in near if marker.id == layout.marker_ids[corner]][:1]

    def _why_not(self, grey: Image, markers: Sequence[Marker]) -> PageError:
        seen = {marker.id for marker in markers}
        own, foreign = seen & self._ids, _corners_of(seen - self._ids)
        if len(foreign) >= _NEEDED:
            return self._other_form(grey)
        if own:
            found = f"only {len(own)} of the page's 4 corner markers can be seen; 3 are needed"
            return PageError("markers_missing", found, "scan it again with all corners in view, flat and sharp")
        if (
            len({marker.id for marker in find_markers(np.ascontiguousarray(grey[:, ::-1]), self._enough)} & self._ids)
            >= _NEEDED
        ):
            return PageError("mirrored", "the page is mirrored", "scan it from its front, without a mirror effect")
        name = _code_text(grey)
        if name is not None:
            found = f"the page says {name} but its corner markers cannot be seen"
            return PageError("markers_missing", found, "scan it again with all corners in view, flat and sharp")
        if _contrast(grey) < _BLANK_CONTRAST:
            return PageError(
                "blank_sheet", "the sheet is blank", "nothing, if it is the back of a form or a spare sheet"
            )
        cure = "check that it is a page of this form, all corners in view, flat and sharp"
        return PageError("no_page", f"no page of form {self.form.form} is found", cure)

    def _other_form(self, grey: Image) -> PageError:
        name = _code_text(grey)
        if name == self.form.form:
            found = f"the page belongs to another version of form {name}: its cells lie elsewhere"
            return PageError("other_version", found, "scan it with the description that it was printed from")
        found = "the page belongs to another form" + (f", {name}" if name else "")
        return PageError("other_form", found, "take it out, or scan it with its own form's description")


def fit_page(layout: PageLayout, markers: Sequence[Marker]) -> tuple[Matrix, float]:
    """Homography from the page's millimetres to the picture's pixels, by least squares over all corners.

    Returns:
        The homography, and the greatest distance in mm between a corner and its place.

    Raises:
        PageError: The markers do not lie as on one flat page.
    """
    places = [_box_corners(layout.markers[layout.marker_ids.index(marker.id)]) for marker in markers]
    paper = np.concatenate(places)
    seen = np.concatenate([marker.corners for marker in markers]).astype(np.float64)
    fitted, _ = cv2.findHomography(paper, seen, 0)
    matrix = np.asarray(fitted, np.float64)
    if fitted is None or not _is_upright(matrix, layout):
        raise _not_flat()
    back = cv2.perspectiveTransform(seen[None], np.linalg.inv(matrix))[0]
    residual = float(np.linalg.norm(back - paper, axis=1).max())
    if residual > _WORST_RESIDUAL_MM:
        raise _not_flat()
    return matrix, residual


def _not_flat() -> PageError:
    found = "the corner markers do not lie as on one flat page"
    return PageError("not_flat", found, "flatten the page and scan it again, one page per picture")


def _is_upright(matrix: Matrix, layout: PageLayout) -> bool:
    """The whole page lies before the camera, its front towards it."""
    width, height = layout.size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64) @ matrix.T
    if not np.isfinite(corners).all() or (corners[:, 2] <= 1e-6).any():
        return False
    points = corners[:, :2] / corners[:, 2:]
    sides = np.roll(points, -1, 0) - points
    after = np.roll(sides, -1, 0)
    return bool((sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all())


def _box_corners(box: Box) -> Matrix:
    """(4, 2) corners clockwise from the top left."""
    x, y, width, height = box
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64)


def _least_dpi(layout: PageLayout, to_source: Matrix) -> float:
    width, height = layout.size
    least = np.inf
    for x, y in ((5, 5), (width - 5, 5), (width - 5, height - 5), (5, height - 5), (width / 2, height / 2)):
        step = np.array([[[x, y], [x + 1, y], [x, y + 1]]], np.float64)
        origin, right, down = cv2.perspectiveTransform(step, to_source)[0]
        jacobian = np.stack([right - origin, down - origin])
        least = min(least, float(np.linalg.svd(jacobian, compute_uv=False)[-1]))
    return least * MM_PER_INCH


def flatten(picture: Image, to_source: Matrix, size: tuple[float, float], dpi: float) -> Image:
    """The paper of `size` mm seen straight from above, (H, W, 3) BGR at `DPI`; outside the picture it is black."""
    factor = int(dpi / (1.4 * DPI)) + 1
    if factor > 1:  # so far above the wanted resolution that plain sampling would leave pixels out
        wh = picture.shape[1] // factor, picture.shape[0] // factor
        trimmed = picture[: wh[1] * factor, : wh[0] * factor]
        picture = np.asarray(cv2.resize(trimmed, wh, interpolation=cv2.INTER_AREA), np.uint8)
    shrink = np.array([[1 / factor, 0, 0.5 / factor - 0.5], [0, 1 / factor, 0.5 / factor - 0.5], [0, 0, 1]])
    pixels = np.array([[PIXELS_PER_MM, 0, -0.5], [0, PIXELS_PER_MM, -0.5], [0, 0, 1]])
    matrix = shrink @ to_source @ np.linalg.inv(pixels)
    page_wh = round(size[0] * PIXELS_PER_MM), round(size[1] * PIXELS_PER_MM)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    page = cv2.warpPerspective(picture, matrix, page_wh, flags=flags)
    return np.asarray(page if page.ndim == 3 else cv2.cvtColor(page, cv2.COLOR_GRAY2BGR), np.uint8)


def _share_ids(pages: Sequence[PageLayout]) -> bool:
    return len({number for page in pages for number in page.marker_ids}) < 4 * len(pages)


def _corners_of(ids: Sequence[int] | set[int]) -> set[int]:
    return {number % 4 for number in ids}


def _code_text(grey: Image) -> str | None:
    """Name of the form that the page's QR code gives."""
    for side in (1600, 2600):
        small = grey
        if max(grey.shape) > side:
            factor = side / max(grey.shape)
            small = np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        try:
            text, _, _ = cv2.QRCodeDetector().detectAndDecode(small)
        except cv2.error:  # it stumbles over some patterns that only look like a code
            continue
        parts = text.split(":")
        if len(parts) == 4 and parts[0] == "shankha":
            return parts[1]
    return None


def _contrast(grey: Image) -> float:
    """Grey levels between the darkest details and the paper around them."""
    small = cv2.resize(grey, (300, 300), interpolation=cv2.INTER_AREA)
    paper = cv2.medianBlur(small, 31)
    return float(np.percentile(cv2.subtract(paper, small), 99.8))
