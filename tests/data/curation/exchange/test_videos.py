"""Tracks in videos: CVAT's, VIAME's and DIVE's, on a real clip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.boxes import ious
from data.curation.collection import Collection, Label, Picture, Provenance
from data.curation.exchange import FORMATS, Library
from data.curation.exchange.tracks import between
from data.images import read_image
from data.readers.detections_video import read_boxed_video
from tests.data.curation.exchange.reef import SIZE_WH, differences, picture_file


@pytest.fixture(scope="module")
def clip(shankha_data: Path) -> Collection:
    """The frames of the tank clip in which fish are boxed, fish that overlap in two of them being one."""
    tank = read_boxed_video(shankha_data / "fish" / "tank-clip")
    by = Provenance(kind="source", name="tank-clip")
    pictures: list[Picture] = []
    tracks = np.zeros(0, np.int64)
    known, free = np.zeros((0, 4), np.float32), 1
    for index in range(len(tank)):
        boxes = tank.xyxy[index]
        overlaps = ious(boxes, known) if len(known) else np.zeros((len(boxes), 1), np.float32)
        own = []
        for row in overlaps:
            best = int(row.argmax())
            track = int(tracks[best]) if len(known) and row[best] > 0.3 and int(tracks[best]) not in own else free
            free += track == free
            own.append(track)
        known, tracks = boxes, np.array(own)
        labels = tuple(Label("fish", by, box, track=track) for box, track in zip(boxes, own, strict=True))
        path = shankha_data / "fish" / "tank-clip" / "fish.mp4"
        pictures.append(Picture(str(tank.ids[index]), path, tank.size_wh(index), labels))
    return Collection("tank", "detection", ("fish",), tuple(pictures))


@pytest.mark.parametrize("name", ["viame", "dive"])
def test_tracks_of_a_clip_come_back(name: str, clip: Collection, tmp_path: Path) -> None:
    FORMATS[name].write(clip, tmp_path)
    assert (tmp_path / "fish.mp4").is_file()
    again = FORMATS[name].read(tmp_path)
    assert differences(clip, again, near=0.006) == []
    assert len({label.track for picture in clip.pictures for label in picture.labels}) > 20
    assert {picture.path for picture in again.pictures} == {tmp_path / "fish.mp4"}


@pytest.mark.parametrize("name", ["viame", "dive"])
def test_frames_are_found_in_a_dataset_that_keeps_them_as_pictures(name: str, clip: Collection, tmp_path: Path) -> None:
    FORMATS[name].write(clip, tmp_path)
    (tmp_path / "fish.mp4").unlink()
    names = [f"fish/{int(one.id.partition('#')[2]):06d}.png" for one in clip.pictures]
    frames = [Picture(one, picture_file(tmp_path / "f" / one, 1, (640, 360)), (640, 360)) for one in names]
    again = FORMATS[name].read(tmp_path, Library(frames))
    assert {one.id: len(one.labels) for one in again.pictures} == {
        frame.id: len(one.labels) for frame, one in zip(frames, clip.pictures, strict=True)
    }


def test_frames_become_pictures_where_a_tool_takes_no_video(clip: Collection, tmp_path: Path) -> None:
    two = clip.select([0, 1])
    FORMATS["coco"].write(two, tmp_path)
    again = FORMATS["coco"].read(tmp_path)
    assert differences(two, again, near=0.002) == []
    assert all(read_image(one.path).shape == (360, 640, 3) for one in again.pictures)


VIDEO = """<annotations><version>1.1</version><meta><task><name>reef</name><source>clip.mp4</source>
<original_size><width>64</width><height>48</height></original_size>
<labels><label><name>fish</name></label></labels><owner><username>asha</username></owner>
<updated>2026-11-20 10:00:00.5+02:00</updated></task></meta>
<track id="0" label="fish" source="manual">
<box frame="0" xtl="0" ytl="0" xbr="10" ybr="10" outside="0" keyframe="1"/>
<box frame="2" xtl="4" ytl="2" xbr="14" ybr="12" outside="0" keyframe="1"/>
<box frame="3" xtl="4" ytl="2" xbr="14" ybr="12" outside="1" keyframe="1"/></track>
<track id="1" label="fish" source="auto"><polygon frame="1" points="20,20;30,20;30,30;20,30" outside="0" keyframe="1"/>
<polygon frame="2" points="20,20;30,20;30,30;20,30" outside="1" keyframe="1"/></track></annotations>"""


def test_the_box_between_two_keyframes_of_cvat_lies_between_theirs(tmp_path: Path) -> None:
    for frame in range(4):
        picture_file(tmp_path / "images" / f"frame_{frame:06d}.png", frame)
    (tmp_path / "annotations.xml").write_text(VIDEO, encoding="utf-8")
    found = FORMATS["cvat"].read(tmp_path)
    labels = {one.id[-10:-4]: one.labels for one in found.pictures}
    assert [labels[frame][0].xyxy.tolist() for frame in ("000000", "000002")] == [[0, 0, 10, 10], [4, 2, 14, 12]]  # type: ignore[union-attr]
    moved = next(label for label in labels["000001"] if label.mask is None)
    assert (moved.xyxy.tolist(), moved.track) == ([2, 1, 12, 11], 1)  # type: ignore[union-attr]
    assert moved.by == Provenance(kind="person", name="asha", when="2026-11-20T08:00:00Z")
    alone = next(label for label in labels["000001"] if label.mask is not None)
    assert (alone.track, alone.by.kind) == (0, "model")
    assert "000003" not in labels


def test_cvat_frames_are_found_by_the_name_of_their_video(tmp_path: Path) -> None:
    frames = [picture_file(tmp_path / f"{frame}.png", frame) for frame in range(3)]
    library = Library([Picture(f"dive 4/clip/{n:06d}.png", one, SIZE_WH) for n, one in enumerate(frames)])
    (tmp_path / "annotations.xml").write_text(VIDEO, encoding="utf-8")
    found = FORMATS["cvat"].read(tmp_path / "annotations.xml", library)
    assert sorted(one.id for one in found.pictures) == [f"dive 4/clip/{n:06d}.png" for n in range(3)]


def test_dive_fills_in_only_where_it_is_asked_to(tmp_path: Path) -> None:
    for frame in range(6):
        picture_file(tmp_path / "images" / f"{frame}.png", frame)
    features = [
        {"frame": 0, "bounds": [0, 0, 10, 10], "interpolate": True, "keyframe": True},
        {"frame": 2, "bounds": [4, 0, 14, 10], "interpolate": False, "keyframe": True},
        {"frame": 5, "bounds": [20, 0, 30, 10], "keyframe": True},
    ]
    track = {"id": 0, "confidencePairs": [["rock", 0.25], ["fish", 1.0]], "features": features}
    content = {"version": 2, "tracks": {"0": track}, "groups": {}}
    (tmp_path / "result_reef.json").write_text(json.dumps(content), encoding="utf-8")
    found = FORMATS["dive"].read(tmp_path)
    boxes = {one.id: [label.xyxy.tolist() for label in one.labels] for one in found.pictures}  # type: ignore[union-attr]
    assert boxes == {
        "0.png": [[0, 0, 10, 10]],
        "1.png": [[2, 0, 12, 10]],
        "2.png": [[4, 0, 14, 10]],
        "3.png": [],
        "4.png": [],
        "5.png": [[20, 0, 30, 10]],
    }
    assert {label.track for one in found.pictures for label in one.labels} == {1}
    assert {(label.name, label.confidence) for one in found.pictures for label in one.labels} == {("fish", None)}


def test_the_rows_of_dives_documentation_are_read(tmp_path: Path) -> None:
    picture_file(tmp_path / "1.png", 1, (600, 600))
    outer, hole = "(poly) 100 100 500 100 500 500 100 500", "(hole) 200 200 400 200 400 400 200 400"
    rows = [
        "# 1: Detection or Track-id,2: Video or Image Identifier",
        '# metadata,fps: 23.976,"dataset_info: {""year"": ""2024""}"',
        f"0,1.png,0,100,100,500,500,1.0,-1,fish,1.0,{outer},{hole}",
        "1,1.png,0,10,10,50,50,0.7,-1,scallop,0.2,fish,0.7,(kp) head 1 2,(trk-atr) sex f,(note) primary observation",
    ]
    (tmp_path / "reef.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    found = FORMATS["viame"].read(tmp_path)
    first, second = found.pictures[0].labels
    assert (first.name, first.confidence, first.mask is not None) == ("fish", None, True)
    assert (second.name, second.confidence, second.track) == ("fish", 0.7, 0)
    assert [problem.why for problem in found.problems] == ["has a hole, which is filled"]


def test_keyframes_too_far_apart_are_not_filled_in() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    assert list(between({0: box, 10**9: box}, [])) == []
    with pytest.raises(ValueError, match="too far apart"):
        list(between({0: box, 10**9: box}, [0]))


def test_a_clip_is_copied_whole(clip: Collection, tmp_path: Path) -> None:
    FORMATS["viame"].write(clip.select([0]), tmp_path / "out")
    copied = tmp_path / "out" / "fish.mp4"
    assert copied.read_bytes() == clip.pictures[0].path.read_bytes()
    row = (tmp_path / "out" / "viame.csv").read_text(encoding="utf-8").splitlines()[2].split(",")
    assert row[1].startswith("00:00:")
    shutil.rmtree(tmp_path / "out")
