from __future__ import annotations

import json
import pickle
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from data.boxes import areas
from data.errors import ArgumentError, ConfigurationError, FileAccessError, InputError
from data.readers import DetectionSet, Problem, as_fish, joined_detections, read_detections
from data.readers.boxcheck import BoxList
from data.readers.detectionset import with_classes
from tests.data.pictures import detection_set

WIDTH, HEIGHT = 80, 40
BOX = "0 0.5 0.5 0.25 0.5"
"""The box 30, 10, 50, 30 of a picture of 80 x 40 pixels."""
PIXELS = [30.0, 10.0, 50.0, 30.0]


def save(path: Path, value: int = 90, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", size, (value, value, value)).save(path, **options)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(found: DetectionSet) -> dict[str, str]:
    return {problem.name: problem.why for problem in found.problems}


# Real data


@pytest.mark.parametrize(
    ("folder", "split", "counts"),
    [
        # pictures, boxes, pictures without a box, sites, clips, problems
        ("deepfish", "train", (3762, 10697, 1108, 13, 49, 0)),
        ("deepfish", "val", (769, 885, 263, 4, 9, 0)),
        ("luderick", "train", (1807, 4620, 0, 1, 78, 0)),
        ("luderick", "val", (843, 1661, 0, 1, 31, 0)),
        ("aquarium", "train", (448, 3324, 1, 1, 448, 0)),
        ("aquarium", "val", (127, 909, 0, 1, 127, 0)),
        ("aquarium", "test", (63, 582, 0, 1, 63, 2)),
        ("tank-clip", None, (50, 276, 0, 1, 1, 0)),
    ],
)
def test_known_datasets(shankha_data: Path, folder: str, split: str | None, counts: tuple[int, ...]) -> None:
    found = read_detections(shankha_data / "fish" / folder, split)
    negatives = sum(not len(one) for one in found.xyxy)
    groups = len(set(found.sites)), len(set(found.clips))
    assert (len(found), found.boxes, negatives, *groups, len(found.problems)) == counts
    assert found.exhaustive.any() == (folder != "luderick")
    for index in (0, 5):
        assert found.read(index).shape == (found.size_wh(index)[1], found.size_wh(index)[0], 3)


def test_known_datasets_name_their_sites_and_clips(shankha_data) -> None:
    deepfish = read_detections(shankha_data / "fish" / "deepfish", "val")
    assert set(deepfish.sites) == {"7482", "7585", "9862", "9870"}
    assert Counter(deepfish.clips.tolist())["7482_F1"] == 78
    luderick = read_detections(shankha_data / "fish" / "luderick", "val")
    assert set(luderick.sites) == {"Jack Evans B"}
    assert Counter(luderick.clips.tolist())["27C3_Luderick_21.mov_5fps"] == 36
    aquarium = as_fish(read_detections(shankha_data / "fish" / "aquarium", "test"))
    assert (aquarium.names, aquarium.boxes) == (("fish",), 300)


def test_the_tank_gives_its_own_frames(shankha_data) -> None:
    tank = read_detections(shankha_data / "fish" / "tank-clip")
    with av.open(str(shankha_data / "fish" / "tank-clip" / "fish.mp4")) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), 60)]
    for index in (0, 9, 3, 4, 4):
        assert np.array_equal(tank.read(index), frames[int(str(tank.ids[index]).partition("#")[2])])


# YOLO folders


def yolo(folder: Path, labels: dict[str, str | None]) -> Path:
    """Pictures in images/val, and text files for those whose labels are not None."""
    for name, text in labels.items():
        save(folder / "images" / "val" / f"{name}.png")
        if text is not None:
            write(folder / "labels" / "val" / f"{name}.txt", text)
    return folder


def test_a_yolo_folder(tmp_path: Path) -> None:
    found = read_detections(yolo(tmp_path, {"b": BOX, "a": "", "7001_X_1_f000007": f"{BOX}\n0 0.1 0.1 0.2 0.2\n"}))
    assert found.ids.tolist() == ["images/val/7001_X_1_f000007.png", "images/val/a.png", "images/val/b.png"]
    assert [one.tolist() for one in found.xyxy] == [[PIXELS, [0.0, 0.0, 16.0, 8.0]], [], [PIXELS]]
    assert found.sites.tolist() == ["7001", "", ""]
    assert found.clips.tolist() == ["7001_X_1", "images/val/a.png", "images/val/b.png"]
    assert (found.names, found.problems, found.exhaustive.tolist()) == (("fish",), (), [True] * 3)
    assert found.check() == ()


