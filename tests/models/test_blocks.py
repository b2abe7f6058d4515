"""Each internal regularizer does what its paper says, and nothing when it does not train."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.blocks import DropBlock, Residual, SpinalHead


def test_drop_block_removes_squares_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropBlock(rate=0.2, block=3).train()
    out = layer(torch.ones(64, 8, 16, 16))
    dropped = out == 0
    assert dropped.float().mean().item() == pytest.approx(0.2, abs=0.04)
    assert out.mean().item() == pytest.approx(1.0, abs=0.01)
    # Every dropped pixel belongs to a whole dropped 3 x 3 block.
    whole = -nn.functional.max_pool2d(-dropped.float(), 3, stride=1)
    grown = nn.functional.max_pool2d(nn.functional.pad(whole, (2,) * 4), 3, stride=1)
    assert torch.equal(grown > 0, dropped)


def test_drop_block_takes_maps_smaller_than_its_block() -> None:
    out = DropBlock(rate=0.5, block=7).train()(torch.ones(4, 2, 3, 3))
    assert out.shape == (4, 2, 3, 3)
    assert torch.isfinite(out).all()


def test_a_residual_block_skips_its_branch_for_whole_examples_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    block = Residual(2, skip_rate=0.25).train()
    out = block.skip(torch.ones(4000, 1, 2, 2))
    sums = out.sum(dim=(1, 2, 3))
    assert sums.unique().tolist() == [0.0, pytest.approx(4 / 0.75)]
    assert (sums == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("layer", [DropBlock(0.5), Residual(4, skip_rate=0.5).skip])
def test_internal_regularizers_rest_in_evaluation(layer: nn.Module) -> None:
    features = torch.rand(8, 4, 6, 6)
    assert torch.equal(layer.eval()(features), features)


def test_residual_without_its_branch_is_the_identity_of_positive_features() -> None:
    block = Residual(4).eval()
    nn.init.zeros_(block.branch[0].weight)
    features = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(features), features)


def test_spinal_parts_see_alternate_halves_and_the_part_before() -> None:
    head = SpinalHead(inputs=20, outputs=3, width=4, parts=4).eval()
    features = torch.rand(1, 20, requires_grad=True)
    head.out.weight.data.zero_()
    head.out.weight.data[:, :4] = 1  # the answer of the first part only
    head(features).sum().backward()
    assert features.grad is not None
    assert (features.grad[0, 10:] == 0).all()  # the first part sees the first half alone
    assert [part[1].in_features for part in head.parts] == [10, 14, 14, 14]
