"""What a made-up underwater clip should show: `ClipSpec`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data.synth.fish_plans import SPECIES

Water = Literal["green", "blue", "grey"]
Bed = Literal["sand", "rubble", "meadow"]
Side = Annotated[int, Field(ge=64, le=3840, multiple_of=2)]

NEAREST_M: Final = 1.0
_FAINTEST: Final = 0.25
MOST_FISH: Final = 200


class Stock(BaseModel):
    """Fish of one species: how many, and whether they swim as one school."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    species: str
    individuals: Annotated[int, Field(ge=1, le=MOST_FISH)] = 1
    school: bool = False

    @field_validator("species")
    @classmethod
    def _known(cls, species: str) -> str:
        if species not in SPECIES:
            raise ValueError(f"no species {species!r}; there are {', '.join(SPECIES)}")
        return species


class ClipSpec(BaseModel):
    """A clip to be rendered.

    `turbidity` is the beam attenuation per metre: 0.1 is clear, 0.6 murky. `roaming` is how far the fish range, in
    widths of the view: at 1 they stay in it, at 2 they are outside half of the time. `farthest_m` is
    the farthest that they swim; in murky water they stay nearer. `snow` counts the particles in
    view, `seagrass` the tufts and `rocks` the rocks that stand before the fish. `sway_degrees` is how far the camera
    rocks, `light` the exposure (1 is day), `noise` the sensor's, in grey levels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "clip"
    size_wh: tuple[Side, Side] = (640, 360)
    fps: Annotated[float, Field(ge=1, le=120)] = 25.0
    seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    stocks: tuple[Stock, ...] = (Stock(species="bream", individuals=4),)
    roaming: Annotated[float, Field(ge=0.5, le=4)] = 1.6
    farthest_m: Annotated[float, Field(ge=2, le=8)] = 8.0
    water: Water = "green"
    bed: Bed = "meadow"
    turbidity: Annotated[float, Field(ge=0.02, le=1.2)] = 0.2
    snow: Annotated[int, Field(ge=0, le=2000)] = 80
    seagrass: Annotated[int, Field(ge=0, le=40)] = 2
    rocks: Annotated[int, Field(ge=0, le=12)] = 1
    sway_degrees: Annotated[float, Field(ge=0, le=5)] = 0.0
    light: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    noise: Annotated[float, Field(ge=0, le=20)] = 3.0

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if sum(stock.individuals for stock in self.stocks) > MOST_FISH:
            raise ValueError(f"more than {MOST_FISH} fish")
        return self

    @property
    def frames(self) -> int:
        """Frames of the clip, at least one."""
        return max(1, round(self.seconds * self.fps))

    @property
    def names(self) -> tuple[str, ...]:
        """The species that occur, in the order of their first stock."""
        return tuple(dict.fromkeys(stock.species for stock in self.stocks))

    @property
    def focal(self) -> float:
        """Focal length in pixels: a view 70 degrees wide."""
        return self.size_wh[0] / 2 / float(np.tan(np.radians(35)))

    @property
    def range_m(self) -> tuple[float, float]:
        """The nearest and the farthest that a fish comes: no farther than a quarter of its contrast is left."""
        visible = -np.log(_FAINTEST) / self.turbidity
        return NEAREST_M, float(np.clip(visible, NEAREST_M + 0.8, self.farthest_m))


_STANDARD: Final = """
- name: 1-clear-few
  stocks: [{species: bream, individuals: 3}]
  turbidity: 0.1
  roaming: 1.2
  snow: 30
  seagrass: 0
  rocks: 0
- name: 2-clear-mixed
  stocks: [{species: bream, individuals: 2}, {species: drummer, individuals: 2}, {species: sergeant, individuals: 3}]
  turbidity: 0.12
  water: blue
  bed: rubble
- name: 3-school
  stocks: [{species: mullet, individuals: 10, school: true}, {species: bream, individuals: 2}]
  turbidity: 0.15
- name: 4-turbid
  stocks: [{species: bream, individuals: 2}, {species: drummer, individuals: 2}, {species: trevally, individuals: 3}]
  turbidity: 0.45
  snow: 250
  water: grey
  bed: sand
- name: 5-occluded
  stocks: [{species: bream, individuals: 2}, {species: drummer, individuals: 2}, {species: wrasse, individuals: 4}]
  seagrass: 12
  rocks: 4
- name: 6-coming-and-going
  stocks: [{species: bream, individuals: 8}, {species: trevally, individuals: 4}]
  roaming: 2.6
  sway_degrees: 1.0
- name: 7-dense-school
  stocks:
  - {species: sergeant, individuals: 26, school: true}
  - {species: damsel, individuals: 8}
  - {species: barracuda, individuals: 3, school: true}
  turbidity: 0.15
  water: blue
  bed: rubble
  rocks: 2
- name: 8-dusk-crowd
  stocks:
  - {species: bream, individuals: 10, school: true}
  - {species: drummer, individuals: 8}
  - {species: mullet, individuals: 12, school: true}
  turbidity: 0.4
  snow: 400
  seagrass: 8
  rocks: 2
  light: 0.55
  noise: 5
  sway_degrees: 1.0
"""


def standard_clips() -> tuple[ClipSpec, ...]:
    """Eight clips of 20 s at 25 frames/s, from a few fish in clear water to schools in murky water behind seagrass."""
    return tuple(ClipSpec.model_validate({"seconds": 20.0, **clip}) for clip in yaml.safe_load(_STANDARD))