def test_an_empty_file_is_a_negative_and_a_missing_one_a_problem(tmp_path: Path) -> None:
    found = read_detections(yolo(tmp_path, {"empty": "", "missing": None, "blank": " \n\n"}))
    assert found.ids.tolist() == ["images/val/blank.png", "images/val/empty.png"]
    assert found.boxes == 0
    assert list(problems_of(found)) == ["images/val/missing.png"]
    assert "no file of labels, labels/val/missing.txt" in problems_of(found)["images/val/missing.png"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0 0.5 0.5 0.25", "holds 4 numbers, not 5"),
        ("0 0.5 0.5 0.25 0.5 0.9", "holds 6 numbers, not 5"),
        ("fish 0.5 0.5 0.25 0.5", "is no line of numbers"),
        ("0 0.5 0.5 nan 0.5", "not finite"),
        ("0 0.5 inf 0.2 0.5", "not finite"),
        ("0 0.5 0.5 0 0.5", "has no area"),
        ("0 0.5 0.5 -0.2 0.5", "inside out"),
        ("0 1.5 0.5 0.2 0.2", "outside the picture of 80 x 40"),
        ("0 40 20 20 20", "outside the picture"),
        ("0 0.5 0.5 3.0 3.0", "outside the picture"),
        ("3 0.5 0.5 0.2 0.2", "its class is 3, not from 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", "its class is -1"),
        ("0.5 0.5 0.5 0.2 0.2", "its class is 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "its class is nan"),
        ("1e300 0.5 0.5 0.2 0.2", "its class is 1e+300"),
    ],
)
def test_a_line_that_is_no_box_is_listed_and_the_rest_stays(tmp_path: Path, line: str, why: str) -> None:
    write(tmp_path / "data.yaml", "names: [fish, crab]")
    found = read_detections(yolo(tmp_path, {"a": f"{BOX}\n{line}\n1 0.5 0.5 0.5 0.5\n", "b": BOX}))
    assert [len(one) for one in found.xyxy] == [2, 1]
    assert list(problems_of(found)) == ["labels/val/a.txt:2"]
    assert why in problems_of(found)["labels/val/a.txt:2"]
    assert found.exhaustive.tolist() == [False, True]


def test_a_box_said_twice_counts_once_and_nothing_is_lost(tmp_path: Path) -> None:
    found = read_detections(yolo(tmp_path, {"a": f"{BOX}\n{BOX}\n"}))
    assert (found.boxes, found.exhaustive.tolist()) == (1, [True])
    assert found.problems == (Problem("labels/val/a.txt:2", "says a box twice"),)


def test_polygons_give_their_bounding_box(tmp_path: Path) -> None:
    found = read_detections(yolo(tmp_path, {"a": "0 0.375 0.5 0.5 0.25 0.625 0.75\n0 0.1 0.1 0.2 0.2 0.3 0.3 0.4\n"}))
    assert found.xyxy[0].tolist() == [PIXELS]
    assert "holds 8 numbers" in problems_of(found)["labels/val/a.txt:2"]


def test_files_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    folder = yolo(tmp_path, {"good": BOX, "bad": BOX, "binary": BOX})
    (folder / "images" / "val" / "bad.png").write_bytes(b"no picture")
    (folder / "labels" / "val" / "binary.txt").write_bytes(b"\xff\xfe\x00")
    write(folder / "labels" / "val" / "orphan.txt", BOX)
    write(folder / "images" / "val" / "notes.md", "")
    found = read_detections(folder)
    assert found.ids.tolist() == ["images/val/good.png"]
    assert set(problems_of(found)) == {"images/val/bad.png", "labels/val/binary.txt", "labels/val/orphan.txt"}
    assert [one.name for one in found.left_out] == ["images/val/notes.md"]


