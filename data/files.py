"""Files that are either whole or absent: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from data.errors import ConfigurationError, FileAccessError

_CHUNK = 1 << 20


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the name when the block ends well, else it is removed.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise _refused(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in {None, str(temporary), str(path)}:
            raise  # another file's trouble, or no trouble with a file at all
        raise _refused(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> FileAccessError:
    cure = "choose a folder that you may write to, with free space"
    return FileAccessError(path, f"cannot be written ({error.strerror or error})", cure=cure)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def read_yaml(path: Path, expected: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Args:
        path: The file.
        expected: What it should hold, for the error.

    Raises:
        FileAccessError: It cannot be read.
        ConfigurationError: It is no UTF-8 text, no YAML, or holds no keys.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(path, "is not UTF-8 text", expected=expected) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the path") from error
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise ConfigurationError(path, f"is not valid YAML ({why})", cure="mend the YAML") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(path, f"holds a {type(tree).__name__}", expected=expected)
    return tree


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which page 2 comes before page 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, -1, name)]
