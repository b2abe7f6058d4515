"""Who sits before the App: asked once, kept in the folder of curation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from data.errors import FileAccessError, InputError
from data.files import write_text

LONGEST: Final = 80
"""Characters of a name."""
_FILE: Final = "person.txt"


def person(folder: Path) -> str | None:
    """The name that was given; None where nobody has given one.

    Args:
        folder: The folder of curation.

    Raises:
        FileAccessError: It cannot be read.
    """
    try:
        return (folder / _FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        cure = "write a name into it"
        raise FileAccessError(folder / _FILE, f"cannot be read ({error})", cure=cure) from error


def remember(folder: Path, name: str) -> str:
    """Keep a name, and give it back without what surrounds it.

    Raises:
        InputError: It is empty, longer than `LONGEST` characters, or holds more than letters.
        FileAccessError: It cannot be written.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST or not name.isprintable():
        raise InputError("your name", f"{name!r} is no name", expected=f"1 to {LONGEST} letters")
    write_text(folder / _FILE, f"{name}\n")
    return name
