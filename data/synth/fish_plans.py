"""How the made-up fish are built and coloured: one `FishPlan` a species.

Lengths are shares of the total length; along the body they run from the snout (0) to the end of the tail (1), above
and below the body's axis outwards. No plan copies an animal; they cover the ways that fish are built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Colour = tuple[int, int, int]
"""BGR, as the fish looks in white light."""
Profile = tuple[tuple[float, float], ...]
"""(along the body, distance from the axis), from the snout to the root of the tail."""
Pattern = Literal["plain", "bars", "stripes", "spots", "mottled", "mask"]


@dataclass(frozen=True)
class Fin:
    """A fin along the back or the belly, from `start` to `end`, `front` high before and `back` high behind.

    `sweep` says how far its upper edge lies behind its root.
    """

    start: float
    end: float
    front: float
    back: float
    sweep: float = 0.05


@dataclass(frozen=True)
class Tail:
    """The tail fin: its root is at `root` of the length, it spans `span`, and is cut out in the middle by `fork`.

    `fork` is a share of the fin's length; negative for a rounded tail.
    """

    root: float
    span: float
    fork: float


@dataclass(frozen=True)
class FishPlan:
    """A species: its build, colours and way of life.

    `length_m` is the usual total length and its spread, `width` the thickness seen from ahead (share of the length),
    `speed` the cruising speed in lengths per second, `heights_m` the lowest and highest swimming height over the bed.
    `eye` is where the eye lies (along, above the axis) and its radius. `pattern_scale` counts bars, stripes or spots
    along the body.
    """

    species: str
    length_m: tuple[float, float]
    width: float
    speed: float
    heights_m: tuple[float, float]
    upper: Profile
    lower: Profile
    tail: Tail
    dorsal: tuple[Fin, ...]
    anal: tuple[Fin, ...]
    pelvic: Fin
    eye: tuple[float, float, float]
    back: Colour
    flank: Colour
    belly: Colour
    fins: Colour
    tail_fin: Colour
    pattern: Pattern
    pattern_colour: Colour
    pattern_scale: float
    pattern_strength: float
    sheen: float


# Tables of numbers, a part of the body a line.
# fmt: off
BREAM: Final = FishPlan(
    "bream", length_m=(0.3, 0.05), width=0.15, speed=0.8, heights_m=(0.15, 1.3),
    upper=((0, 0), (0.06, 0.07), (0.14, 0.125), (0.25, 0.175), (0.36, 0.19), (0.5, 0.165), (0.65, 0.1),
           (0.75, 0.05), (0.8, 0.04)),
    lower=((0, 0.012), (0.05, 0.06), (0.15, 0.115), (0.3, 0.15), (0.42, 0.155), (0.56, 0.125), (0.68, 0.075),
           (0.76, 0.042), (0.8, 0.04)),
    tail=Tail(0.79, 0.3, 0.5), pelvic=Fin(0.32, 0.38, 0.1, 0.02, 0.1), eye=(0.105, 0.055, 0.024),
    dorsal=(Fin(0.26, 0.72, 0.085, 0.045, 0.04),),
    anal=(Fin(0.55, 0.72, 0.07, 0.03, 0.05),),
    back=(88, 92, 88), flank=(172, 178, 176), belly=(214, 218, 218), fins=(96, 118, 124), tail_fin=(92, 104, 106),
    pattern="bars", pattern_colour=(104, 106, 104), pattern_scale=7, pattern_strength=0.22, sheen=0.8,
)
DRUMMER: Final = FishPlan(
    "drummer", length_m=(0.34, 0.06), width=0.16, speed=0.65, heights_m=(0.1, 0.9),
    upper=((0, 0), (0.03, 0.05), (0.1, 0.105), (0.22, 0.155), (0.36, 0.172), (0.52, 0.148), (0.66, 0.096),
           (0.77, 0.054), (0.81, 0.052)),
    lower=((0, 0.012), (0.04, 0.06), (0.14, 0.115), (0.3, 0.155), (0.44, 0.158), (0.58, 0.125), (0.7, 0.08),
           (0.78, 0.054), (0.81, 0.052)),
    tail=Tail(0.8, 0.27, 0.22), pelvic=Fin(0.33, 0.4, 0.09, 0.02, 0.08), eye=(0.095, 0.048, 0.02),
    dorsal=(Fin(0.28, 0.55, 0.05, 0.055, 0.03), Fin(0.54, 0.74, 0.08, 0.03, 0.06)),
    anal=(Fin(0.53, 0.73, 0.075, 0.03, 0.06),),
    back=(58, 66, 66), flank=(104, 116, 114), belly=(150, 160, 158), fins=(56, 64, 64), tail_fin=(58, 66, 64),
    pattern="bars", pattern_colour=(46, 52, 54), pattern_scale=11, pattern_strength=0.5, sheen=0.25,
)
MULLET: Final = FishPlan(
    "mullet", length_m=(0.36, 0.06), width=0.13, speed=1.1, heights_m=(0.15, 1.2),
    upper=((0, 0.004), (0.04, 0.03), (0.12, 0.06), (0.25, 0.085), (0.4, 0.092), (0.55, 0.08), (0.7, 0.053),
           (0.78, 0.04), (0.82, 0.04)),
    lower=((0, 0.006), (0.04, 0.036), (0.12, 0.068), (0.27, 0.098), (0.42, 0.104), (0.56, 0.088), (0.7, 0.056),
           (0.78, 0.04), (0.82, 0.04)),
    tail=Tail(0.81, 0.23, 0.55), pelvic=Fin(0.33, 0.38, 0.06, 0.012, 0.07), eye=(0.07, 0.016, 0.016),
    dorsal=(Fin(0.4, 0.49, 0.075, 0.015, 0.06), Fin(0.62, 0.72, 0.065, 0.02, 0.06)),
    anal=(Fin(0.6, 0.71, 0.065, 0.02, 0.06),),
    back=(84, 94, 90), flank=(176, 182, 178), belly=(224, 226, 224), fins=(122, 134, 130), tail_fin=(96, 108, 104),
    pattern="stripes", pattern_colour=(110, 118, 112), pattern_scale=6, pattern_strength=0.35, sheen=1.0,
)
BARRACUDA: Final = FishPlan(
    "barracuda", length_m=(0.55, 0.1), width=0.09, speed=0.8, heights_m=(0.3, 1.6),
    upper=((0, 0.003), (0.06, 0.014), (0.15, 0.034), (0.3, 0.05), (0.45, 0.055), (0.6, 0.05), (0.75, 0.034),
           (0.84, 0.024), (0.87, 0.024)),
    lower=((0, 0.01), (0.06, 0.022), (0.15, 0.036), (0.3, 0.052), (0.48, 0.056), (0.62, 0.05), (0.75, 0.034),
           (0.84, 0.024), (0.87, 0.024)),
    tail=Tail(0.865, 0.17, 0.6), pelvic=Fin(0.38, 0.42, 0.03, 0.008, 0.04), eye=(0.105, 0.012, 0.012),
    dorsal=(Fin(0.42, 0.48, 0.045, 0.01, 0.04), Fin(0.66, 0.73, 0.05, 0.012, 0.05)),
    anal=(Fin(0.66, 0.74, 0.05, 0.012, 0.05),),
    back=(92, 104, 92), flank=(168, 178, 172), belly=(222, 224, 222), fins=(84, 150, 158), tail_fin=(70, 148, 160),
    pattern="stripes", pattern_colour=(64, 96, 92), pattern_scale=3, pattern_strength=0.6, sheen=0.9,
)
WRASSE: Final = FishPlan(
    "wrasse", length_m=(0.24, 0.05), width=0.12, speed=0.8, heights_m=(0.06, 0.6),
    upper=((0, 0), (0.04, 0.03), (0.12, 0.07), (0.26, 0.105), (0.42, 0.112), (0.58, 0.1), (0.72, 0.07),
           (0.8, 0.06), (0.83, 0.06)),
    lower=((0, 0.01), (0.04, 0.04), (0.12, 0.078), (0.28, 0.112), (0.44, 0.116), (0.6, 0.1), (0.73, 0.07),
           (0.8, 0.06), (0.83, 0.06)),
    tail=Tail(0.82, 0.17, -0.22), pelvic=Fin(0.31, 0.36, 0.06, 0.012, 0.06), eye=(0.095, 0.03, 0.018),
    dorsal=(Fin(0.27, 0.76, 0.04, 0.055, 0.02),),
    anal=(Fin(0.53, 0.76, 0.04, 0.05, 0.03),),
    back=(62, 92, 84), flank=(104, 140, 136), belly=(160, 180, 178), fins=(88, 116, 122), tail_fin=(90, 112, 110),
    pattern="mottled", pattern_colour=(50, 66, 72), pattern_scale=9, pattern_strength=0.6, sheen=0.15,
)
DAMSEL: Final = FishPlan(
    "damsel", length_m=(0.13, 0.025), width=0.17, speed=1.1, heights_m=(0.08, 0.9),
    upper=((0, 0), (0.03, 0.06), (0.1, 0.135), (0.22, 0.2), (0.36, 0.225), (0.52, 0.195), (0.65, 0.125),
           (0.74, 0.068), (0.78, 0.06)),
    lower=((0, 0.015), (0.04, 0.075), (0.12, 0.145), (0.26, 0.205), (0.4, 0.22), (0.54, 0.185), (0.66, 0.12),
           (0.74, 0.066), (0.78, 0.06)),
    tail=Tail(0.77, 0.3, 0.32), pelvic=Fin(0.32, 0.39, 0.15, 0.02, 0.13), eye=(0.115, 0.06, 0.03),
    dorsal=(Fin(0.25, 0.7, 0.06, 0.13, 0.08),),
    anal=(Fin(0.5, 0.7, 0.07, 0.13, 0.08),),
    back=(44, 42, 46), flank=(66, 60, 62), belly=(82, 78, 80), fins=(40, 38, 42), tail_fin=(170, 176, 178),
    pattern="plain", pattern_colour=(40, 40, 40), pattern_scale=1, pattern_strength=0.0, sheen=0.1,
)
SERGEANT: Final = FishPlan(
    "sergeant", length_m=(0.16, 0.03), width=0.16, speed=1.0, heights_m=(0.15, 1.3),
    upper=((0, 0), (0.03, 0.055), (0.1, 0.12), (0.22, 0.18), (0.36, 0.202), (0.52, 0.175), (0.65, 0.112),
           (0.75, 0.06), (0.79, 0.052)),
    lower=((0, 0.015), (0.04, 0.07), (0.12, 0.135), (0.26, 0.185), (0.4, 0.2), (0.54, 0.168), (0.66, 0.108),
           (0.75, 0.058), (0.79, 0.052)),
    tail=Tail(0.78, 0.32, 0.5), pelvic=Fin(0.32, 0.39, 0.12, 0.02, 0.1), eye=(0.11, 0.055, 0.026),
    dorsal=(Fin(0.26, 0.71, 0.055, 0.1, 0.08),),
    anal=(Fin(0.52, 0.7, 0.06, 0.1, 0.08),),
    back=(70, 168, 180), flank=(196, 206, 204), belly=(220, 224, 222), fins=(116, 128, 128), tail_fin=(120, 132,
    132),
    pattern="bars", pattern_colour=(38, 36, 36), pattern_scale=5, pattern_strength=0.92, sheen=0.4,
)
BUTTERFLY: Final = FishPlan(
    "butterflyfish", length_m=(0.15, 0.025), width=0.11, speed=0.7, heights_m=(0.08, 0.8),
    upper=((0, 0.004), (0.04, 0.03), (0.08, 0.06), (0.16, 0.16), (0.28, 0.25), (0.44, 0.285), (0.6, 0.25),
           (0.74, 0.13), (0.82, 0.06)),
    lower=((0, 0.012), (0.04, 0.035), (0.09, 0.075), (0.18, 0.17), (0.3, 0.245), (0.45, 0.275), (0.6, 0.245),
           (0.74, 0.13), (0.82, 0.06)),
    tail=Tail(0.81, 0.22, -0.08), pelvic=Fin(0.3, 0.36, 0.13, 0.02, 0.09), eye=(0.12, 0.055, 0.026),
    dorsal=(Fin(0.26, 0.8, 0.05, 0.11, 0.02),),
    anal=(Fin(0.52, 0.8, 0.06, 0.11, 0.02),),
    back=(60, 178, 204), flank=(130, 206, 222), belly=(180, 220, 226), fins=(56, 172, 206), tail_fin=(150, 196,
    204),
    pattern="mask", pattern_colour=(34, 34, 38), pattern_scale=12, pattern_strength=0.85, sheen=0.3,
)
TREVALLY: Final = FishPlan(
    "trevally", length_m=(0.42, 0.08), width=0.13, speed=1.1, heights_m=(0.3, 1.6),
    upper=((0, 0), (0.04, 0.05), (0.12, 0.105), (0.25, 0.148), (0.38, 0.155), (0.54, 0.118), (0.68, 0.055),
           (0.77, 0.018), (0.8, 0.018)),
    lower=((0, 0.012), (0.05, 0.055), (0.14, 0.1), (0.28, 0.138), (0.42, 0.148), (0.56, 0.112), (0.69, 0.052),
           (0.77, 0.018), (0.8, 0.018)),
    tail=Tail(0.79, 0.36, 0.74), pelvic=Fin(0.3, 0.35, 0.06, 0.012, 0.06), eye=(0.095, 0.036, 0.021),
    dorsal=(Fin(0.33, 0.44, 0.055, 0.02, 0.04), Fin(0.46, 0.76, 0.09, 0.016, 0.07)),
    anal=(Fin(0.5, 0.76, 0.085, 0.016, 0.07),),
    back=(110, 112, 92), flank=(190, 194, 186), belly=(228, 230, 228), fins=(124, 136, 132), tail_fin=(84, 104,
    104),
    pattern="plain", pattern_colour=(96, 96, 96), pattern_scale=1, pattern_strength=0.0, sheen=1.1,
)
FLATHEAD: Final = FishPlan(
    "flathead", length_m=(0.38, 0.08), width=0.2, speed=0.35, heights_m=(0.03, 0.16),
    upper=((0, 0.004), (0.06, 0.02), (0.14, 0.04), (0.26, 0.062), (0.4, 0.068), (0.58, 0.055), (0.74, 0.036),
           (0.83, 0.028), (0.86, 0.028)),
    lower=((0, 0.01), (0.06, 0.03), (0.14, 0.045), (0.26, 0.056), (0.42, 0.058), (0.6, 0.048), (0.74, 0.034),
           (0.83, 0.028), (0.86, 0.028)),
    tail=Tail(0.85, 0.11, -0.12), pelvic=Fin(0.3, 0.37, 0.045, 0.01, 0.05), eye=(0.12, 0.032, 0.015),
    dorsal=(Fin(0.3, 0.45, 0.065, 0.02, 0.05), Fin(0.48, 0.78, 0.055, 0.025, 0.04)),
    anal=(Fin(0.48, 0.78, 0.04, 0.02, 0.04),),
    back=(84, 104, 116), flank=(118, 140, 150), belly=(190, 204, 208), fins=(110, 130, 140), tail_fin=(98, 116,
    124),
    pattern="spots", pattern_colour=(58, 72, 84), pattern_scale=12, pattern_strength=0.55, sheen=0.05,
)
PLANS: Final[tuple[FishPlan, ...]] = (
    BREAM, DRUMMER, MULLET, BARRACUDA, WRASSE, DAMSEL, SERGEANT, BUTTERFLY, TREVALLY, FLATHEAD,
)
# fmt: on
SPECIES: Final[tuple[str, ...]] = tuple(plan.species for plan in PLANS)


def plan_of(species: str) -> FishPlan:
    """The plan of that species.

    Raises:
        KeyError: There is no such species.
    """
    return {plan.species: plan for plan in PLANS}[species]
