"""The folder of results: a folder for each deployment, and beside them the tables of all.

A deployment's files are all written before the first takes its place, and its entry in the ledger is written last and
removed first: files without an entry do not hold, and are written anew.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from apps.fish.footage import FootageProblem
from apps.fish.joining import join_tables, shared_names
from apps.fish.ledger import Ledger
from apps.fish.naming import PROBLEMS, REPORT, SUMMARY, UNFINISHED, folder_name, label_of
from apps.fish.results import DeploymentResult, EvidenceWriter, Writer
from apps.processes import give_back_memory
from apps.spreadsheets import harmless, spreadsheet
from data.errors import FileAccessError
from data.files import sha256_of

PROBLEM_COLUMNS: Final = ("deployment", "file", "line", "kind", "problem", "what_to_do", "footage_lost")

_STAGING: Final = ".writing"


class Results:
    """The files in a folder of results, and the ledger's entries about them.

    Args:
        folder: The folder of results.
        ledger: Its ledger.
        writers: What writes the files of a deployment.
        evidence: What writes pictures and clips of it.
    """

    def __init__(self, folder: Path, ledger: Ledger, writers: Sequence[Writer], evidence: EvidenceWriter) -> None:
        self.folder = folder
        self.ledger = ledger
        self.writers = writers
        self.evidence = evidence

    def begin(self) -> None:
        """Take away what holds only when a survey has ended.

        Raises:
            FileAccessError: The folder cannot be written.
        """
        note = "This survey is not finished. Run the same command again: it goes on where it stopped.\n"
        with _told(self.folder):
            (self.folder / UNFINISHED).write_text(note, encoding="utf-8")
            known = (name for _, files in self.ledger.deployments().values() for name in files)
            for name in (*shared_names(known), PROBLEMS, SUMMARY, REPORT):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / _STAGING, ignore_errors=True)

    def end(self) -> None:
        """Mark the results as complete."""
        with _told(self.folder):
            (self.folder / UNFINISHED).unlink(missing_ok=True)

    def holds(self, opcode: str, key: str) -> bool:
        """Whether the deployment's files are those that the key stands for, and as they were written."""
        known, files = self.ledger.deployment(opcode)
        return known == key and all(_is(self.folder / name, digest) for name, digest in files.items())

    def publish(self, result: DeploymentResult, key: str) -> list[FootageProblem]:
        """Write a deployment's files in the place of earlier ones.

        Returns:
            What could not be shown; while there is such a thing the key does not hold, and it is tried again.

        Raises:
            FileAccessError: The folder cannot be written, or the disk is full.
        """
        opcode = result.deployment.opcode
        staging = self.folder / _STAGING
        with _told(self.folder):
            shutil.rmtree(staging, ignore_errors=True)
            own = staging / folder_name(opcode)
            own.mkdir(parents=True)
            written = []
            for writer in self.writers:
                give_back_memory()
                written += writer(result, own)
            give_back_memory()
            shown, problems = self.evidence(result, own)
            hashes = {path.relative_to(staging).as_posix(): sha256_of(path) for path in (*written, *shown)}
            self.withdraw(opcode, but=frozenset(hashes))
            for name in hashes:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(self.folder / name)
            shutil.rmtree(staging, ignore_errors=True)
        self.ledger.keep_deployment(opcode, "" if problems else key, hashes)
        return problems

    def withdraw(self, opcode: str, but: frozenset[str] = frozenset()) -> None:
        """Remove a deployment's files, but those about to be replaced; what others have put beside them stays."""
        files = self.ledger.deployment(opcode)[1]
        self.ledger.drop_deployment(opcode)
        with _told(self.folder):
            for name in set(files) - but:
                (self.folder / name).unlink(missing_ok=True)
            for folder in sorted({(self.folder / name).parent for name in files}, reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def write_joined(self, opcodes: Sequence[str]) -> None:
        """Write the tables that deployments share, such as that of MaxN, over all of them, in that order.

        Raises:
            FileAccessError: The folder cannot be read or written.
            InputError: The deployments' tables differ in their columns.
        """
        known = self.ledger.deployments()
        with _told(self.folder):
            join_tables(self.folder, [name for opcode in opcodes for name in known[opcode][1]])

    def write_problems(self, problems: Sequence[FootageProblem], disk: Path) -> None:
        """Write what a person must know, and what to do about it; files are named from the disk on."""
        with spreadsheet(self.folder / PROBLEMS, PROBLEM_COLUMNS) as table:
            for problem in problems:
                where = [harmless(problem.opcode), harmless(label_of(problem.file, disk)), problem.line or ""]
                what = [harmless(problem.what), harmless(problem.cure)]
                table.writerow([*where, problem.kind, *what, "yes" if problem.loss else "no"])


def _is(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except OSError:
        return False


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell of a folder that cannot be written in the user's terms."""
    try:
        yield
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else folder
        cure = "free some space or choose a folder that you may write to, and run the same command again"
        raise FileAccessError(where, f"cannot be written ({error.strerror or error})", cure=cure) from error
