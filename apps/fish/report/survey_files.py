"""What a folder of results holds: deployments that can be read, and what the survey says of all."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.fish.ledger import LEDGER, Ledger
from apps.fish.naming import PROBLEMS, SUMMARY, UNFINISHED, folder_name
from apps.fish.report.stored import ABOUT, ReadDeployment, read_deployment
from data.errors import FileAccessError, InputError, ShankhaError
from data.files import natural_key


@dataclass(frozen=True)
class SurveyFiles:
    """Results as they are read.

    `unfinished`: the survey was interrupted, so there may be footage that nobody has looked at. `summary` is what it
    says of itself at its end; `problems` are the rows of its list; `faults` what of the results cannot be read.
    """

    deployments: tuple[ReadDeployment, ...]
    unfinished: bool
    summary: dict[str, Any] = field(default_factory=dict)
    problems: tuple[dict[str, str], ...] = ()
    faults: tuple[ShankhaError, ...] = ()

    @property
    def lost(self) -> dict[str, str]:
        """Deployments without results, and why."""
        read = {one.about.opcode for one in self.deployments}
        rows = [row for row in self.problems if row["footage_lost"] == "yes" and row["deployment"] not in {"", *read}]
        return {row["deployment"]: f"{row['file']}: {row['problem']}" for row in reversed(rows)}


def written_folders(results: Path) -> list[Path]:
    """Folders of the deployments whose results hold: the ledger tells, or where it was not copied along, the folders.

    Raises:
        FileAccessError: The folder cannot be read, or a survey is writing into it.
        InputError: It is no folder of results.
    """
    expected = "a folder that shankha fish survey has written"
    if not results.is_dir():
        raise FileAccessError(results, "is no folder", expected=expected, cure="check the path")
    if (results / LEDGER).is_file():
        with Ledger(results) as ledger:
            return folders_of(results, list(ledger.deployments()))
    found = [path.parent for path in results.glob(f"*/{ABOUT}") if not path.parent.name.startswith(".")]
    if not found:
        raise InputError(results, "holds no results of a survey", expected=expected, cure="check the path")
    return sorted(found)


def folders_of(results: Path, opcodes: Sequence[str]) -> list[Path]:
    """The folders of those deployments."""
    return [results / folder_name(opcode) for opcode in opcodes]


def read_survey(results: Path, folders: Sequence[Path], *, unfinished: bool) -> SurveyFiles:
    """Read those deployments, in order; one that cannot be read is told in `faults`, and the others are read."""
    deployments, faults = [], []
    for folder in folders:
        try:
            deployments.append(read_deployment(folder))
        except (InputError, FileAccessError) as error:
            faults.append(error)
    deployments.sort(key=lambda one: natural_key(one.about.opcode))
    return SurveyFiles(tuple(deployments), unfinished, _summary(results), _problems(results), tuple(faults))


def is_unfinished(results: Path) -> bool:
    """Whether the survey that wrote the folder has not come to its end."""
    return (results / UNFINISHED).exists() or not (results / SUMMARY).exists()


def _summary(results: Path) -> dict[str, Any]:
    try:
        told = json.loads((results / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _problems(results: Path) -> tuple[dict[str, str], ...]:
    """Rows of the list of problems; none where the survey has not written it."""
    try:
        text = (results / PROBLEMS).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ()
    rows = csv.DictReader(text.splitlines(keepends=True), restval="")
    wanted = ("deployment", "file", "line", "problem", "what_to_do", "footage_lost")
    return tuple({name: _bare(row.get(name) or "") for name in wanted} for row in rows)


def _bare(text: str) -> str:
    """A cell without the mark that keeps spreadsheets from running it."""
    return text[1:] if text[:1] == "'" and text[1:2] in {"=", "+", "-", "@", "\t", "\r"} else text
