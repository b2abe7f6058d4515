"""The loss of YOLOX: SimOTA says which anchors answer for which object, then boxes, objectness and classes learn.

Ge et al.: YOLOX, 2021, section 2.4. All objects of a batch are assigned at once: an object only looks at the anchors
of its own picture, so the largest array is (objects, anchors), whatever the number of objects in any one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.detector import BoxTargets, taught_anchors

_BOX_WEIGHT = 5.0
_OVERLAP_COST = 3.0
_FAR_COST = 1e5  # of an anchor that may not answer for an object
_CENTRE_RADIUS = 1.5  # strides around an object's centre within which anchors may answer for it
_MOST_ANCHORS = 10  # that answer for one object


class YoloxOutput(NamedTuple):
    """Raw outputs of A anchors, float32.

    `boxes` (N, A, 4) xyxy in input pixels, `objectness` (N, A) and `classes` (N, A, C) logits, `centres` (A, 2) and
    `strides` (A,) of the anchors in input pixels.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    centres: Tensor
    strides: Tensor


@dataclass(frozen=True)
class Assignment:
    """P anchors that answer for objects: `image`, `anchor`, `target` (P,) int64 and their `overlap` (P,), an IoU."""

    image: Tensor
    anchor: Tensor
    target: Tensor
    overlap: Tensor


def detection_loss(raw: YoloxOutput, targets: BoxTargets, assigned: Assignment | None = None) -> Tensor:
    """Box, objectness and class loss over the number of answering anchors, at least one a picture.

    Objectness learns everywhere but in pictures whose labels are not exhaustive: there anchors outside every
    labelled box learn nothing. The class learns the overlap of its box, so that a score tells how well a box fits.
    `assigned` is what `assign` says, where that is known already.

    Returns:
        A float32 scalar.
    """
    with torch.autocast(raw.boxes.device.type, enabled=False):
        assigned = assigned or assign(raw, targets)
        count = max(len(assigned.anchor), len(raw.objectness))
        predicted = raw.boxes[assigned.image, assigned.anchor]
        boxes = (1 - giou(predicted, targets.xyxy[assigned.target])).sum()
        objects = torch.zeros_like(raw.objectness)
        objects[assigned.image, assigned.anchor] = 1.0
        learns = torch.maximum(taught_anchors(raw.centres, targets).float(), objects)
        objectness = functional.binary_cross_entropy_with_logits(
            raw.objectness, objects, weight=learns, reduction="sum"
        )
        logits = raw.classes[assigned.image, assigned.anchor]
        wanted = functional.one_hot(targets.labels[assigned.target], logits.shape[1]) * assigned.overlap[:, None]
        classes = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        return (_BOX_WEIGHT * boxes + objectness + classes) / count


@torch.no_grad()
def assign(raw: YoloxOutput, targets: BoxTargets) -> Assignment:
    """SimOTA: each object takes the cheapest anchors near its centre, as many as its ten best overlaps add up to.

    An anchor that several objects want goes to the one for which it costs least.
    """
    overlaps = _own_ious(raw.boxes, targets)
    near = _near_centres(raw, targets.xyxy)
    cost = _class_cost(raw, targets) - _OVERLAP_COST * torch.log(overlaps + 1e-8) + _FAR_COST * ~near
    best = min(_MOST_ANCHORS, cost.shape[1])
    wanted = (overlaps * near).topk(best, dim=1).values.sum(dim=1).int().clamp(min=1)
    cheapest, order = cost.topk(best, dim=1, largest=False)
    ranks = torch.arange(best, device=cost.device)
    target, rank = torch.nonzero((ranks < wanted[:, None]) & (cheapest < _FAR_COST), as_tuple=True)
    anchor = order[target, rank]
    image = targets.image[target]
    # Of the pairs that name the same anchor of the same picture, the cheapest stays.
    place = image * cost.shape[1] + anchor
    price = cheapest[target, rank]
    lowest = torch.full((raw.objectness.numel(),), torch.inf, device=cost.device)
    lowest = lowest.scatter_reduce(0, place, price, "amin")
    kept = _first_of_each(place, price == lowest[place])
    image, anchor, target = image[kept], anchor[kept], target[kept]
    return Assignment(image, anchor, target, overlaps[target, anchor])


def _first_of_each(place: Tensor, candidate: Tensor) -> Tensor:
    """Indices of candidates, one for each place: equal prices (twin labels) would else give an anchor two objects."""
    indices = torch.nonzero(candidate)[:, 0]
    order = torch.argsort(place[indices], stable=True)
    sorted_places = place[indices][order]
    first = torch.ones_like(sorted_places, dtype=torch.bool)
    first[1:] = sorted_places[1:] != sorted_places[:-1]
    return indices[order][first]


def _near_centres(raw: YoloxOutput, xyxy: Tensor) -> Tensor:
    """(M, A) whether an anchor's centre lies within 1.5 strides of an object's centre."""
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    distance = (raw.centres[None] - middle[:, None]).abs().amax(dim=2)
    return distance < _CENTRE_RADIUS * raw.strides


def _class_cost(raw: YoloxOutput, targets: BoxTargets) -> Tensor:
    """(M, A) binary cross-entropy of the joint score's root against the object's class, summed over classes."""
    roots = (raw.classes.sigmoid() * raw.objectness.sigmoid()[..., None]).sqrt().clamp(1e-7, 1 - 1e-7)
    absent = -torch.log(1 - roots)  # (N, A, C): the cost of saying nothing is there
    own = targets.image, slice(None), targets.labels
    return absent.sum(dim=2)[targets.image] - absent[own] - torch.log(roots[own])


def _own_ious(boxes: Tensor, targets: BoxTargets) -> Tensor:
    """(M, A) overlap of each object with every box predicted in its picture."""
    left, top, right, bottom = boxes[targets.image].unbind(dim=2)
    own_left, own_top, own_right, own_bottom = targets.xyxy.T[:, :, None]
    width = torch.minimum(right, own_right) - torch.maximum(left, own_left)
    height = torch.minimum(bottom, own_bottom) - torch.maximum(top, own_top)
    shared = width.clamp(min=0) * height.clamp(min=0)
    area = (right - left) * (bottom - top) + (own_right - own_left) * (own_bottom - own_top)
    return shared / (area - shared).clamp(min=1e-9)


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised IoU of pairs (Rezatofighi et al., CVPR 2019): (P, 4) and (P, 4) -> (P,) within [-1, 1]."""
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    shared = _area((high - low).clamp(min=0))
    union = _area(boxes[:, 2:] - boxes[:, :2]) + _area(others[:, 2:] - others[:, :2]) - shared
    hull = torch.maximum(boxes[:, 2:], others[:, 2:]) - torch.minimum(boxes[:, :2], others[:, :2])
    around = _area(hull).clamp(min=1e-9)
    return shared / union.clamp(min=1e-9) - (around - union) / around


def _area(sides_wh: Tensor) -> Tensor:
    return sides_wh[:, 0] * sides_wh[:, 1]
