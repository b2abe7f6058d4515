from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from data.errors import InputError
from deploy.packing import write_artifact
from deploy.runtime.detector import FishDetector, calibrated
from deploy.runtime.digits import DigitReader
from deploy.runtime.looking import BATCH
from deploy.runtime.spec import MODEL_FILE
from tests.deploy.bright import CELL, COLUMNS, ROWS, SIZE_WH, box, bright_artifact, frame, graph_bytes, spec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return FishDetector(bright_artifact(tmp_path_factory.mktemp("bright")))


def test_it_finds_what_is_there(detector):
    found = detector.detect([frame((1, 2), (4, 0)), frame(), frame((5, 3))])
    assert [sorted(seen.xyxy.tolist()) for seen in found] == [[box(1, 2), box(4, 0)], [], [box(5, 3)]]
    assert found[0].scores == pytest.approx([1 / (1 + math.exp(-10))] * 2)
    assert found[0].xyxy.dtype == found[0].scores.dtype == np.float32
    assert found[0].labels.dtype == np.int64
    assert found[0].labels.tolist() == [0, 0]
    assert detector.names == ("fish",)
    assert detector.threshold == 0.5


def test_no_frames_give_no_detections(detector):
    assert detector.detect([]) == []


def test_the_surest_comes_first_and_of_equals_the_upper_left(detector):
    image = np.maximum(frame((3, 1), (1, 3), (2, 0)), 0)
    image[CELL : 2 * CELL, 3 * CELL : 4 * CELL] = 200
    found = detector.detect([image])[0]
    assert found.xyxy.tolist() == [box(2, 0), box(1, 3), box(3, 1)]
    assert found.scores[0] == found.scores[1] > found.scores[2]


def test_batches_change_nothing(detector):
    frames = [frame((number % COLUMNS, number % ROWS)) for number in range(2 * BATCH + 3)]
    together = detector.detect(frames)
    assert len(together) == len(frames)
    for image, seen in zip(frames, together, strict=True):
        alone = detector.detect([image])[0]
        assert alone.xyxy.tolist() == seen.xyxy.tolist()
        np.testing.assert_allclose(alone.scores, seen.scores, atol=1e-5)


@pytest.mark.parametrize("size_wh", [(960, 640), (192, 64), (96, 256), (48, 32), (97, 61), (3840, 2160), (1, 1)])
def test_boxes_lie_in_the_frame_whatever_its_size(detector, size_wh):
    image = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
    found = detector.detect([image])[0]
    assert len(found) > 0
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, 2:] <= np.array(size_wh)).all()
    assert (found.xyxy[:, 2:] > found.xyxy[:, :2]).all()


def test_boxes_come_back_in_the_pixels_of_a_large_frame(detector):
    large = cv2.resize(frame((2, 1)), None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(detector.detect([large])[0].xyxy, 10 * np.array([box(2, 1)]), atol=1e-3)


def test_frames_of_several_sizes_go_in_one_batch(detector):
    small, large = frame((2, 1)), cv2.resize(frame((2, 1)), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    found = detector.detect([small, large])
    np.testing.assert_allclose(3 * found[0].xyxy, found[1].xyxy, atol=1e-3)


def test_boxes_in_the_padding_are_nothing(tmp_path):
    """A white border is full of bright cells, and none of them is in the frame."""
    white = {"size_wh": SIZE_WH, "padding": 255}
    found = FishDetector(bright_artifact(tmp_path, preprocessing=white)).detect([np.zeros((64, 32, 3), np.uint8)])
    assert len(found[0]) == 0


def test_scores_are_calibrated_and_faint_ones_dropped(tmp_path):
    plain = FishDetector(bright_artifact(tmp_path, least_score=0.2))
    careful = FishDetector(bright_artifact(tmp_path, score_scale=0.5, score_shift=-1.0, least_score=0.2))
    image = frame((1, 1), brightness=140)  # a logit of about 0.98
    logit = 20 * 140 / 255 - 10
    assert plain.detect([image])[0].scores == pytest.approx([1 / (1 + math.exp(-logit))], abs=1e-4)
    assert careful.detect([image])[0].scores == pytest.approx([1 / (1 + math.exp(1 - logit / 2))], abs=1e-4)
    dim = frame((1, 1), brightness=120)
    assert len(plain.detect([dim])[0]) == 1
    assert len(careful.detect([dim])[0]) == 1
    assert len(FishDetector(bright_artifact(tmp_path, score_shift=-1.0, least_score=0.2)).detect([dim])[0]) == 0


def test_names_are_suppressed_each_by_itself(tmp_path):
    found = FishDetector(bright_artifact(tmp_path, labels=("fish", "ray"))).detect([frame((1, 1))])[0]
    assert found.labels.tolist() == [0, 1]
    assert found.xyxy.tolist() == [box(1, 1)] * 2
    assert found.scores[0] > found.scores[1]


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_frame_is_refused_by_its_number(detector, wrong):
    frames = [frame()] * (BATCH + 1) + [wrong]
    with pytest.raises(InputError, match=rf"frame {BATCH + 1}: .*expected uint8"):
        detector.detect(frames)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_an_error(tmp_path, value):
    model = onnx.load_from_string(graph_bytes(tmp_path))
    bias = next(one for one in model.graph.initializer if one.name == "logits.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([value], np.float32), bias.name))
    broken = write_artifact(tmp_path / "art", spec(), {MODEL_FILE: model.SerializeToString()})
    with pytest.raises(InputError, match=r"model\.onnx: answers with what is no number"):
        FishDetector(broken).detect([frame()])


def test_an_artifact_for_another_task_is_refused(tiny, detector):
    with pytest.raises(InputError, match=r"spec\.json: task is 'digits'; expected detection"):
        FishDetector(tiny.int8.artifact)
    with pytest.raises(InputError, match=r"spec\.json: task is 'detection'; expected digits"):
        DigitReader(detector.artifact)


@given(st.floats(-1e4, 1e4, width=32), st.floats(0.01, 50), st.floats(-50, 50))
def test_calibrated_scores_are_probabilities_that_rise_with_the_logit(logit, scale, shift):
    low, high = calibrated(np.array([logit, logit + 1], np.float32), scale, shift)
    assert 0 <= low <= high <= 1


def test_calibrated_scores_by_hand():
    assert calibrated(np.array([0.0, 2.0], np.float32), 0.5, -1.0) == pytest.approx([1 / (1 + math.e), 0.5])


def test_detecting_loads_no_training_code():
    code = (
        "import sys, deploy.runtime.detector\n"
        "heavy = {'torch', 'onnx', 'openvino', 'nncf', 'models', 'training', 'deploy.export'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
