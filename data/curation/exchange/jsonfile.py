"""JSON that is not trusted, read whole; and written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.errors import FileAccessError, InputError
from data.files import write_text


def read_json(path: Path, expected: str) -> Any:
    """What a JSON file holds.

    Args:
        path: The file.
        expected: What it should hold, for the error.

    Raises:
        InputError: It is no JSON, is cut short, or is not UTF-8.
        FileAccessError: It cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is no JSON, or cut short ({error})", expected=expected) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON as UTF-8, whole or not at all; raises FileAccessError."""
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
