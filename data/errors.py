"""Every error that a user may see, with the exit code that the command line ends with.

The codes follow OCRmyPDF: 0 done, 1 bad arguments, 2 bad input, 3 missing dependency, 5 file access,
9 bad configuration, 15 other, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError


class ShankhaError(Exception):
    """An error with one clear line for the user: the file, what was found and expected, and what to do.

    Args:
        where: The file (or address, or argument) at fault.
        found: What is wrong with it.
        expected: What would have been right; may be left out where `found` says it.
        cure: What to do about it.
    """

    exit_code = 15

    def __init__(self, where: Path | str, found: str, *, expected: str = "", cure: str = "") -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        self.cure = cure
        line = f"{self.where}: {found}"
        if expected:
            line += f"; expected {expected}"
        if cure:
            line += f". {cure[0].upper()}{cure[1:]}"
        super().__init__(line if line.endswith(".") else f"{line}.")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by its parts: worker processes send errors back to the parent."""
        return _rebuild, (type(self), self.where, self.found, self.expected, self.cure)


def _rebuild(kind: type[ShankhaError], where: str, found: str, expected: str, cure: str) -> ShankhaError:
    return kind(where, found, expected=expected, cure=cure)


class ArgumentError(ShankhaError):
    """The command line makes no sense."""

    exit_code = 1


class InputError(ShankhaError):
    """An input file is damaged, of another kind, or says nonsense."""

    exit_code = 2


class MissingDependencyError(ShankhaError):
    """A package or program that this command needs is not installed."""

    exit_code = 3


class FileAccessError(ShankhaError):
    """A file or folder cannot be read, written or reached."""

    exit_code = 5


class ConfigurationError(ShankhaError):
    """A recipe, a form or another description is not valid."""

    exit_code = 9


def validation_faults(error: ValidationError) -> str:
    """The first faults that pydantic found, on one line: where each is and what is wrong with it."""
    faults = []
    for fault in error.errors()[:3]:
        where = ".".join(str(part) for part in fault["loc"])
        message = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
        faults.append(f"{where}: {message}" if where else message)
    more = error.error_count() - len(faults)
    return "; ".join(faults) + (f"; and {more} more" if more else "")
