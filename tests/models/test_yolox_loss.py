"""The loss of YOLOX: who answers for what, what learns and what does not, and that it finds the boxes again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.boxes import ious
from models.detector import BoxTargets
from models.yolox import YoloxNano, joint_logits
from models.yolox_loss import YoloxOutput, assign, detection_loss, giou

BOXES = [[10.0, 12, 42, 36], [56, 30, 90, 58], [30, 20, 70, 52]]


def objects(
    xyxy: list[list[float]], image: list[int], labels: list[int] | None = None, exhaustive: tuple[bool, ...] = (True,)
) -> BoxTargets:
    return BoxTargets(
        torch.tensor(xyxy, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels or [0] * len(image), dtype=torch.int64),
        torch.tensor(image, dtype=torch.int64),
        torch.tensor(exhaustive),
    )


def outputs(count: int = 1, classes: int = 1, seed: int = 0, like: list[list[float]] | None = None) -> YoloxOutput:
    """Raw outputs for pictures of 96x64 whose leaves keep gradients; every third box near one of `like`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        raw = YoloxNano(classes).train()(torch.rand(count, 3, 64, 96, generator=generator) * 255)
    boxes = raw.boxes.clone()
    if like is not None:
        near = torch.tensor(like)[torch.arange(boxes.shape[1]) % len(like)]
        boxes[:, ::3] = (near + torch.randn(count, *near.shape, generator=generator) * 3)[:, ::3]
    return raw._replace(
        boxes=boxes.requires_grad_(),
        objectness=torch.randn(raw.objectness.shape, generator=generator).requires_grad_(),
        classes=torch.randn(raw.classes.shape, generator=generator).requires_grad_(),
    )