def test_a_picture_cut_short_is_found_when_read(tmp_path: Path) -> None:
    folder = yolo(tmp_path, {"a": BOX, "b": BOX})
    path = folder / "images" / "val" / "b.png"
    path.write_bytes(path.read_bytes()[:60])
    found = read_detections(folder)
    assert len(found) == 2
    assert [problem.name for problem in found.check()] == ["images/val/b.png"]
    with pytest.raises(InputError, match="damaged or cut short"):
        found.read(1)


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    found = read_detections(yolo(tmp_path, {"a": BOX}))
    save(tmp_path / "images" / "val" / "a.png", size=(40, 80))
    with pytest.raises(InputError, match="is 40 x 80 pixels; expected 80 x 40"):
        found.read(0)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_boxes_are_of_the_upright_picture(tmp_path: Path, suffix: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    save(tmp_path / "images" / f"a.{suffix}", size=(HEIGHT, WIDTH), exif=exif)
    write(tmp_path / "labels" / "a.txt", BOX)
    found = read_detections(tmp_path)
    assert (found.size_wh(0), found.xyxy[0].tolist()) == ((WIDTH, HEIGHT), [PIXELS])
    assert found.read(0).shape == (HEIGHT, WIDTH, 3)


def test_grey_pictures_come_in_colour(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Pillow.new("L", (WIDTH, HEIGHT), 70).save(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", "")
    picture = read_detections(tmp_path).read(0)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (picture == 70).all()


LAYOUTS = {
    "images and labels by split": ("images/{}", "labels/{}", True),
    "splits with images and labels": ("{}/images", "{}/labels", True),
    "images and labels": ("images", "labels", False),
    "side by side": ("", "", False),
    "side by side by split": ("images/{}", "images/{}", True),
}


@pytest.mark.parametrize(("pictures", "labels", "has_splits"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(tmp_path: Path, pictures: str, labels: str, has_splits: bool) -> None:
    for split in ("train", "valid") if has_splits else ("",):
        save(tmp_path / pictures.format(split) / f"{split or 'a'}.png")
        write(tmp_path / labels.format(split) / f"{split or 'a'}.txt", BOX)
    found = read_detections(tmp_path)
    assert (len(found), found.boxes, found.problems) == (1, 1, ())
    if has_splits:
        assert str(found.ids[0]).endswith("valid.png")
        assert [str(one).rpartition("/")[2] for one in read_detections(tmp_path, "train").ids] == ["train.png"]
        with pytest.raises(ArgumentError, match="has no split 'test'; expected one of: train, val"):
            read_detections(tmp_path, "test")
    else:
        with pytest.raises(ArgumentError, match="has no split 'val'; expected one of: no splits"):
            read_detections(tmp_path, "val")


def test_a_split_s_own_folder_of_pictures(tmp_path: Path) -> None:
    folder = yolo(tmp_path, {"a": BOX})
    assert read_detections(folder / "images" / "val").boxes == 1


def test_data_yaml_says_where_and_what(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "images" / "one" / "a.png")
    write(tmp_path / "pictures" / "labels" / "one" / "a.txt", "1 0.5 0.5 0.25 0.5")
    listed = save(tmp_path / "elsewhere" / "b.png")
    write(listed.with_suffix(".txt"), BOX)
    write(tmp_path / "pictures" / "list.txt", "../elsewhere/b.png\n../elsewhere/gone.png\n../elsewhere/b.png\n")
    text = "path: pictures\ntrain: [images/one]\nval: list.txt\ntest:\nnames: {0: crab, 1: Fish}\nexhaustive: false\n"
    yaml = write(tmp_path / "data.yaml", text)
    for place in (tmp_path, yaml):
        train = read_detections(place, "train")
        assert (train.names, train.labels[0].tolist(), train.exhaustive.tolist()) == (("crab", "Fish"), [1], [False])
    val = read_detections(tmp_path, "val")
    assert (val.boxes, len(val.problems)) == (1, 2)
    assert "cannot be read" in val.problems[0].why
    assert val.problems[1].why == "is listed twice"
    assert read_detections(tmp_path, "train", exhaustive=True).exhaustive.all()


def test_the_yaml_of_an_export_points_beside_itself(tmp_path: Path) -> None:
    save(tmp_path / "train" / "images" / "a.png")
    write(tmp_path / "train" / "labels" / "a.txt", BOX)
    write(tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['shark']\n")
    found = read_detections(tmp_path, "train")
    assert (found.names, found.boxes) == (("shark",), 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("names: fish", "no list of classes"),
        ("names: {1: fish}", "not numbered from 0"),
        ("names: []", "no list of classes"),
        ("train: images", "no list of classes"),
        ("names: [fish]\nexhaustive: perhaps", "exhaustive is 'perhaps'"),
        ("[1, 2]", "holds a list"),
        ("names: [", "not valid YAML"),
    ],
)
def test_a_data_yaml_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    write(yolo(tmp_path, {"a": BOX}) / "data.yaml", text)
    with pytest.raises(ConfigurationError, match=says):
        read_detections(tmp_path)


def test_names_without_a_yaml(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "set", {"a": BOX, "b": "2 0.5 0.5 0.2 0.2"})
    assert read_detections(folder).names == ("0", "1", "2")
    write(folder / "classes.txt", "fish\ncrab\n\nstarfish\n")
    assert read_detections(folder).names == ("fish", "crab", "starfish")
    in_tank = yolo(tmp_path / "Aquarium", {"a": "4 0.5 0.5 0.2 0.2"})
    assert as_fish(read_detections(in_tank)).boxes == 1


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="is no folder"):
        read_detections(tmp_path / "nowhere")
    save(tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match="holds no pictures with boxes"):
        read_detections(tmp_path)
    write(tmp_path / "labels" / "b.txt", BOX)
    with pytest.raises(InputError, match=r"no picture with labels; the first of 2 problems: images/a\.png"):
        read_detections(tmp_path)


# COCO json


def coco(folder: Path, name: str = "val.json", **changes: Any) -> Path:
    """Two pictures, one box; `changes` replace keys of the json."""
    for number in (1, 2):
        save(folder / "images" / f"{number}.png")
    tree = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT} for n in (1, 2)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [30, 10, 20, 20]}],
        "categories": [{"id": 3, "name": "fish"}, {"id": 8, "name": "crab"}],
    }
    write(folder / name, json.dumps(tree | changes))
    return folder


