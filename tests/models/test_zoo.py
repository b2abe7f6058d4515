from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from data.errors import ConfigurationError
from models import zoo
from models.detector import Detector


@pytest.mark.parametrize("name", zoo.digit_networks())
@pytest.mark.parametrize("count", [1, 3])
def test_every_network_gives_eleven_logits(name: str, count: int) -> None:
    network = zoo.build(name).eval()
    assert network(torch.rand(count, 1, 32, 32)).shape == (count, 11)


def test_spinal_head_needs_fewer_weights_and_multiplications_than_the_plain_one() -> None:
    example = torch.rand(1, 1, 32, 32)
    plain, spinal = zoo.build("vgg5"), zoo.build("vgg5-spinal")
    assert zoo.parameters(spinal) < zoo.parameters(plain)
    assert zoo.multiply_adds(spinal, example) < zoo.multiply_adds(plain, example)


def test_multiply_adds_of_a_known_network() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 5 * 6, 7))
    assert zoo.multiply_adds(network, torch.rand(1, 2, 5, 6)) == 2 * 9 * 4 * 30 + 120 * 7


@pytest.mark.parametrize("name", zoo.detectors())
def test_every_detector_keeps_the_contract(name: str) -> None:
    network = zoo.build(name, classes=2).eval()
    assert isinstance(network, Detector)
    assert network.classes == 2
    images = torch.rand(1, 3, 64, 96) * 255
    boxes, logits = network(images)
    assert boxes.shape == (1, 126, 4)
    assert logits.shape == (1, 126, 2)
    assert boxes.dtype == logits.dtype == torch.float32
    assert zoo.multiply_adds(network, images) > 1_000_000


@pytest.mark.parametrize(
    ("name", "options"), [("resnet-9000", {}), ("compact", {"width": 3}), ("yolox-nano", {"anchors": 3})]
)
def test_unknown_networks_and_options_are_refused(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        zoo.build(name, **options)


def test_who_reads_digits_does_not_wait_for_ultralytics() -> None:
    lines = "import sys; from models import zoo; zoo.build('compact'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert not {"ultralytics", "models.ultralytics_detectors", "models.yolox"} & set(done.stdout.split())
