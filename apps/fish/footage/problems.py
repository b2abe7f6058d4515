"""What is wrong with footage or its metadata, as one line that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.errors import ShankhaError


@dataclass(frozen=True)
class FootageProblem:
    """Something that a person must see.

    Attributes:
        kind: A short name to sort by, such as "missing_chapter".
        file: The file or folder at fault.
        what: What was found, and what was expected.
        cure: What to do about it; may be empty.
        opcode: The deployment it belongs to; empty where it belongs to none.
        line: Line of the file, counted from 1, where it is a table.
        loss: Whether footage is missing or unread because of it, so that no count of the deployment is complete.
    """

    kind: str
    file: Path
    what: str
    cure: str = ""
    opcode: str = ""
    line: int | None = None
    loss: bool = False

    @classmethod
    def of(cls, error: ShankhaError, kind: str, *, opcode: str = "") -> FootageProblem:
        """The problem that stopped the reading of a file."""
        what = f"{error.found}; expected {error.expected}" if error.expected else error.found
        return cls(kind, Path(error.where), what, error.cure, opcode, loss=True)

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else str(self.file)
        cure = f" {self.cure[0].upper()}{self.cure[1:]}." if self.cure else ""
        return f"{where}: {self.what}.{cure}"
