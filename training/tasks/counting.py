"""The counting task: how many fish are where in frames of underwater footage, learnt from one point in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.count_metrics import background, count_errors, error_of_sites
from data.density import DensityMap, counted, density_in_frame
from data.errors import ConfigurationError
from data.frames import fit_frame
from data.points import centres
from data.readers.detectionset import DetectionSet
from data.readers.digitset import Problem
from data.words import several
from models import zoo
from models.counting import Counter
from models.counting_loss import LOSSES
from training.recipe import CountingRecipe, DetectionSource
from training.report import plot_points
from training.start import start_from, weights_file
from training.task import Evaluation
from training.tasks.scenes import SceneBatch, SceneBatches, SceneTask

_SCORING_BATCH = 16


class CountingTask(SceneTask):
    """How many fish are where. Pictures in which only some fish are labelled teach nothing, and are left out.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.

    Raises:
        ConfigurationError: No picture of one of the recipe's datasets is wholly labelled, or no site is left to
            validate on.
    """

    def __init__(self, recipe: CountingRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        self.loss_name = recipe.loss

    def pictures_of(self, source: DetectionSource) -> DetectionSet:
        """See `SceneTask.pictures_of`; how many pictures are left out is told with what cannot be used of labels."""
        pictures = super().pictures_of(source)
        whole = pictures.select(pictures.exhaustive)
        lost = len(pictures) - len(whole)
        if not len(whole):
            found = f"{source.folder}: all {several(lost, 'picture')} are labelled in part"
            raise ConfigurationError(self.recipe.name, found, expected="datasets in which every fish is labelled")
        if lost:
            told = Problem(several(lost, "picture"), "left out, since not all fish in it are labelled")
            whole = replace(whole, problems=(told, *whole.problems))
        return whole

    def network(self) -> nn.Module:
        """The recipe's network, started from its weights where it names some."""
        network = zoo.build(self.recipe.network.name, **self.recipe.network.options)
        if not isinstance(network, Counter):
            raise ConfigurationError("network.name", f"{self.recipe.network.name!r} counts nothing")
        if self.recipe.start_from is not None:
            start_from(network, weights_file(self.root, self.recipe.start_from), self.sample_input(32))
        return network

    def loss(self, network: nn.Module, batch: SceneBatch, device: torch.device) -> Tensor:
        """The recipe's loss between the network's objects in each cell and the middles of the scene's boxes."""
        rates = network(self.learning_inputs(batch, device))
        targets = batch.targets.to(device)
        cells = torch.tensor(rates.shape[:0:-1], device=device) / torch.tensor(self.recipe.scene_wh, device=device)
        points = (targets.xyxy[:, :2] + targets.xyxy[:, 2:]) / 2 * cells
        return LOSSES[self.loss_name](rates, points, targets.image)

    def maps(self, network: nn.Module, pictures: DetectionSet, device: torch.device) -> Iterator[DensityMap]:
        """What the network (in evaluation mode) says for every picture: objects in each cell of its input."""
        network.eval()
        for start in range(0, len(pictures), _SCORING_BATCH):
            images = [pictures.read(i) for i in range(start, min(len(pictures), start + _SCORING_BATCH))]
            fitted = torch.from_numpy(np.stack([fit_frame(image, self.recipe.preprocessing) for image in images]))
            with torch.no_grad():
                yield from network(self.inputs(fitted, device)).cpu().numpy()

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """Errors of the count, less the background, on held-out sites; the score is `error_of_sites`, negated."""
        spec, pictures = self.recipe.preprocessing, self.validation
        maps = enumerate(self.maps(network, pictures, device))
        seen = [density_in_frame(cells, pictures.size_wh(index), spec) for index, cells in maps]
        true = np.array([len(boxes) for boxes in pictures.xyxy])
        least = background(true, seen, pictures.sites)
        counts = np.array([one.above(least).count for one in seen])
        errors, of_sites = count_errors(true, counts), error_of_sites(true, counts, pictures.sites)
        metrics = {
            "mae_of_sites": of_sites,
            "mae": errors.overall.mae,
            "bias": errors.overall.bias,
            "background": least,
        }
        metrics |= {f"mae_{name}": one.mae for name, one in errors.bins.items() if one.pictures}
        return Evaluation(-of_sites, metrics)

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """A sheet of training scenes with their points, and of held-out pictures, the fullest among them, with both."""
        batch = SceneBatches(self.train, self.recipe, [self.plans(0)[0]])[0]
        middles = (batch.targets.xyxy[:, :2] + batch.targets.xyxy[:, 2:]) / 2
        points = [middles[batch.targets.image == n].numpy() for n in range(len(batch.frames))]
        plot_points(list(batch.frames.numpy()[:16]), points[:16], [], folder / "training-scenes.png")
        order = np.argsort([-len(boxes) for boxes in self.validation.xyxy], kind="stable")
        chosen = self.validation.select(order[np.linspace(0, len(order) // 2, 16).astype(np.int64)])
        found = [
            counted(cells, chosen.size_wh(index), self.recipe.preprocessing)
            for index, cells in enumerate(self.maps(network, chosen, device))
        ]
        images = [chosen.read(i) for i in range(len(chosen))]
        plot_points(images, centres(chosen), found, folder / "held-out.png")
