"""The one preprocessing of camera frames, shared by training, evaluation and the runtime.

A frame of any size is shrunk or grown, its aspect ratio kept, until it fits the network's input, and lies centred in
it on plain grey. `FramePlacement` takes boxes there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data.boxes import Boxes, areas, clipped
from data.detections import Detections
from data.errors import InputError
from data.preprocess import Image

Side = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]


class FramePreprocessing(BaseModel):
    """Numbers of the preprocessing; part of every detector's artifact.

    `size_wh` is the network's input in pixels, width first. `padding` is the grey level around the frame. The network
    sees channels in `colours` order as (value - mean) / std, value 0 to 255.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_wh: tuple[Side, Side] = (640, 384)
    padding: Annotated[int, Field(ge=0, le=255)] = 114
    colours: Literal["bgr", "rgb"] = "bgr"
    mean: float = 0.0
    std: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True)
class FramePlacement:
    """Where a frame lies in the network's input: x_input = x_frame * scale_x + left, and so in y."""

    scale_xy: tuple[float, float]
    left_top: tuple[int, int]

    def to_input(self, xyxy: Boxes) -> Boxes:
        """Boxes in pixels of the frame -> pixels of the network's input."""
        return (xyxy * self._scales + self._offsets).astype(np.float32)

    def to_frame(self, xyxy: Boxes) -> Boxes:
        """Boxes in pixels of the network's input -> pixels of the frame."""
        return ((xyxy - self._offsets) / self._scales).astype(np.float32)

    @property
    def _scales(self) -> NDArray[np.float64]:
        return np.array([*self.scale_xy, *self.scale_xy])

    @property
    def _offsets(self) -> NDArray[np.float64]:
        return np.array([*self.left_top, *self.left_top], np.float64)


def place_frame(frame_wh: tuple[int, int], spec: FramePreprocessing) -> FramePlacement:
    """Where a frame of that size goes; see `fit_frame`."""
    inner = _inner_size(frame_wh, spec)
    left_top = (spec.size_wh[0] - inner[0]) // 2, (spec.size_wh[1] - inner[1]) // 2
    return FramePlacement((inner[0] / frame_wh[0], inner[1] / frame_wh[1]), left_top)


def in_frame(found: Detections, frame_wh: Sequence[int], spec: FramePreprocessing) -> Detections:
    """Detections in pixels of the network's input -> in pixels of the frame, cut at its edges.

    Boxes that lie wholly in the padding around the frame are nothing once they are cut, and are left out.
    """
    xyxy = boxes_in_frame(found.xyxy, frame_wh, spec)
    return replace(found, xyxy=xyxy).select(areas(xyxy) > 0)


def boxes_in_frame(xyxy: Boxes, frame_wh: Sequence[int], spec: FramePreprocessing) -> Boxes:
    """Boxes in pixels of the network's input -> in pixels of the frame, cut at its edges."""
    width, height = frame_wh
    return clipped(place_frame((width, height), spec).to_frame(xyxy), (width, height))


def fit_frame(frame: Image, spec: FramePreprocessing) -> Image:
    """A frame (H, W, 3) BGR uint8 -> (height, width, 3) uint8 of the network's input size, same channel order."""
    height, width = frame.shape[:2]
    inner = _inner_size((width, height), spec)
    left, top = place_frame((width, height), spec).left_top
    if inner != (width, height):
        shrinks = inner[0] < width
        frame = np.asarray(cv2.resize(frame, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
    fitted = np.full((spec.size_wh[1], spec.size_wh[0], 3), spec.padding, np.uint8)
    fitted[top : top + inner[1], left : left + inner[0]] = frame
    return fitted


def frames_input(fitted: Image, spec: FramePreprocessing) -> NDArray[np.float32]:
    """(N, height, width, 3) BGR uint8 fitted frames -> (N, 3, height, width) float32, normalised, contiguous."""
    ordered = fitted if spec.colours == "bgr" else fitted[..., ::-1]
    planes = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2)).astype(np.float32)
    if spec.mean != 0.0 or spec.std != 1.0:
        planes = (planes - np.float32(spec.mean)) / np.float32(spec.std)
    return planes


def check_frames(frames: Sequence[Image], first: int = 0) -> None:
    """Refuse what is no frame, naming it by its number; `first` is that of the first.

    Raises:
        InputError: One is not uint8 of shape (height, width, 3), or has no pixels.
    """
    for number, frame in enumerate(frames, first):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise InputError(
                f"frame {number}", f"is {frame.dtype} of shape {frame.shape}", expected="uint8 (height, width, 3)"
            )


def _inner_size(frame_wh: tuple[int, int], spec: FramePreprocessing) -> tuple[int, int]:
    scale = min(spec.size_wh[0] / frame_wh[0], spec.size_wh[1] / frame_wh[1])
    return max(1, round(frame_wh[0] * scale)), max(1, round(frame_wh[1] * scale))
