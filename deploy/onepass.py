"""One network for two jobs: a counter's head put onto the network of the detector on whose trunk it learnt.

The detector's part stays what it is, operation by operation: its answers are the same to the bit, whether its own
network gives them or the joint one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.runtime.artifact import Artifact
from deploy.runtime.engines import load
from deploy.runtime.spec import DetectionSpec, Graph, Model, Precision

if TYPE_CHECKING:
    from deploy.openvino_int8 import OpenVinoModel

TRUNK: Final = "/neck/down8/merge/merge.2/Mul_output_0"
"""The finest map of the neck, as the exporter names it in both networks: what the heads look at."""
_PREFIX: Final = "count."
_ALIKE: Final = 0.02
"""Share of the greatest value by which maps of one trunk may differ: a detector's file keeps its weights as float16."""


@dataclass(frozen=True)
class SharedTrunk:
    """The artifact of a detector whose trunk a counter has."""

    detector: Artifact[DetectionSpec]

    @classmethod
    def of(cls, detector: Path, counter: bytes, graph: Graph) -> SharedTrunk | None:
        """That of a detector, where a counter has its trunk; else None.

        Args:
            detector: Folder of its artifact.
            counter: The counter's float network, ONNX.
            graph: The counter's ends.
        """
        opened = Artifact.open(detector, "onnxruntime").of(DetectionSpec)
        precisions = {model.precision for model in opened.spec.models}
        if opened.spec.graph.input_shape != graph.input_shape or precisions != {"int8", "float32"}:
            return None
        maps = [_trunk_map(content, detector, graph) for content in (opened.model, counter)]
        theirs, own = maps
        if theirs is None or own is None or theirs.shape != own.shape:
            return None
        alike = float(np.abs(theirs - own).max()) <= _ALIKE * float(np.abs(theirs).max())
        return cls(opened) if alike else None

    def network_hash(self, precision: Precision) -> str:
        """That of the detector's network of that precision."""
        return self.detector.spec.network_hash(self._network(precision))

    def onnx(self, counter: bytes, outputs: Sequence[str]) -> bytes:
        """The detector's float network with the head of the counter's, which has those outputs."""
        whole = onnx.load_from_string(self.detector.model)
        head = onnx.shape_inference.infer_shapes(onnx.load_from_string(counter))
        head = onnx.utils.Extractor(head).extract_model([TRUNK], list(outputs))
        given = list(head.graph.output)
        head = onnx.compose.add_prefix(head, _PREFIX)
        named = {_PREFIX + name: name for name in (TRUNK, *outputs)}
        for node in head.graph.node:
            node.input[:] = [named.get(name, name) for name in node.input]
            node.output[:] = [named.get(name, name) for name in node.output]
        whole.graph.node.extend(head.graph.node)
        whole.graph.initializer.extend(head.graph.initializer)
        whole.graph.output.extend(given)
        onnx.checker.check_model(whole, full_check=True)
        return bytes(whole.SerializeToString())

    def openvino(self, counter: OpenVinoModel) -> OpenVinoModel:
        """The detector's int8 network with the head of the counter's."""
        import openvino  # noqa: PLC0415 - it takes a second to load: only who quantizes waits for it

        network = self._network("int8")
        files = [(self.detector.folder / name).read_bytes() for name in (network.file, network.weights) if name]
        core = openvino.Core()
        whole, head = core.read_model(*files), core.read_model(counter.graph, counter.weights)
        source = _rounded(_trunk_port(whole))
        for target in list(_rounded(_trunk_port(head)).get_target_inputs()):
            target.replace_source_output(source)
        joint = openvino.Model([*whole.get_results(), *head.get_results()], whole.get_parameters(), "joint")
        with tempfile.TemporaryDirectory(prefix="shankha-joint-") as place:
            path = Path(place) / "model.xml"
            openvino.save_model(joint, str(path), compress_to_fp16=False)
            return replace(counter, graph=path.read_bytes(), weights=path.with_suffix(".bin").read_bytes())

    def _network(self, precision: Precision) -> Model:
        return next(model for model in self.detector.spec.models if model.precision == precision)


def _trunk_map(content: bytes, path: Path, graph: Graph) -> NDArray[np.float32] | None:
    """What a float network makes of a picture of noise on the way to its heads; None where it has no such map."""
    model = onnx.load_from_string(content)
    if not any(TRUNK in node.output for node in model.graph.node):
        return None
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(TRUNK, onnx.TensorProto.FLOAT, None))
    noise = np.random.default_rng(1).uniform(0, 255, (1, *graph.input_shape)).astype(np.float32)
    return load("onnxruntime", model.SerializeToString(), path).run(noise)[0]


def _trunk_port(network: Any) -> Any:
    return next(port for node in network.get_ordered_ops() for port in node.outputs() if TRUNK in port.get_names())


def _rounded(port: Any) -> Any:
    """The same numbers as the heads take them: rounded to 8 bits, where the network rounds them for what comes next.

    A head that took them unrounded would make the engine compute the map twice, in float and in 8 bits.
    """
    takers = [target.get_node() for target in port.get_target_inputs()]
    return next((node.output(0) for node in takers if node.get_type_name() == "FakeQuantize"), port)
