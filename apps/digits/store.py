"""The folder of results while a scan runs: one record a finished page, so that a scan cut short goes on where it was.

A record is named by everything that decides what it says - the file's content, the page's number in it, the form and
the model - and it is written last, when the page's pictures are: what has a record is done.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from apps.digits.pages import RECORDS, PageRef
from data.errors import ArgumentError, FileAccessError
from data.files import sha256_of, write_text
from data.forms import Form
from data.types import PageReading

OVERLAYS: Final = "pages"
CROPS: Final = "cells"
INK: Final = "ink"
SUMMARY: Final = "summary.json"
UNFINISHED: Final = "UNFINISHED.txt"

_METHOD: Final = 1
"""Number of the way pages are read: to be raised with every change that makes older records wrong."""
_LEFTOVER: Final = re.compile(r"\..*-[a-z0-9_]{8}\.(jpg|png|json|csv|txt)")


@dataclass(frozen=True)
class PageNames:
    """Under what names a page's record and pictures are kept; `content` is the SHA-256 of its file."""

    content: str
    record: str
    overlay: str
    crops: str
    ink: str


@dataclass(frozen=True)
class Store:
    """A folder of results; `identity` stands for the form and the model."""

    folder: Path
    identity: str

    def names(self, page: PageRef) -> PageNames:
        """Names for the page.

        Raises:
            FileAccessError: Its file cannot be read.
        """
        content = _content(page.path)
        stem = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", page.path.stem)[:60].lstrip(".=+-@ ") or "page"
        key = hashlib.sha256("\n".join((self.identity, content, str(page.index), stem)).encode()).hexdigest()[:32]
        picture = f"{stem}-{content[:8]}-p{page.index + 1:03d}"
        return PageNames(content, key, f"{OVERLAYS}/{picture}.jpg", f"{CROPS}/{picture}.jpg", f"{INK}/{picture}.png")

    def load(self, record: str) -> PageReading | None:
        """The finished page of that record; None where there is none, or its pictures are gone."""
        try:
            page = PageReading.model_validate_json((self.folder / RECORDS / f"{record}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        pictures = [name for name in (page.overlay, page.crops) if name]
        pictures += [f"{INK}/{PurePosixPath(page.crops).stem}.png"] if page.crops else []
        return page if all((self.folder / name).is_file() for name in pictures) else None

    def save(self, record: str, page: PageReading) -> None:
        """Keep a finished page."""
        write_text(self.folder / RECORDS / f"{record}.json", page.model_dump_json())

    def begin(self, form: Form) -> None:
        """Prepare the folder and prove that it can be written, before any work.

        Raises:
            FileAccessError: It cannot be written.
            ArgumentError: It holds the results of another form.
        """
        self._refuse_other_form(form)
        note = "This scan is not finished. Run the same command again: it goes on where it stopped.\n"
        try:
            for name in (RECORDS, OVERLAYS, CROPS, INK):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
                for leftover in (self.folder / name).glob(".*"):
                    if _LEFTOVER.fullmatch(leftover.name):
                        leftover.unlink(missing_ok=True)
        except OSError as error:
            cure = "choose a folder that you may write to, with free space"
            raise FileAccessError(self.folder, f"cannot be written ({error.strerror})", cure=cure) from error
        write_text(self.folder / UNFINISHED, note)

    def end(self) -> None:
        """Mark the results as complete."""
        (self.folder / UNFINISHED).unlink(missing_ok=True)

    def _refuse_other_form(self, form: Form) -> None:
        try:
            earlier = json.loads((self.folder / SUMMARY).read_bytes()).get("form", form.form)
        except (OSError, ValueError, AttributeError):
            return
        if earlier != form.form:
            found = f"holds the results of another form, {earlier}"
            raise ArgumentError(self.folder, found, cure="choose another folder for --out")


def identity_of(form: Form, model_hash: str) -> str:
    """What stands for all that decides how a page is read, its picture left out."""
    return hashlib.sha256(f"{_METHOD}\n{form.model_dump_json()}\n{model_hash}".encode()).hexdigest()


def _content(path: Path) -> str:
    try:
        stat = path.stat()
        return _hash(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        cure = "check the path and its permissions"
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=cure) from error


@lru_cache(maxsize=16)
def _hash(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of the file; of a file with many pages it is asked once a page."""
    return sha256_of(path)
