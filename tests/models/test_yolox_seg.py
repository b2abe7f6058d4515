from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import zoo
from models.detector import BoxTargets
from models.segmenter import MASK_STRIDE, MaskTargets, Segmenter, mask_loss
from models.yolox_seg import YoloxNanoSeg

SIZE_WH = (96, 64)
MAPS = (SIZE_WH[1] // MASK_STRIDE, SIZE_WH[0] // MASK_STRIDE)


def fish(outlined: bool = True) -> MaskTargets:
    """One object in the first of two pictures, the left half of its box."""
    masks = torch.zeros(1, *MAPS, dtype=torch.uint8)
    masks[0, 4:10, 4:10] = 1
    return MaskTargets(
        torch.tensor([[16.0, 16.0, 64.0, 40.0]]), torch.tensor([0]), torch.tensor([0]), torch.ones(2, dtype=torch.bool),
        masks, torch.tensor([outlined]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def network() -> YoloxNanoSeg:
    torch.manual_seed(0)
    return YoloxNanoSeg(classes=2, prototypes=8)


def test_the_zoo_builds_it() -> None:
    built = zoo.build("yolox-nano-seg", classes=3, prototypes=12)
    assert isinstance(built, Segmenter)
    assert (built.classes, built.prototypes) == (3, 12)
    assert "yolox-nano-seg" in zoo.segmenters()
    assert zoo.parameters(built) < 1.1e6


@pytest.mark.parametrize("outlined", [True, False])
def test_yolo11n_seg_learns_from_the_same_targets(outlined: bool) -> None:
    torch.manual_seed(0)
    other = zoo.build("yolo11n-seg", classes=2)
    assert isinstance(other, Segmenter)
    frames = torch.rand(2, 3, 64, 96) * 255
    with torch.no_grad():
        boxes, logits, coefficients, prototypes = other.eval()(frames)
    assert coefficients.shape == (*boxes.shape[:2], other.prototypes)
    assert (logits.shape[2], prototypes.shape) == (2, (2, other.prototypes, *MAPS))
    other.train()
    other.loss(other(frames), fish(outlined)).backward()
    learnt = sum(float(weight.grad.abs().sum()) for weight in other.head.proto.parameters() if weight.grad is not None)
    assert (learnt > 0) is outlined


def test_it_gives_boxes_logits_coefficients_and_prototypes(network: YoloxNanoSeg) -> None:
    anchors = 12 * 8 + 6 * 4 + 3 * 2
    with torch.no_grad():
        boxes, logits, coefficients, prototypes = network.eval()(torch.rand(2, 3, 64, 96) * 255)
    assert [tuple(one.shape) for one in (boxes, logits, coefficients, prototypes)] == [
        (2, anchors, 4), (2, anchors, 2), (2, anchors, 8), (2, 8, *MAPS)
    ]  # fmt: skip
    assert all(one.dtype == torch.float32 for one in (boxes, logits, coefficients, prototypes))


def test_every_weight_learns_and_masks_alone_move_the_mask_branches(network: YoloxNanoSeg) -> None:
    frames = torch.rand(2, 3, 64, 96) * 255
    network.train().zero_grad()
    network.loss(network(frames), fish()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert network.maps.prototypes.weight.grad is not None
    assert network.maps.prototypes.weight.grad.abs().sum() > 0
    network.zero_grad()
    network.loss(network(frames), fish(outlined=False)).backward()
    assert network.maps.prototypes.weight.grad.abs().sum() == 0


def test_a_few_steps_outline_what_is_shown() -> None:
    torch.manual_seed(1)
    network = YoloxNanoSeg(classes=1, prototypes=8).train()
    frames = torch.full((2, 3, 64, 96), 40.0)
    frames[0, :, 16:40, 16:40] = 220
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        loss = network.loss(network(frames), fish())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_it_wants_masks(network: YoloxNanoSeg) -> None:
    targets = fish()
    plain = BoxTargets(targets.xyxy, targets.labels, targets.image, targets.exhaustive)
    with pytest.raises(TypeError, match="MaskTargets"):
        network.loss(network.train()(torch.zeros(2, 3, 64, 96)), plain)


def drawn(targets: MaskTargets, strength: float) -> Tensor:
    """Prototypes (2, 1, h, w) that are the labelled mask, so strongly."""
    prototypes = torch.full((2, 1, *MAPS), -strength)
    prototypes[0, 0][targets.masks[0] > 0] = strength
    return prototypes


def test_the_loss_is_nothing_for_the_right_mask_and_much_for_the_wrong_one() -> None:
    targets, one, at = fish(), torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)
    right = mask_loss(one, drawn(targets, 12.0), at, at, targets)
    unsure = mask_loss(one, drawn(targets, 0.0), at, at, targets)
    wrong = mask_loss(-one, drawn(targets, 12.0), at, at, targets)
    assert right < 0.01 < unsure < wrong


def test_what_is_far_from_the_box_does_not_count() -> None:
    targets, one, at = fish(), torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)
    prototypes = drawn(targets, 6.0)
    before = mask_loss(one, prototypes, at, at, targets)
    prototypes[0, 0, :, 20:] = 50.0
    assert mask_loss(one, prototypes, at, at, targets) == before


def test_objects_without_masks_teach_none() -> None:
    targets, at = replace(fish(), outlined=torch.tensor([False])), torch.zeros(1, dtype=torch.int64)
    prototypes = torch.zeros(2, 1, *MAPS, requires_grad=True)
    loss = mask_loss(torch.ones(1, 1), prototypes, at, at, targets)
    loss.backward()
    assert loss == 0
    assert prototypes.grad is not None
    assert prototypes.grad.abs().sum() == 0


def test_it_begins_as_the_published_detector(shankha_data: Path) -> None:
    from models.pretrained import load_yolox_coco  # noqa: PLC0415
    from models.yolox import YoloxNano  # noqa: PLC0415
    from training.start import start_from  # noqa: PLC0415

    weights = shankha_data.parent / "weights" / "yolox_nano_coco.onnx"
    frames = torch.rand(8, 3, 64, 96) * 255
    network, plain = YoloxNanoSeg(classes=1), YoloxNano(1)
    start_from(network, weights, frames)
    load_yolox_coco(plain, weights)
    with torch.no_grad():
        own, theirs = network.eval()(frames), plain.eval()(frames)
    assert torch.allclose(own[0], theirs[0], atol=0.05)
    assert torch.allclose(own[1], theirs[1], atol=1e-2)
