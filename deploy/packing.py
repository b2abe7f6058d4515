"""Writing artifact folders: whole or not at all, and never over something that is no artifact."""

from __future__ import annotations

import datetime
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import FileAccessError, InputError
from deploy.parity import CountingParity, DetectionParity, Parity, SpeciesParity
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import CARD_FILE, SPEC_FILE, SPECS, ArtifactSpec
from training.recipe import Recipe


@dataclass(frozen=True)
class Export:
    """A written artifact, how it departs from its float model (None where that is all there is), and what to tell."""

    artifact: Artifact[ArtifactSpec]
    parity: Parity | DetectionParity | CountingParity | SpeciesParity | None
    notes: tuple[str, ...]


def training_facts(recipe: Recipe, folders: Sequence[str]) -> dict[str, Any]:
    """What people ask of a model's making, for its spec; the card has the whole recipe."""
    return {
        "recipe": recipe.name,
        "data": list(folders),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def check_replaceable(folder: Path) -> None:
    """Refuse a target that holds anything but an artifact.

    Raises:
        InputError: It is a file, or a folder that holds something else.
    """
    if not folder.exists():
        return
    expected = "a new folder, or an artifact to replace"
    if not folder.is_dir():
        raise InputError(folder, "is a file", expected=expected)
    strangers = sorted({path.name for path in folder.iterdir()} - _listed(folder / SPEC_FILE))
    if strangers:
        found = f"holds {strangers[0]}, which is no part of an artifact"
        raise InputError(folder, found, expected=expected, cure="choose another folder")


def _listed(spec: Path) -> set[str]:
    """Names of an artifact's files by its spec, whatever else is wrong with it; none where there is no spec."""
    try:
        tree = json.loads(spec.read_bytes())
    except (OSError, ValueError):
        return set()
    if not isinstance(tree, dict) or not isinstance(tree.get("files"), dict):
        return set()
    return {SPEC_FILE, *tree["files"]}


def write_artifact(folder: Path, spec: Mapping[str, Any], files: Mapping[str, bytes]) -> Artifact[ArtifactSpec]:
    """Write the files and a spec with their hashes into a folder beside the target, check it, and rename it.

    Args:
        folder: The target; an artifact there is replaced.
        spec: The fields of the task's spec (see `SPECS`) without `files`.
        files: Content of every file but the spec, by name.

    Raises:
        InputError: The target holds something that is no artifact.
        FileAccessError: The target's parent cannot be written.
    """
    check_replaceable(folder)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    complete = SPECS[spec["task"]].model_validate({**spec, "files": digests})
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
            fresh = Path(place) / "new"
            fresh.mkdir()
            for name, content in files.items():
                (fresh / name).write_bytes(content)
            text = json.dumps(complete.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
            (fresh / SPEC_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
            Artifact.open(fresh)
            _swap(fresh, folder, Path(place) / "old")
    except OSError as error:
        cure = "choose a folder that you may write to, with free space"
        raise FileAccessError(folder, f"cannot be written ({error.strerror or error})", cure=cure) from error
    return Artifact.open(folder)


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Put the fresh folder in the target's place; on failure the old one comes back."""
    if not folder.exists():
        fresh.rename(folder)
        return
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise


def replace_card(folder: Path, text: str) -> Artifact[ArtifactSpec]:
    """Give an artifact another model card, and its spec the card's hash; model and numbers stay."""
    artifact = Artifact.open(folder)
    files = {name: (folder / name).read_bytes() for name in artifact.spec.files}
    files[CARD_FILE] = text.encode()
    return write_artifact(folder, artifact.spec.model_dump(exclude={"files"}), files)
