"""Weights that others trained, fitted into our networks.

An exported graph has its batch norms folded into the convolutions. Here each convolution gets its weights and the
batch norm after it becomes a plain shift; `measure_batch_norms` then gives the batch norms real statistics, without
which training would start from another function than the one that was loaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.errors import ConfigurationError, FileAccessError, InputError, MissingDependencyError
from models.yolox import LevelHead, YoloxNano

_CURE = "get yolox_nano.onnx, the COCO model of YOLOX-Nano, anew"
_COCO_CLASSES = 80
_OWN_STEM = (6, 6)  # kernel of the first convolution in a graph of ours, see `models.yolox.Focus`
_SURE = 3.0  # the logit at which a lone class starts: the objectness then says it all

_Folded = tuple[NDArray[np.float32], NDArray[np.float32]]


def load_yolox_coco(network: YoloxNano, onnx_path: Path) -> None:
    """Weights of YOLOX-Nano trained on COCO, by the order of the graph's convolutions.

    A network of other than COCO's 80 classes takes everything but the class logits. Those of a lone class start as
    a constant, so that the score starts as the objectness; those of several stay as they are.

    Args:
        network: Receives the weights; its function in evaluation is then the file's.
        onnx_path: The exported model, batch norms folded, undecoded boxes.

    Raises:
        InputError: The file is no such model.
        FileAccessError: The file cannot be read.
        MissingDependencyError: The onnx package is not installed.
    """
    folded = _folded_convolutions(onnx_path)
    layers = _convolutions_with_norms(network)
    _check_shapes(onnx_path, folded, layers, network.classes)
    for (convolution, norm), (weight, bias) in zip(layers, folded, strict=True):
        if convolution.weight.shape == weight.shape:
            _fill(convolution, norm, torch.from_numpy(weight), torch.from_numpy(bias))
    if network.classes == 1:
        for head in network.modules():
            if isinstance(head, LevelHead):
                nn.init.zeros_(head.class_logits.weight)
                nn.init.constant_(head.class_logits.bias, _SURE)  # type: ignore[arg-type]


def load_yolox(network: YoloxNano, onnx_path: Path) -> None:
    """Weights of YOLOX-Nano from its COCO model as published, or from the float model of an artifact of ours.

    Args:
        network: Receives the weights; see `load_yolox_coco` where its classes are others than COCO's.
        onnx_path: The exported model.

    Raises:
        InputError: The file is no such model; one of ours has other classes than the network.
        FileAccessError: The file cannot be read.
        MissingDependencyError: The onnx package is not installed.
    """
    folded = _plain_convolutions(onnx_path)
    if folded[0][0].shape[2:] == _OWN_STEM:
        _fill_first(network, folded, onnx_path)
    else:
        load_yolox_coco(network, onnx_path)


def load_first_convolutions(backbone: nn.Module, onnx_path: Path) -> None:
    """Weights of an exported network that begins with this backbone, by the order of the graph's convolutions.

    Args:
        backbone: Receives the weights; its function in evaluation is then that of the file's beginning.
        onnx_path: YOLOX-Nano's COCO model, or the float model of an artifact on the same backbone.

    Raises:
        InputError: The file does not begin with such a backbone.
        FileAccessError: The file cannot be read.
        MissingDependencyError: The onnx package is not installed.
    """
    _fill_first(backbone, _plain_convolutions(onnx_path), onnx_path)


def _fill_first(backbone: nn.Module, found: list[_Folded], onnx_path: Path) -> None:
    """As `load_first_convolutions`, of the convolutions that the graph was found to have."""
    layers = _convolutions_with_norms(backbone)
    folded = found[: len(layers)]
    if folded[0][0].shape[2:] == _OWN_STEM:  # a graph of ours: its convolutions stand in the order of running
        folded[0] = _in_blocks(folded[0][0]), folded[0][1]
        layers = _in_order_of_running(backbone, layers)
    for number, (convolution, _) in enumerate(layers):
        shape = folded[number][0].shape if number < len(folded) else None
        if shape != tuple(convolution.weight.shape):
            told = f"convolution {number} holds {shape}"
            expected = f"weights of shape {tuple(convolution.weight.shape)}"
            raise InputError(onnx_path, told, expected=expected, cure="check network and start_from")
    for (convolution, norm), (weight, bias) in zip(layers, folded, strict=True):
        _fill(convolution, norm, torch.from_numpy(weight), torch.from_numpy(bias))


@torch.no_grad()
def load_in_order(backbone: nn.Module, path: Path) -> None:
    """Weights of a whole network that begins with this backbone under other names, batch norms and all.

    Args:
        backbone: Receives the file's first tensors, one after the other.
        path: A state dictionary as `torch.save` writes it (.pth); nothing in it is executed.

    Raises:
        InputError: The file is damaged, or does not begin with such a backbone.
    """
    own = backbone.state_dict()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise InputError(path, "damaged, or no state dictionary", cure="get the file anew") from error
    kinds = [[(name.rpartition(".")[2], value.shape) for name, value in part.items()] for part in (own, found)]
    if kinds[0] != kinds[1][: len(own)]:
        raise InputError(path, "holds weights of another network", cure="check network and start_from")
    backbone.load_state_dict(dict(zip(own, found.values(), strict=False)))


def _plain_convolutions(onnx_path: Path) -> list[_Folded]:
    """Weights and biases of a graph's convolutions, of which there is one at least, whatever it computes them from."""
    with tempfile.TemporaryDirectory(prefix="shankha-start-") as place:
        flat = Path(place) / "folded.onnx"
        _fold_constants(onnx_path, flat)
        folded = _folded_convolutions(flat)
    if not folded:
        raise InputError(onnx_path, "has no convolutions", cure="check start_from")
    return folded


