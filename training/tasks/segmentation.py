"""The segmentation task: boxes and outlines of objects in frames of underwater footage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data.boxes import areas
from data.detection_metrics import average_precision, judge, score_detections
from data.detections import Detections
from data.errors import ConfigurationError
from data.frames import boxes_in_frame, place_frame
from data.masks import Mask
from data.prototypes import decoded_masks
from data.readers.detections import read_detections
from data.readers.detectionset import DetectionSet, outlined_once, with_classes
from data.suppression import with_candidates
from data.versions import learning_split
from models.segmenter import MASK_STRIDE, Segmenter
from training.recipe import DetectionSource, SegmentationRecipe
from training.report import plot_masks
from training.task import Evaluation
from training.tasks.detection import LEAST_SCORE, Answer, DetectionTask
from training.tasks.scenes import SceneBatches

Found = tuple[Detections, tuple[Mask, ...]]


class SegmentationTask(DetectionTask):
    """Boxes and outlines of objects, under the names that the data gives them.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.

    Raises:
        ConfigurationError: The datasets have none of the recipe's names, no masks, or nothing is left to validate on.
    """

    def __init__(self, recipe: SegmentationRecipe, root: Path) -> None:
        self.names = recipe.names
        super().__init__(recipe, root)
        if not any(mask is not None for own in self.train.masks or () for mask in own):
            found = "no object that it would learn from has an outline"
            raise ConfigurationError(recipe.name, found, expected="COCO json or YOLO labels with masks")

    def fault(self, network: nn.Module) -> str:
        """See `DetectionTask`."""
        return "" if isinstance(network, Segmenter) else "outlines nothing"

    def pictures_of(self, source: DetectionSource) -> DetectionSet:
        """The pictures of one dataset with their masks, under the data's own names."""
        folder = self.root / source.folder
        found = read_detections(folder, learning_split(folder, source.split), source.exhaustive, masks=True)
        return outlined_once(found if self.names is None else with_classes(found, self.names))

    def segment(self, network: nn.Module, pictures: DetectionSet, device: torch.device) -> list[Found]:
        """What the network (in evaluation mode) outlines in every picture, in the picture's own pixels."""
        return [self._found(one) for one in self.answers(network, pictures, device)]

    def _found(self, answer: Answer) -> Found:
        spec = self.recipe.preprocessing
        found, candidates = with_candidates(answer.boxes, answer.scores, LEAST_SCORE)
        xyxy = boxes_in_frame(found.xyxy, answer.frame_wh, spec)
        if answer.coefficients is None or answer.prototypes is None:
            raise TypeError("only a Segmenter outlines")
        placement = place_frame(answer.frame_wh, spec)
        masks = decoded_masks(answer.coefficients[candidates], answer.prototypes, xyxy, placement, MASK_STRIDE)
        some = np.array([mask.inside.size > 0 for mask in masks], np.bool_) & (areas(xyxy) > 0)
        return replace(found, xyxy=xyxy).select(some), tuple(masks[i] for i in np.flatnonzero(some))

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """COCO metrics on what was never trained on.

        The score is the average precision of masks at IoU 0.5, all classes in one list: a class of a few objects does
        not weigh as much in it as one of thousands.
        """
        truth = self.validation
        seen = self.segment(network, truth, device)
        found, masks = [one for one, _ in seen], [own for _, own in seen]
        scores, boxes = score_detections(truth, found, masks).overall, score_detections(truth, found).overall
        judged = judge(truth, found, masks=masks)
        pooled = average_precision(judged.right, judged.boxes)
        metrics = {"mask_ap50": pooled, "mask_map50": scores.map50, "mask_map50_95": scores.map50_95}
        return Evaluation(pooled, {**metrics, "map50": boxes.map50})

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """Sheets of training scenes and of held-out pictures, with boxes and outlines."""
        super().picture(network, device, folder)
        chosen = self.validation.select(np.linspace(0, len(self.validation) - 1, 16).round().astype(np.int64))
        images = [chosen.read(i) for i in range(len(chosen))]
        seen = self.segment(network, chosen, device)
        outlines = [[mask for mask, score in zip(own, one.scores, strict=True) if score > 0.3] for one, own in seen]
        plot_masks(images, outlines, folder / "held-out-masks.png")
        scenes = SceneBatches(self.train, self.recipe, [self.plans(0)[0]]).scenes(0)
        own = [[mask for mask in scene.masks or () if mask is not None] for scene in scenes[:16]]
        plot_masks([scene.image for scene in scenes[:16]], own, folder / "training-masks.png")
