"""The annotated clip around a species' MaxN: some seconds of the footage in which boxes follow the fish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2

from apps.fish.drawing import SMALLEST_WIDTH, draw_banner, draw_marks, sized
from apps.fish.footage import SampledFrame
from apps.fish.overlap import ahead
from apps.fish.sights import Sights
from data.files import whole_file
from data.preprocess import Image

SECONDS: Final = 5.0
"""How much is shown before MaxN, and after it."""
WIDEST: Final = 960
_FASTEST: Final = Fraction(31)
"""Frames a second: of a faster camera some frames are left out."""
_CLOCK: Final = Fraction(1, 90_000)
_AHEAD: Final = 2
"""Frames that are decoded while another is drawn and written."""
_BANNER: Final = 0.5
"""Seconds around MaxN during which it is announced."""
# The macroblock tree of x264 was measured to differ from run to run.
_OPTIONS: Final = {"preset": "veryfast", "crf": "26", "threads": "1", "x264-params": "mbtree=0"}


def window(seconds: float) -> tuple[float, float]:
    """From when to when a clip runs whose MaxN is at that time of its file."""
    return max(0.0, seconds - SECONDS), seconds + SECONDS


def write_clip(path: Path, frames: Iterable[SampledFrame], sights: Sights, at: float, title: str) -> int:
    """Draw what was seen on the frames and write them as H.264 that browsers play, whole or not at all.

    Args:
        path: The file, MP4.
        frames: Frames of one file, in order; their times are kept.
        sights: What was seen in that file.
        at: Time of MaxN within the file.
        title: What is written across the picture then.

    Returns:
        How many frames were written.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    with (
        whole_file(path) as temporary,
        av.open(str(temporary), "w", options={"movflags": "faststart"}) as container,
        closing(ahead(_thinned(frames, at), _AHEAD)) as shown,
    ):
        write: Callable[[Image, float], None] | None = None
        count = 0
        start = 0.0
        for frame in shown:
            picture = annotated(frame, sights, at, title)
            if write is None:
                write, start = _encoder(container, picture), frame.seconds
            write(picture, frame.seconds - start)
            count += 1
        if write is not None:
            container.mux(container.streams.video[0].encode())
    return count


def annotated(frame: SampledFrame, sights: Sights, at: float, title: str) -> Image:
    """The frame as the clip shows it: boxes, and below them a bar with the time of MaxN marked."""
    wide = frame.image.shape[1]
    picture = sized(frame.image, min(WIDEST, max(SMALLEST_WIDTH, wide)))
    draw_marks(picture, sights.at(frame.seconds), picture.shape[1] / wide)
    if abs(frame.seconds - at) <= _BANNER:
        draw_banner(picture, title)
    _draw_clock(picture, frame.seconds, at)
    return picture


def _draw_clock(picture: Image, now: float, at: float) -> None:
    """A bar along the lower edge: how far the clip is, and where in it MaxN lies."""
    height, width = picture.shape[:2]
    start, end = window(at)
    tall = max(4, height // 90)
    reached = round(width * (now - start) / (end - start))
    marked = round(width * (at - start) / (end - start))
    cv2.rectangle(picture, (0, height - tall), (width, height), (40, 40, 40), -1)
    cv2.rectangle(picture, (0, height - tall), (reached, height), (200, 200, 200), -1)
    cv2.rectangle(picture, (marked - 2, height - 3 * tall), (marked + 2, height), (255, 255, 255), -1)
    cv2.rectangle(picture, (marked - 1, height - 3 * tall + 1), (marked + 1, height), (20, 20, 20), -1)


def _thinned(frames: Iterable[SampledFrame], at: float) -> Iterator[SampledFrame]:
    last = float("-inf")
    for frame in frames:
        # The frame of MaxN itself is never left out.
        if (frame.seconds - last) * _FASTEST >= 1 - 1e-3 or abs(frame.seconds - at) < 1e-4:
            last = frame.seconds
            yield frame


def _encoder(container: av.container.OutputContainer, first: Image) -> Callable[[Image, float], None]:
    stream = container.add_stream("libx264", rate=30, options=_OPTIONS)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = stream.time_base = _CLOCK

    def write(picture: Image, seconds: float) -> None:
        if picture.shape != first.shape:
            resized = cv2.resize(picture, (first.shape[1], first.shape[0]), interpolation=cv2.INTER_AREA)
            picture = resized  # type: ignore[assignment]
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = round(seconds / _CLOCK), _CLOCK
        container.mux(stream.encode(frame))

    return write
