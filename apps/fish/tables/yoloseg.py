"""`yolo_seg.zip`: the outlines as label files of YOLO, to train a segmenter with once a person has looked at them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from apps.fish.parts.found import Outlines
from apps.fish.results import DeploymentResult
from apps.fish.tables.coco import picture_name
from data.files import whole_file
from data.masks import area, from_polygons, polygons

YOLO_SEG: Final = "yolo_seg.zip"
_SAME_DAY: Final = (1980, 1, 1, 0, 0, 0)
"""The same outlines give the same bytes, whenever they are written."""
_NEAR: Final = 0.5
"""Pixels that a corner may be off the outline."""


def write_yolo_seg(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write a label file for every frame with an outline, named as the pictures of `coco.json`; nothing without any.

    A line an outline: the number of its label, then its largest part's corners as fractions of the frame.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    if result.outlines is None:
        return []
    path = folder / YOLO_SEG
    names = dict(enumerate(result.records.tracked.observations.names))
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "data.yaml", yaml.safe_dump({"names": names}, allow_unicode=True, sort_keys=False))
        for name, lines in _labels(result, result.outlines):
            _add(archive, f"labels/{name}.txt", lines)
    return [path]


def _labels(result: DeploymentResult, outlines: Outlines) -> Iterator[tuple[str, str]]:
    seen = result.records.tracked.observations
    for sample, positions in groupby(range(len(outlines)), key=lambda at: int(seen.sample[outlines.row[at]])):
        file = result.records.files[int(seen.samples.chapter[sample])]
        lines = [f"{seen.labels[outlines.row[at]]} {_corners(outlines, at)}\n" for at in positions]
        yield picture_name(file, int(seen.samples.frame[sample])), "".join(lines)


def _corners(outlines: Outlines, position: int) -> str:
    width, height = outlines.size_wh[position].tolist()
    parts = polygons(outlines.mask(position), _NEAR)
    largest = max(parts, key=lambda part: area(from_polygons([part], (width, height))))
    return " ".join(f"{share:.6f}" for share in (largest / np.array([width, height])).ravel())


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, _SAME_DAY), text, zipfile.ZIP_DEFLATED)
