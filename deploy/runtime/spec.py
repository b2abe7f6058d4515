"""What an artifact's `spec.json` says. Whoever reads an artifact needs nothing beyond this and the files it names.

Every artifact has the common part, `ArtifactSpec`; `task` says which kind it is; see `SPECS`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from data.frames import FramePreprocessing
from data.labels import DIGIT_CLASSES
from data.metrics import ACCEPT_NOTHING
from data.preprocess import DigitPreprocessing

FORMAT_VERSION: Final = 1
SPEC_FILE: Final = "spec.json"
MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "card.md"
TAXONOMY_FILE: Final = "taxonomy.yaml"

EngineName = Literal["onnxruntime", "openvino"]
Precision = Literal["int8", "float32"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""A plain name in the artifact's own folder, never a path that could lead out of it."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
_CONFIG: Final = ConfigDict(extra="forbid", frozen=True)


class Model(BaseModel):
    """A network as one engine runs it: its file, and beside it the file of its weights where the engine wants two."""

    model_config = _CONFIG

    engine: EngineName
    precision: Precision
    file: FileName
    weights: FileName | None = None


class Graph(BaseModel):
    """Names and shapes at a network's two ends; N, the batch, is left out of the shapes.

    The input is (N, *input_shape) float32; each output is (N, *shape) float32, None standing for any length.
    """

    model_config = _CONFIG

    input_name: str
    input_shape: tuple[int, ...]
    outputs: tuple[tuple[str, tuple[int | None, ...]], ...]


class ArtifactSpec(BaseModel, ABC):
    """What every artifact says.

    `training` is for people (data, recipe, seed, date), `metrics` what was measured on the model as shipped, `files`
    the SHA-256 of every other file of the folder.
    """

    model_config = _CONFIG
    engines: ClassVar[tuple[str, ...]]
    """What can run an artifact of this task."""

    format_version: Literal[1] = FORMAT_VERSION
    task: str
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    network: str
    training: Mapping[str, JsonValue] = {}
    metrics: Mapping[str, Finite] = {}
    files: Mapping[FileName, Sha256]

    @property
    @abstractmethod
    def choices(self) -> tuple[Model, ...]:
        """The network for each engine, the best first."""

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """What every one of its models takes and gives."""

    @property
    def own_graph(self) -> Graph:
        """The same without answers to other tasks than its own."""
        return self.graph

    def network_hash(self, model: Model) -> str:
        """What stands for all that decides the answers of one of its networks: of the hashes of its files."""
        digests = [self.files[name] for name in (model.file, model.weights) if name is not None]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @model_validator(mode="after")
    def _models_have_hashes(self) -> ArtifactSpec:
        for model in self.choices:
            for name in (model.file, model.weights):
                if name is not None and name not in self.files:
                    raise ValueError(f"files: {name} is missing")
        return self


class DigitSpec(ArtifactSpec):
    """Everything about a digit model but its weights.

    `temperature` divides the logits before the softmax; `accept_threshold` is the calibrated confidence below which a
    person must look. The graph takes what `data.preprocess.network_input` gives.
    """

    engines = ("onnxruntime",)

    task: Literal["digits"] = "digits"
    engine: Literal["onnxruntime"]
    precision: Precision
    labels: tuple[str, ...] = DIGIT_CLASSES
    preprocessing: DigitPreprocessing
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    accept_threshold: Annotated[float, Field(ge=0, le=ACCEPT_NOTHING)]

    @property
    def choices(self) -> tuple[Model, ...]:
        """One ONNX file."""
        return (Model(engine=self.engine, precision=self.precision, file=MODEL_FILE),)

    @property
    def graph(self) -> Graph:
        """Ink to logits."""
        return digit_graph(self.preprocessing)

    @field_validator("labels")
    @classmethod
    def _labels_are_the_digits(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != DIGIT_CLASSES:
            raise ValueError(f"are {', '.join(value)}, expected {', '.join(DIGIT_CLASSES)}")
        return value


class FrameSpec(ArtifactSpec, ABC):
    """What every artifact says that looks at frames of footage.

    `models` lists the network for each engine, the best first; a float ONNX file, which every installation can run,
    is always among them. The graph takes what `data.frames.frames_input` gives.
    """

    engines = ("openvino", "onnxruntime")

    preprocessing: FramePreprocessing
    models: Annotated[tuple[Model, ...], Field(min_length=1)]

    @property
    def choices(self) -> tuple[Model, ...]:
        """As listed."""
        return self.models

    @model_validator(mode="after")
    def _every_installation_can_run_it(self) -> FrameSpec:
        if not any((model.engine, model.precision) == ("onnxruntime", "float32") for model in self.models):
            raise ValueError("models: none is float32 for onnxruntime")
        return self


class BoxSpec(FrameSpec, ABC):
    """What every artifact says that finds objects in frames.

    A box with a logit l for a label has the score sigmoid(`score_scale` * l + `score_shift`), the calibrated
    probability that it is right (Platt 1999). Of two boxes of one label that overlap by more than `nms_iou` the less
    sure is dropped; boxes below `least_score` are dropped, and from `threshold` a box counts as seen.
    """

    labels: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    score_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    score_shift: Finite
    nms_iou: Annotated[float, Field(ge=0, le=1)]
    least_score: Annotated[float, Field(gt=0, lt=1)]
    threshold: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _what_counts_is_kept(self) -> BoxSpec:
        if self.threshold < self.least_score:
            raise ValueError(f"threshold: {self.threshold:g} lies below least_score {self.least_score:g}")
        return self


class DetectionSpec(BoxSpec):
    """Everything about a detector but its weights."""

    task: Literal["detection"] = "detection"

    @property
    def graph(self) -> Graph:
        """Frames to boxes and logits."""
        return detector_graph(self.preprocessing, len(self.labels))


class SegmentationSpec(BoxSpec):
    """Everything about a network that outlines objects but its weights.

    The network gives `prototypes` maps of the whole input, a pixel for every `mask_stride` input pixels, and for each
    box as many coefficients: a pixel is the object's where the sum of the maps, each times its coefficient, is above 0
    (Bolya et al.: YOLACT, 2019).
    """

    task: Literal["segmentation"] = "segmentation"
    prototypes: Annotated[int, Field(ge=1, le=256)]
    mask_stride: Annotated[int, Field(ge=1, le=32)]

    @property
    def graph(self) -> Graph:
        """Frames to boxes, logits, coefficients and prototypes."""
        return segmenter_graph(self.preprocessing, len(self.labels), self.prototypes, self.mask_stride)


class SpeciesSpec(FrameSpec):
    """Everything about a network that names the fish in crops but its weights.

    `labels` are keys of the artifact's own taxonomy, in the file of that name. A crop is a box widened by
    `crop_margin` of its sides. The logits over `temperature` are the species of a known fish; it is known with the
    probability sigmoid(`known_scale` * familiarity + `known_shift`), and named from `unknown_threshold` up.
    """

    task: Literal["species"] = "species"
    labels: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    crop_margin: Annotated[float, Field(ge=0, le=1)]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    known_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    known_shift: Finite
    unknown_threshold: Annotated[float, Field(ge=0, le=1)]

    @property
    def graph(self) -> Graph:
        """Crops to logits and familiarity."""
        return species_graph(self.preprocessing, len(self.labels))

    @model_validator(mode="after")
    def _taxonomy_is_there(self) -> SpeciesSpec:
        if TAXONOMY_FILE not in self.files:
            raise ValueError(f"files: {TAXONOMY_FILE} is missing")
        return self


class CountingSpec(FrameSpec):
    """Everything about a counter but its weights.

    The network's input is divided into `grid_wh` cells, across and down, and the network says how many objects have
    their middle in each; 1 x 1 cells are a network that counts the whole frame at once and places nothing. What each of
    `models` says is multiplied by its own of `scales`, so that all count alike. Cells below `least_density` are then
    background and count nothing; the count of a frame is the sum of the others whose middle lies in the frame. From a
    count of `dense_from` up it errs less than counting boxes (None: never).

    A counter may look at the maps that a detector makes. Its networks then also answer what the networks of that
    detector do, to the bit: `detectors` are their hashes (`ArtifactSpec.network_hash`), one for each of `models`.
    """

    task: Literal["counting"] = "counting"
    grid_wh: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    scales: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    least_density: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    dense_from: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    detectors: tuple[Sha256, ...] = ()

    @property
    def graph(self) -> Graph:
        """Frames to the density of objects, and before it to the answers of a detector where it has one's."""
        own = self.own_graph
        if not self.detectors:
            return own
        found = detector_graph(self.preprocessing, None)
        return own.model_copy(update={"outputs": (*found.outputs, *own.outputs)})

    @property
    def own_graph(self) -> Graph:
        """Frames to the density of objects."""
        return counting_graph(self.preprocessing, self.grid_wh)

    @model_validator(mode="after")
    def _every_model_has_its_own(self) -> CountingSpec:
        expected = f"expected one for each of {len(self.models)} models"
        if len(self.scales) != len(self.models):
            raise ValueError(f"scales: are {len(self.scales)}, {expected}")
        if self.detectors and len(self.detectors) != len(self.models):
            raise ValueError(f"detectors: are {len(self.detectors)}, {expected}")
        return self


