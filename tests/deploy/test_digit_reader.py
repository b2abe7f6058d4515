from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data.labels import NOT_A_DIGIT
from deploy.runtime.digits import BATCH, DigitReader, decode
from tests.tiny import drawn_batch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["int8", "float32"])
def reader(request, tiny):
    return DigitReader(getattr(tiny, request.param).artifact)


def test_it_reads_what_it_was_trained_for(reader):
    images, labels = drawn_batch(440, seed=11)
    readings = reader.read(images)
    digit = labels != NOT_A_DIGIT
    assert np.mean(readings.values[digit] == labels[digit]) > 0.97
    assert np.mean(readings.not_a_digit == ~digit) > 0.97
    assert not readings.accepted[readings.not_a_digit].any()
    assert readings.accepted[digit].mean() > 0.8


def test_no_pictures_give_no_readings(reader):
    readings = reader.read([])
    assert len(readings) == 0
    assert readings.probabilities.shape == (0, 11)
    assert readings.accepted.dtype == np.bool_
    assert reader.logits(np.zeros((0, 1, 32, 32), np.float32)).shape == (0, 11)


def test_batches_change_nothing(reader):
    images, _ = drawn_batch(BATCH + 3, seed=12)
    together = reader.read(images)
    assert len(together) == BATCH + 3
    for at in (0, BATCH - 1, BATCH, BATCH + 2):
        alone = reader.read(images[at : at + 1])
        np.testing.assert_allclose(alone.logits[0], together.logits[at], atol=1e-4)
        assert alone.values[0] == together.values[at]


@pytest.mark.parametrize(
    "as_found",
    [
        lambda image: 255 - image,
        lambda image: cv2.cvtColor(image, cv2.COLOR_GRAY2BGR),
        lambda image: cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC),
        lambda image: (image // 2 + 60).astype(np.uint8),
        lambda image: cv2.copyMakeBorder(image, 40, 10, 5, 60, cv2.BORDER_CONSTANT, value=255.0),
    ],
    ids=["light on dark", "colour", "large", "faint", "loose"],
)
def test_the_way_a_picture_was_taken_changes_little(reader, as_found):
    images, labels = drawn_batch(110, seed=13)
    digit = labels != NOT_A_DIGIT
    readings = reader.read([as_found(image) for image in images])
    assert np.mean(readings.values[digit] == labels[digit]) > 0.93


def test_polarity_can_be_given(reader):
    images, labels = drawn_batch(110, seed=14)
    digit = labels != NOT_A_DIGIT
    readings = reader.read([255 - image for image in images], polarity="light")
    assert np.mean(readings.values[digit] == labels[digit]) > 0.95


def test_an_empty_cell_is_not_accepted_as_a_digit_without_ink(tiny):
    blank = np.full((40, 40), 250, np.uint8)
    readings = DigitReader(tiny.int8.artifact).read([blank])
    assert len(readings) == 1
    assert np.isfinite(readings.probabilities).all()


def test_int8_answers_as_float32_does(tiny):
    images, _ = drawn_batch(330, seed=15)
    int8, float32 = (DigitReader(one.artifact).read(images) for one in (tiny.int8, tiny.float32))
    assert np.mean(int8.values == float32.values) > 0.98
    assert np.abs(int8.logits - float32.logits).mean() < 0.2


logit_arrays = hnp.arrays(np.float32, st.tuples(st.integers(0, 12), st.just(11)), elements=st.floats(-40, 40, width=32))


@given(logit_arrays, st.floats(0.1, 10), st.floats(0, 1))
def test_decoded_readings_keep_their_promises(logits, temperature, threshold):
    readings = decode(logits, temperature, threshold)
    rows = np.arange(len(logits))
    assert len(readings) == len(logits)
    np.testing.assert_allclose(readings.probabilities.sum(axis=1), 1, rtol=1e-4)
    assert (readings.values == logits[:, :10].argmax(axis=1)).all()
    assert (readings.confidences == readings.probabilities[rows, readings.values]).all()
    assert (readings.runner_ups != readings.values).all()
    others = np.where(np.arange(10) == readings.values[:, None], -np.inf, logits[:, :10])
    assert (logits[rows, readings.runner_ups] == others.max(axis=1, initial=-np.inf)).all()
    assert (readings.not_a_digit == (logits[:, 10] > logits[:, :10].max(axis=1, initial=-np.inf))).all()
    assert (readings.accepted == (~readings.not_a_digit & (readings.confidences >= np.float32(threshold)))).all()


@given(logit_arrays)
def test_temperature_moves_confidence_but_no_answer(logits):
    sharp, soft = decode(logits, 0.5, 0.5), decode(logits, 2.0, 0.5)
    assert (sharp.values == soft.values).all()
    assert (sharp.not_a_digit == soft.not_a_digit).all()
    assert (sharp.probabilities.max(axis=1, initial=0) >= soft.probabilities.max(axis=1, initial=0) - 1e-6).all()


def test_the_threshold_itself_is_accepted():
    logits = np.zeros((1, 11), np.float32)
    logits[0, 3] = 2.0
    confidence = float(decode(logits, 1.0, 0.0).confidences[0])
    assert decode(logits, 1.0, confidence).accepted[0]
    assert not decode(logits, 1.0, np.nextafter(np.float32(confidence), np.float32(1)).item()).accepted[0]


def test_reading_and_evaluating_load_no_training_code():
    code = (
        "import sys, deploy.runtime.digits, apps.evaluate\n"
        "heavy = {'torch', 'torchvision', 'onnx', 'albumentations', 'models', 'training', 'deploy.export'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
