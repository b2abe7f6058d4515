"""Water and bed: colours fall off as they should, light stays where it belongs, rocks cover what they hide."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.synth.footage_spec import ClipSpec
from data.synth.foreground import Rock, Tuft, draw_foreground, fixed_point
from data.synth.seabed import Setting, paint_backdrop, paint_rock
from data.synth.swimming import HORIZON
from data.synth.water import Caustics, Rays, Snow, WaterLook, clouds, veil

SMALL = ClipSpec(size_wh=(160, 90), rocks=3, seagrass=3)


def look_of(spec: ClipSpec, seed: int = 0) -> WaterLook:
    return WaterLook.draw(spec, np.random.default_rng(seed))


def setting_of(spec: ClipSpec, margin: int = 6) -> Setting:
    look = look_of(spec)
    return Setting(spec, look, veil(spec, look, margin), margin)


@pytest.mark.parametrize("water", ["green", "blue", "grey"])
def test_water_takes_the_light_away_with_distance_and_red_first(water):
    look = look_of(ClipSpec(water=water, turbidity=0.3))
    left = look.transmission(np.array([0.0, 1.0, 4.0]))
    assert left[0] == pytest.approx([1, 1, 1])
    assert (left[0] > left[1]).all()
    assert (left[1] > left[2]).all()
    assert left[2, 2] == left[2].min()
    assert look.transmission(4.0) == pytest.approx(left[2])


def test_open_water_is_brighter_above_and_goes_on_beyond_the_frame():
    setting = setting_of(SMALL)
    assert setting.water.shape == (102, 172, 3)
    rows = setting.water.mean(axis=(1, 2))
    assert (np.diff(rows) <= 1e-3).all()
    assert rows[0] > 1.5 * rows[-1]
    assert (setting.water >= 0).all()
    assert (setting.water <= 255).all()


@pytest.mark.parametrize("octaves", [1, 4])
def test_clouds_join_at_their_edges(octaves):
    tile = clouds(np.random.default_rng(1), octaves=octaves)
    assert tile.mean() == pytest.approx(0, abs=1e-4)
    assert tile.std() == pytest.approx(1, abs=1e-4)
    steps = np.abs(np.diff(tile, axis=0)).mean()
    assert np.abs(tile[0] - tile[-1]).mean() < 2 * steps
    assert np.abs(tile[:, 0] - tile[:, -1]).mean() < 2 * steps


def test_caustics_dance_on_the_bed_alone():
    caustics = Caustics(SMALL, look_of(SMALL), np.random.default_rng(0))
    one, later = caustics.at(0.0), caustics.at(0.5)
    assert one.shape == (90, 160)
    assert (one[: int(HORIZON * 90) - 3] == 1).all()
    assert one[70:].std() > 0.02
    assert np.abs(one - later)[70:].max() > 0.02


def test_rays_only_add_light_and_fade_downwards():
    rays = Rays(SMALL, WaterLook.draw(SMALL, np.random.default_rng(3)), np.random.default_rng(0)).at(1.0)
    assert rays.shape == (90, 160, 3)
    assert (rays >= 0).all()
    assert rays[:20].mean() > rays[-20:].mean()


def test_snow_adds_light_and_none_adds_nothing():
    for count in (0, 150):
        spec = SMALL.model_copy(update={"snow": count})
        frame = np.full((90, 160, 3), 50, np.float32)
        Snow(spec, look_of(spec), np.random.default_rng(0)).add(frame, 2.0, (3.0, -2.0))
        assert (frame >= 50).all()
        assert (frame > 51).any() == (count > 0)


@pytest.mark.parametrize("bed", ["sand", "rubble", "meadow"])
def test_beds_repeat_by_seed_and_leave_the_open_water_clear(bed):
    setting = setting_of(SMALL.model_copy(update={"bed": bed}))
    one, again, other = (paint_backdrop(setting, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == setting.water.shape
    assert (one == again).all()
    assert (one != other).any()
    clear = int(0.25 * len(one))
    assert np.abs(one[:clear].astype(int) - setting.water[:clear]).max() <= 1
    assert np.abs(one[-20:].astype(int) - setting.water[-20:]).mean() > 5


def test_a_rock_hides_exactly_its_outline():
    setting = setting_of(SMALL)
    rock = next(one for one in draw_foreground(SMALL, np.random.default_rng(2)) if isinstance(one, Rock))
    pixels, (left, top) = paint_rock(rock, setting)
    assert (pixels[..., :3] <= pixels[..., 3:] + 1).all()
    filled = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(filled, [fixed_point(rock.outline - np.array([left, top], np.float32))], 1, cv2.LINE_8, 4)
    painted = pixels[..., 3] > 127
    assert (painted & (filled > 0)).sum() / (painted | (filled > 0)).sum() > 0.95


def test_blades_sway_from_a_foot_that_stays():
    tuft = next(one for one in draw_foreground(SMALL, np.random.default_rng(2)) if isinstance(one, Tuft))
    now, later = tuft.polygons(0.0), tuft.polygons(0.7)
    assert now.shape == (len(tuft.height), 16, 2)
    assert now[:, [0, 15]] == pytest.approx(later[:, [0, 15]])
    assert np.abs(now[:, 7:9] - later[:, 7:9]).max() > 0.5
    assert (now[:, 7, 1] < now[:, 0, 1]).all()


def test_the_foreground_is_sorted_from_far_to_near_and_counted():
    obstacles = draw_foreground(ClipSpec(rocks=4, seagrass=5), np.random.default_rng(0))
    depths = [obstacle.depth for obstacle in obstacles]
    assert depths == sorted(depths, reverse=True)
    assert sum(isinstance(obstacle, Rock) for obstacle in obstacles) == 4
    assert len(obstacles) == 9
