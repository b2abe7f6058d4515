"""What a video file is, told by its content: the same file under another name, date or disk is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.errors import FileAccessError

_BLOCK: Final = 1 << 18
_BLOCKS: Final = 24
_WHOLE: Final = _BLOCK * _BLOCKS
"""A file up to this size is read whole; of a larger one, evenly spread blocks with its first and last bytes."""


@dataclass(frozen=True)
class FileIdentity:
    """A file as it was found.

    `content` stands for its size and its (sampled) bytes. `changed_ns` is the time of its last change: no part of what
    the file is, but where bytes between the samples may differ, it tells a mended copy from a damaged file.
    """

    content: str
    size: int
    changed_ns: int


def identify(path: Path) -> FileIdentity:
    """Look at a file.

    Raises:
        FileAccessError: It is gone or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stat = path.stat()
            digest = hashlib.sha256(str(stat.st_size).encode())
            for offset in _offsets(stat.st_size):
                stream.seek(offset)
                digest.update(stream.read(_BLOCK))
    except FileNotFoundError as error:
        raise FileAccessError(path, "is gone", cure="connect the disk again and run the same command") from error
    except OSError as error:
        cure = "check the disk and the file's permissions"
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=cure) from error
    return FileIdentity(digest.hexdigest(), stat.st_size, stat.st_mtime_ns)


def _offsets(size: int) -> list[int]:
    if size <= _WHOLE:
        return list(range(0, size, _BLOCK))
    last = size - _BLOCK
    return [last * number // (_BLOCKS - 1) for number in range(_BLOCKS)]
