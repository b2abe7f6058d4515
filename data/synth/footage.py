"""Made-up underwater clips with exact truth: `simulate` gives the truth alone, fast."""

from __future__ import annotations

from data.synth.footage_spec import ClipSpec, Stock, standard_clips
from data.synth.footage_truth import SEEN_SHARE, ClipTruth, FishTruth, TrueMaxN
from data.synth.scene import Scene

__all__ = ["SEEN_SHARE", "ClipSpec", "ClipTruth", "FishTruth", "Stock", "TrueMaxN", "simulate", "standard_clips"]


def simulate(spec: ClipSpec, seed: int) -> ClipTruth:
    """The truth about the clip that `render_clip` renders from the same specification and seed."""
    return Scene.draw(spec, seed).truth()
