"""Readers of pictures with boxes: one function recognises the kind of folder and gives a `DetectionSet`."""

from __future__ import annotations

from pathlib import Path

from data.errors import FileAccessError, InputError
from data.readers.detections_coco import is_coco, read_coco
from data.readers.detections_video import is_boxed_video, read_boxed_video
from data.readers.detections_yolo import is_yolo, read_yolo
from data.readers.detectionset import DetectionSet
from data.readers.points import is_pointed, read_pointed

_EXPECTED = "a YOLO folder (images and labels, or data.yaml), COCO json, a video with boxes.csv, or points.csv"
_KINDS = (
    (is_boxed_video, read_boxed_video),
    (is_pointed, read_pointed),
    (is_coco, read_coco),
    (is_yolo, read_yolo),
)


def read_detections(
    folder: Path, split: str | None = None, exhaustive: bool | None = None, *, masks: bool = False
) -> DetectionSet:
    """Pictures with boxes: a YOLO folder, COCO json, a video with boxes of some of its frames, or points.csv.

    Args:
        folder: What a download, or a person, filled; or one data.yaml or COCO json file.
        split: "train", "val" or "test"; None means test where there is one, else val, else everything.
        exhaustive: Whether everything of the classes is labelled, so that the rest may be taught as background. None
            takes what the dataset says: `exhaustive: false` in data.yaml, or in the `info` or a picture of COCO json.
        masks: Whether to read the masks too. One that cannot be used is a problem, and its box stays.

    Raises:
        FileAccessError: There is no such folder, or it cannot be read.
        ArgumentError: The dataset has no such split.
        ConfigurationError: data.yaml is not valid.
        InputError: The folder is of no known kind, or nothing in it can be used.
    """
    if folder.is_file():
        return (read_coco if folder.suffix.lower() == ".json" else read_yolo)(folder, split, exhaustive, masks=masks)
    if not folder.is_dir():
        cure = "check the path, or fetch the dataset with `shankha data get`"
        raise FileAccessError(folder, "is no folder", cure=cure)
    for is_it, read in _KINDS:
        if is_it(folder):
            return read(folder, split, exhaustive, masks=masks)
    raise InputError(folder, "holds no pictures with boxes", expected=_EXPECTED)
