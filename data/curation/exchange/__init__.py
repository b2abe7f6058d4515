"""Formats that labels are exchanged in with other tools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from data.curation.exchange import classes, coco, yolo
from data.curation.exchange.format import Format, Library, Reader

__all__ = ["FORMATS", "Format", "Library", "Reader"]

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.FORMAT.name: one.FORMAT for one in (coco, yolo, classes)})
"""Every format by its name."""
