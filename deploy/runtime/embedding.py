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
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.errors import InputError, MissingDependencyError
from data.frames import FramePreprocessing, check_frames, fit_frame, frames_input, place_frame
from data.preprocess import Image, Polarity, ink_batch, network_input
from data.species import crops_around
from deploy.runtime import digits, species
from deploy.runtime.artifact import Artifact
from deploy.runtime.engines import COPY_AGAIN, Session, load
from deploy.runtime.graphs import before_last_layer, last_layers, level_maps
from deploy.runtime.spec import ArtifactSpec, DigitSpec, FrameSpec, SpeciesSpec

Floats = NDArray[np.float32]

_LOGITS: Final = "logits"
_BATCHES: Final = {"digits": digits.BATCH, "species": species.BATCH}
_FRAMES: Final = 8
_LEAST_WIDTH: Final = 1e-3
"""Of a cell: a box narrower than that, or beyond the frame, is taken for a line so wide."""


@dataclass(frozen=True)
class Prepared:
    """Pictures ready for the network: its `inputs` (N, ...) float32, and `sizes_wh`, the N pictures' own sizes."""

    inputs: Floats
    sizes_wh: tuple[tuple[int, int], ...]


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
        self.batch = _BATCHES.get(spec.task, _FRAMES)
        """Pictures that had best be looked at together."""
        self._of_whole = isinstance(spec, DigitSpec | SpeciesSpec)
        self._outputs = len(spec.graph.outputs)
        self._session = self._tapped(threads)
        taken = self._taken(np.zeros((1, *spec.graph.input_shape), np.float32))
        self.width = taken[0].size if self._of_whole else sum(one.shape[1] for one in taken)
        """D, the length of an embedding."""

    def prepare(self, images: Sequence[Image], polarity: Polarity = "auto") -> Prepared:
        """Make the network's inputs; the network is not used, so that another thread may do it meanwhile.

        Args:
            images: N pictures of any sizes, uint8: one digit each, (H, W) or (H, W, 3) BGR; else (H, W, 3) BGR. N
                is 1 or more.
            polarity: Whether the ink of digits is dark or light.

        Raises:
            InputError: A picture is none.
        """
        spec = self.artifact.spec
        sizes_wh = tuple((image.shape[1], image.shape[0]) for image in images)
        if isinstance(spec, DigitSpec):
            return Prepared(
                network_input(ink_batch(images, spec.preprocessing, polarity), spec.preprocessing), sizes_wh
            )
        check_frames(images)
        fitted = np.stack([fit_frame(image, self._preprocessing) for image in images])
        return Prepared(frames_input(fitted, self._preprocessing), sizes_wh)

    def look(self, prepared: Prepared) -> Looked:
        """Embed whole pictures, and keep what the network answered.

        Raises:
            InputError: The network answers with what is no number.
        """
        found = self._run(prepared.inputs)
        outputs, taken = found[: self._outputs], found[self._outputs :]
        if self._of_whole:
            return Looked(taken[0].reshape(len(prepared.inputs), -1), outputs)
        rows = [
            _within([one[number] for one in taken], size_wh, _whole(size_wh), self._preprocessing)
            for number, size_wh in enumerate(prepared.sizes_wh)
        ]
        return Looked(np.concatenate(rows), outputs)

    def pictures(self, images: Sequence[Image], polarity: Polarity = "auto") -> Floats:
        """(N, D) float32 embeddings of whole pictures; arguments and errors as `prepare` and `look`, N may be 0."""
        parts = [self.look(self.prepare(batch, polarity)).embeddings for batch in _batches(images, self.batch)]
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
        if self._of_whole:
            margin = spec.crop_margin if isinstance(spec, SpeciesSpec) else 0.0
            return self.pictures(crops_around(frame, xyxy, margin))
        if not len(xyxy):
            return np.zeros((0, self.width), np.float32)
        prepared = self.prepare([frame])
        maps = [one[0] for one in self._taken(prepared.inputs)]
        return _within(maps, prepared.sizes_wh[0], xyxy, self._preprocessing)

    @property
    def _preprocessing(self) -> FramePreprocessing:
        spec = self.artifact.spec
        if not isinstance(spec, FrameSpec):
            raise TypeError(f"{type(spec).__name__} prepares no frames")
        return spec.preprocessing

    @property
    def _path(self) -> Path:
        return self.artifact.folder / self.artifact.choice.file

    def _tapped(self, threads: int) -> Session:
        """The network with further outputs."""
        model = _parsed(self.artifact.model, self._path)
        names = before_last_layer(model, _LOGITS) if self._of_whole else self._maps(model)
        if not names:
            raise InputError(self._path, "has no layer whose input could be taken", cure="export the artifact again")
        return load("onnxruntime", _with_outputs(model, names), self._path, threads=threads)

    def _maps(self, model: Any) -> tuple[str, ...]:
        """The last maps of each size; sizes are known when the network has run once."""
        finals = last_layers(model)
        probe = load("onnxruntime", _with_outputs(model, [name for name, _ in finals]), self._path)
        answers = probe.run(np.zeros((1, *self.artifact.spec.graph.input_shape), np.float32))
        return level_maps(model, finals, [array.shape[2:] for array in answers[self._outputs :]])

    def _run(self, inputs: Floats) -> tuple[Floats, ...]:
        found = self._session.run(inputs)
        if not all(np.isfinite(array).all() for array in found):
            raise InputError(self._path, "answers with what is no number", cure="export the artifact again")
        return found

    def _taken(self, inputs: Floats) -> tuple[Floats, ...]:
        return self._run(inputs)[self._outputs :]


