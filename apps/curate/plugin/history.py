"""The history of the edits of a dataset: what was said of which picture, what is said now, by whom and since when.

`history/<dataset>.jsonl` in the folder of curation, one edit a line, only ever added to. An edit is written here before
the database is touched, and the number of lines that the database has taken over is kept beside it: whatever ends the
App in between, the next that opens the dataset carries the edit out (`apps.curate.plugin.edits.recover`).
"""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import FileAccessError
from data.files import write_text
from data.journal import Journal
from data.provenance import Provenance

_CONFIG: Final = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

What = Literal["accept", "correct", "illegible", "relabel", "take suggestion", "next training set", "draw", "remove"]


class State(BaseModel):
    """What is said of a picture, or of a box in it, and the words that a person left there.

    Attributes:
        name: The class; None where nothing is said.
        by: Who said so; None where that is not known.
        confidence: How sure the speaker was.
        tags: Of the picture, or of the box.
        picture_tags: Of the picture around the box; empty for pictures.
        reason: Why a picture should be labelled anew.
    """

    model_config = _CONFIG

    name: str | None
    by: Provenance | None
    confidence: float | None = None
    tags: tuple[str, ...] = ()
    picture_tags: tuple[str, ...] = ()
    reason: str = ""


class Change(BaseModel):
    """What becomes of one label.

    Attributes:
        item: `Picture.id`, for whoever reads the history.
        sample: Id of the sample in the database.
        box: Id of the box in the database; "" speaks of the picture as a whole.
        frame: Number of the frame of a video, from 1; 0 for pictures.
        drawn: A box that is drawn, or taken away, as the database keeps it (Extended JSON); "" for all others.
        before: What was said.
        after: What is said now.
    """

    model_config = _CONFIG

    item: str
    sample: str
    box: str = ""
    frame: Annotated[int, Field(ge=0)] = 0
    drawn: str = ""
    before: Annotated[State, Field(alias="from")]
    after: Annotated[State, Field(alias="to")]


class Edit(BaseModel):
    """A line of the history.

    `undo` says that it takes back the edit before it that was not taken back yet. `dataset` is the id of the dataset in
    the database: another one of the same name has a history of its own.
    """

    model_config = _CONFIG

    when: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    who: Annotated[str, Field(min_length=1)]
    what: What
    dataset: str
    changes: tuple[Change, ...]
    undo: bool = False


class History:
    """The history of a dataset; hold it with `held` while reading and adding.

    Args:
        folder: The folder of curation.
        name: The dataset's name.

    Raises:
        FileAccessError: It cannot be read.
        InputError: A line of it is damaged.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / "history" / f"{_file_name(name)}.jsonl"
        self._journal = Journal(self.path, Edit, cure="mend the line, or move the file away")

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All edits, and those that take back others, the oldest first."""
        return self._journal.entries

    def add(self, edit: Edit) -> None:
        """Write an edit; it is on the disk when this returns. Raises FileAccessError; nothing of it is then kept."""
        self._journal.append(edit)

    def pending(self) -> tuple[Edit, ...]:
        """The edits that the database has not taken over for certain."""
        return self.edits[self._done() :]

    def settle(self) -> None:
        """Keep that the database has taken over all edits."""
        write_text(self._mark, f"{len(self.edits)}\n")

    def last(self, dataset: str) -> Edit | None:
        """The last edit of the dataset with this id that still stands; None where there is none."""
        standing: list[Edit] = []
        for edit in self.edits:
            if edit.dataset != dataset:
                continue
            if edit.undo and standing:
                standing.pop()
            elif not edit.undo:
                standing.append(edit)
        return standing[-1] if standing else None

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".done")

    def _done(self) -> int:
        try:
            return int(self._mark.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            cure = f"write the number of lines of {self.path.name} into it that were carried out"
            raise FileAccessError(self._mark, f"cannot be read ({error})", cure=cure) from error


@contextlib.contextmanager
def held(folder: Path, name: str) -> Iterator[History]:
    """The history of a dataset, while nobody else adds to it; waits for whoever does. Errors as of `History`."""
    path = folder / "history" / f"{_file_name(name)}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        cure = "free some space or check the rights to it"
        raise FileAccessError(path, f"cannot be written ({error.strerror})", cure=cure) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield History(folder, name)


def _file_name(dataset: str) -> str:
    """A file name that no other dataset's name gives."""
    return re.sub(r"[^\w.-]", lambda found: f"%{ord(found[0]):x}%", dataset)
