from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import zoo
from models.counting import Counter, CountRegressor, DensityNet
from models.counting_loss import LOSSES, bayesian_loss, density_loss, process_loss, splat
from models.yolox import YoloxNano

ROWS, COLUMNS = 6, 9
PLACES = st.tuples(st.floats(0, COLUMNS, width=32), st.floats(0, ROWS, width=32))


@pytest.mark.parametrize(("name", "grid_wh"), [("density-nano", (16, 8)), ("count-nano", (1, 1))])
def test_every_counter_keeps_the_contract(name: str, grid_wh: tuple[int, int]) -> None:
    network = zoo.build(name).eval()
    assert isinstance(network, Counter)
    assert name in zoo.counters()
    assert network.grid_wh((128, 64)) == grid_wh
    rates = network(torch.rand(2, 3, 64, 128) * 255)
    assert rates.shape == (2, grid_wh[1], grid_wh[0])
    assert rates.dtype == torch.float32
    assert (rates >= 0).all()
    assert rates.sum(dim=(1, 2)).max() < 5  # it begins with few fish, wherever it looks


def test_counters_are_small_and_cheaper_than_the_detector() -> None:
    image = torch.zeros(1, 3, 64, 96)
    detector = zoo.build("yolox-nano")
    for name in zoo.counters():
        network = zoo.build(name)
        assert zoo.parameters(network) < zoo.parameters(detector)
        assert zoo.multiply_adds(network, image) < zoo.multiply_adds(detector, image)


@pytest.mark.parametrize("kind", [DensityNet, CountRegressor])
def test_a_counter_takes_what_a_detector_has_of_it(kind: type[Counter]) -> None:
    torch.manual_seed(1)
    network, detector = kind(), YoloxNano()
    before = network.rate.weight.clone()
    network.take(detector)
    own, theirs = network.state_dict(), detector.state_dict()
    shared = [name for name in own if name in theirs]
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    assert any(name.startswith("backbone.stage32") for name in shared)
    assert any(name.startswith("neck.down8") for name in shared) == (kind is DensityNet)
    assert torch.equal(network.rate.weight, before)


@given(st.lists(PLACES, max_size=8))
def test_splatting_loses_nothing(places: list[tuple[float, float]]) -> None:
    points = torch.tensor(places, dtype=torch.float32).reshape(-1, 2)
    image = torch.arange(len(points)) % 2
    made = splat(points, image, (2, ROWS, COLUMNS))
    assert made.shape == (2, ROWS, COLUMNS)
    assert made.sum(dim=(1, 2)).tolist() == pytest.approx([(image == n).sum().item() for n in (0, 1)], abs=1e-5)
    assert (made >= 0).all()


def test_a_point_in_the_middle_of_a_cell_is_that_cells() -> None:
    made = splat(torch.tensor([[3.5, 1.5], [4.0, 2.0]]), torch.zeros(2, dtype=torch.int64), (1, ROWS, COLUMNS))
    assert made[0, 1, 3] == 1.25
    assert made[0, 2, 4] == 0.25


def fitted(name: str, points: torch.Tensor, image: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """The rates that make a loss least, free in every cell."""
    raw = torch.full(shape, -3.0, requires_grad=True)
    optimizer = torch.optim.Adam([raw], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        LOSSES[name](torch.nn.functional.softplus(raw), points, image).backward()
        optimizer.step()
    return torch.nn.functional.softplus(raw).detach()


@pytest.mark.parametrize("name", LOSSES)
def test_the_least_loss_counts_right_in_the_right_place(name: str) -> None:
    points, image = torch.tensor([[2.5, 1.5], [6.5, 4.5], [2.5, 4.5]]), torch.tensor([0, 0, 1])
    rates = fitted(name, points, image, (3, ROWS, COLUMNS))
    assert rates.sum(dim=(1, 2)).tolist() == pytest.approx([2, 1, 0], abs=0.15)
    assert rates[0, :3, :5].sum().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", ["process", "density"])
def test_a_grid_of_one_cell_learns_the_count(name: str) -> None:
    points, image = torch.rand(5, 2), torch.tensor([0, 0, 0, 0, 1])
    assert fitted(name, points, image, (3, 1, 1)).flatten().tolist() == pytest.approx([4, 1, 0], abs=0.15)


def test_losses_by_hand() -> None:
    rates = torch.full((1, 2, 2), 0.5)
    none = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
    one = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    assert process_loss(rates, *none) == pytest.approx(2.0)
    assert process_loss(rates, *one).item() == pytest.approx(2.0 + 0.6931, abs=1e-4)
    assert bayesian_loss(rates, *none) == pytest.approx(2.0)
    assert density_loss(rates, *none).item() == pytest.approx(10 * 4 * 0.25)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_finite_gradients_where_nothing_is_seen(name: str) -> None:
    rates = torch.zeros(2, ROWS, COLUMNS, requires_grad=True)
    LOSSES[name](rates, torch.tensor([[8.9, 5.9], [0.0, 0.0]]), torch.tensor([0, 1])).backward()
    assert torch.isfinite(rates.grad).all()
    assert rates.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("fixed", "stays"), [("nothing", ()), ("backbone", ("backbone.",)), ("trunk", ("backbone.", "neck."))]
)
def test_what_is_fixed_does_not_learn(fixed: str, stays: tuple[str, ...]) -> None:
    torch.manual_seed(3)
    network = DensityNet(fixed=fixed).train()  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(learning, 0.1)
    network(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(2)) * 255).sum().backward()
    optimizer.step()
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after if stays and name.startswith(stays))
    for name in (name for name in after if name.endswith("running_mean") and not name.startswith(stays)):
        assert not torch.equal(after[name], before[name]), name
    assert not torch.equal(after["rate.weight"], before["rate.weight"])
