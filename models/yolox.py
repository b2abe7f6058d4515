"""YOLOX-Nano: an anchor-free detector of 0.9 million weights (Ge et al.: YOLOX, 2021).

A CSPDarknet of depthwise convolutions, a path aggregation neck and one decoupled head for each of three strides.
The modules stand in the order in which they run, which is the order of the convolutions in an exported graph:
`models.pretrained` relies on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detector import BoxTargets, Detector, anchor_grid
from models.yolox_loss import YoloxOutput, detection_loss

WIDTHS = (16, 32, 64, 128, 256)  # a quarter of the full YOLOX
_DEPTHS = (1, 3, 3, 1)  # a third
_HEAD_WIDTH = 64
_PRIOR = 0.01  # how likely an anchor holds an object before anything is learnt
_LARGEST_LOG_SIDE = 8.0  # a box of 3000 strides: keeps the exponential finite


class DepthwiseConv(nn.Conv2d):
    """A depthwise 3x3 convolution; one of stride 2 works in float32 where a CPU computes in bfloat16.

    There the backward pass of just these has no fast kernel in bfloat16: measured 5 to 15 times slower.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, padding=1, groups=channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / stride, W / stride) of the same type."""
        if self.stride == (1, 1) or features.dtype != torch.bfloat16 or features.device.type != "cpu":
            return super().forward(features)
        with torch.autocast("cpu", enabled=False):
            return super().forward(features.float()).to(features.dtype)


def _norm_silu(convolution: nn.Conv2d) -> nn.Sequential:
    # SiLU in place would be slower: the backward pass needs its input again, which would be copied for it.
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, eps=1e-3, momentum=0.03), nn.SiLU())


def norm_conv(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """A convolution, batch norm and SiLU: (N, inputs, H, W) -> (N, outputs, H, W)."""
    return _norm_silu(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False))


def depthwise(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution within each channel, then a 1x1 across them, each with batch norm and SiLU."""
    return nn.Sequential(_norm_silu(DepthwiseConv(inputs, stride)), norm_conv(inputs, outputs))


