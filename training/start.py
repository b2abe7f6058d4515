"""Weights that a detector or counter begins a run with: those of another run, or published ones."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from data.errors import ConfigurationError, FileAccessError
from models.counting import Counter
from models.pretrained import load_yolox_coco, measure_batch_norms
from models.yolox import YoloxNano
from training.checkpoint import load_weights


def start_from(network: nn.Module, path: Path, images: Tensor) -> None:
    """Fill a fresh network with the weights of a file.

    Args:
        network: The recipe's network, changed in place.
        path: A run's `weights.safetensors`, or YOLOX-Nano's COCO weights as published (.onnx).
        images: Training inputs (N, 3, H, W) float32, which published weights without batch norms are measured on.

    Raises:
        FileAccessError: There is no such file.
        InputError: It is damaged or of another network.
        ConfigurationError: The recipe's network cannot start from such a file.
    """
    if not path.is_file():
        raise FileAccessError(path, "is missing", expected="weights to start from", cure="mend start_from")
    if path.suffix == ".safetensors":
        load_weights(network, path)
        return
    if path.suffix != ".onnx" or not isinstance(network, YoloxNano | Counter):
        raise ConfigurationError(
            path, "is nothing that this network can start from", expected="weights.safetensors of a run of it"
        )
    if isinstance(network, Counter):
        network.take(_coco_detector(path))
    else:
        load_yolox_coco(network, path)
    measure_batch_norms(network, images.split(8))


def _coco_detector(path: Path) -> YoloxNano:
    whole = YoloxNano()
    load_yolox_coco(whole, path)
    return whole
