"""The networks of ultralytics behind our contract: the same functions, our loss rules, and a graph that runs."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnxruntime
import PIL.Image
import pytest
import torch
from torch import Tensor

from models import zoo
from models.detector import BoxTargets
from models.ultralytics_detectors import UltralyticsDetector

NAMES = ("yolo11n", "yolo26n")
BOXES = torch.tensor([[8.0, 12, 40, 36], [20, 20, 56, 52], [2, 44, 8, 50]])


@pytest.fixture(scope="module", params=NAMES)
def network(request: pytest.FixtureRequest) -> UltralyticsDetector:
    torch.manual_seed(0)
    built = zoo.build(request.param)
    assert isinstance(built, UltralyticsDetector)
    return built


def targets(boxes: Tensor, image: list[int], exhaustive: tuple[bool, ...]) -> BoxTargets:
    labels, where = torch.zeros(len(boxes), dtype=torch.int64), torch.tensor(image, dtype=torch.int64)
    return BoxTargets(boxes, labels, where, torch.tensor(exhaustive))


def test_evaluation_is_what_ultralytics_itself_answers(network: UltralyticsDetector) -> None:
    images = torch.rand(2, 3, 64, 96) * 255
    theirs = deepcopy(network.network).eval()
    theirs.model[-1].dfl = type(theirs.model[-1])(1, theirs.model[-1].reg_max, ch=(16,)).dfl
    with torch.no_grad():
        boxes, logits = network.eval()(images)
        wanted, _ = theirs(images[:, [2, 1, 0]] / 255)  # centre and size in pixels, then scores
    centre, size = wanted[:, :2].transpose(1, 2), wanted[:, 2:4].transpose(1, 2)
    torch.testing.assert_close(boxes, torch.cat([centre - size / 2, centre + size / 2], dim=2), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(logits.sigmoid(), wanted[:, 4:].transpose(1, 2))


def test_it_learns_two_pictures(network: UltralyticsDetector) -> None:
    network = deepcopy(network).train()
    wanted = targets(BOXES[:2], [1, 0], (True, True))  # pictures in any order
    pictures = torch.rand(2, 3, 64, 64) * 60
    for (left, top, right, bottom), image in zip(BOXES[:2].int().tolist(), (1, 0), strict=True):
        pictures[image, :, top:bottom, left:right] += 150
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = network.loss(network(pictures), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_what_is_not_labelled_is_no_background_where_labels_are_not_exhaustive(network: UltralyticsDetector) -> None:
    raw = network.train()(torch.rand(2, 3, 64, 64) * 255)
    boxes = BOXES[[0, 0]]
    gradient = torch.autograd.grad(network.loss(raw, targets(boxes, [0, 1], (True, False))), raw.scores)[0][:, 0]
    assert (gradient[0] != 0).all()
    learns = gradient[1].nonzero()[:, 0]
    x, y = learns[learns < 64] % 8 * 8 + 4, learns[learns < 64] // 8 * 8 + 4  # centres of the finest map
    left, top, right, bottom = BOXES[0].tolist()
    inside = [(cx, cy) for cy in range(4, 64, 8) for cx in range(4, 64, 8) if left < cx < right and top < cy < bottom]
    assert list(zip(x.tolist(), y.tolist(), strict=True)) == inside


def test_a_small_object_teaches_even_outside_its_own_box(network: UltralyticsDetector) -> None:
    """No centre of the finest map lies in the box of a small object; those that answer for it still learn."""
    raw = network.train()(torch.rand(1, 3, 64, 64) * 255)
    one_stride = torch.ones(4, 1) if network.head.reg_max == 1 else torch.eye(16)[1].repeat(4, 1) * 20
    raw = raw._replace(distances=one_stride.reshape(1, -1, 1).expand(raw.distances.shape))
    between = torch.tensor([[13.0, 13, 19, 19]])
    gradient = torch.autograd.grad(network.loss(raw, targets(between, [0], (False,))), raw.scores)[0]
    finest = gradient[0, 0, :64].reshape(8, 8)
    assert (finest[1:3, 1:3] < 0).all()  # the four centres around it are pulled up
    assert (finest != 0).sum() == 4


def test_nothing_to_find(network: UltralyticsDetector) -> None:
    raw = network.train()(torch.rand(2, 3, 64, 64) * 255)
    loss = network.loss(raw, targets(torch.zeros(0, 4), [], (True, False)))
    gradient = torch.autograd.grad(loss, raw.scores)[0]
    assert (gradient[0] > 0).all()
    assert (gradient[1] == 0).all()


def test_mixed_precision_decodes_and_learns_in_float(network: UltralyticsDetector) -> None:
    images = torch.rand(1, 3, 64, 64) * 255
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.train().loss(network(images), targets(BOXES, [0, 0, 0], (True,)))
        with torch.no_grad():
            boxes, logits = network.eval()(images)
    assert loss.dtype == boxes.dtype == logits.dtype == torch.float32
    network.zero_grad()
    loss.backward()
    grads = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert len(grads) > 100
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", zoo.detectors())
def test_the_exported_graph_gives_the_same_answers(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = zoo.build(name).eval()
    images = torch.rand(1, 3, 384, 640) * 255
    path = tmp_path / "net.onnx"
    ends = {"input_names": ["frames"], "output_names": ["boxes", "logits"], "dynamic_axes": {"frames": {0: "N"}}}
    torch.onnx.export(network, (images.repeat(2, 1, 1, 1),), path, dynamo=False, opset_version=17, **ends)
    with torch.no_grad():
        boxes, logits = network(images)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run(None, {"frames": images.numpy()})
    np.testing.assert_allclose(answers[0], boxes, atol=1e-2)
    np.testing.assert_allclose(answers[1], logits, atol=1e-3)
    assert boxes.shape == (1, 5040, 4)


def test_importing_ultralytics_stays_offline_and_leaves_other_libraries_alone() -> None:
    assert os.environ["YOLO_OFFLINE"]
    assert torch.save.__module__ == "torch.serialization"
    assert PIL.Image.open.__module__ == "PIL.Image"
    assert "float_kind" not in (np.get_printoptions()["formatter"] or {})
