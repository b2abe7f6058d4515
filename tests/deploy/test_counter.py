from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from data.errors import InputError
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.looking import BATCH
from tests.deploy.specks import GRID_WH, Specks, frame, middle, specks_artifact

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    return DenseCounter(specks_artifact(tmp_path_factory.mktemp("specks")))


def test_it_counts_what_is_there_and_says_where(counter):
    seen = counter.count([frame((1, 2), (9, 5)), frame(), frame((5, 3))])
    assert [one.count for one in seen] == pytest.approx([2, 0, 1], abs=1e-5)
    assert [sorted(one.points.tolist()) for one in seen] == [[middle(1, 2), middle(9, 5)], [], [middle(5, 3)]]
    assert seen[0].points.dtype == np.float32
    assert counter.dense_from == 6.5
    assert counter.localizes


def test_no_frames_give_no_counts(counter):
    assert counter.count([]) == []
    assert counter.densities([]) == []


def test_batches_change_nothing(counter):
    frames = [frame(*((n % GRID_WH[0], n % GRID_WH[1]),)) for n in range(2 * BATCH + 3)]
    together = counter.count(frames)
    for image, seen in zip(frames, together, strict=True):
        (alone,) = counter.count([image])
        assert alone.count == pytest.approx(seen.count, abs=1e-5)
        assert alone.points.tolist() == seen.points.tolist()


@pytest.mark.parametrize("factor", [3, 10])
def test_points_come_back_in_the_pixels_of_a_large_frame(counter, factor):
    large = cv2.resize(frame((2, 1), (8, 6)), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    (seen,) = counter.count([large])
    assert seen.count == pytest.approx(2, abs=1e-4)
    np.testing.assert_allclose(sorted(seen.points.tolist()), factor * np.array([middle(2, 1), middle(8, 6)]), atol=0.01)


@pytest.mark.parametrize("size_wh", [(960, 640), (192, 64), (96, 256), (97, 61), (3840, 2160), (1, 1)])
def test_points_lie_in_the_frame_whatever_its_size(counter, size_wh):
    (seen,) = counter.count([np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)])
    assert seen.count > 0
    assert ((seen.points >= 0) & (seen.points <= size_wh)).all()
    assert len(seen.points) <= round(seen.count)


def test_what_is_seen_in_the_padding_is_no_fish(tmp_path):
    white = {"size_wh": (96, 64), "padding": 255}
    counter = DenseCounter(specks_artifact(tmp_path, preprocessing=white))
    assert counter.count([np.zeros((64, 32, 3), np.uint8)])[0].count == 0


def test_the_background_counts_nothing(tmp_path):
    hazy = DenseCounter(specks_artifact(tmp_path / "a", Specks(haze=0.02)))
    clear = DenseCounter(specks_artifact(tmp_path / "b", Specks(haze=0.02), least_density=0.05))
    assert hazy.count([frame((1, 1))])[0].count == pytest.approx(1 + 96 * 0.02, abs=1e-3)
    assert clear.count([frame((1, 1))])[0].count == pytest.approx(1.02, abs=1e-3)


def test_what_a_network_says_is_scaled(tmp_path):
    counter = DenseCounter(specks_artifact(tmp_path, scales=(1.5,)))
    assert counter.count([frame((1, 1), (5, 5))])[0].count == pytest.approx(3, abs=1e-4)
    with pytest.raises(ValidationError, match="expected one for each of 1 models"):
        specks_artifact(tmp_path, scales=(1.5, 1.0))


def test_a_counter_that_is_never_better_than_boxes_is_never_trusted(tmp_path):
    assert DenseCounter(specks_artifact(tmp_path, dense_from=None)).dense_from == math.inf


def test_densities_add_up_to_the_count(counter):
    frames = [frame((1, 2), (9, 5)), np.full((50, 200, 3), 90, np.uint8)]
    for seen, told in zip(counter.densities(frames), counter.count(frames), strict=True):
        assert seen.count == pytest.approx(told.count, rel=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_frame_is_refused_by_its_number(counter, wrong):
    with pytest.raises(InputError, match=rf"frame {BATCH + 1}: .*expected uint8"):
        counter.count([frame()] * (BATCH + 1) + [wrong])


def test_what_is_no_number_is_an_error(tmp_path):
    broken = DenseCounter(specks_artifact(tmp_path, Specks(haze=math.nan)))
    with pytest.raises(InputError, match=r"model\.onnx: answers with what is no number"):
        broken.count([frame()])


def test_artifacts_of_other_tasks_and_other_grids_are_refused(counter, tmp_path, tiny):
    with pytest.raises(InputError, match=r"task is 'digits'; expected counting"):
        DenseCounter(tiny.int8.artifact)
    with pytest.raises(InputError, match=r"task is 'counting'; expected detection"):
        FishDetector(counter.artifact)
    with pytest.raises(InputError, match=r"density \(N, 8, 12\); expected .*density \(N, 9, 12\)"):
        DenseCounter(specks_artifact(tmp_path, grid_wh=(12, 9)))


def test_counting_loads_no_training_code():
    code = (
        "import sys, deploy.runtime.counter\n"
        "heavy = {'torch', 'onnx', 'openvino', 'nncf', 'models', 'training', 'deploy.export'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
