"""`coco.json`: all detections in the format of COCO, with score and track; an image is a frame that was looked at.

`masks.json`: the same for the detections that have an outline, as COCO's run lengths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from apps.fish.parts.found import Outlines
from apps.fish.results import DeploymentResult
from data.files import whole_file

COCO: Final = "coco.json"
MASKS: Final = "masks.json"


def write_coco(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write every frame, and every detection with the label that the detector gave it, also those too weak to count.

    An item a line, so that memory does not grow with the footage.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    samples = range(len(result.records.tracked.observations.samples))
    return [_write(result, folder / COCO, samples, _annotations(result))]


def write_masks(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write every frame and detection that has an outline, under the numbers of `coco.json`; nothing without outlines.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    if result.outlines is None:
        return []
    samples = np.unique(result.records.tracked.observations.sample[result.outlines.row]).tolist()
    return [_write(result, folder / MASKS, samples, _outlined(result, result.outlines))]


def _write(result: DeploymentResult, path: Path, samples: Iterable[int], annotations: Iterable[dict[str, Any]]) -> Path:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f'{{"info": {_json(_info(result))}')
        _write_list(stream, "categories", _categories(result))
        _write_list(stream, "images", _images(result, samples))
        _write_list(stream, "annotations", annotations)
        stream.write("}\n")
    return path


def _write_list(stream: TextIO, key: str, items: Iterable[dict[str, Any]]) -> None:
    stream.write(f',\n"{key}": [')
    for position, item in enumerate(items):
        stream.write(f"{',' if position else ''}\n{_json(item)}")
    stream.write("]")


def _json(item: dict[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False)


def _info(result: DeploymentResult) -> dict[str, Any]:
    return {
        "description": "detections of a machine, not checked by a person",
        "opcode": result.deployment.opcode,
        "threshold": result.settings.threshold,
        "complete": result.complete,
    }


def _categories(result: DeploymentResult) -> Iterator[dict[str, Any]]:
    for label, name in enumerate(result.records.tracked.observations.names):
        yield {"id": label + 1, "name": name}


def _images(result: DeploymentResult, positions: Iterable[int]) -> Iterator[dict[str, Any]]:
    samples = result.records.tracked.observations.samples
    for sample in positions:
        chapter, frame = int(samples.chapter[sample]), int(samples.frame[sample])
        width, height = result.chapters[chapter].size_wh
        file = result.records.files[chapter]
        yield {
            "id": sample + 1,
            "file_name": f"{picture_name(file, frame)}.png",
            "width": width,
            "height": height,
            "video": file,
            "frame": frame,
            "file_seconds": round(float(samples.file_seconds[sample]), 6),
            "seconds": round(float(samples.seconds[sample]), 6),
        }


def picture_name(file: str, frame: int) -> str:
    """Where the frame of a video would lie, without an ending, if frames were saved in a folder of its name."""
    return f"{file}/{frame:08d}"


def _outlined(result: DeploymentResult, outlines: Outlines) -> Iterator[dict[str, Any]]:
    tracked, seen = result.records.tracked, result.records.tracked.observations
    for position, row in enumerate(outlines.row.tolist()):
        left, top, right, bottom = (int(side) for side in outlines.mask(position).xyxy)
        width, height = outlines.size_wh[position].tolist()
        yield {
            "id": row + 1,
            "image_id": int(seen.sample[row]) + 1,
            "category_id": int(seen.labels[row]) + 1,
            "segmentation": {"size": [height, width], "counts": outlines.rle[position].decode("ascii")},
            "bbox": [left, top, right - left, bottom - top],
            "area": int(outlines.area[position]),
            "iscrowd": 0,
            "score": round(float(seen.scores[row]), 6),
            "track_id": int(tracked.tracks[row]),
        }


def _annotations(result: DeploymentResult) -> Iterator[dict[str, Any]]:
    tracked, seen = result.records.tracked, result.records.tracked.observations
    for row in range(len(seen)):
        x1, y1, x2, y2 = seen.xyxy[row].astype(np.float64).tolist()
        yield {
            "id": row + 1,
            "image_id": int(seen.sample[row]) + 1,
            "category_id": int(seen.labels[row]) + 1,
            "bbox": [round(pixels, 3) for pixels in (x1, y1, x2 - x1, y2 - y1)],
            "area": round((x2 - x1) * (y2 - y1), 3),
            "iscrowd": 0,
            "score": round(float(seen.scores[row]), 6),
            "track_id": int(tracked.tracks[row]),
        }
