"""YOLOX-Nano: COCO weights give the function of the file they come from, and decoding keeps its contract."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from data.errors import ConfigurationError, FileAccessError, InputError
from data.frames import FramePreprocessing, fit_frame, frames_input
from models.pretrained import load_yolox_coco, measure_batch_norms
from models.yolox import DepthwiseConv, Focus, YoloxNano, joint_logits

SIZE = FramePreprocessing(size_wh=(416, 416))


@pytest.fixture(scope="session")
def coco_file(shankha_data: Path) -> Path:
    path = shankha_data.parent / "weights" / "yolox_nano_coco.onnx"
    if not path.is_file():
        pytest.skip(f"no COCO weights of YOLOX-Nano beside the data: {path}")
    return path


@pytest.fixture(scope="session")
def picture(shankha_data: Path) -> Tensor:
    path = sorted((shankha_data / "fish" / "aquarium").rglob("*.jpg"))[0]
    frame = cv2.imread(str(path))
    return torch.from_numpy(frames_input(fit_frame(frame, SIZE)[None], SIZE))


def reference(coco_file: Path, picture: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes xyxy, objectness and class probabilities of the file's own graph, decoded here."""
    session = onnxruntime.InferenceSession(coco_file, providers=["CPUExecutionProvider"])
    (raw,) = session.run(None, {"images": picture.numpy()})
    cells = [
        (column * stride, row * stride, stride)
        for stride in (8, 16, 32)
        for row in range(416 // stride)
        for column in range(416 // stride)
    ]
    left, top, stride = np.array(cells, np.float64).T
    x, y = raw[0, :, 0] * stride + left, raw[0, :, 1] * stride + top
    width, height = np.exp(raw[0, :, 2]) * stride, np.exp(raw[0, :, 3]) * stride
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return boxes, raw[0, :, 4], raw[0, :, 5:]


def test_the_stem_is_a_convolution_over_blocks_of_pixels() -> None:
    stem, images = Focus(3, 16).eval(), torch.rand(2, 3, 12, 18)
    corners = [images[..., top::2, left::2] for left in (0, 1) for top in (0, 1)]
    torch.testing.assert_close(stem(images), stem.conv(torch.cat(corners, dim=1)))


def test_with_coco_weights_the_network_is_the_files_graph(coco_file: Path, picture: Tensor) -> None:
    network = YoloxNano(classes=80)
    load_yolox_coco(network, coco_file)
    with torch.inference_mode():
        boxes, logits = network.eval()(picture)
    wanted_boxes, objectness, classes = reference(coco_file, picture)
    assert np.abs(boxes[0].numpy() - wanted_boxes).max() < 5e-3  # pixels, of 416
    np.testing.assert_allclose(logits.sigmoid()[0].numpy(), objectness[:, None] * classes, atol=1e-5)
    assert objectness.max() > 0.3, "the picture should hold something that the network sees"


def test_a_lone_class_starts_from_the_objectness(coco_file: Path, picture: Tensor) -> None:
    network = YoloxNano()
    load_yolox_coco(network, coco_file)
    with torch.inference_mode():
        _, logits = network.eval()(picture)
    _, objectness, _ = reference(coco_file, picture)
    np.testing.assert_allclose(logits.sigmoid()[0, :, 0].numpy(), objectness / (1 + np.exp(-3)), atol=1e-5)


def test_measured_norms_keep_the_function_and_carry_training_over(coco_file: Path, picture: Tensor) -> None:
    network = YoloxNano()
    load_yolox_coco(network, coco_file)
    crops = torch.cat([picture, picture.flip(3)])
    with torch.no_grad():
        before = network.eval()(picture)
        shifts_only = network.train()(crops)
        load_yolox_coco(network, coco_file)  # the training pass moved the running statistics
        measure_batch_norms(network, [crops])
        after = network.eval()(picture)
        trained = network.train()(crops)
    torch.testing.assert_close(after, before, atol=2e-3, rtol=1e-3)
    # Normalised by that very batch the outputs stay; with the folded shifts alone they would not.
    torch.testing.assert_close(trained.boxes[:1], before[0], atol=2e-2, rtol=1e-2)
    assert (shifts_only.boxes[:1] - before[0]).abs().mean() > 1


def test_norms_are_measured_over_all_batches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3))
    batches = [torch.randn(2, 3, 4, 5) + 3, torch.randn(5, 3, 4, 5) * 2]
    measure_batch_norms(network, batches)
    everything = torch.cat(batches)
    torch.testing.assert_close(network[0].running_mean, everything.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(network[0].running_var, everything.var(dim=(0, 2, 3), correction=0))
    assert network.training
    torch.testing.assert_close(network.eval()(everything), everything / (1 + 1e-5) ** 0.5)


def test_norms_cannot_be_measured_without_pictures() -> None:
    with pytest.raises(ConfigurationError, match="no pictures"):
        measure_batch_norms(YoloxNano(), [])


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_refused(damage: str, coco_file: Path, tmp_path: Path) -> None:
    whole = coco_file.read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes({"cut": whole[:1_000_000], "text": b"no model at all", "empty": b""}[damage])
    with pytest.raises(InputError, match=r"broken\.onnx"):
        load_yolox_coco(YoloxNano(), broken)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", [value], [value])
    path = tmp_path / "other.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match="0 convolutions; expected 113"):
        load_yolox_coco(YoloxNano(), path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"nowhere\.onnx"):
        load_yolox_coco(YoloxNano(), tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(("size_wh", "anchors"), [((64, 32), 42), ((416, 256), 2184), ((640, 384), 5040)])
@pytest.mark.parametrize("classes", [1, 3])
def test_shapes(size_wh: tuple[int, int], anchors: int, classes: int) -> None:
    network = YoloxNano(classes=classes)
    images = torch.rand(2, 3, size_wh[1], size_wh[0]) * 255
    with torch.inference_mode():
        boxes, logits = network.eval()(images)
    assert boxes.shape == (2, anchors, 4)
    assert logits.shape == (2, anchors, classes)
    assert (boxes[..., 2:] > boxes[..., :2]).all()


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_joint_logit_is_the_product_of_the_probabilities(objectness: float, other: float) -> None:
    logit = joint_logits(torch.full((1, 1), objectness), torch.full((1, 1, 1), other)).double().item()
    # In float64, as log p - log (1 - p) with p = 1 / ((1 + a) (1 + b)).
    wanted = -np.logaddexp(np.logaddexp(-objectness, -other), -objectness - other)
    assert logit == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_decoding_stays_in_float_under_mixed_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        boxes, logits = YoloxNano().eval()(torch.rand(1, 3, 64, 64) * 255)
    assert boxes.dtype == logits.dtype == torch.float32


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions_work_in_float_where_that_is_faster(stride: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(8, stride)
    features = torch.randn(1, 8, 6, 10).bfloat16()
    wanted = nn.functional.conv2d(features.float(), layer.weight, None, stride, 1, groups=8)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(features)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=0.03, rtol=0.02)
    if stride == 2:
        assert torch.equal(found, wanted.bfloat16())
