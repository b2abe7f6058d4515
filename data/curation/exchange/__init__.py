"""Formats that labels are exchanged in with other tools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from data.curation.exchange import classes, coco, cvat, dive, labelstudio, viame, yolo
from data.curation.exchange.format import Format, Library, Reader

__all__ = ["FORMATS", "Format", "Library", "Reader"]

_MODULES: Final = (coco, yolo, classes, cvat, labelstudio, viame, dive)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.FORMAT.name: one.FORMAT for one in _MODULES})
"""Every format by its name."""