SPECS: Final[Mapping[str, type[DigitSpec] | type[FrameSpec]]] = MappingProxyType(
    {
        "digits": DigitSpec,
        "detection": DetectionSpec,
        "segmentation": SegmentationSpec,
        "species": SpeciesSpec,
        "counting": CountingSpec,
    }
)
"""The kind of spec of each task."""
SpecT_co = TypeVar("SpecT_co", bound=ArtifactSpec, covariant=True)
KindT = TypeVar("KindT", bound=ArtifactSpec)


def digit_graph(preprocessing: DigitPreprocessing) -> Graph:
    """`ink` (N, 1, size, size) -> `logits` (N, classes)."""
    shape = 1, preprocessing.size, preprocessing.size
    return Graph(input_name="ink", input_shape=shape, outputs=(("logits", (len(DIGIT_CLASSES),)),))


def detector_graph(preprocessing: FramePreprocessing, labels: int | None) -> Graph:
    """`frames` (N, 3, height, width) -> `boxes` (N, A, 4) xyxy in input pixels and `logits` (N, A, labels).

    `labels` is None where they may be any number.
    """
    width, height = preprocessing.size_wh
    outputs = ("boxes", (None, 4)), ("logits", (None, labels))
    return Graph(input_name="frames", input_shape=(3, height, width), outputs=outputs)