def annotation(**changes: Any) -> dict[str, Any]:
    return {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0, 0, 5, 5]} | changes


def test_coco_json(tmp_path: Path) -> None:
    found = read_detections(coco(tmp_path))
    assert found.ids.tolist() == ["images/1.png", "images/2.png"]
    assert [one.tolist() for one in found.xyxy] == [[PIXELS], []]
    assert (found.names, found.exhaustive.tolist(), found.problems) == (("fish", "crab"), [True, True], ())
    assert found.clips.tolist() == found.ids.tolist()
    assert read_detections(tmp_path / "val.json").boxes == 1


@pytest.mark.parametrize(
    "name", ["instances_val2017.json", "annotations/instances_val2017.json", "valid/_annotations.coco.json"]
)
def test_names_of_coco_files(tmp_path: Path, name: str) -> None:
    assert read_detections(coco(tmp_path, name), "val").boxes == 1
    with pytest.raises(ArgumentError, match="expected one of: val"):
        read_detections(tmp_path, "train")


def test_a_json_of_any_name_and_pictures_beside_it(tmp_path: Path) -> None:
    coco(tmp_path, "boxes.json")
    for path in (tmp_path / "images").iterdir():
        path.rename(tmp_path / path.name)
    write(tmp_path / "notes.json", '{"written": "by hand"}')
    found = read_detections(tmp_path)
    assert (found.boxes, found.ids.tolist()) == (1, ["1.png", "2.png"])


