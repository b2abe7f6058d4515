"""Opening an artifact folder: every file is checked against its hash, and nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort
from pydantic import ValidationError

from data.errors import ArgumentError, FileAccessError, InputError, validation_faults
from deploy.runtime.spec import ENGINES, FORMAT_VERSION, MODEL_FILE, SPEC_FILE, TASKS, ArtifactSpec

_EXPECTED: Final = f"an artifact folder with {SPEC_FILE} and {MODEL_FILE}"
_COPY_AGAIN: Final = "copy or export the artifact again"
_ONLY_ERRORS: Final = 3


@dataclass(frozen=True)
class Artifact:
    """A checked model: its folder, what its spec says, and the bytes of the model file that were checked."""

    folder: Path
    spec: ArtifactSpec
    model: bytes = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """Read and check an artifact.

        Raises:
            FileAccessError: The folder or a file of it is missing or cannot be read.
            InputError: It is no artifact, of another format version, task or engine, or a file is not the one that
                its spec was written for.
        """
        if not folder.exists():
            raise FileAccessError(folder, "no such folder", expected=_EXPECTED, cure="check the path")
        if not folder.is_dir():
            raise InputError(folder, "is a file", expected=_EXPECTED)
        if not (folder / SPEC_FILE).exists():
            raise InputError(folder, f"holds no {SPEC_FILE}", expected=_EXPECTED)
        spec = _parsed(folder / SPEC_FILE)
        contents = {name: _checked(folder / name, digest) for name, digest in spec.files.items()}
        return cls(folder, spec, contents[MODEL_FILE])

    def session(self, threads: int = 1) -> ort.InferenceSession:
        """An ONNX Runtime session on the CPU.

        Args:
            threads: Threads within one operator.

        Raises:
            ArgumentError: Fewer than one thread.
            InputError: ONNX Runtime cannot load the model.
        """
        return load_session(self.model, self.folder / MODEL_FILE, threads)


def load_session(model: bytes, path: Path, threads: int = 1) -> ort.InferenceSession:
    """An ONNX Runtime session on the CPU for a model's bytes; `path` names it in errors. See `Artifact.session`."""
    if threads < 1:
        raise ArgumentError("threads", f"is {threads}", expected="1 or more")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ONLY_ERRORS
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # The classes that ONNX Runtime raises share no base but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(path, f"cannot be loaded ({reason})", cure=_COPY_AGAIN) from error


def _parsed(path: Path) -> ArtifactSpec:
    try:
        tree = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not valid JSON ({error})", cure=_COPY_AGAIN) from error
    if not isinstance(tree, dict):
        raise InputError(path, f"holds a {type(tree).__name__}", expected="the keys of an artifact's spec")
    _check_known(path, tree, "format_version", (FORMAT_VERSION,), "update Shankha, or export the artifact again")
    _check_known(path, tree, "task", TASKS, "give an artifact for this task")
    _check_known(path, tree, "engine", ENGINES, "export the artifact for an engine that this version runs")
    try:
        # From JSON, not from the parsed tree: a list stands for a tuple there.
        return ArtifactSpec.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InputError(path, validation_faults(error), cure=_COPY_AGAIN) from error


def _check_known(path: Path, tree: dict[str, Any], key: str, known: tuple[Any, ...], cure: str) -> None:
    if key not in tree:
        raise InputError(path, f"lacks the key {key}", cure=_COPY_AGAIN)
    if tree[key] not in known or isinstance(tree[key], bool):
        expected = " or ".join(map(str, known))
        raise InputError(path, f"{key} is {tree[key]!r}", expected=expected, cure=cure)


def _checked(path: Path, expected: str) -> bytes:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(path, f"has sha256 {found[:12]}...", expected=f"{expected[:12]}...", cure=_COPY_AGAIN)
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileAccessError(path, "is missing from the artifact", cure=_COPY_AGAIN) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check its permissions") from error