def _fold_constants(onnx_path: Path, to: Path) -> None:
    """Write the graph with what no input changes computed, batch norms in their convolutions, and those in order."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    options.log_severity_level = 3
    try:
        import onnx  # noqa: PLC0415 - only starting from such weights needs it

        content = onnx_path.read_bytes()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        order = {node.name: place for place, node in enumerate(onnx.load_from_string(content).graph.node)}
        model = onnx.load(to)
    except ImportError as error:
        raise MissingDependencyError(
            "onnx", "the package is not installed", cure="install the extra 'export'"
        ) from error
    except OSError as error:
        raise FileAccessError(onnx_path, f"cannot be read: {error.strerror}") from error
    except Exception as error:  # the engine's errors share no base
        raise InputError(onnx_path, "damaged, or no ONNX model", expected="a float model as exported") from error
    # The engine may have moved branches that do not depend on each other.
    nodes = sorted(model.graph.node, key=lambda node: order.get(node.name, len(order)))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    to.write_bytes(model.SerializeToString())


@torch.no_grad()
def _in_order_of_running(
    backbone: nn.Module, layers: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """The layers as the backbone runs them, told by their norms where they have one."""
    ran: list[nn.Module] = []
    told: list[nn.Module] = [norm or convolution for convolution, norm in layers]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in told]
    was_training = backbone.training
    backbone.eval()(torch.zeros(1, 3, 64, 64))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    return [layers[told.index(layer)] for layer in ran]


def _in_blocks(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(O, I, 6, 6) of stride 2 -> the equal (O, 4 I, 3, 3) over 2x2 blocks of pixels; see `models.yolox.Focus`."""
    outputs, inputs = weight.shape[:2]
    blocks = weight.reshape(outputs, inputs, 3, 2, 3, 2).transpose(0, 5, 3, 1, 2, 4)
    return np.ascontiguousarray(blocks.reshape(outputs, 4 * inputs, 3, 3))


