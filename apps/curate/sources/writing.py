"""Further fields of samples, written many at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from apps.curate.fields import ITEM

if TYPE_CHECKING:
    import fiftyone as fo

_BATCH: Final = 1_000
"""Samples that are sent to the database at once."""


def write_fields(dataset: fo.Dataset, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Add fields, which the dataset must know, to samples that are there already.

    Args:
        dataset: The samples' dataset.
        documents: By the samples' items, fields and what they hold, as the database keeps it.
    """
    from pymongo import UpdateOne

    updates = [UpdateOne({ITEM: item}, {"$set": dict(fields)}) for item, fields in documents.items()]
    for start in range(0, len(updates), _BATCH):
        dataset._sample_collection.bulk_write(updates[start : start + _BATCH])
    dataset.reload()
