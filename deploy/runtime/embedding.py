"""What a network makes of pictures before it answers: numbers by which pictures can be compared.

Whatever the artifact is for, its ONNX network is run, with the numbers of one place in it as further outputs:

- Networks that name a whole picture (digits, species): what their last layer takes. That layer's weights times the
  embedding, plus its bias, are the logits; embeddings are therefore left as they come, of any length. Whoever asks
  only how alike two pictures are compares directions (cosine).
- Networks that look for places in frames (detection, segmentation, counting): for each size of map that they answer
  on, the last map which everything that they say of that size passes through, averaged over the frame, or over a box.

The graph is edited with the package `onnx`, which the extra `curate` brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.errors import InputError, MissingDependencyError
from data.frames import check_frames, fit_frame, frames_input, place_frame
from data.preprocess import Image, Polarity, ink_batch, network_input
from data.species import crops_around
from deploy.runtime.artifact import Artifact
from deploy.runtime.engines import Session, load
from deploy.runtime.graphs import before_last_layer, last_layers, level_maps
from deploy.runtime.spec import ArtifactSpec, DigitSpec, FrameSpec, SpeciesSpec

Floats = NDArray[np.float32]

_LOGITS: Final = "logits"
_BATCHES: Final = {"digits": 256, "species": 32}
_FRAMES: Final = 8
_LEAST_PIECE: Final = 1e-3
"""Of a cell: a box narrower than that, or beyond the frame, is taken for a line so wide."""


@dataclass(frozen=True)
class Looked:
    """What a network made of N pictures: `embeddings` (N, D) float32, and the `outputs` that its spec names."""

    embeddings: Floats
    outputs: tuple[Floats, ...]


class Embedder:
    """Embeds pictures with an artifact.

    Args:
        artifact: Any opened artifact. Its ONNX network is run, whichever of its networks was chosen.
        threads: Threads of the network; everything else runs in the calling thread.

    Raises:
        MissingDependencyError: The package `onnx` is not installed.
        InputError: The model cannot be loaded, or has no layer whose input could be taken.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1) -> None:
        self.artifact = Artifact.open(artifact.folder, "onnxruntime")
        self.answers = artifact.choice == self.artifact.choice
        """Whether `Looked.outputs` are what the artifact as it was given answers: it runs the same network."""
        spec = self.artifact.spec
        self._names_pictures = isinstance(spec, DigitSpec | SpeciesSpec)
        self._batch = _BATCHES.get(spec.task, _FRAMES)
        self._outputs = len(spec.graph.outputs)
        self._session = self._tapped(threads)
        blank = np.zeros((1, *spec.graph.input_shape), np.float32)
        self.width = sum(taken.shape[1] for taken in self._session.run(blank)[self._outputs :])
        """D, the length of an embedding."""

    def look(self, images: Sequence[Image], polarity: Polarity = "auto") -> Looked:
        """Embed whole pictures, and keep what the network answered.

        Args:
            images: N pictures of any sizes, uint8: one digit each, (H, W) or (H, W, 3) BGR; else (H, W, 3) BGR. N may
                be 0.
            polarity: Whether the ink of digits is dark or light.

        Raises:
            InputError: A picture is none, or the network answers with what is no number.
        """
        parts = [self._looked(batch, polarity) for batch in _batches(images, self._batch)]
        if not parts:
            shapes = [tuple(side or 0 for side in shape) for _, shape in self.artifact.spec.graph.outputs]
            outputs = tuple(np.zeros((0, *shape), np.float32) for shape in shapes)
            return Looked(np.zeros((0, self.width), np.float32), outputs)
        columns = zip(*(part.outputs for part in parts), strict=True)
        outputs = tuple(np.concatenate(column) for column in columns)
        return Looked(np.concatenate([part.embeddings for part in parts]), outputs)

    def pictures(self, images: Sequence[Image], polarity: Polarity = "auto") -> Floats:
        """(N, D) float32 embeddings of whole pictures; arguments and errors as `look`."""
        parts = [self._looked(batch, polarity).embeddings for batch in _batches(images, self._batch)]
        return np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def boxes(self, frame: Image, xyxy: Boxes) -> Floats:
        """(n, D) float32 embeddings of what lies in boxes of a frame.

        Species networks are shown the crops that they learnt from, digit networks the box alone; of the maps of the
        others the part within the box is averaged.

        Args:
            frame: (H, W, 3) BGR uint8.
            xyxy: (n, 4) in pixels of the frame. n may be 0.

        Raises:
            InputError: The frame is none, or the network answers with what is no number.
        """
        spec = self.artifact.spec
        check_frames([frame])
        if self._names_pictures:
            margin = spec.crop_margin if isinstance(spec, SpeciesSpec) else 0.0
            return self.pictures(crops_around(frame, xyxy, margin))
        if not len(xyxy):
            return np.zeros((0, self.width), np.float32)
        maps = self._run(self._inputs([frame], "auto"))[self._outputs :]
        return _within(maps, frame, xyxy, spec)

    def _tapped(self, threads: int) -> Session:
        """The network with further outputs."""
        folder, choice = self.artifact.folder, self.artifact.choice
        path = folder / choice.file
        model = _parsed(self.artifact.model, path)
        if self._names_pictures:
            taken = before_last_layer(model, _LOGITS)
        else:
            finals = last_layers(model)
            probe = load("onnxruntime", _with_outputs(model, [name for name, _ in finals]), path)
            blank = np.zeros((1, *self.artifact.spec.graph.input_shape), np.float32)
            shapes = [array.shape[2:] for array in probe.run(blank)[self._outputs :]]
            taken = level_maps(model, finals, shapes)
        if not taken:
            raise InputError(path, "has no layer whose input could be taken", cure="export the artifact again")
        return load("onnxruntime", _with_outputs(model, taken), path, threads=threads)

    def _inputs(self, images: Sequence[Image], polarity: Polarity) -> Floats:
        spec = self.artifact.spec
        if isinstance(spec, DigitSpec):
            return network_input(ink_batch(images, spec.preprocessing, polarity), spec.preprocessing)
        if not isinstance(spec, FrameSpec):
            raise TypeError(f"{type(spec).__name__} has no preprocessing known here")
        check_frames(images)
        return frames_input(np.stack([fit_frame(image, spec.preprocessing) for image in images]), spec.preprocessing)

    def _run(self, inputs: Floats) -> tuple[Floats, ...]:
        found = self._session.run(inputs)
        if not all(np.isfinite(array).all() for array in found):
            path = self.artifact.folder / self.artifact.choice.file
            raise InputError(path, "answers with what is no number", cure="export the artifact again")
        return found

    def _looked(self, images: Sequence[Image], polarity: Polarity) -> Looked:
        found = self._run(self._inputs(images, polarity))
        outputs, taken = found[: self._outputs], found[self._outputs :]
        if self._names_pictures:
            return Looked(taken[0].reshape(len(images), -1), outputs)
        spec = self.artifact.spec
        rows = []
        for number, image in enumerate(images):
            whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            rows.append(_within([one[number : number + 1] for one in taken], image, whole, spec))
        return Looked(np.concatenate(rows), outputs)