@pytest.mark.parametrize(
    ("changes", "why", "complete"),
    [
        ({"image_id": 9}, "belongs to no listed picture", True),
        ({"category_id": 5}, "its category is 5, which is not listed", False),
        ({"category_id": [1]}, "which is not listed", False),
        ({"bbox": [0, 0, 5]}, "has no box of four numbers", False),
        ({"bbox": [0, 0, 5, "wide"]}, "has no box of four numbers", False),
        ({"bbox": None}, "has no box of four numbers", False),
        ({"bbox": [0, 0, 0, 5]}, "has no area", False),
        ({"bbox": [0, 0, float("nan"), 5]}, "not finite", False),
        ({"bbox": [10, 10, -5, 5]}, "inside out", False),
        ({"bbox": [500, 10, 5, 5]}, "outside the picture", False),
        ({"segmentation": [[1, 2, 3]], "bbox": []}, "has no box", False),
    ],
)
def test_annotations_that_are_wrong(tmp_path: Path, changes: dict[str, Any], why: str, complete: bool) -> None:
    good = annotation(id=1, image_id=1)
    found = read_detections(coco(tmp_path, annotations=[good, annotation(**changes), annotation(image_id=1, id=7)]))
    assert (found.boxes, found.exhaustive.tolist()) == (1, [True, complete])
    whys = [problem for problem in found.problems if "twice" not in problem.why]
    assert [problem.name.partition(":")[0] for problem in whys] == ["val.json"]
    assert why in whys[0].why


def test_polygons_stand_for_a_box_that_is_not_given(tmp_path: Path) -> None:
    outline = annotation(image_id=1, segmentation=[[30, 10, 50, 20, 40, 30], [31, 11, 32, 12, 33, 13]])
    del outline["bbox"]
    assert read_detections(coco(tmp_path, annotations=[outline])).xyxy[0].tolist() == [PIXELS]


def test_a_crowd_is_left_out_and_hides_what_is_in_it(tmp_path: Path) -> None:
    found = read_detections(coco(tmp_path, annotations=[annotation(iscrowd=1)]))
    assert (found.boxes, found.exhaustive.tolist(), found.problems) == (0, [True, False], ())
    assert found.left_out == (Problem("val.json: annotations[0]", "is a crowd, not one thing"),)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"id": 3, "file_name": "gone.png"}, "gone.png is not there"),
        ({"id": 3, "file_name": "../secret.png"}, "is not there"),
        ({"id": 3, "file_name": "/etc/hostname"}, "is not there"),
        ({"id": 3}, "has no id or no file_name"),
        ({"file_name": "1.png"}, "has no id or no file_name"),
        ("1.png", "has no id or no file_name"),
        ({"id": 3, "file_name": "1.png"}, "is listed twice"),
        ({"id": 3, "file_name": "3.png", "width": 40, "height": 80}, "is 80 x 40 pixels, not 40 x 80 as listed"),
        ({"id": 3, "file_name": "text.png"}, "is no picture"),
    ],
)
def test_pictures_that_are_wrong(tmp_path: Path, entry: Any, why: str) -> None:
    save(tmp_path / "images" / "3.png")
    save(tmp_path.parent / "secret.png")
    write(tmp_path / "images" / "text.png", "no picture")
    images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
    boxes = [annotation(id=1, image_id=1), annotation(image_id=3, bbox=[8, 8, 9, 9])]
    found = read_detections(coco(tmp_path, images=[*images, entry], annotations=boxes))
    assert found.ids.tolist() == ["images/1.png", "images/2.png"]
    assert why in found.problems[0].why
    assert found.problems[0].name == "val.json: images[2]"
    assert found.boxes == (2 if "twice" in why else 1)


def test_an_id_of_two_pictures_stands_for_neither(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.png"}, {"id": 1, "file_name": "2.png"}, {"id": 3, "file_name": "3.png"}]
    save(tmp_path / "images" / "3.png")
    found = read_detections(coco(tmp_path, images=images))
    assert found.ids.tolist() == ["images/3.png"]
    assert "2.png has the id 1 of another picture" in found.problems[0].why


def test_sites_clips_and_what_is_exhaustive(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "dive_000010.png", "site": "Reef"},
        {"id": 2, "file_name": "dive_000020.png", "site": "Reef", "clip": "second", "exhaustive": False},
        {"id": 3, "file_name": "dive_000030.png"},
    ]
    for image in images:
        save(tmp_path / "images" / image["file_name"])
    found = read_detections(coco(tmp_path, images=images, annotations=[]))
    assert found.sites.tolist() == ["Reef", "Reef", ""]
    assert found.clips.tolist() == ["dive", "second", "images/dive_000030.png"]
    assert found.exhaustive.tolist() == [True, False, True]
    assert not read_detections(coco(tmp_path, images=images, info={"exhaustive": False})).exhaustive.any()
    assert read_detections(tmp_path, exhaustive=True).exhaustive.all()


