"""What the augmentation of crops can do, and how much of it: part of a species recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.values import Share, Strict


class CropAugmentation(Strict):
    """How crops of fish are varied; each number is the strength or the probability of one named part, 0 is off.

    Geometry: `flip` mirrors left and right with that probability. `rotation` (degrees), `scale` and `aspect`
    (logarithms) and `shift` (share of the side) are standard deviations. Scale and aspect are a random resized crop
    that knows that the fish is in the middle. `background` puts the middle of a crop onto what is around another fish,
    with that probability: no species shall be known by its reef.

    Pixels, all probabilities: `attenuation` (red falls first), `haze` (veil light), `uneven_light`, `blur`,
    `low_light` (dark, with the sensor's noise), `exposure` (gamma and contrast), `colour` (hue, saturation, white
    balance), `compression` (JPEG and blocky video). `clean` is the share of crops whose pixels stay as they are.
    """

    clean: Share = 0.2
    flip: Share = 0.5
    rotation: Annotated[float, Field(ge=0, le=90)] = 9.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.15
    aspect: Annotated[float, Field(ge=0, le=1)] = 0.13
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    background: Share = 0.5
    attenuation: Share = 0.1
    haze: Share = 0.15
    uneven_light: Share = 0.2
    blur: Share = 0.2
    low_light: Share = 0.04
    exposure: Share = 0.5
    colour: Share = 0.6
    compression: Share = 0.15

    @classmethod
    def off(cls) -> CropAugmentation:
        """Every part switched off."""
        return cls(**dict.fromkeys(cls.model_fields, 0.0))
