"""Rendered clips: the truth matches the pixels, everything repeats by seed, and the file holds every frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from data.errors import FileAccessError
from data.synth.fish_sprites import paint, posed
from data.synth.footage import ClipSpec, Stock, render_clip, simulate, write_clip, write_clips, write_video
from data.synth.scene import Scene
from data.synth.stage import Stage
from scripts.draw_footage import CHAPTERS, DEMO, OPCODE, SEED, SPEC, truth_table

TINY = ClipSpec(
    name="tiny",
    size_wh=(192, 108),
    fps=10,
    seconds=0.6,
    stocks=(Stock(species="bream", individuals=4), Stock(species="damsel", individuals=3)),
    farthest_m=2.5,
    roaming=1,
    sway_degrees=1,
)


def emptied(scene: Scene) -> Scene:
    """The same scene, its fish out of sight."""
    return replace(scene, swim=replace(scene.swim, position=scene.swim.position + 1000))


def test_the_same_seed_gives_the_same_clip_and_the_simulated_truth():
    one, again, other = (list(render_clip(TINY, seed)) for seed in (1, 1, 2))
    assert len(one) == TINY.frames
    assert all((a == b).all() for (a, _), (b, _) in zip(one, again, strict=True))
    assert any((a != b).any() for (a, _), (b, _) in zip(one, other, strict=True))
    assert [fish for _, frame in one for fish in frame] == list(simulate(TINY, 1))
    assert one[0][0].shape == (108, 192, 3)
    assert one[0][0].dtype == np.uint8


@pytest.mark.parametrize("bed", ["meadow", "sand", "rubble"])
def test_fish_change_the_picture_inside_their_boxes_alone(bed):
    spec = ClipSpec(
        size_wh=(320, 180), seconds=0.4, bed=bed, turbidity=0.15, farthest_m=2.5, roaming=0.8, seagrass=0, rocks=0
    )
    scene = Scene.draw(spec, 6)
    with_fish, without = Stage(scene, 6), Stage(emptied(scene), 6)
    for frame in range(3):
        truth = scene.truth_at(frame)
        changed = np.abs(with_fish.frame(frame).astype(int) - without.frame(frame)).max(2) > 6
        assert len(truth) == 4
        allowed = np.zeros(changed.shape, bool)
        for fish in truth:
            left, top, right, bottom = fish.xyxy
            inside = np.s_[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
            around = np.s_[max(int(top) - 3, 0) : int(bottom) + 4, max(int(left) - 3, 0) : int(right) + 4]
            allowed[around] = True
            assert changed[inside].mean() > 0.2
        assert not changed[~allowed].any()


def test_boxes_bound_the_fish_that_are_rendered():
    spec = TINY.model_copy(update={"size_wh": (640, 360), "seconds": 3.0, "fps": 4.0, "sway_degrees": 2.0})
    scene = Scene.draw(spec, 3)
    sprites = [paint(animal.plan, animal.look) for animal in scene.animals]
    compared = 0
    for frame in range(spec.frames):
        said = {fish.identity: fish.xyxy for fish in scene.truth_at(frame)}
        for fish in scene.fish_at(frame):
            alpha = np.zeros((360, 640), np.uint8)
            found = posed(sprites[fish.index], fish.pose, spec.size_wh)
            if found is None or fish.index + 1 not in said:
                continue
            alpha[found.rows, found.columns] = found.pixels[..., 3]
            x, y, w, h = cv2.boundingRect((alpha > 24).astype(np.uint8))
            slack = 2 + 0.02 * fish.pose.length
            assert np.abs(np.subtract(said[fish.index + 1], (x, y, x + w, y + h))).max() <= slack
            compared += 1
    assert compared > 40


def test_a_hidden_fish_leaves_no_trace():
    """Behind a large near fish there is nothing to see of a small far one."""
    spec = ClipSpec(
        size_wh=(320, 180), seconds=0.2, stocks=(Stock(species="bream", individuals=2),), seagrass=0, rocks=0
    )
    scene = Scene.draw(spec, 0)
    swim = scene.swim
    position, yaw = np.zeros_like(swim.position), np.zeros_like(swim.yaw)
    position[:, 0] = (0, 0, 1.0)
    position[:, 1] = (0.1, 0, 7.0)
    scene = replace(scene, swim=replace(swim, position=position, yaw=yaw, pitch=np.zeros_like(swim.pitch)))
    near, far = scene.truth_at(0)
    assert near.visible == 1
    assert far.visible == 0
    gone = position.copy()
    gone[:, 1, 0] = 1000
    alone = replace(scene, swim=replace(scene.swim, position=gone))
    assert (Stage(scene, 0).frame(0) == Stage(alone, 0).frame(0)).all()


def test_turbid_water_takes_contrast_from_the_far_fish_first():
    def contrast(turbidity: float, depth: float) -> float:
        spec = ClipSpec(size_wh=(320, 180), seconds=0.1, stocks=(Stock(species="damsel"),), snow=0, seagrass=0, rocks=0)
        scene = Scene.draw(spec, 0)
        scene = replace(scene, spec=spec.model_copy(update={"turbidity": turbidity}))
        scene.swim.position[:] = (0, -0.1, depth)
        scene.swim.yaw[:] = 0
        (fish,) = scene.truth_at(0)
        difference = np.abs(Stage(scene, 0).frame(0).astype(float) - Stage(emptied(scene), 0).frame(0))
        left, top, right, bottom = np.round(fish.xyxy).astype(int)
        return float(difference[top:bottom, left:right].mean())

    assert contrast(0.1, 1.2) > contrast(0.5, 1.2)
    assert contrast(0.5, 2.4) < 0.8 * contrast(0.5, 1.2)
    assert contrast(0.5, 2.4) / contrast(0.5, 1.2) < contrast(0.1, 2.4) / contrast(0.1, 1.2)


def test_less_light_is_darker_and_more_noise_is_rougher():
    def picture(**changes: float) -> np.ndarray:
        return next(render_clip(TINY.model_copy(update={"stocks": (), **changes}), 0))[0].astype(float)

    assert picture(light=0.4).mean() < 0.5 * picture(light=1.0).mean()
    rough, smooth = (np.abs(np.diff(picture(noise=noise)[:40], axis=1)).mean() for noise in (12.0, 0.0))
    assert rough > 3 * smooth


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize(("codec", "name"), [("h264", "h264"), ("hevc", "hevc")])
def test_the_file_holds_every_frame_in_its_order(tmp_path, codec, name):
    path = tmp_path / "clip.mp4"
    truth = write_clip(path, TINY, 1, codec, quality=12)
    assert list(truth) == list(simulate(TINY, 1))
    frames = decoded(path)
    assert len(frames) == TINY.frames
    assert [round(frame.time * TINY.fps) for frame in frames] == list(range(TINY.frames))
    for frame, (picture, _) in zip(frames, render_clip(TINY, 1), strict=True):
        assert np.abs(frame.to_ndarray(format="bgr24").astype(int) - picture).mean() < 6
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == name
        assert float(container.streams.video[0].average_rate) == TINY.fps


def test_files_repeat_byte_for_byte(tmp_path):
    for name in ("one", "two"):
        write_clip(tmp_path / f"{name}.mp4", TINY, 1)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_folder_of_clips_with_their_truth(tmp_path):
    specs = [TINY, TINY.model_copy(update={"name": "tiny-2"})]
    truths = write_clips(tmp_path, specs, 1)
    names = {f"{spec.name}{ending}" for spec in specs for ending in (".mp4", ".csv", ".gt.txt", ".counts.csv")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert list(truths[1]) == list(simulate(specs[1], 2))
    for spec, truth in zip(specs, truths, strict=True):
        assert len((tmp_path / f"{spec.name}.gt.txt").read_text().splitlines()) == len(truth)
        assert len((tmp_path / f"{spec.name}.csv").read_text().splitlines()) == len(truth) + 1


def test_a_failed_rendering_leaves_nothing_behind(tmp_path):
    def frames():
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError("the artist fell ill")

    with pytest.raises(RuntimeError, match="fell ill"):
        write_video(tmp_path / "clip.mp4", frames(), 25)
    assert not list(tmp_path.iterdir())


def test_a_video_without_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "clip.mp4", [], 25)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileAccessError, match="taken"):
        write_clip(tmp_path / "taken" / "clip.mp4", TINY, 1)


def test_the_bundled_deployment_is_what_its_truth_says():
    truth = simulate(SPEC, SEED)
    assert (DEMO / "truth.csv").read_text() == truth_table(truth)
    folder = DEMO / OPCODE
    assert sorted(path.name for path in folder.iterdir()) == list(CHAPTERS)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    for chapter in CHAPTERS:
        assert len(decoded(folder / chapter)) == SPEC.frames // len(CHAPTERS)
