"""The engines that run networks, behind one narrow interface: a float32 batch in, float32 arrays out.

ONNX Runtime is part of every installation. OpenVINO comes with the extra `export`. An engine is loaded with its first
network, so that what only asks about artifacts stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import ArgumentError, InputError, MissingDependencyError
from deploy.runtime.spec import EngineName, Graph

COPY_AGAIN: Final = "copy or export the artifact again"
BLOCK: Final = 8
"""Inputs that OpenVINO takes at once, where so many come."""
_ONLY_ERRORS: Final = 3
_ONNX_FLOAT: Final = "tensor(float)"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Port:
    """An input or output of a loaded network, and every name it goes by: engines join ports that give the same.

    `shape` is without the batch, None where it varies.
    """

    names: frozenset[str]
    shape: tuple[int | None, ...]
    is_float32: bool


class Session(Protocol):
    """A network loaded by an engine. It answers one caller at a time."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def run(self, inputs: Floats) -> tuple[Floats, ...]:
        """(N, ...) float32 -> the graph's outputs in its order, each (N, ...) float32; N is 1 or more."""


class OnnxSession:
    """ONNX Runtime on the CPU; see `load`."""

    def __init__(self, model: bytes, threads: int, outputs: Sequence[str]) -> None:
        ort: Any = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _ONLY_ERRORS
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.inputs = tuple(_onnx_port(port) for port in self._session.get_inputs())
        given = self._session.get_outputs()
        chosen = [given[at] for at in _chosen(outputs, [{port.name} for port in given])]
        self.outputs = tuple(_onnx_port(port) for port in chosen)
        self._names = [port.name for port in chosen]

    def run(self, inputs: Floats) -> tuple[Floats, ...]:
        """See `Session.run`."""
        found = self._session.run(self._names, {self._input: inputs})
        return tuple(np.asarray(array, np.float32) for array in found)


class OpenVinoSession:
    """OpenVINO on the CPU; see `load`.

    Left to itself it would compute in bfloat16 where the processor can, give one stream every core, and pin its
    threads to the first cores, on which several processes would then wait for each other. It fuses more where it knows
    the length of the batch: the network is compiled for one input, and for `BLOCK` when so many first come together.
    What only leads to outputs that are not asked for is left out.
    """

    def __init__(self, model: bytes, weights: bytes | None, threads: int, outputs: Sequence[str]) -> None:
        openvino: Any = import_module("openvino")
        self._core = openvino.Core()
        whole = self._core.read_model(model, weights or b"")
        results = whole.get_results()
        chosen = [results[at] for at in _chosen(outputs, [one.output(0).get_names() for one in results])]
        self._network = openvino.Model(chosen, whole.get_parameters(), whole.get_friendly_name())
        self._settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._requests = {1: self._compiled(1)}
        compiled = self._requests[1].get_compiled_model()
        self.inputs = tuple(_openvino_port(port) for port in compiled.inputs)
        self.outputs = tuple(_openvino_port(port) for port in compiled.outputs)

    def _compiled(self, length: int) -> Any:
        network = self._network.clone()
        network.reshape([length, *list(network.input(0).partial_shape)[1:]])
        return self._core.compile_model(network, "CPU", self._settings).create_infer_request()

    def run(self, inputs: Floats) -> tuple[Floats, ...]:
        """See `Session.run`."""
        whole = len(inputs) // BLOCK * BLOCK
        starts = [*range(0, whole, BLOCK), *range(whole, len(inputs))]
        blocks = [self._run_block(block) for block in np.split(np.ascontiguousarray(inputs), starts[1:])]
        return tuple(np.concatenate(arrays) for arrays in zip(*blocks, strict=True))

    def _run_block(self, block: Floats) -> list[Floats]:
        if len(block) not in self._requests:
            self._requests[len(block)] = self._compiled(len(block))
        request = self._requests[len(block)]
        request.infer([block], share_inputs=True)
        return [np.array(request.get_output_tensor(port).data) for port in range(len(self.outputs))]


