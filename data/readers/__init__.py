"""Readers of labelled data: `read_digits` and `read_detections` recognise the kind of folder that they are given."""

from __future__ import annotations

from data.readers.detections import read_detections
from data.readers.detectionset import DetectionSet, as_fish, joined_detections
from data.readers.digits import read_digits
from data.readers.digitset import DigitBatch, DigitSet, Problem, joined

__all__ = [
    "DetectionSet",
    "DigitBatch",
    "DigitSet",
    "Problem",
    "as_fish",
    "joined",
    "joined_detections",
    "read_detections",
    "read_digits",
]