def _batches(images: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _parsed(content: bytes, path: Path) -> Any:
    try:
        onnx: Any = import_module("onnx")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("onnx", "is not installed", cure="run uv sync --extra curate") from error
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # the package's own errors and protobuf's share no base
        raise InputError(path, "is no ONNX graph", cure=COPY_AGAIN) from error


def _with_outputs(model: Any, names: Sequence[str]) -> bytes:
    """The graph with further float outputs of any shape."""
    onnx: Any = import_module("onnx")
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    for name in names:
        edited.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return bytes(edited.SerializeToString())


def _whole(size_wh: tuple[int, int]) -> Boxes:
    return np.array([[0, 0, *size_wh]], np.float32)


def _within(maps: Sequence[Floats], size_wh: tuple[int, int], xyxy: Boxes, spec: FramePreprocessing) -> Floats:
    """(n, D) means of the maps (C, h, w) of a frame within boxes, every cell counted by the part of it inside."""
    boxes = place_frame(size_wh, spec).to_input(xyxy)
    parts = []
    for one in maps:
        cells = one.shape[2] / spec.size_wh[0], one.shape[1] / spec.size_wh[1]
        across = _shares(boxes[:, 0::2] * cells[0], one.shape[2])
        down = _shares(boxes[:, 1::2] * cells[1], one.shape[1])
        # Rows first: no array becomes larger than (n, C, w).
        rows = np.tensordot(down, one, axes=([1], [1]))
        parts.append(np.einsum("ncw,nw->nc", rows, across))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _shares(ends: NDArray[np.floating[Any]], cells: int) -> NDArray[np.float64]:
    """(n, 2) from and to, in cells -> (n, cells) share that each cell has in the stretch between; rows sum to 1."""
    low = np.clip(ends[:, :1].astype(np.float64), 0, cells - _LEAST_WIDTH)
    high = np.clip(np.maximum(ends[:, 1:], low + _LEAST_WIDTH), 0, cells)
    first = np.arange(cells)
    shared = np.clip(np.minimum(high, first + 1) - np.maximum(low, first), 0, None)
    return np.asarray(shared / shared.sum(axis=1, keepdims=True), np.float64)