def segmenter_graph(preprocessing: FramePreprocessing, labels: int, prototypes: int, mask_stride: int) -> Graph:
    """As `detector_graph`, and `coefficients` (N, A, P) and `prototypes` (N, P, height / stride, width / stride)."""
    plain = detector_graph(preprocessing, labels)
    width, height = preprocessing.size_wh
    maps = prototypes, height // mask_stride, width // mask_stride
    masks = ("coefficients", (None, prototypes)), ("prototypes", maps)
    return plain.model_copy(update={"outputs": (*plain.outputs, *masks)})


def species_graph(preprocessing: FramePreprocessing, labels: int) -> Graph:
    """`crops` (N, 3, height, width) -> `logits` (N, labels) and `familiarity` (N, 1)."""
    width, height = preprocessing.size_wh
    outputs = ("logits", (labels,)), ("familiarity", (1,))
    return Graph(input_name="crops", input_shape=(3, height, width), outputs=outputs)


def counting_graph(preprocessing: FramePreprocessing, grid_wh: tuple[int, int]) -> Graph:
    """`frames` (N, 3, height, width) -> `density` (N, rows, columns), objects in each cell of the input."""
    width, height = preprocessing.size_wh
    columns, rows = grid_wh
    return Graph(input_name="frames", input_shape=(3, height, width), outputs=(("density", (rows, columns)),))
