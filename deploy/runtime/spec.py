"""What an artifact's `spec.json` says. Whoever reads an artifact needs nothing beyond this and the files it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from data.labels import DIGIT_CLASSES
from data.metrics import ACCEPT_NOTHING
from data.preprocess import DigitPreprocessing

FORMAT_VERSION: Final = 1
TASKS: Final = ("digits",)
ENGINES: Final = ("onnxruntime",)
SPEC_FILE: Final = "spec.json"
MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "card.md"
INPUT_NAME: Final = "ink"
"""Name of the graph's input, (N, 1, size, size) float32 as `data.preprocess.network_input` gives it."""
OUTPUT_NAME: Final = "logits"
"""Name of the graph's output, (N, classes) float32."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""A plain name in the artifact's own folder, never a path that could lead out of it."""
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ArtifactSpec(BaseModel):
    """Everything about a digit model but its weights.

    `temperature` divides the logits before the softmax; `accept_threshold` is the calibrated confidence below which a
    person must look. `training` is for people (data, recipe, seed, date), `metrics` what was measured on the model
    as shipped, `files` the SHA-256 of every other file of the folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    task: Literal["digits"] = "digits"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    engine: Literal["onnxruntime"] = "onnxruntime"
    network: str
    precision: Literal["int8", "float32"]
    labels: tuple[str, ...] = DIGIT_CLASSES
    preprocessing: DigitPreprocessing
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    accept_threshold: Annotated[float, Field(ge=0, le=ACCEPT_NOTHING)]
    training: Mapping[str, JsonValue] = {}
    metrics: Mapping[str, Finite] = {}
    files: Mapping[FileName, Sha256]

    @field_validator("labels")
    @classmethod
    def _labels_are_the_digits(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != DIGIT_CLASSES:
            raise ValueError(f"are {', '.join(value)}, expected {', '.join(DIGIT_CLASSES)}")
        return value

    @model_validator(mode="after")
    def _the_model_has_a_hash(self) -> ArtifactSpec:
        if MODEL_FILE not in self.files:
            raise ValueError(f"files: {MODEL_FILE} is missing")
        return self
