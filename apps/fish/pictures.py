"""The frame of a species' MaxN as a picture, as it is and with what was counted in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from apps.fish.drawing import SMALLEST_WIDTH, Mark, draw_caption, draw_marks, draw_points, sized
from apps.pictures import write_jpeg
from data.points import Points
from data.preprocess import Image


def write_frame(path: Path, frame: Image) -> None:
    """Write the frame as it was filmed."""
    write_jpeg(path, frame, quality=92)


def write_marked(path: Path, frame: Image, marks: Sequence[Mark], names: Sequence[str], lines: Sequence[str]) -> None:
    """Write the frame with its marks, and below it the lines of text and the colours of the species that are marked.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    picture = sized(frame, max(SMALLEST_WIDTH, frame.shape[1]))
    draw_marks(picture, marks, picture.shape[1] / frame.shape[1])
    species = sorted({(mark.species, mark.colour) for mark in marks})
    dashed = "dashed: score below the threshold, not counted" if any(not mark.counted for mark in marks) else ""
    write_jpeg(path, draw_caption(picture, lines, [(colour, names[number]) for number, colour in species], dashed))


def write_points(path: Path, frame: Image, points: Points, lines: Sequence[str]) -> None:
    """Write the frame with a dot at each point (P, 2), and below it the lines of text.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    picture = sized(frame, max(SMALLEST_WIDTH, frame.shape[1]))
    draw_points(picture, points, picture.shape[1] / frame.shape[1])
    write_jpeg(path, draw_caption(picture, lines, [], ""))