def installed(engine: EngineName) -> bool:
    """Whether this installation has the engine; it is looked for, not loaded, which would take tens of megabytes."""
    return find_spec(engine) is not None


def load(
    engine: EngineName,
    model: bytes,
    path: Path,
    *,
    weights: bytes | None = None,
    threads: int = 1,
    outputs: Sequence[str] = (),
) -> Session:
    """A network on the CPU, in float32 but for what its file has quantized.

    Args:
        engine: What runs it.
        model: Content of the network's file.
        path: Names the file in errors.
        weights: Content of the file of weights, where the engine has one.
        threads: Threads within one operator.
        outputs: Names of what it shall answer, in that order; all that there is where one of them is not there, or
            none is given.

    Raises:
        ArgumentError: Fewer than one thread.
        MissingDependencyError: The engine is not installed.
        InputError: The engine cannot load the model.
    """
    if threads < 1:
        raise ArgumentError("threads", f"is {threads}", expected="1 or more")
    if not installed(engine):
        raise missing(engine)
    try:
        if engine == "onnxruntime":
            return OnnxSession(model, threads, outputs)
        return OpenVinoSession(model, weights, threads, outputs)
    # The classes that the engines raise share no base but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(path, f"cannot be loaded ({reason})", cure=COPY_AGAIN) from error


def _chosen(wanted: Sequence[str], found: Sequence[AbstractSet[str]]) -> list[int]:
    """Positions of the outputs of those names, where each is there; else of all."""
    places = {name: at for at, names in enumerate(found) for name in names}
    if wanted and all(name in places for name in wanted):
        return [places[name] for name in wanted]
    return list(range(len(found)))


def missing(engine: EngineName) -> MissingDependencyError:
    """The error to raise where an engine is asked for and not installed."""
    return MissingDependencyError(engine, "is not installed", cure="run uv sync --extra export")


def check_graph(session: Session, graph: Graph, path: Path) -> None:
    """Refuse a network whose ends are not the ones that its spec says.

    Raises:
        InputError: It takes or gives something else.
    """
    right_in = (_right_port(graph.input_name, graph.input_shape),)
    right_out = tuple(_right_port(name, shape) for name, shape in graph.outputs)
    if not (_fit(session.inputs, right_in) and _fit(session.outputs, right_out)):
        raise InputError(
            path,
            f"maps {_ports_text(session.inputs)} to {_ports_text(session.outputs)}",
            expected=f"{_ports_text(right_in)} to {_ports_text(right_out)}",
            cure="export the artifact again",
        )


def _right_port(name: str, shape: tuple[int | None, ...]) -> Port:
    return Port(frozenset({name}), shape, True)


def _fit(found: Sequence[Port], right: Sequence[Port]) -> bool:
    """Whether ports are the right ones; None in a right shape stands for any length."""
    return len(found) == len(right) and all(
        other.names <= one.names
        and one.is_float32
        and len(one.shape) == len(other.shape)
        and all(wanted in {None, side} for side, wanted in zip(one.shape, other.shape, strict=True))
        for one, other in zip(found, right, strict=True)
    )


def _ports_text(ports: Sequence[Port]) -> str:
    texts = []
    for port in ports:
        sides = ", ".join("any" if side is None else str(side) for side in port.shape)
        texts.append(f"{'/'.join(sorted(port.names))} (N, {sides})" + ("" if port.is_float32 else " of another type"))
    return " and ".join(texts) or "nothing"


def _onnx_port(port: Any) -> Port:
    sides = tuple(side if isinstance(side, int) else None for side in port.shape[1:])
    return Port(frozenset({port.name}), sides, port.type == _ONNX_FLOAT)


def _openvino_port(port: Any) -> Port:
    sides = tuple(side.get_length() if side.is_static else None for side in list(port.partial_shape)[1:])
    return Port(frozenset(port.names), sides, port.element_type.to_dtype() == np.float32)
