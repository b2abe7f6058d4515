"""What a part found in a segment, as the block of bytes that the ledger keeps.

Every block says how many samples and detections its segment has, so that the blocks of a deployment, one after the
other, tell by themselves to which of its samples and detections they belong.
"""

from __future__ import annotations

import io
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Blocks: TypeAlias = Callable[[], Iterable[bytes]]
"""Gives the blocks of a chapter, in order, as often as it is called."""


@dataclass(frozen=True)
class Block:
    """A block's arrays; its segment begins at that sample and that detection of the deployment."""

    sample: int
    row: int
    arrays: Mapping[str, NDArray[Any]]


def pack(samples: int, rows: int, **arrays: NDArray[Any]) -> bytes:
    """Arrays of a segment with so many samples and detections, with checksums."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, extent=np.array([samples, rows], np.int64), **arrays)
    return stream.getvalue()


def unpack(block: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a block, `extent` among them.

    Raises:
        ValueError: It is damaged.
    """
    try:
        with np.load(io.BytesIO(block), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
            found["extent"].reshape(2)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError) as error:
        raise ValueError(f"a block cannot be unpacked ({error})") from error
    return found


def in_sequence(chapters: Sequence[Blocks]) -> Iterator[Block]:
    """The blocks of a deployment's chapters, in order, each with the place where its segment begins.

    Raises:
        ValueError: A block is damaged.
    """
    sample = row = 0
    for content in itertools.chain.from_iterable(blocks() for blocks in chapters):
        arrays = unpack(content)
        yield Block(sample, row, arrays)
        samples, rows = arrays.pop("extent").tolist()
        sample, row = sample + samples, row + rows


def pack_texts(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Byte strings as one array, and where each begins and the last ends: (len + 1,)."""
    edges = np.cumsum([0, *(len(text) for text in texts)], dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), edges


def unpack_texts(joined: NDArray[np.uint8], edges: NDArray[np.int64]) -> list[bytes]:
    """The byte strings that `pack_texts` joined."""
    content = joined.tobytes()
    return [content[start:end] for start, end in itertools.pairwise(edges.tolist())]
