"""Opening an artifact folder: every file is checked against its hash, and nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, cast

from pydantic import ValidationError

from data.errors import ArgumentError, FileAccessError, InputError, validation_faults
from deploy.runtime.engines import COPY_AGAIN, Session, check_graph, installed, load, missing
from deploy.runtime.spec import (
    FORMAT_VERSION,
    MODEL_FILE,
    SPEC_FILE,
    SPECS,
    ArtifactSpec,
    EngineName,
    KindT,
    Model,
    SpecT_co,
)

_EXPECTED: Final = f"an artifact folder with {SPEC_FILE} and {MODEL_FILE}"
_OTHER_TASK: Final = "give an artifact for this task"


@dataclass(frozen=True)
class Artifact(Generic[SpecT_co]):
    """A checked model: its folder, what its spec says, and the one of its networks that runs here.

    `choice` says which engine runs it and in which precision; `contents` are the bytes of its files that were checked.
    """

    folder: Path
    spec: SpecT_co
    choice: Model
    contents: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def open(cls, folder: Path, engine: EngineName | None = None) -> Artifact[ArtifactSpec]:
        """Read and check an artifact.

        Args:
            folder: Where it lies.
            engine: What shall run it; by default the first of the artifact's engines that is installed.

        Raises:
            FileAccessError: The folder or a file of it is missing or cannot be read.
            InputError: It is no artifact, of another format version, task or engine, or a file is not the one that
                its spec was written for.
            ArgumentError: The artifact has no network for that engine.
            MissingDependencyError: That engine is not installed.
        """
        if not folder.exists():
            raise FileAccessError(folder, "no such folder", expected=_EXPECTED, cure="check the path")
        if not folder.is_dir():
            raise InputError(folder, "is a file", expected=_EXPECTED)
        if not (folder / SPEC_FILE).exists():
            raise InputError(folder, f"holds no {SPEC_FILE}", expected=_EXPECTED)
        spec = _parsed(folder / SPEC_FILE)
        contents = {name: _checked(folder / name, digest) for name, digest in spec.files.items()}
        choice = _chosen(folder, spec, engine)
        own = {name: contents[name] for name in (choice.file, choice.weights) if name is not None}
        return Artifact(folder, spec, choice, own)

    @property
    def model(self) -> bytes:
        """Content of the chosen network's file."""
        return self.contents[self.choice.file]

    def of(self, kind: type[KindT]) -> Artifact[KindT]:
        """This artifact, known to be of that kind.

        Raises:
            InputError: It is for another task.
        """
        if not isinstance(self.spec, kind):
            expected = kind.model_fields["task"].default
            raise InputError(
                self.folder / SPEC_FILE, f"task is {self.spec.task!r}", expected=expected, cure=_OTHER_TASK
            )
        return cast("Artifact[KindT]", self)

    def session(self, threads: int = 1, *, whole: bool = False) -> Session:
        """The chosen network, loaded on the CPU, with the answers that its task asks for.

        Args:
            threads: Threads within one operator.
            whole: With all its answers, those to other tasks too.

        Raises:
            ArgumentError: Fewer than one thread.
            InputError: The engine cannot load the model, or it does not map what its spec says.
        """
        path = self.folder / self.choice.file
        weights = None if self.choice.weights is None else self.contents[self.choice.weights]
        graph = self.spec.graph if whole else self.spec.own_graph
        outputs = [name for name, _ in graph.outputs]
        session = load(self.choice.engine, self.model, path, weights=weights, threads=threads, outputs=outputs)
        check_graph(session, graph, path)
        return session


def _chosen(folder: Path, spec: ArtifactSpec, engine: EngineName | None) -> Model:
    """The network for that engine, or for the first engine that is installed."""
    wanted = [model for model in spec.choices if engine in {None, model.engine}]
    if not wanted:
        expected = " or ".join(dict.fromkeys(model.engine for model in spec.choices))
        raise ArgumentError(folder, f"has no network for {engine}", expected=expected)
    for model in wanted:
        if installed(model.engine):
            return model
    raise missing(wanted[0].engine)


def _parsed(path: Path) -> ArtifactSpec:
    try:
        tree = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not valid JSON ({error})", cure=COPY_AGAIN) from error
    if not isinstance(tree, dict):
        raise InputError(path, f"holds a {type(tree).__name__}", expected="the keys of an artifact's spec")
    _check_known(path, tree, "format_version", (FORMAT_VERSION,), "update Shankha, or export the artifact again")
    _check_known(path, tree, "task", tuple(SPECS), _OTHER_TASK)
    kind = SPECS[tree["task"]]
    for entry in (tree, *_entries(tree)):
        if "engine" in entry:
            cure = "export the artifact for an engine that this version runs"
            _check_known(path, entry, "engine", kind.engines, cure)
    try:
        # From JSON, not from the parsed tree: a list stands for a tuple there.
        return kind.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InputError(path, validation_faults(error), cure=COPY_AGAIN) from error


def _entries(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The networks that a spec lists, so far as it does."""
    listed = tree.get("models")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _check_known(path: Path, tree: dict[str, Any], key: str, known: tuple[Any, ...], cure: str) -> None:
    if key not in tree:
        raise InputError(path, f"lacks the key {key}", cure=COPY_AGAIN)
    if tree[key] not in known or isinstance(tree[key], bool):
        expected = " or ".join(map(str, known))
        raise InputError(path, f"{key} is {tree[key]!r}", expected=expected, cure=cure)


def _checked(path: Path, expected: str) -> bytes:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(path, f"has sha256 {found[:12]}...", expected=f"{expected[:12]}...", cure=COPY_AGAIN)
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileAccessError(path, "is missing from the artifact", cure=COPY_AGAIN) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check its permissions") from error
