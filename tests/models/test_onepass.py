from __future__ import annotations

import pytest
import torch

from models.counting import DensityNet
from models.onepass import OnePass
from models.yolox import YoloxNano

FRAMES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(2)) * 255


def learnt_apart() -> tuple[YoloxNano, DensityNet]:
    """A detector, and a counter that took its trunk."""
    torch.manual_seed(3)
    detector, counter = YoloxNano(), DensityNet(fixed="trunk")
    counter.take(detector)
    return detector.eval(), counter.eval()


@torch.no_grad()
def test_one_pass_answers_as_both_do_alone() -> None:
    detector, counter = learnt_apart()
    boxes, logits, density = OnePass(detector, counter).eval()(FRAMES)
    for own, theirs in zip((boxes, logits), detector(FRAMES), strict=True):
        torch.testing.assert_close(own, theirs)
    torch.testing.assert_close(density, counter(FRAMES))


def test_another_trunk_cannot_be_shared() -> None:
    detector, counter = learnt_apart()
    torch.nn.init.normal_(counter.neck.down8.merge[0].weight)
    with pytest.raises(ValueError, match="trunk of its own"):
        OnePass(detector, counter)


@pytest.mark.parametrize(
    ("fixed", "stays"), [("nothing", ()), ("backbone", ("backbone.",)), ("trunk", ("backbone.", "neck."))]
)
def test_what_is_fixed_does_not_learn(fixed: str, stays: tuple[str, ...]) -> None:
    torch.manual_seed(3)
    network = DensityNet(fixed=fixed).train()  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(learning, 0.1)
    network(FRAMES).sum().backward()
    optimizer.step()
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after if stays and name.startswith(stays))
    for name in (name for name in after if name.endswith("running_mean") and not name.startswith(stays)):
        assert not torch.equal(after[name], before[name]), name
    assert not torch.equal(after["rate.weight"], before["rate.weight"])