def test_the_network_finds_the_boxes_that_it_was_taught() -> None:
    torch.manual_seed(1)
    network = YoloxNano().train()
    targets = objects([[8, 12, 40, 36], [20, 20, 56, 52]], [0, 1], exhaustive=(True, True))
    pictures = torch.rand(2, 3, 64, 64) * 60
    for (left, top, right, bottom), image in zip(targets.xyxy.int().tolist(), targets.image, strict=True):
        pictures[image, :, top:bottom, left:right] += 150
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    losses = []
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / 40)
        raw = network(pictures)
        loss = network.loss(raw, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    # So few pictures make poor running statistics: the boxes are those of training, by the batch's own.
    surest = joint_logits(raw.objectness, raw.classes)[..., 0].argmax(dim=1)
    found = raw.boxes[[0, 1], surest].detach().numpy()
    assert (np.diag(ious(found, targets.xyxy.numpy())) > 0.5).all()


def slow_assignment(raw: YoloxOutput, targets: BoxTargets) -> dict[tuple[int, int], int]:
    """SimOTA object by object, as the paper tells it: (image, anchor) -> object."""
    taken: dict[tuple[int, int], tuple[float, int]] = {}
    for number, (box, label, image) in enumerate(
        zip(targets.xyxy.numpy(), targets.labels.tolist(), targets.image.tolist(), strict=True)
    ):
        middle = (box[:2] + box[2:]) / 2
        near = np.abs(raw.centres.numpy() - middle).max(axis=1) < 1.5 * raw.strides.numpy()
        overlap = ious(raw.boxes[image].detach().numpy(), box[None])[:, 0].astype(np.float64)
        joint = (raw.classes[image].sigmoid() * raw.objectness[image].sigmoid()[:, None]).detach().numpy() ** 0.5
        wanted = np.eye(joint.shape[1])[label]
        cost = -(wanted * np.log(joint) + (1 - wanted) * np.log(1 - joint)).sum(axis=1) - 3 * np.log(overlap + 1e-8)
        count = max(1, int(np.sort(overlap * near)[-10:].sum()))
        for anchor in sorted(np.flatnonzero(near), key=lambda a: cost[a])[:count]:
            rival = taken.get((image, int(anchor)), (np.inf, -1))
            taken[image, int(anchor)] = min(rival, (float(cost[anchor]), number))
    return {place: number for place, (_, number) in taken.items()}


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_that_of_a_plain_loop(seed: int) -> None:
    crowd = [*BOXES, [12, 14, 44, 40], [2, 2, 9, 8], [60, 28, 92, 60], [0, 40, 20, 64]]
    raw = outputs(count=2, classes=3, seed=seed, like=crowd)
    targets = objects(crowd, [0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2, 0], (True, True))
    found = assign(raw, targets)
    pairs = zip(found.image.tolist(), found.anchor.tolist(), found.target.tolist(), strict=True)
    wanted = slow_assignment(raw, targets)
    assert {(image, anchor): target for image, anchor, target in pairs} == wanted
    assert len(found.anchor) == len(wanted) > len(crowd)


def test_of_twin_labels_one_gets_each_anchor() -> None:
    raw = outputs(like=BOXES[:1])
    alone, twins = objects(BOXES[:1], [0]), objects(BOXES[:1] * 2, [0, 0])
    assert sorted(assign(raw, twins).anchor.tolist()) == sorted(assign(raw, alone).anchor.tolist())


def gradients(raw: YoloxOutput, targets: BoxTargets) -> tuple[Tensor, Tensor, Tensor]:
    return torch.autograd.grad(detection_loss(raw, targets), [raw.boxes, raw.objectness, raw.classes])


def test_what_is_not_labelled_is_no_background_where_labels_are_not_exhaustive() -> None:
    raw = outputs(like=BOXES[:1])
    box = torch.tensor(BOXES[0])
    inside = ((raw.centres > box[:2]) & (raw.centres < box[2:])).all(dim=1)
    answering = torch.zeros_like(inside)
    everything = objects(BOXES[:1], [0])
    answering[assign(raw, everything).anchor] = True

    _, full, _ = gradients(raw, everything)
    assert (full[0] != 0).all()
    boxes, partial, classes = gradients(raw, replace(everything, exhaustive=torch.tensor([False])))
    assert ((partial[0] != 0) == (inside | answering)).all()
    assert (inside & ~answering).any()
    assert (~inside & ~answering).any()
    # Boxes and classes only ever learn where an anchor answers for an object.
    assert ((boxes[0] != 0).any(dim=1) == answering).all()
    assert ((classes[0] != 0).any(dim=1) == answering).all()


def test_one_picture_labelled_in_part_leaves_the_others_alone() -> None:
    raw = outputs(count=2)
    _, objectness, _ = gradients(raw, objects([], [], exhaustive=(False, True)))
    assert (objectness[0] == 0).all()
    assert (objectness[1] > 0).all()


def test_pictures_without_objects_teach_background_only() -> None:
    raw = outputs(count=2)
    boxes, objectness, classes = gradients(raw, objects([], [], exhaustive=(True, True)))
    assert (objectness > 0).all()
    assert (boxes == 0).all()
    assert (classes == 0).all()


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5.5, 5.5], [-30, -20, 40, 30], [0, 0, 96, 64], [90, 60, 200, 160], [300, 300, 320, 330]],
    ids=["tiny", "cut", "whole", "corner", "outside"],
)
def test_odd_boxes_give_finite_gradients(box: list[float]) -> None:
    raw = outputs()
    assert all(torch.isfinite(part).all() for part in gradients(raw, objects([box], [0])))


def test_mixed_precision_learns_in_float() -> None:
    torch.manual_seed(0)
    network = YoloxNano().train()
    with torch.autocast("cpu", torch.bfloat16):
        raw = network(torch.rand(1, 3, 64, 96) * 255)
        loss = network.loss(raw, objects(BOXES[:2], [0, 0]))
    assert raw.boxes.dtype == loss.dtype == torch.float32
    loss.backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


pixels = st.floats(-50, 150, width=32)
sides = st.floats(0.5, 100, width=32)
box = st.tuples(pixels, pixels, sides, sides).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(box, box)
def test_giou_is_iou_less_the_empty_share_of_the_hull(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    left, right = torch.tensor([one]), torch.tensor([other])
    value = giou(left, right).item()
    assert -1 <= value <= 1
    assert value == pytest.approx(giou(right, left).item(), abs=1e-4)
    assert giou(left, left).item() == pytest.approx(1, abs=1e-3)
    overlap = ious(left.numpy(), right.numpy())[0, 0]
    assert value <= overlap + 1e-4
    if overlap == 0:
        assert value <= 1e-4