def _batches(images: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _parsed(content: bytes, path: Any) -> Any:
    try:
        onnx: Any = import_module("onnx")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("onnx", "is not installed", cure="run uv sync --extra curate") from error
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # the package's own and protobuf's share no base
        raise InputError(path, "is no ONNX graph", cure="export the artifact again") from error


def _with_outputs(model: Any, names: Sequence[str]) -> bytes:
    """The graph with further float outputs of any shape."""
    onnx: Any = import_module("onnx")
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    for name in names:
        edited.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return bytes(edited.SerializeToString())


def _within(maps: Sequence[Floats], frame: Image, xyxy: Boxes, spec: ArtifactSpec) -> Floats:
    """(n, D) means of the maps (1, C, h, w) of a frame within boxes, every cell counted by the part that is inside."""
    if not isinstance(spec, FrameSpec):
        raise TypeError(f"{type(spec).__name__} is not of frames")
    size_wh = spec.preprocessing.size_wh
    boxes = place_frame((frame.shape[1], frame.shape[0]), spec.preprocessing).to_input(xyxy)
    parts = []
    for one in maps:
        channels, height, width = one.shape[1:]
        across = _shares(boxes[:, 0::2] * (width / size_wh[0]), width)
        down = _shares(boxes[:, 1::2] * (height / size_wh[1]), height)
        # (n, h) by (C, h, w) by (n, w), rows first: no array is larger than (n, C, w).
        rows = np.tensordot(down, one[0], axes=([1], [1]))
        parts.append(np.einsum("ncw,nw->nc", rows, across).reshape(-1, channels))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _shares(ends: NDArray[np.floating[Any]], cells: int) -> NDArray[np.float64]:
    """(n, 2) from and to, in cells -> (n, cells) share that each cell has in the stretch between; rows sum to 1."""
    low = np.clip(ends[:, :1].astype(np.float64), 0, cells - _LEAST_PIECE)
    high = np.clip(np.maximum(ends[:, 1:], low + _LEAST_PIECE), 0, cells)
    first = np.arange(cells)
    shared = np.clip(np.minimum(high, first + 1) - np.maximum(low, first), 0, None)
    return np.asarray(shared / shared.sum(axis=1, keepdims=True), np.float64)
