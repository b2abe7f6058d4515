"""A tiny digit network, really trained for a few seconds on drawn digits, and its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from data.labels import NOT_A_DIGIT
from data.preprocess import DigitPreprocessing, Image, ink_batch, network_input
from deploy.digits import DeployData, export_digits
from deploy.packing import Export
from models import zoo
from training.recipe import DigitRecipe

SPEC = DigitPreprocessing()


@dataclass(frozen=True)
class Tiny:
    recipe: DigitRecipe
    network: torch.nn.Module
    data: DeployData
    int8: Export
    float32: Export
    place: TemporaryDirectory[str]
    """Holds the artifacts; goes with this object."""


def drawn(label: int, rng: np.random.Generator) -> Image:
    """(48, 40) uint8 grey: a digit in black on white paper, or a scribble for "not a digit"."""
    page = np.full((48, 40), 255, np.uint8)
    if label == NOT_A_DIGIT:
        points = rng.integers(4, 36, (9, 2)).astype(np.int32)
        cv2.polylines(page, [points], False, 0, 2, cv2.LINE_AA)
        return page
    at = int(rng.integers(5, 10)), int(rng.integers(36, 42))
    cv2.putText(page, str(label), at, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 0, int(rng.integers(2, 4)), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((20, 24), float(rng.normal(0, 12)), 1)
    return np.asarray(cv2.warpAffine(page, turn, (40, 48), borderValue=255.0), np.uint8)


def drawn_batch(count: int, seed: int) -> tuple[list[Image], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % (NOT_A_DIGIT + 1)
    return [drawn(int(label), rng) for label in labels], labels


@cache
def tiny() -> Tiny:
    recipe = DigitRecipe.model_validate(
        {
            "name": "tiny",
            "task": "digits",
            "network": {"name": "vgg5", "options": {"widths": [8, 12, 16], "hidden": 24}},
            "data": {"train": [{"folder": "digits/cmaterdb"}, {"folder": "elsewhere"}]},
            "epochs": 2,
        }
    )
    data = _data()
    network = _trained(recipe, *drawn_batch(1100, 1))
    place = TemporaryDirectory(prefix="tiny-")
    int8 = export_digits(network, recipe, data, Path(place.name) / "int8", int8=True)
    float32 = export_digits(network, recipe, data, Path(place.name) / "float32", int8=False)
    return Tiny(recipe, network, data, int8, float32, place)


def _data() -> DeployData:
    held, labels = drawn_batch(330, 2)
    training, _ = drawn_batch(300, 3)
    return DeployData(_inputs(training), _inputs(held), labels)


def _inputs(images: list[Image]) -> np.ndarray:
    return network_input(ink_batch(images, SPEC), SPEC)


def _trained(recipe: DigitRecipe, images: list[Image], labels: np.ndarray) -> torch.nn.Module:
    torch.manual_seed(0)
    network = zoo.build(recipe.network.name, **recipe.network.options)
    inputs, targets = torch.from_numpy(_inputs(images)), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(3):
        for part in torch.randperm(len(inputs)).split(55):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[part]), targets[part]).backward()
            optimizer.step()
    return network.eval()
