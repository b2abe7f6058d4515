"""The deployments of a disk: each a folder of video files, in the order in which they were filmed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.fish.footage.metadata import DeploymentMetadata
from apps.fish.footage.problems import FootageProblem

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mov", ".avi", ".mts", ".m2ts", ".mkv", ".m4v"})


@dataclass(frozen=True)
class Chapter:
    """One video file of a deployment."""

    path: Path


@dataclass(frozen=True)
class Deployment:
    """One camera, put down once.

    `chapters` are in the order in which they were filmed. `complete` is False where the names of the files tell that
    a chapter is missing: no count over such a deployment is complete.
    """

    opcode: str
    folder: Path
    chapters: tuple[Chapter, ...]
    metadata: DeploymentMetadata | None = None
    complete: bool = True


def find_deployments(
    disk: Path, metadata: Path | None = None, leave_out: Path | None = None
) -> tuple[list[Deployment], list[FootageProblem]]:
    """The deployments below a folder, by name, and everything that is wrong with them and their metadata.

    Args:
        disk: A folder, or a single video file, which is then a deployment of one chapter.
        metadata: The table of deployments; without it `metadata.csv` in `disk`, where there is one.
        leave_out: A folder that is not searched: the results.

    Raises:
        FileAccessError: `disk` or the given table cannot be read.
        InputError: The given table is no table of deployments.
    """
