"""The files of a network that looks at frames: float ONNX for every installation, and int8 for OpenVINO beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deploy.graph import half_weights
from deploy.runtime.spec import MODEL_FILE, EngineName, Model

if TYPE_CHECKING:
    from deploy.openvino_int8 import OpenVinoModel

XML_FILE: Final = "int8.xml"
BIN_FILE: Final = "int8.bin"


@dataclass(frozen=True)
class NetworkFiles:
    """What a draft and its artifact share: the networks, the best first, and the contents of their files.

    `method` is how the int8 network was quantized, None where there is none.
    """

    models: tuple[Model, ...]
    contents: Mapping[str, bytes]
    method: str | None = None

    def size(self, model: Model) -> int:
        """Bytes of one network."""
        return sum(len(self.contents[name]) for name in (model.file, model.weights) if name is not None)

    def sizes_text(self) -> str:
        """Precision, engine and size of every network, for a card."""
        told = [f"{one.precision} for {one.engine}, {self.size(one) / 1000:,.0f} kB" for one in self.models]
        return "; ".join(told)

    def training_text(self) -> dict[str, str]:
        """What a spec's `training` says of the quantization, where there is one."""
        if self.method is None:
            return {}
        return {"quantization": f"NNCF {self.method}, int8 weights per channel, decoding in float32"}


def float_files(content: bytes, engine: EngineName) -> NetworkFiles:
    """A float ONNX file, its weights halved, for ONNX Runtime and before it for the engine that is asked for."""
    engines = dict.fromkeys((engine, "onnxruntime"))
    models = tuple(Model(engine=one, precision="float32", file=MODEL_FILE) for one in engines)
    return NetworkFiles(models, {MODEL_FILE: half_weights(content)})


def int8_files(
    plain: NetworkFiles,
    graph: Path,
    calibration: NDArray[np.float32],
    measure: Callable[[NetworkFiles], float],
    reference: float,
    finish: Callable[[OpenVinoModel], OpenVinoModel] | None = None,
) -> NetworkFiles:
    """The float network for ONNX Runtime, and before it the int8 network for OpenVINO.

    Args:
        plain: Files of the float network.
        graph: Its ONNX file.
        calibration: (K, 3, height, width) float32 inputs that the ranges are taken from.
        measure: How good a network of such files is, higher is better; a hundredth less is as good.
        reference: The same of the float network.
        finish: What is done to every quantized network before it is measured and kept.
    """
    # NNCF takes seconds to load: only who quantizes waits for it.
    from deploy.openvino_int8 import quantize_openvino  # noqa: PLC0415

    small = Model(engine="openvino", precision="int8", file=XML_FILE, weights=BIN_FILE)

    def files(made: OpenVinoModel, method: str | None = None) -> NetworkFiles:
        whole = finish(made) if finish else made
        contents = {**plain.contents, XML_FILE: whole.graph, BIN_FILE: whole.weights}
        return NetworkFiles((small, plain.models[-1]), contents, method)

    done = quantize_openvino(graph, calibration, lambda made: measure(files(made)), reference)
    return files(done.model, done.method)
