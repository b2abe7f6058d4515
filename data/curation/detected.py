"""What a set of pictures with boxes says of one picture, in the words of a collection."""

from __future__ import annotations

from data.curation.collection import Label, Provenance
from data.readers.detectionset import DetectionSet


def labels_of(detections: DetectionSet, index: int, by: Provenance) -> tuple[Label, ...]:
    """The boxes of a picture, with their masks where the set has some, as said by one speaker."""
    classes = detections.labels[index].tolist()
    masks = (None,) * len(classes) if detections.masks is None else detections.masks[index]
    boxes = zip(classes, detections.xyxy[index], masks, strict=True)
    return tuple(Label(detections.names[label], by, xyxy, mask) for label, xyxy, mask in boxes)


def group_of(detections: DetectionSet, index: int) -> str:
    """What the picture must not be torn from: its site, else its clip; "" where neither is known."""
    clip = str(detections.clips[index])
    return str(detections.sites[index]) or (clip if clip != detections.ids[index] else "")
