"""Readers of pictures with boxes: one function recognises the kind of folder and gives a `DetectionSet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from data.errors import FileAccessError, InputError
from data.readers.detections_coco import is_coco, read_coco
from data.readers.detections_video import is_boxed_video, read_boxed_video
from data.readers.detections_yolo import is_yolo, read_yolo
from data.readers.detectionset import DetectionSet
from data.readers.points import is_pointed, read_pointed
from data.versions import Version, readable_version

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

    A versioned folder must be what its manifest says, which tells the sites, and what is labelled wholly, too.

    Args:
        folder: What a download, or a person, filled; or one data.yaml or COCO json file.
        split: "train", "val" or "test"; None means test where there is one, else val, else everything.
        exhaustive: Whether everything of the classes is labelled, so that the rest may be taught as background. None
            takes what the dataset says: `exhaustive: false` in data.yaml, or in the `info` or a picture of COCO json,
            or in a manifest.
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
    version = readable_version(folder, ("detection", "segmentation"), ("coco", "yolo"))
    if version is not None:
        read_it = read_coco if version.content.format == "coco" else read_yolo
        return _grouped(read_it(folder, split, exhaustive is not False, masks=masks), version, exhaustive)
    for is_it, read in _KINDS:
        if is_it(folder):
            return read(folder, split, exhaustive, masks=masks)
    raise InputError(folder, "holds no pictures with boxes", expected=_EXPECTED)


def _grouped(pictures: DetectionSet, version: Version, exhaustive: bool | None) -> DetectionSet:
    """The pictures of a version with the groups that its manifest tells, and whether each is labelled wholly.

    A group is never split: it stands for the site, and for the clip where the picture's name tells none.
    """
    told = [version.by_file[name] for name in pictures.ids.tolist()]
    groups = np.array([one.group for one in told], np.str_)
    no_clip = (pictures.clips == pictures.ids) & (groups != "")
    whole = np.array([one.complete for one in told], np.bool_)
    return replace(
        pictures,
        sites=groups,
        clips=np.where(no_clip, groups, pictures.clips),
        exhaustive=pictures.exhaustive if exhaustive is not None else pictures.exhaustive & whole,
    )
