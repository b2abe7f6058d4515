"""YOLO11n and YOLO26n: networks, heads and losses of the ultralytics package, without its trainer.

Importing this module imports ultralytics, which takes seconds and would change settings of other libraries: they are
put back. Nothing here goes online or installs anything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from data.errors import MissingDependencyError
from data.files import read_yaml
from models.detector import STRIDES, BoxTargets, Detector, anchor_grid, taught_anchors

for _name, _value in (("YOLO_OFFLINE", "true"), ("YOLO_AUTOINSTALL", "false"), ("YOLO_VERBOSE", "false")):
    os.environ.setdefault(_name, _value)
_ours = torch.save, PIL.Image.open, cv2.getNumThreads(), np.get_printoptions()
try:
    import ultralytics
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import DEFAULT_CFG
    from ultralytics.utils.loss import v8DetectionLoss
except ImportError as error:
    raise MissingDependencyError(
        "ultralytics", "the package is not installed", cure="install the extra 'train'"
    ) from error
finally:
    torch.save, PIL.Image.open = _ours[:2]
    cv2.setNumThreads(_ours[2])
    np.set_printoptions(**_ours[3])
    torch.set_printoptions(profile="default")

_LAYOUTS: Final = {"yolo11n": "11/yolo11.yaml", "yolo26n": "26/yolo26.yaml", "yolo11n-seg": "11/yolo11-seg.yaml"}


class YoloOutput(NamedTuple):
    """Raw outputs of A anchors, float32.

    `distances` (N, 4 bins, A) from an anchor to the sides of its box, in strides, as logits of `bins` whole numbers
    (one bin: the distance itself); `scores` (N, C, A) logits; `sizes` (height, width) of the maps, in their order.
    """

    distances: Tensor
    scores: Tensor
    sizes: tuple[tuple[int, int], ...]


class Assigned(NamedTuple):
    """P anchors that answer for objects: their `image`, `anchor` and `target`, (P,) int64 each."""

    image: Tensor
    anchor: Tensor
    target: Tensor


class UltralyticsDetector(Detector):
    """A nano network of ultralytics behind the contract of `Detector`.

    YOLO26 has two heads: one that answers for an object with many anchors, one with a single anchor, so that nothing
    need be suppressed. Our runtime suppresses doubles anyway, so only the first is built, and learns alone.

    Args:
        layout: Which network.
        classes: Number of classes.
    """

    def __init__(self, layout: Literal["yolo11n", "yolo26n", "yolo11n-seg"], classes: int = 1) -> None:
        super().__init__()
        self.classes = classes
        path = Path(ultralytics.__file__).parent / "cfg" / "models" / _LAYOUTS[layout]
        tree = read_yaml(path, "the layout of a network") | {"scale": "n", "nc": classes, "end2end": False}
        self.network: Any = DetectionModel(tree, verbose=False)
        self.network.args = DEFAULT_CFG  # type: ignore[assignment]
        self.head.dfl = nn.Identity()  # decoding is `_boxes`, in float32 whatever the precision of the rest

    @property
    def feature_maps(self) -> dict[str, int]:
        """Names of the modules whose maps reach the head, and their channels."""
        widths = [branch[0].conv.in_channels for branch in self.head.cv2]
        return {f"network.model.{number}": width for number, width in zip(self.head.f, widths, strict=True)}

    @property
    def answer_layers(self) -> tuple[str, ...]:
        """Names of the convolutions that give distances and scores."""
        return tuple(f"network.model.{self.head.i}.{branch}.{n}.2" for branch in ("cv2", "cv3") for n in range(3))

    @property
    def head(self) -> Any:
        """The detection head."""
        return self.network.model[-1]

    def forward(self, images: Tensor) -> YoloOutput | tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> raw outputs while training, else (boxes, logits); see `Detector`."""
        maps = self._maps(images.flip(1) / 255)
        outputs = self.head.forward_head(maps, **self.head.one2many)
        raw = self._raw(outputs, maps)
        return raw if self.training else (self._boxes(raw), raw.scores.transpose(1, 2))

    def _raw(self, outputs: dict[str, Tensor], maps: list[Tensor]) -> YoloOutput:
        """What the head says of these maps."""
        sizes = tuple((each.shape[2], each.shape[3]) for each in maps)
        return YoloOutput(outputs["boxes"].float(), outputs["scores"].float(), sizes)

    def _maps(self, features: Tensor) -> list[Tensor]:
        """What reaches the head: every layer takes the one before it, or those that its layout names."""
        kept: list[Tensor] = []
        layers = list(self.network.model)
        for layer in layers[:-1]:
            named = [layer.f] if isinstance(layer.f, int) else layer.f
            inputs = [features if source == -1 else kept[source] for source in named]
            features = layer(inputs[0] if isinstance(layer.f, int) else inputs)
            kept.append(features)
        return [kept[source] for source in layers[-1].f]

    def _boxes(self, raw: YoloOutput) -> Tensor:
        """(N, A, 4) xyxy in input pixels."""
        count, _, anchors = raw.distances.shape
        distances = raw.distances.view(count, 4, self.head.reg_max, anchors)
        if self.head.reg_max > 1:
            bins = torch.arange(self.head.reg_max, dtype=torch.float32, device=distances.device)
            distances = distances.softmax(dim=2) * bins[:, None]
        centres, strides = anchor_grid(raw.sizes, distances.device)
        left_top, right_bottom = (distances.sum(dim=2).transpose(1, 2) * strides[:, None]).split(2, dim=2)
        return torch.cat([centres - left_top, centres + right_bottom], dim=2)

    def loss(self, raw: YoloOutput, targets: BoxTargets) -> Tensor:
        """The loss of ultralytics: task-aligned assignment, CIoU, distribution or L1 loss, class cross-entropy.

        Where labels are not exhaustive, anchors outside every labelled box that answer for no object learn nothing.
        """
        return self.assigned_loss(raw, targets)[0]

    def assigned_loss(self, raw: YoloOutput, targets: BoxTargets) -> tuple[Tensor, Assigned]:
        """The loss, and which anchors answer for which objects."""
        with torch.autocast(raw.scores.device.type, enabled=False):
            criterion: Any = v8DetectionLoss(self.network)
            centres, _ = anchor_grid(raw.sizes, raw.scores.device)
            criterion.bce = _PartialCrossEntropy(taught_anchors(centres, targets))
            outputs: dict[str, Any] = {"boxes": raw.distances, "scores": raw.scores, "feats": _stand_ins(raw)}
            order = torch.argsort(targets.image, stable=True)
            answers, parts, _ = criterion.get_assigned_targets_and_loss(outputs, self._batch(raw, targets, order))
            image, anchor = torch.nonzero(answers[0], as_tuple=True)
            # Ultralytics counts the objects of each picture by themselves.
            counts = torch.bincount(targets.image, minlength=len(raw.scores))
            first = counts.cumsum(0) - counts
            return parts.sum(), Assigned(image, anchor, order[first[image] + answers[1][image, anchor].long()])

    def _batch(self, raw: YoloOutput, targets: BoxTargets, order: Tensor) -> dict[str, Tensor]:
        """The targets as the loss of ultralytics wants them: by picture, boxes as centre and size in shares."""
        xyxy = targets.xyxy[order]
        size_wh = xyxy.new_tensor(raw.sizes[0][::-1]) * STRIDES[0]
        centre, sides = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
        boxes = torch.cat([centre / size_wh, sides / size_wh], dim=1)
        return {"batch_idx": targets.image[order].float(), "cls": targets.labels[order].float(), "bboxes": boxes}


class _PartialCrossEntropy(nn.Module):
    """Binary cross-entropy of (N, A, C) logits, nothing where neither `taught` (N, A) nor an object is."""

    def __init__(self, taught: Tensor) -> None:
        super().__init__()
        self.taught = taught

    def forward(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """(N, A, C) each -> (N, A, C) losses."""
        learns = self.taught[..., None] | (wanted > 0).any(dim=2, keepdim=True)
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * learns


def _stand_ins(raw: YoloOutput) -> list[Tensor]:
    """Float32 tensors of the maps' shapes without their memory: ultralytics asks maps for shape and type only."""
    return [raw.scores.new_zeros(1).expand(1, 1, *size) for size in raw.sizes]
