"""The detection task: boxes around fish in frames of underwater footage, from any number of labelled datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.detection_metrics import score_detections
from data.detections import Detections
from data.errors import ConfigurationError
from data.frames import fit_frame, in_frame
from data.readers.detectionset import DetectionSet
from data.suppression import suppressed
from models import zoo
from models.detector import Detector
from training.report import plot_scenes
from training.start import start_from, weights_file
from training.task import Evaluation
from training.tasks.scenes import SceneBatch, SceneBatches, SceneTask

_SCORING_BATCH = 16
LEAST_SCORE = 0.01
"""Boxes of lower score change no metric worth reading, and cost the most time."""


class Answer(NamedTuple):
    """What a network says of one picture of `frame_wh` pixels: boxes (A, 4) in input pixels, scores (A, C), and from
    one that outlines, coefficients (A, P) and prototypes (P, h, w)."""

    frame_wh: tuple[int, int]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    coefficients: NDArray[np.float32] | None = None
    prototypes: NDArray[np.float32] | None = None


class DetectionTask(SceneTask):
    """Boxes around fish.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.
    """

    def network(self) -> nn.Module:
        """The recipe's network, started from its weights where it names some."""
        network = zoo.build(self.recipe.network.name, **self.recipe.network.options)
        fault = self.fault(network)
        if fault:
            raise ConfigurationError("network.name", f"{self.recipe.network.name!r} {fault}")
        if self.recipe.start_from is not None:
            start_from(network, weights_file(self.root, self.recipe.start_from), self.sample_input(32))
        return network

    def fault(self, network: nn.Module) -> str:
        """Why a network cannot do this task; "" where it can."""
        return "" if isinstance(network, Detector) else "finds no boxes"

    def loss(self, network: nn.Module, batch: SceneBatch, device: torch.device) -> Tensor:
        """The network's own loss on the batch, after the recipe's regularization."""
        if not isinstance(network, Detector):
            raise TypeError("only a Detector has a loss of its own")
        return network.loss(network(self.learning_inputs(batch, device)), batch.targets.to(device))

    @torch.no_grad()
    def answers(self, network: nn.Module, pictures: DetectionSet, device: torch.device) -> Iterator[Answer]:
        """The network's outputs (in evaluation mode) for every picture."""
        network.eval()
        for start in range(0, len(pictures), _SCORING_BATCH):
            images = [pictures.read(i) for i in range(start, min(len(pictures), start + _SCORING_BATCH))]
            fitted = torch.from_numpy(np.stack([fit_frame(image, self.recipe.preprocessing) for image in images]))
            boxes, logits, *masks = network(self.inputs(fitted, device))
            outputs = [one.float().cpu().numpy() for one in (boxes, logits.float().sigmoid(), *masks)]
            for image, *own in zip(images, *outputs, strict=True):
                yield Answer(image.shape[1::-1], *own)

    def detect(self, network: nn.Module, pictures: DetectionSet, device: torch.device) -> list[Detections]:
        """What the network (in evaluation mode) finds in every picture, in the picture's own pixels."""
        return [
            in_frame(suppressed(one.boxes, one.scores, LEAST_SCORE), one.frame_wh, self.recipe.preprocessing)
            for one in self.answers(network, pictures, device)
        ]

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """COCO metrics on sites never trained on; the score is mAP50."""
        scores = score_detections(self.validation, self.detect(network, self.validation, device))
        metrics = {"map50": scores.overall.map50, "map50_95": scores.overall.map50_95}
        return Evaluation(scores.overall.map50, metrics)

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """A sheet of training scenes with their boxes, and of held-out pictures with truth and findings."""
        plan = self.plans(0)[0]
        batch = SceneBatches(self.train, self.recipe, [plan])[0]
        boxes = [batch.targets.xyxy[batch.targets.image == n].numpy() for n in range(len(batch.frames))]
        plot_scenes(list(batch.frames.numpy()[:16]), boxes[:16], [], folder / "training-scenes.png")
        chosen = self.validation.select(np.linspace(0, len(self.validation) - 1, 16).round().astype(np.int64))
        found = [seen.select(seen.scores > 0.3).xyxy for seen in self.detect(network, chosen, device)]
        images = [chosen.read(i) for i in range(len(chosen))]
        plot_scenes(images, [chosen.xyxy[i] for i in range(len(chosen))], found, folder / "held-out.png")
