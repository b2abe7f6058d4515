"""Made-up underwater clips with exact truth.

`simulate` gives the truth alone, fast; `render_clip` the same with its frames; `write_clip` and `write_clips` write
video files. Everything follows from a `ClipSpec` and a seed, and no outside picture is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from data.files import whole_file
from data.synth.footage_spec import ClipSpec, Stock, standard_clips
from data.synth.footage_truth import SEEN_SHARE, ClipTruth, FishTruth, TrueMaxN, write_counts, write_csv, write_mot
from data.synth.scene import Scene
from data.synth.stage import Stage

__all__ = [
    "SEEN_SHARE", "ClipSpec", "ClipTruth", "Codec", "FishTruth", "Stock", "TrueMaxN",
    "render_clip", "simulate", "standard_clips", "write_clip", "write_clips", "write_video",
]  # fmt: skip

Image = NDArray[np.uint8]
Codec = Literal["h264", "hevc"]

_ENCODERS: Final[dict[Codec, tuple[str, dict[str, str]]]] = {
    # the same frames give the same bytes: one thread, no log, and no macroblock tree, which was measured to differ
    # from run to run
    "h264": ("libx264", {"preset": "fast", "threads": "1", "x264-params": "mbtree=0"}),
    "hevc": ("libx265", {"preset": "fast", "x265-params": "pools=1:frame-threads=1:log-level=error"}),
}


def simulate(spec: ClipSpec, seed: int) -> ClipTruth:
    """The truth about the clip that `render_clip` renders from the same specification and seed."""
    return Scene.draw(spec, seed).truth()


def render_clip(spec: ClipSpec, seed: int) -> Iterator[tuple[Image, tuple[FishTruth, ...]]]:
    """Render a clip.

    Args:
        spec: What it shows.
        seed: The clip is the same for the same one.

    Yields:
        Every frame, (H, W, 3) BGR uint8, and the animals whose box touches it, by identity.
    """
    scene = Scene.draw(spec, seed)
    stage = Stage(scene, seed)
    for number in range(spec.frames):
        yield stage.frame(number), scene.truth_at(number)


def write_clip(path: Path, spec: ClipSpec, seed: int, codec: Codec = "h264", quality: int = 23) -> ClipTruth:
    """Render a clip into a video file.

    Args:
        path: The file, whole or not written at all; its ending says the container.
        spec: What it shows.
        seed: The clip is the same for the same one.
        codec: How it is compressed.
        quality: The encoder's constant rate factor; lower is better.

    Returns:
        The truth about it.

    Raises:
        FileAccessError: The file cannot be written.
    """
    rows: list[FishTruth] = []

    def frames() -> Iterator[Image]:
        for frame, fish in render_clip(spec, seed):
            rows.extend(fish)
            yield frame

    write_video(path, frames(), spec.fps, codec, quality)
    return ClipTruth.of(rows, spec.names, spec.frames, spec.fps)


def write_clips(folder: Path, specs: Sequence[ClipSpec], seed: int, codec: Codec = "h264") -> tuple[ClipTruth, ...]:
    """Write clips and their truth: `NAME.mp4`, `NAME.csv` (boxes), `NAME.gt.txt` (MOT), `NAME.counts.csv`.

    The first clip has the seed, each further one the next.

    Raises:
        FileAccessError: The folder cannot be written.
    """
    truths = []
    for number, spec in enumerate(specs):
        truth = write_clip(folder / f"{spec.name}.mp4", spec, seed + number, codec)
        write_csv(folder / f"{spec.name}.csv", truth)
        write_mot(folder / f"{spec.name}.gt.txt", truth)
        write_counts(folder / f"{spec.name}.counts.csv", truth)
        truths.append(truth)
    return tuple(truths)


def write_video(path: Path, frames: Iterable[Image], fps: float, codec: Codec = "h264", quality: int = 23) -> int:
    """Compress frames (H, W, 3) BGR uint8, all of one size, into a video file, whole or not at all.

    Returns:
        How many frames were written.

    Raises:
        FileAccessError: The file cannot be written.
        ValueError: There is no frame.
    """
    stream_of = iter(frames)
    first = next(stream_of, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    encoder, options = _ENCODERS[codec]
    count = 0
    with whole_file(path) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        added = container.add_stream(encoder, rate=rate, options={"crf": str(quality), **options})
        stream = cast("av.VideoStream", added)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in itertools.chain([first], stream_of):
            container.mux(stream.encode(_packed(frame)))
            count += 1
        container.mux(stream.encode())
    return count


def _packed(frame: Image) -> av.VideoFrame:
    """The frame in the encoder's colours: OpenCV converts alike on every run, which FFmpeg's scaler does not."""
    planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")
