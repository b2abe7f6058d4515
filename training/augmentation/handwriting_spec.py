"""How strongly handwriting is varied; a part of a digit recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.values import Share, Strict


class HandwritingAugmentation(Strict):
    """How handwriting is varied; each number is the strength or the probability of one named part. 0 switches it off.

    Angles in degrees; `scale` and `aspect` as standard deviations of the log; the others are probabilities. `clean`
    is the share of digits that are only turned, sheared and stretched: as datasets have them, no pen, paper or camera.
    """

    clean: Share = 0.25
    rotation: Annotated[float, Field(ge=0, le=45)] = 10.0
    shear: Annotated[float, Field(ge=0, le=45)] = 12.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.15
    aspect: Annotated[float, Field(ge=0, le=1)] = 0.22
    elastic: Share = 0.4
    perspective: Share = 0.2
    stroke_thickness: Share = 0.5
    sharpen: Share = 0.6
    border_remains: Share = 0.12
    neighbour_strokes: Share = 0.08
    specks: Share = 0.1
    smear: Share = 0.04
    uneven_light: Share = 0.3
    blur: Share = 0.25
    noise: Share = 0.3
    jpeg: Share = 0.2
    low_resolution: Share = 0.2
