"""Formats that labels are exchanged in with other tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from data.curation.exchange import classes, coco, cvat, dive, labelstudio, viame, yolo
from data.curation.exchange.format import Format, Library, Reader

__all__ = ["FORMATS", "Format", "Library", "Reader", "format_of"]

# Those that say most clearly what they are come first: tasks of Label Studio have keys of COCO json too.
_MODULES: Final = (cvat, labelstudio, viame, dive, coco, yolo, classes)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.FORMAT.name: one.FORMAT for one in _MODULES})
"""Every format by its name."""


def format_of(path: Path) -> Format | None:
    """The format that a file or folder says it is of; None where it does not say."""
    return next((one for one in FORMATS.values() if one.speaks(path)), None)
