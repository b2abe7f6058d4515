"""Swimming and hiding: momentum, identities, depth, and the share of an animal that shows."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from data.synth.fish_sprites import Pose
from data.synth.footage import ClipSpec, Stock, simulate, standard_clips
from data.synth.foreground import Rock
from data.synth.scene import PlacedFish, Scene, shares_seen
from data.synth.swimming import CAMERA_HEIGHT_M

ANY_POSE = Pose((0, 0), 10, 0, 0, 0, 0)
CROWD = ClipSpec(
    seconds=8,
    fps=10,
    stocks=(Stock(species="bream", individuals=5), Stock(species="mullet", individuals=6, school=True)),
    turbidity=0.3,
    sway_degrees=1,
)


def square(index: int, depth: float, left: float, top: float, side: float = 40) -> PlacedFish:
    right, bottom = left + side, top + side
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return PlacedFish(index, depth, ANY_POSE, corners)


def rock(depth: float, left: float, top: float, side: float = 40) -> tuple[Rock, np.ndarray]:
    outline = square(0, depth, left, top, side).points
    return Rock(depth, outline, 0), outline[None]


@pytest.mark.parametrize(
    ("fish", "rocks", "expected"),
    [
        ([square(0, 3, 50, 50)], [], [1.0]),
        ([square(0, 3, 50, 50), square(1, 2, 70, 50)], [], [0.5, 1.0]),
        ([square(0, 3, 50, 50), square(1, 2, 50, 50)], [], [0.0, 1.0]),
        ([square(0, 3, -20, 50)], [], [0.5]),
        ([square(0, 3, 180, 80)], [], [0.25]),
        ([square(0, 3, 50, 50)], [rock(2, 50, 60)], [0.25]),
        ([square(0, 3, 50, 50)], [rock(4, 50, 50)], [1.0]),
        ([square(0, 5, 50, 50), square(1, 2, 50, 50)], [rock(3, 50, 70)], [0.0, 1.0]),
        ([square(0, 5, 50, 50), square(1, 2, 130, 50)], [rock(3, 50, 70)], [0.5, 1.0]),
        ([square(0, 5, 50, 50)], [rock(3, 50, 70), rock(2, 70, 50)], [0.25]),
        ([], [rock(3, 50, 70)], []),
    ],
)
def test_the_share_that_shows(fish, rocks, expected):
    assert shares_seen(fish, rocks, (200, 100)) == pytest.approx(expected, abs=0.04)


def test_the_truth_depends_on_the_seed_alone():
    one, again, other = (simulate(CROWD, seed) for seed in (4, 4, 5))
    assert list(one) == list(again)
    assert list(one) != list(other)


def test_water_and_light_leave_the_truth_as_it_is():
    murkier = CROWD.model_copy(update={"snow": 900, "noise": 12.0, "light": 0.4, "water": "grey", "bed": "sand"})
    assert list(simulate(CROWD, 4)) == list(simulate(murkier, 4))


def test_identities_are_unique_and_keep_their_species():
    truth = simulate(CROWD, 2)
    for frame in range(truth.frames):
        seen = [fish.identity for fish in truth.of_frame(frame)]
        assert seen == sorted(set(seen))
    species: dict[int, set[str]] = {}
    for fish in truth:
        species.setdefault(fish.identity, set()).add(fish.species)
    assert all(len(names) == 1 for names in species.values())
    assert all(names == ({"bream"} if who <= 5 else {"mullet"}) for who, names in species.items())


def test_a_fish_that_comes_back_keeps_its_identity():
    spec = ClipSpec(seconds=60, fps=5, stocks=(Stock(species="trevally", individuals=6),), roaming=2.2, farthest_m=2.5)
    truth = simulate(spec, 1)
    gaps = [np.diff(truth.frame[truth.identity == who]).max(initial=1) for who in range(1, 7)]
    assert max(gaps) > spec.fps
    assert set(truth.identity.tolist()) <= set(range(1, 7))


def test_boxes_lie_in_the_frame_and_shares_between_none_and_all():
    truth = simulate(CROWD, 3)
    assert len(truth) > 100
    assert (truth.xyxy >= 0).all()
    assert (truth.xyxy <= (640, 360, 640, 360)).all()
    assert (truth.xyxy[:, 2:] - truth.xyxy[:, :2] >= 1).all()
    assert ((truth.visible >= 0) & (truth.visible <= 1)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_fish_have_momentum_and_stay_in_the_water(seed):
    scene = Scene.draw(CROWD, seed)
    swim, seconds = scene.swim, 1 / CROWD.fps
    lengths = np.array([animal.look.length_m for animal in scene.animals])
    cruise = lengths * [animal.plan.speed for animal in scene.animals]
    speed = np.linalg.norm(np.diff(swim.position, axis=0), axis=2) / seconds
    assert (speed <= 2.5 * cruise + 1e-6).all()
    turned = np.abs(np.angle(np.exp(1j * np.diff(swim.yaw, axis=0))))
    assert (turned <= 2.7 * seconds).all()
    assert (swim.position[..., 1] < CAMERA_HEIGHT_M).all()
    near, far = CROWD.range_m
    assert (swim.position[..., 2] > near * 0.8).all()
    assert (swim.position[..., 2] <= far + 0.5).all()


def test_a_school_keeps_together():
    scene = Scene.draw(CROWD, 1)
    alone = np.array([animal.school < 0 for animal in scene.animals])
    spread = scene.swim.position[:, alone].std(axis=1).mean()
    schooled = scene.swim.position[:, ~alone].std(axis=1).mean()
    assert schooled < 0.8 * spread
    heading = np.abs(np.exp(1j * scene.swim.yaw[:, ~alone]).mean(axis=1)).mean()
    assert heading > 0.7


def test_nearer_fish_are_larger():
    truth = simulate(ClipSpec(seconds=20, fps=5, stocks=(Stock(species="bream", individuals=12),), turbidity=0.1), 0)
    height = truth.xyxy[:, 3] - truth.xyxy[:, 1]
    whole = truth.visible == 1
    near, far = whole & (truth.depth_m < 2.5), whole & (truth.depth_m > 4.5)
    assert np.median(height[near]) > 1.6 * np.median(height[far])


def test_no_fish_swims_where_it_cannot_be_seen():
    for turbidity in (0.1, 0.4, 1.0):
        spec = ClipSpec(turbidity=turbidity)
        assert spec.range_m[0] < spec.range_m[1] <= 8
        assert np.exp(-turbidity * spec.range_m[1]) > 0.15


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"stocks": [{"species": "unicorn"}]}, "no species 'unicorn'"),
        ({"stocks": [{"species": "bream", "individuals": 0}]}, "greater than or equal to 1"),
        ({"stocks": [{"species": "bream", "individuals": 150}] * 2}, "more than 200 fish"),
        ({"size_wh": (641, 360)}, "multiple of 2"),
        ({"size_wh": (640, 16)}, "greater than or equal to 64"),
        ({"fps": 0}, "greater than or equal to 1"),
        ({"seconds": 0}, "greater than 0"),
        ({"turbidity": 9}, "less than or equal"),
        ({"water": "wine"}, "'green', 'blue' or 'grey'"),
        ({"name": "../up"}, "pattern"),
        ({"fog": 1}, "Extra inputs"),
    ],
)
def test_senseless_specifications_are_refused(fault, says):
    with pytest.raises(ValidationError, match=says):
        ClipSpec.model_validate(fault)


def test_a_specification_cannot_be_changed():
    with pytest.raises(ValidationError):
        ClipSpec().fps = 3.0


def test_a_clip_may_hold_no_fish():
    assert len(simulate(ClipSpec(stocks=(), seconds=1), 0)) == 0


def test_the_standard_clips_are_told_apart_and_all_show_fish():
    clips = standard_clips()
    assert len({clip.name for clip in clips}) == len(clips) == 8
    for clip in clips:
        assert clip.frames == 500
        assert simulate(clip.model_copy(update={"fps": 1.0}), 0).max_n_together().count >= 1
    fewest, most = clips[0], clips[-1]
    assert sum(s.individuals for s in most.stocks) > 8 * sum(s.individuals for s in fewest.stocks)
    assert most.turbidity > fewest.turbidity
    assert most.seagrass > fewest.seagrass