class Bottleneck(nn.Module):
    """A 1x1 and a depthwise convolution, added to their input where `shortcut`; shape stays."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.branch = nn.Sequential(norm_conv(channels, channels), depthwise(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return features + self.branch(features) if self.shortcut else self.branch(features)


class CspLayer(nn.Module):
    """Half of the channels through bottlenecks, half past them: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        self.through = norm_conv(inputs, outputs // 2)
        self.past = norm_conv(inputs, outputs // 2)
        self.blocks = nn.Sequential(*(Bottleneck(outputs // 2, shortcut) for _ in range(depth)))
        self.merge = norm_conv(outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.merge(torch.cat([self.blocks(self.through(features)), self.past(features)], dim=1))


class Focus(nn.Module):
    """Every 2x2 block of pixels becomes one pixel of four times the channels, then a 3x3 convolution.

    Done as the 6x6 convolution of stride 2 that it equals: engines move the blocks slowly.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.conv = norm_conv(4 * inputs, outputs, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        convolution, norm, activation = self.conv
        # (outputs, left, top, inputs, row of blocks, column of blocks)
        blocks = convolution.get_parameter("weight").reshape(-1, 2, 2, self.inputs, 3, 3)
        weights = blocks.permute(0, 3, 4, 2, 5, 1).reshape(-1, self.inputs, 6, 6)
        return activation(norm(functional.conv2d(images, weights, stride=2, padding=2)))


class PyramidPooling(nn.Module):
    """The map beside its maxima over 5, 9 and 13 pixels; shape stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = norm_conv(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.merge = norm_conv(channels * 2, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        maps = [self.squeeze(features)]
        for _ in range(3):  # pooling 5 over 5 is pooling 9, and once more 13
            maps.append(self.pool(maps[-1]))
        return self.merge(torch.cat(maps, dim=1))


class Backbone(nn.Module):
    """(N, 3, H, W) -> maps of 64, 128 and 256 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_maps = dict(zip(("stage8", "stage16", "stage32"), WIDTHS[2:], strict=True))
        first, second, third, fourth, fifth = WIDTHS
        self.stem = Focus(3, first)
        self.stage4 = _stage(first, second, _DEPTHS[0])
        self.stage8 = _stage(second, third, _DEPTHS[1])
        self.stage16 = _stage(third, fourth, _DEPTHS[2])
        self.stage32 = nn.Sequential(
            depthwise(fourth, fifth, 2), PyramidPooling(fifth), CspLayer(fifth, fifth, _DEPTHS[3])
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        return self.maps(images)[1:]

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `forward`, with the map of 32 channels at stride 4 before them."""
        at4 = self.stage4(self.stem(images))
        at8 = self.stage8(at4)
        at16 = self.stage16(at8)
        return at4, at8, at16, self.stage32(at16)


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    return nn.Sequential(depthwise(inputs, outputs, 2), CspLayer(outputs, outputs, depth, shortcut=True))


class TopDown(nn.Module):
    """Mixes the three maps from coarse to fine: the finest keeps its shape, the others get the next finer's width."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS[2:]
        self.lateral16 = norm_conv(coarse, middle)
        self.down16 = CspLayer(2 * middle, middle)
        self.lateral8 = norm_conv(middle, fine)
        self.down8 = CspLayer(2 * fine, fine)

    def forward(self, at8: Tensor, at16: Tensor, at32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        lateral16 = self.lateral16(at32)
        lateral8 = self.lateral8(self.down16(torch.cat([doubled(lateral16), at16], dim=1)))
        return self.down8(torch.cat([doubled(lateral8), at8], dim=1)), lateral8, lateral16


class Neck(TopDown):
    """Mixes the three maps from coarse to fine and back; shapes stay."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS[2:]
        self.halve8 = depthwise(fine, fine, 2)
        self.up16 = CspLayer(2 * fine, middle)
        self.halve16 = depthwise(middle, middle, 2)
        self.up32 = CspLayer(2 * middle, coarse)

    def forward(self, at8: Tensor, at16: Tensor, at32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        fine, lateral8, lateral16 = super().forward(at8, at16, at32)
        middle = self.up16(torch.cat([self.halve8(fine), lateral8], dim=1))
        return fine, middle, self.up32(torch.cat([self.halve16(middle), lateral16], dim=1))


def doubled(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W), every pixel four times."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


class LevelHead(nn.Module):
    """(N, inputs, H, W) -> box (N, 4, H, W), objectness (N, 1, H, W) and class logits (N, classes, H, W)."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = norm_conv(inputs, _HEAD_WIDTH)
        self.class_branch = nn.Sequential(*(depthwise(_HEAD_WIDTH, _HEAD_WIDTH) for _ in range(2)))
        self.class_logits = nn.Conv2d(_HEAD_WIDTH, classes, 1)
        self.box_branch = nn.Sequential(*(depthwise(_HEAD_WIDTH, _HEAD_WIDTH) for _ in range(2)))
        self.box = nn.Conv2d(_HEAD_WIDTH, 4, 1)
        self.objectness = nn.Conv2d(_HEAD_WIDTH, 1, 1)
        for layer in (self.class_logits, self.objectness):
            nn.init.constant_(layer.bias, math.log(_PRIOR / (1 - _PRIOR)))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        stem = self.stem(features)
        classes = self.class_logits(self.class_branch(stem))
        box_features = self.box_branch(stem)
        return self.box(box_features), self.objectness(box_features), classes


class YoloxNano(Detector):
    """YOLOX-Nano; see the module.

    Args:
        classes: Number of classes.
    """

    answer_layers = tuple(
        f"heads.{level}.{name}" for level in range(3) for name in ("box", "objectness", "class_logits")
    )

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = Backbone()
        self.neck = Neck()
        self.heads = nn.ModuleList(LevelHead(width, classes) for width in WIDTHS[2:])

    def forward(self, images: Tensor) -> YoloxOutput | tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> raw outputs while training, else (boxes, logits); see `Detector`."""
        levels = [head(features) for head, features in zip(self.heads, self.neck(*self.backbone(images)), strict=True)]
        raw = decoded(levels)
        return raw if self.training else (raw.boxes, joint_logits(raw.objectness, raw.classes))

    def loss(self, raw: YoloxOutput, targets: BoxTargets) -> Tensor:
        """See `Detector` and `models.yolox_loss`."""
        return detection_loss(raw, targets)


def decoded(levels: list[tuple[Tensor, Tensor, Tensor]]) -> YoloxOutput:
    """Head outputs of the three levels -> boxes and logits, always in float32."""
    sizes = tuple((box.shape[2], box.shape[3]) for box, _, _ in levels)
    centres, strides = anchor_grid(sizes, levels[0][0].device)
    box, objectness, classes = (
        torch.cat([part.flatten(2) for part in parts], dim=2).transpose(1, 2).float()
        for parts in zip(*levels, strict=True)
    )
    scale = strides[:, None]
    centre = box[..., :2] * scale + (centres - scale / 2)  # YOLOX counts from the corner of a cell
    half = box[..., 2:].clamp(max=_LARGEST_LOG_SIDE).exp() * (scale / 2)
    boxes = torch.cat([centre - half, centre + half], dim=-1)
    return YoloxOutput(boxes, objectness[..., 0], classes, centres, strides)


def joint_logits(objectness: Tensor, classes: Tensor) -> Tensor:
    """The logit of sigmoid(objectness) * sigmoid(class): (N, A) and (N, A, C) -> (N, A, C).

    With a = exp(-objectness) and b = exp(-class) the product is 1 / ((1 + a)(1 + b)), its logit -log(a + b + ab),
    here as a log-sum-exp of operations that every engine has.
    """
    one, other = -objectness[..., None], -classes
    both = one + other
    largest = torch.maximum(torch.maximum(one, other), both)
    return -(largest + torch.log((one - largest).exp() + (other - largest).exp() + (both - largest).exp()))
