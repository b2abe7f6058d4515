"""Made-up fish: the silhouette that the truth is made of is what is painted."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synth.fish_plans import PLANS, SPECIES, plan_of
from data.synth.fish_sprites import Look, Pose, Sprite, outline, paint, posed, silhouette

FRAME = (640, 360)


@functools.cache
def sprite(species: str) -> Sprite:
    plan = plan_of(species)
    return paint(plan, Look.draw(plan, np.random.default_rng(7)))


def on_black(fish: Sprite, pose: Pose, size_wh: tuple[int, int] = FRAME) -> np.ndarray:
    """(H, W) alpha of the fish alone."""
    alpha = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    found = posed(fish, pose, size_wh)
    if found is not None:
        alpha[found.rows, found.columns] = found.pixels[..., 3]
    return alpha


def box_of(alpha: np.ndarray, least: int) -> np.ndarray:
    rows, columns = np.flatnonzero((alpha >= least).any(1)), np.flatnonzero((alpha >= least).any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


poses = st.builds(
    Pose,
    centre_xy=st.tuples(st.floats(220, 420), st.floats(150, 210)),
    length=st.floats(12, 240),
    yaw=st.floats(-np.pi, np.pi),
    pitch=st.floats(-0.45, 0.45),
    beat=st.floats(0, 6.3),
    bend=st.floats(0, 1),
)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(SPECIES), poses)
def test_the_silhouette_bounds_the_painted_pixels(species, pose):
    fish = sprite(species)
    points = outline(fish.silhouette, pose)
    said = np.concatenate([points.min(0), points.max(0)])
    alpha = on_black(fish, pose)
    # nothing is painted beyond the box, but for the soft edge of a pixel
    seen = box_of(alpha, 24)
    assert (seen[:2] >= said[:2] - 1.6).all()
    assert (seen[2:] <= said[2:] + 1.6).all()
    # and the box is tight: fin tips thinner than a pixel fade, in proportion to the fish's size
    slack = 2 + 0.02 * pose.length
    assert (seen[:2] <= said[:2] + slack).all()
    assert (seen[2:] >= said[2:] - slack).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPECIES), poses)
def test_the_silhouette_covers_what_is_painted(species, pose):
    fish = sprite(species)
    filled = np.zeros((FRAME[1], FRAME[0]), np.uint8)
    corners = np.round((outline(fish.silhouette, pose) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(filled, [corners], 255, cv2.LINE_AA, 4)
    painted = on_black(fish, pose) > 100
    shared = (painted & (filled > 100)).sum()
    either = (painted | (filled > 100)).sum()
    if either > 400:  # of a smaller fish the blurred edge is most of it
        assert shared / either > 0.8


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.species)
def test_a_fish_looks_where_it_swims(plan):
    """The eye is dark and in the head: its column tells which way the sprite faces."""
    fish = sprite(plan.species)
    for yaw, facing in ((0.2, 1), (np.pi - 0.2, -1), (-0.3, 1), (np.pi + 0.3, -1)):
        pose = Pose((320, 180), 300, yaw, 0, 0, 0)
        assert pose.facing == facing
        found = posed(fish, pose, FRAME)
        assert found is not None
        body = found.pixels[..., 3] > 200
        heights = body.sum(0)
        middle = len(heights) // 2
        left, right = heights[: middle // 2].mean(), heights[-(middle // 2) :].mean()
        # the front quarter is solid, the tail quarter a narrow root and a thin, see-through fin
        assert (right > left) == (facing == 1)


def test_pitch_lifts_the_nose_whichever_way_it_faces():
    fish = sprite("mullet")
    for yaw in (0.0, np.pi):
        level, rising = (outline(fish.silhouette, Pose((320, 180), 200, yaw, pitch, 0, 0)) for pitch in (0.0, 0.4))
        nose = np.argmax(level[:, 0]) if yaw == 0 else np.argmin(level[:, 0])
        assert rising[nose, 1] < level[nose, 1] - 20


def test_a_fish_seen_from_ahead_is_as_wide_as_it_is_thick():
    fish = sprite("bream")
    across = [np.ptp(outline(fish.silhouette, Pose((320, 180), 200, yaw, 0, 0, 0))[:, 0]) for yaw in (0, 1, np.pi / 2)]
    assert across[0] == pytest.approx(200, rel=0.02)
    assert across[1] == pytest.approx(200 * np.cos(1), rel=0.02)
    assert across[2] == pytest.approx(200 * plan_of("bream").width, rel=0.05)


def test_the_tail_beats_and_the_head_hardly_moves():
    fish = sprite("bream")
    frames = [outline(fish.silhouette, Pose((320, 180), 300, 0.5, 0, beat, 0.9)) for beat in np.linspace(0, 6.2, 12)]
    noses = [points[:, 0].max() for points in frames]
    tails = [points[:, 0].min() for points in frames]
    assert np.ptp(tails) > 4
    assert np.ptp(np.subtract(noses, tails)) > 5


def test_looks_repeat_by_seed_and_differ_between_animals():
    plan = plan_of("wrasse")
    one, again, other = (paint(plan, Look.draw(plan, np.random.default_rng(seed))) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one.levels, again.levels, strict=True))
    assert one.levels[0].shape != other.levels[0].shape or (one.levels[0] != other.levels[0]).any()


def test_the_silhouette_needs_no_painting():
    plan = plan_of("trevally")
    look = Look.draw(plan, np.random.default_rng(1))
    assert (silhouette(plan, look).points == paint(plan, look).silhouette.points).all()


def test_colours_never_outshine_their_alpha():
    for plan in PLANS:
        for level in sprite(plan.species).levels:
            assert (level[..., :3] <= level[..., 3:].astype(int) + 1).all()


def test_a_fish_beyond_the_frame_has_no_pixels():
    assert posed(sprite("bream"), Pose((-200, 180), 100, 0, 0, 0, 0), FRAME) is None


def test_an_unknown_species_is_refused():
    with pytest.raises(KeyError):
        plan_of("unicorn")
