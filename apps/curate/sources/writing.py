"""Datasets that are there whole or not at all, and further fields of their samples, written many at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from apps.curate.database import connect
from apps.curate.fields import ITEM
from data.errors import ArgumentError

if TYPE_CHECKING:
    import fiftyone as fo

_BATCH: Final = 1_000
"""Samples that are sent to the database at once."""


def refuse_taken(*names: str) -> None:
    """Refuse names that datasets have.

    Raises:
        ArgumentError: There is a dataset of one of them.
    """
    fiftyone = connect()
    taken = next((name for name in names if fiftyone.dataset_exists(name)), None)
    if taken is not None:
        raise ArgumentError("--name", f"there is a dataset {taken!r} already", cure="choose another one with --name")


@contextlib.contextmanager
def whole_datasets(datasets: list[fo.Dataset]) -> Iterator[None]:
    """Delete datasets, also those added to the list meanwhile, where filling them does not end well."""
    try:
        yield
    except BaseException:
        for dataset in datasets:
            dataset.delete()
        raise


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
