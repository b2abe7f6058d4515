"""Pictures of a run: learning curves, confusion matrices, sheets of examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from data.boxes import Boxes
from data.density import DenseCount
from data.files import whole_file
from data.masks import Mask, semantic
from data.points import Points
from data.preprocess import Image

_INK = "#1b6ca8"
_ACCENT = "#c8553d"
_TRUTH = "#35d07f"
_FOUND = "#ff9f1c"


def plot_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Loss, score and learning rate over the epochs, one row of numbers an epoch."""
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    plots = (
        ("loss", "training loss", _ACCENT),
        ("score", "validation score", _INK),
        ("learning_rate", "learning rate", "#555"),
    )
    for axes, (key, title, colour) in zip(figure.subplots(1, 3), plots, strict=True):
        axes.plot(epochs, [row[key] for row in history], color=colour, marker=".", linewidth=1.4)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch", fontsize=9)
        axes.grid(alpha=0.25)
    _save(figure, path)


def plot_confusion(confusion: NDArray[np.integer], names: Sequence[str], path: Path) -> None:
    """A confusion matrix, rows true and columns read, coloured by the row's share, counts written in."""
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    figure = Figure(figsize=(0.6 * len(names) + 2, 0.55 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if share[row, column] > 0.5 else (_ACCENT if row != column else "black")
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("read")
    axes.set_ylabel("true")
    axes.set_title(f"{np.trace(confusion)} of {confusion.sum()} right", fontsize=10)
    _save(figure, path)


def plot_sheet(images: Sequence[Image], captions: Sequence[str], path: Path, columns: int = 12) -> None:
    """A sheet of grey pictures with captions; (H, W) uint8 each."""
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(columns * 0.95, rows * 1.15), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=7)
    _save(figure, path)


def plot_scenes(
    images: Sequence[Image], truth: Sequence[Boxes], found: Sequence[Boxes], path: Path, columns: int = 4
) -> None:
    """A sheet of pictures (H, W, 3) BGR with true boxes, and beside them what was found where that is given."""
    figure, grid = _scene_grid(len(images), columns)
    for number, (axes, image) in enumerate(zip(grid, images, strict=False)):
        axes.imshow(image[..., ::-1])
        _draw_boxes(axes, truth[number], _TRUTH, 1.6)
        if found:
            _draw_boxes(axes, found[number], _FOUND, 0.9)
    title = "true boxes green, found ones orange" if found else "training scenes with their boxes"
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def plot_points(
    images: Sequence[Image], truth: Sequence[Points], found: Sequence[DenseCount], path: Path, columns: int = 4
) -> None:
    """A sheet of pictures (H, W, 3) BGR with true points, and beside them what was counted where that is given."""
    figure, grid = _scene_grid(len(images), columns)
    for number, (axes, image) in enumerate(zip(grid, images, strict=False)):
        axes.imshow(image[..., ::-1])
        axes.plot(*truth[number].T, "o", markersize=5, markerfacecolor="none", color=_TRUTH)
        if found:
            axes.plot(*found[number].points.T, ".", markersize=3, color=_FOUND)
            axes.set_title(f"{len(truth[number])} true, {found[number].count:.1f} counted", fontsize=7)
    title = "true points green, found ones orange" if found else "training scenes with their points"
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def plot_masks(images: Sequence[Image], masks: Sequence[Sequence[Mask]], path: Path, columns: int = 4) -> None:
    """A sheet of pictures (H, W, 3) BGR, each with its masks tinted."""
    figure, grid = _scene_grid(len(images), columns)
    for axes, image, own in zip(grid, images, masks, strict=False):
        inside = semantic(own, (image.shape[1], image.shape[0]))[..., None] > 0
        tinted = np.where(inside, image // 2 + np.array([127, 80, 0], np.uint8), image)
        axes.imshow(tinted[..., ::-1])
    _save(figure, path)


def _scene_grid(count: int, columns: int) -> tuple[Figure, NDArray[np.object_]]:
    """A figure with room for so many pictures, and its axes."""
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(columns * 3.6, rows * 2.2), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.set_axis_off()
    return figure, grid


def _draw_boxes(axes: Axes, xyxy: Boxes, colour: str, width: float) -> None:
    for left, top, right, bottom in xyxy:
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width)
        )


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