@torch.no_grad()
def measure_batch_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every batch norm the mean and variance of what really reaches it, its function in evaluation unchanged.

    For a norm that maps x to s x + t in evaluation, mean m and variance v are measured over the batches, and its
    parameters become those for which s x + t = weight (x - m) / sqrt(v + eps) + bias. One pass measures all of
    them, because no norm's function changes. Afterwards a training step, which normalises by its own batch, starts
    near the function of evaluation.

    Args:
        network: Any network of 2d batch norms; its mode stays as it was.
        batches: Inputs (N, ...) as in training, a few dozen pictures in all, on the network's device.

    Raises:
        ConfigurationError: There are no batches.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    measured = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda layer, inputs: measured[layer].add(inputs[0])) for norm in norms]
    was_training = network.training
    try:
        network.eval()
        for batch in batches:
            network(batch)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if any(moments.count == 0 for moments in measured.values()):
        raise ConfigurationError("measure_batch_norms", "there are no pictures to measure")
    for norm, moments in measured.items():
        _restate(norm, moments.mean, moments.variance())


class _Moments:
    """Mean and variance of each channel over all that was added, merged batch by batch (Chan et al., 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, features: Tensor) -> None:
        """Take (N, C, H, W) in."""
        count = features.numel() // features.shape[1]
        variance, mean = torch.var_mean(features.float(), dim=(0, 2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        total = self.count + count
        shift = mean - self.mean.to(mean)
        self._squares = self._squares.to(mean) + variance * count + shift**2 * (self.count * count / total)
        self.mean = self.mean.to(mean) + shift * (count / total)
        self.count = total

    def variance(self) -> Tensor:
        """(C,)."""
        return self._squares / self.count


def _restate(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """The same function in evaluation about another mean and variance, float64 (C,)."""
    if norm.running_mean is None or norm.running_var is None:
        raise ConfigurationError("measure_batch_norms", "a batch norm keeps no running statistics")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    norm.bias.copy_(norm.bias.double() + scale * (mean - norm.running_mean.double()))
    norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


@torch.no_grad()
def _fill(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, weight: Tensor, bias: Tensor) -> None:
    """The convolution's weights; its bias into the batch norm behind it, which else does nothing."""
    convolution.weight.copy_(weight)
    if norm is None:
        convolution.bias.copy_(bias)  # type: ignore[union-attr]
    else:
        norm.reset_running_stats()
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.bias.copy_(bias)


def _convolutions_with_norms(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """All convolutions in order, each with the batch norm that follows it."""
    layers: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layers.append((layer, None))
        elif isinstance(layer, nn.BatchNorm2d):
            layers[-1] = (layers[-1][0], layer)
    return layers


def _folded_convolutions(path: Path) -> list[_Folded]:
    """Weight (O, I / groups, K, K) and bias (O,) of every convolution, in the graph's order."""
    try:
        import onnx  # noqa: PLC0415 - only starting from these weights needs it
    except ImportError as error:
        raise MissingDependencyError(
            "onnx", "the package is not installed", cure="install the extra 'export'"
        ) from error
    try:
        graph = onnx.load_from_string(path.read_bytes()).graph
        tensors: dict[str, Any] = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        return [
            (tensors[node.input[1]].astype(np.float32), tensors[node.input[2]].astype(np.float32))
            for node in graph.node
            if node.op_type == "Conv"
        ]
    except OSError as error:
        raise FileAccessError(path, f"cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf, missing tensors, wrong sizes: all the same to the user
        raise InputError(path, "damaged, or no ONNX model with plain convolutions", cure=_CURE) from error


def _check_shapes(
    path: Path, folded: list[_Folded], layers: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]], classes: int
) -> None:
    """Raise InputError unless every convolution fits, those of the class logits aside where the classes differ."""
    if len(folded) != len(layers):
        raise InputError(path, f"{len(folded)} convolutions", expected=f"{len(layers)}", cure=_CURE)
    for number, ((layer, _), (weight, bias)) in enumerate(zip(layers, folded, strict=True)):
        wanted = tuple(layer.weight.shape)
        if layer.bias is not None and wanted[0] == classes and weight.shape[0] == _COCO_CLASSES:
            wanted = (_COCO_CLASSES, *wanted[1:])
        if weight.shape != wanted or bias.shape != wanted[:1] or not np.isfinite(weight).all():
            found = f"convolution {number} holds {weight.shape}"
            raise InputError(path, found, expected=f"finite weights of shape {wanted}", cure=_CURE)
