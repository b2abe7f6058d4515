"""Published rules that vary any picture: RandAugment, TrivialAugment and AugMix, as torchvision has them.

RandAugment: Cubuk et al., NeurIPS 2020. TrivialAugment (wide): Müller and Hutter, ICCV 2021. AugMix: Hendrycks et al.,
ICLR 2020, its pictures without its consistency loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from data.preprocess import Image
from training.regularization_spec import PolicyName

_MOVES: Final = frozenset({"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"})


def _still(space: Mapping[str, Any]) -> dict[str, Any]:
    return {name: operation for name, operation in space.items() if name not in _MOVES}


class _StillRandAugment(v2.RandAugment):
    _AUGMENTATION_SPACE = _still(v2.RandAugment._AUGMENTATION_SPACE)


class _StillTrivialAugment(v2.TrivialAugmentWide):
    _AUGMENTATION_SPACE = _still(v2.TrivialAugmentWide._AUGMENTATION_SPACE)


class _StillAugMix(v2.AugMix):
    _AUGMENTATION_SPACE = _still(v2.AugMix._AUGMENTATION_SPACE)


_POLICIES: Final[Mapping[tuple[PolicyName, bool], Callable[..., Any]]] = MappingProxyType(
    {
        ("randaugment", True): v2.RandAugment,
        ("trivialaugment", True): v2.TrivialAugmentWide,
        ("augmix", True): v2.AugMix,
        ("randaugment", False): _StillRandAugment,
        ("trivialaugment", False): _StillTrivialAugment,
        ("augmix", False): _StillAugMix,
    }
)


def varied(frames: Image, policy: PolicyName | None, seed: int, *, moves: bool, fill: int = 0) -> Image:
    """Every picture varied by the policy; the same seed gives the same pixels.

    Args:
        frames: (B, H, W) or (B, H, W, 3) uint8 BGR.
        policy: Which; None leaves the pictures as they are.
        seed: Seed of all that is drawn.
        moves: Whether operations that turn, shear and shift may act: not where places in the picture are labelled.
        fill: Value of pixels that come from outside the picture.

    Returns:
        Pictures of the same shape.
    """
    if policy is None:
        return frames
    vary = _POLICIES[policy, moves](fill=fill)
    made = np.empty_like(frames)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, frame in enumerate(frames):
            made[number] = _to_frame(vary(_to_tensor(frame)), frame.ndim)
    return made


def _to_tensor(frame: Image) -> Tensor:
    """(1, H, W) or (3, H, W) RGB."""
    if frame.ndim == 2:
        return torch.from_numpy(frame)[None]
    return torch.from_numpy(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)))


def _to_frame(picture: Tensor, ndim: int) -> Image:
    pixels = picture.numpy()
    return pixels[0] if ndim == 2 else pixels.transpose(1, 2, 0)[..., ::-1]
