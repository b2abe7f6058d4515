"""A video whose fish are boxed in some of its frames: `boxes.csv` beside one video file.

Only the frames that the table names are taken: the frames between them are not labelled, so they are no negatives.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from data.errors import ArgumentError, FileAccessError, InputError
from data.preprocess import Image
from data.readers.boxcheck import BoxList
from data.readers.detectionset import FISH, DetectionSet
from data.readers.digitset import Problem

TABLE: Final = "boxes.csv"
COLUMNS: Final = ("frame", "x1", "y1", "x2", "y2")
VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mov", ".avi", ".mkv", ".mts", ".m4v"})
_Row = tuple[int, int, tuple[float, float, float, float]]


@dataclass
class VideoFrames:
    """Frames of a video, by index into `frames`, the 0-based numbers of the frames wanted (rising).

    Reading forwards decodes each frame of the video once; reading backwards starts over.
    """

    path: Path
    frames: tuple[int, ...]
    _decoder: Iterator[av.VideoFrame] | None = field(default=None, repr=False)
    _next: int = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoder": None, "_next": 0}  # worker processes open the file themselves

    def read(self, index: int) -> Image:
        """(H, W, 3) BGR uint8; raises InputError where the video ends before, or is damaged."""
        wanted = self.frames[index]
        if self._decoder is None or wanted < self._next:
            self._decoder, self._next = _decoded(self.path), 0
        for frame in self._decoder:
            self._next += 1
            if self._next == wanted + 1:
                return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        self._decoder = None
        raise InputError(self.path, f"has {self._next} frames", expected=f"frame {wanted}, counted from 0")


def is_boxed_video(folder: Path) -> bool:
    """Whether the folder holds the table."""
    return (folder / TABLE).is_file()


def read_boxed_video(
    folder: Path, split: str | None = None, exhaustive: bool | None = None, *, masks: bool = False
) -> DetectionSet:
    """The frames of a video that boxes.csv names, all boxes of one class, "fish".

    The table has the columns frame (0-based number of the frame), x1, y1, x2 and y2 (pixels of the video).

    Args:
        folder: Holds boxes.csv and one video.
        split: Must be None: the frames are one part.
        exhaustive: Whether every fish in these frames is boxed; None means yes.
        masks: Whether to say that no box has a mask.

    Raises:
        ArgumentError: A split was asked for.
        FileAccessError: A file cannot be read.
        InputError: There is not one video, it cannot be decoded, or the table is no such table.
    """
    if split is not None:
        raise ArgumentError("--split", f"{folder} has no split {split!r}", expected="no split")
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) != 1:
        raise InputError(folder, f"holds {len(videos)} videos", expected=f"one, to which {TABLE} belongs")
    problems: list[Problem] = []
    size = frame_size(videos[0])
    found: dict[int, BoxList] = {}
    for line, frame, xyxy in _rows(folder / TABLE, problems):
        found.setdefault(frame, BoxList(size)).add(f"{TABLE}:{line}", 0, xyxy)
    if not found:
        raise InputError(folder / TABLE, "holds no row that can be used", expected=f"columns {', '.join(COLUMNS)}")
    frames = sorted(found)
    boxes = [found[frame] for frame in frames]
    problems += [problem for one in boxes for problem in one.problems]
    return DetectionSet(
        folder.resolve().name,
        (FISH,),
        ids=np.array([f"{videos[0].name}#{frame}" for frame in frames], np.str_),
        sites=np.full(len(frames), "", np.str_),
        clips=np.full(len(frames), videos[0].name),
        exhaustive=np.array([one.complete and exhaustive is not False for one in boxes], np.bool_),
        sizes_wh=np.tile(np.array(size, np.int64), (len(frames), 1)),
        xyxy=tuple(one.xyxy for one in boxes),
        labels=tuple(np.array(one.labels, np.int64) for one in boxes),
        places=np.arange(len(frames)),
        images=VideoFrames(videos[0], tuple(frames)),
        problems=tuple(problems),
        masks=tuple(tuple(one.masks) for one in boxes) if masks else None,
    )


def _rows(path: Path, problems: list[Problem]) -> Iterator[_Row]:
    """Line number, frame and box of every sound row; the others become problems."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", expected=f"columns {', '.join(COLUMNS)}") from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})") from error
    table = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(path, f"lacks the columns {', '.join(missing)}", expected=f"columns {', '.join(COLUMNS)}")
    for row in table:
        try:
            frame = int(row["frame"])
            left, top, right, bottom = (float(row[name]) for name in COLUMNS[1:])
        except (TypeError, ValueError):
            problems.append(Problem(f"{TABLE}:{table.line_num}", "is no row of numbers"))
            continue
        if frame < 0:
            problems.append(Problem(f"{TABLE}:{table.line_num}", f"its frame is {frame}"))
            continue
        yield table.line_num, frame, (left, top, right, bottom)


def frame_size(path: Path) -> tuple[int, int]:
    """Width and height of a video's frames; raises InputError where it cannot be opened."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(path, "holds no video")
            context = container.streams.video[0].codec_context
            return context.width, context.height
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(path, f"cannot be opened ({error})", cure="copy it again") from error


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            yield from container.decode(video=0)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(path, f"cannot be decoded ({error})", cure="copy it again") from error