def test_files_of_luderick_and_bream_are_labelled_in_part(tmp_path: Path) -> None:
    categories = [{"id": 3, "name": "luderick"}]
    assert not read_detections(coco(tmp_path, categories=categories)).exhaustive.any()
    assert read_detections(coco(tmp_path, categories=categories, info={"exhaustive": True})).exhaustive.all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"images": [', "not valid JSON"),
        ('{"images": 3, "annotations": [], "categories": []}', "is no COCO json"),
        ('[{"images": []}]', "is no COCO json"),
        ('{"images": [], "annotations": [], "categories": []}', "names no picture"),
    ],
)
def test_json_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / "val.json", text)
    with pytest.raises(InputError, match=says):
        read_detections(tmp_path)


def test_two_files_with_other_numbers_for_the_same_classes(tmp_path: Path) -> None:
    coco(tmp_path, "train.json", annotations=[annotation(category_id=8)])
    coco(tmp_path, "val.json", categories=[{"id": 1, "name": "crab"}], annotations=[annotation(category_id=1)])
    for split in ("train", "val"):
        found = read_detections(tmp_path, split)
        assert [found.names[label] for label in found.labels[1]] == ["crab"]


# A video with boxes


def video(folder: Path, table: str, frames: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            grey = np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        container.mux(stream.encode(None))
    write(folder / "boxes.csv", table)
    return folder


TABLE = "frame,x1,y1,x2,y2\n7,30,10,50,30\n2,0,0,10,10\n7,1,1,9,9\n"


def test_a_video_with_boxes(tmp_path: Path) -> None:
    found = read_detections(video(tmp_path, TABLE))
    assert found.ids.tolist() == ["clip.mp4#2", "clip.mp4#7"]
    assert found.xyxy[1].tolist() == [PIXELS, [1.0, 1.0, 9.0, 9.0]]
    assert found.clips.tolist() == ["clip.mp4"] * 2
    for index in (1, 0, 0, 1):
        assert found.read(index).mean() == pytest.approx(20 * (2, 7)[index], abs=4)
    found.read(1)
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301 (our own bytes)
    assert copy.read(0).mean() == pytest.approx(40, abs=4)
    with pytest.raises(ArgumentError, match="no split"):
        read_detections(tmp_path, "val")


def test_rows_that_are_wrong(tmp_path: Path) -> None:
    rows = "3,a,0,1,1\n-1,0,0,5,5\n4,5,5,1,1\n5,1,1,9\n400,1,1,9,9\n"
    found = read_detections(video(tmp_path, TABLE + rows))
    assert set(problems_of(found)) == {f"boxes.csv:{line}" for line in (5, 6, 7, 8)}
    assert found.ids.tolist() == ["clip.mp4#2", "clip.mp4#4", "clip.mp4#7", "clip.mp4#400"]
    assert found.exhaustive.tolist() == [True, False, True, True]
    with pytest.raises(InputError, match="has 12 frames; expected frame 400"):
        found.read(3)
    assert found.read(2).mean() == pytest.approx(140, abs=4)


def test_videos_that_are_wrong(tmp_path: Path) -> None:
    write(tmp_path / "none" / "boxes.csv", TABLE)
    with pytest.raises(InputError, match="holds 0 videos"):
        read_detections(tmp_path / "none")
    write(tmp_path / "none" / "clip.mp4", "no video")
    with pytest.raises(InputError, match="cannot be opened"):
        read_detections(tmp_path / "none")
    with pytest.raises(InputError, match="lacks the columns x2, y2"):
        read_detections(video(tmp_path / "short", "frame,x1,y1\n1,2,3\n"))
    with pytest.raises(InputError, match="no row that can be used"):
        read_detections(video(tmp_path / "empty", "frame,x1,y1,x2,y2\n"))


# Boxes and sets

edges = st.floats(-50, 150, width=32)


@given(st.lists(st.tuples(edges, edges, edges, edges), max_size=8))
def test_every_box_taken_lies_in_the_picture(boxes: list[tuple[float, float, float, float]]) -> None:
    listing = BoxList((WIDTH, HEIGHT))
    for number, box in enumerate(boxes):
        listing.add(str(number), 0, box)
    assert len(listing.boxes) + len(listing.problems) == len(boxes)
    assert listing.complete == all(problem.why == "says a box twice" for problem in listing.problems)
    xyxy = listing.xyxy
    assert (xyxy >= 0).all()
    assert (xyxy[:, [0, 2]] <= WIDTH).all()
    assert (xyxy[:, [1, 3]] <= HEIGHT).all()
    assert (xyxy[:, 2:] > xyxy[:, :2]).all()
    whole = [box for box in boxes if 0 <= box[0] < box[2] <= WIDTH and 0 <= box[1] < box[3] <= HEIGHT]
    assert set(whole) <= set(listing.boxes)


def test_a_box_a_little_over_the_edge_is_cut() -> None:
    listing = BoxList((WIDTH, HEIGHT))
    listing.add("a", 0, (-3.0, 10.0, 20.0, 44.0))
    assert listing.xyxy.tolist() == [[0.0, 10.0, 20.0, 40.0]]
    assert areas(listing.xyxy).tolist() == [600.0]


FISH, CRAB = (0, 0, 9, 9), (20, 20, 30, 30)


def test_fish_of_all_names_are_one_class() -> None:
    made = detection_set(
        [[FISH, CRAB, FISH], [CRAB]], labels=[[1, 0, 2], [0]], names=("crab", "Shark", "stingray"), sites=["A", "B"]
    )
    fish = as_fish(made)
    assert (fish.names, fish.boxes, fish.sites.tolist()) == (("fish",), 2, ["A", "B"])
    assert [one.tolist() for one in fish.labels] == [[0, 0], []]
    assert as_fish(made, {"crab"}).xyxy[1].tolist() == [list(map(float, CRAB))]
    named = with_classes(made, ("STINGRAY", "crab"))
    assert [one.tolist() for one in named.labels] == [[1, 0], [1]]


def test_chosen_pictures_keep_what_is_theirs() -> None:
    made = detection_set([[FISH], [], [CRAB, FISH]], sites=["A", "B", "C"], exhaustive=[True, False, True])
    chosen = made.select([2, 1])
    assert chosen.ids.tolist() == ["2.jpg", "1.jpg"]
    assert [len(one) for one in chosen.xyxy] == [2, 0]
    assert (chosen.sites.tolist(), chosen.exhaustive.tolist()) == (["C", "B"], [True, False])
    assert chosen.read(0)[0, 0, 0] == 2
    assert made.select(np.array([False, True, False])).ids.tolist() == ["1.jpg"]


def test_joined_sets_share_names_and_never_clips() -> None:
    one = detection_set([[FISH], [CRAB]], labels=[[0], [1]], names=("fish", "crab"), sites=["A", ""])
    other = detection_set([[CRAB, FISH]], labels=[[0, 1]], names=("crab", "ray"), sites=["A"])
    object.__setattr__(other, "name", "second")
    both = joined_detections("both", [one, other])
    assert both.names == ("fish", "crab", "ray")
    assert [one.tolist() for one in both.labels] == [[0], [1], [1, 2]]
    assert both.sites.tolist() == ["made-up/A", "", "second/A"]
    assert len(set(both.clips)) == 3
    assert both.read(2)[0, 0, 0] == 0
    assert both.select([1]).read(0)[0, 0, 0] == 1
    with pytest.raises(ValueError, match="no sets"):
        joined_detections("none", [])


def test_sets_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must be from 0 to 0"):
        detection_set([[FISH]], labels=[[1]])
    with pytest.raises(ValueError, match="with 2 labels"):
        detection_set([[FISH]], labels=[[0, 0]])
    with pytest.raises(ValueError, match="differ in length"):
        detection_set([[FISH]], sites=["A", "B"])
