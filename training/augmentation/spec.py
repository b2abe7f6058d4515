"""What the augmentation of underwater scenes can do, and how much of it: part of a detection recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.values import Share, Strict


class SceneAugmentation(Strict):
    """How underwater pictures are varied; each number is the strength or the probability of one named part.

    0 switches a part off; with all at 0 a scene is the picture as `data.frames.fit_frame` lays it. Where a part is
    a probability, how strongly it acts is drawn anew for every scene.

    Geometry: `clean` is the share of scenes that are at most mirrored: what the camera and the dataset gave. `flip`
    mirrors left and right. `scale` is the range of the random size as a logarithm: a picture is laid between
    exp(-0.4 scale) and exp(scale) times the size that just fits, and the window falls on a fish. `rotation` is the
    largest angle in degrees. `mosaic`, `mixup` and `copy_paste` are probabilities. `emptied` is the share of scenes
    that begin with what is left of a clip's frames when all that moves is taken out, where cameras stand still.

    Pixels, all probabilities: `attenuation` (red falls first), `haze` (veil light), `snow` (marine snow), `caustics`,
    `uneven_light`, `blur`, `low_light` (dark, with the sensor's noise), `exposure` (gamma and contrast), `colour`
    (hue, saturation, white balance), `compression` (JPEG and blocky video).
    """

    clean: Share = 0.15
    flip: Share = 0.5
    scale: Annotated[float, Field(ge=0, le=2)] = 0.7
    rotation: Annotated[float, Field(ge=0, le=20)] = 4.0
    mosaic: Share = 0.4
    mixup: Share = 0.05
    copy_paste: Share = 0.3
    emptied: Share = 0.0
    attenuation: Share = 0.35
    haze: Share = 0.3
    snow: Share = 0.25
    caustics: Share = 0.12
    uneven_light: Share = 0.3
    blur: Share = 0.2
    low_light: Share = 0.12
    exposure: Share = 0.4
    colour: Share = 0.4
    compression: Share = 0.25

    @classmethod
    def off(cls) -> SceneAugmentation:
        """Every part switched off."""
        return cls(**dict.fromkeys(cls.model_fields, 0.0))
