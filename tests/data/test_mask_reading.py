from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.masks import area, from_picture, polygons
from data.readers import read_detections
from data.readers.detectionset import joined_detections, outlined_once, with_classes
from data.rle import rle

SIZE = (40, 30)
FISH = [5.0, 5.0, 15.0, 5.0, 15.0, 11.0, 5.0, 11.0]
HOLED = np.pad(np.ones((9, 9), np.uint8), 4)
HOLED[7:10, 7:10] = 0


def coco(folder: Path, annotations: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "one.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    told = [{"id": n, "image_id": 1, "category_id": 1, **one} for n, one in enumerate(annotations)]
    tree = {
        "images": [{"id": 1, "file_name": "one.png"}],
        "annotations": told,
        "categories": [{"id": 1, "name": "bream"}, {"id": 2, "name": "weed"}],
    }
    (folder / "all.json").write_text(json.dumps(tree))
    return folder


def in_frame(picture: np.ndarray) -> dict[str, Any]:
    whole = np.zeros((SIZE[1], SIZE[0]))
    whole[: picture.shape[0], : picture.shape[1]] = picture
    return rle(from_picture(whole), SIZE)


def test_polygons_and_run_lengths_are_read_as_masks(tmp_path: Path) -> None:
    solid = in_frame(np.ones((4, 6)))
    plain = {"size": [SIZE[1], SIZE[0]], "counts": [0, 4, SIZE[0] * SIZE[1] - 4]}
    entries = [{"segmentation": [FISH]}, {"segmentation": solid}, {"segmentation": plain}, {"bbox": [1, 1, 3, 3]}]
    found = read_detections(coco(tmp_path, entries), masks=True)
    assert found.masks is not None
    assert found.problems == ()
    assert [None if one is None else area(one) for one in found.masks[0]] == [60, 24, 4, None]
    assert found.xyxy[0].tolist() == [[5, 5, 15, 11], [0, 0, 6, 4], [0, 0, 1, 4], [1, 1, 4, 4]]
    assert read_detections(tmp_path).masks is None


@pytest.mark.parametrize(
    ("segmentation", "fault", "pixels"),
    [
        ([[0, 0, 10, 10, 10, 0, 0, 10]], "its polygon crosses itself", None),
        ([[0, 0, 10, 10, 20, 20]], "its polygon has no area", None),
        ([[0, 0, 10, 10]], "fewer than three corners", None),
        ([[100, 100, 110, 100, 110, 110]], "covers no pixel of the picture of 40 x 30", None),
        ([[0, 0, 10, 10, 10]], "odd count of numbers", None),
        ([["a", 0, 10, 10, 10, 0]], "is no mask", None),
        ("outline", "its polygon", None),
        (5, "is no mask", None),
        ({"size": [10, 10], "counts": "0"}, "its run lengths are of a picture of", None),
        ({"size": [30, 40]}, "its run lengths are missing", None),
        ({"size": [30, 40], "counts": [7]}, "the run lengths add up to 7", None),
        ({"size": [30, 40], "counts": [1200]}, "its mask has no area", None),
        (in_frame(HOLED), "its mask has holes of 9 pixels, which were filled", 81),
    ],
)
def test_a_mask_that_cannot_be_used_is_told_and_its_box_stays(
    tmp_path: Path, segmentation: Any, fault: str, pixels: int | None
) -> None:
    entries = [{"bbox": [2, 2, 8, 8], "segmentation": segmentation}, {"bbox": [5, 5, 10, 6], "segmentation": [FISH]}]
    found = read_detections(coco(tmp_path, entries), masks=True)
    assert found.masks is not None
    assert [problem.name for problem in found.problems] == ["all.json: annotations[0]"]
    assert fault in found.problems[0].why
    first, second = found.masks[0]
    assert (None if first is None else area(first)) == pixels
    assert second is not None
    assert area(second) == 60
    assert found.exhaustive.all()  # the box was taken in: nothing in the picture is unlabelled


def test_a_mask_over_the_edge_is_cut(tmp_path: Path) -> None:
    entries = [{"bbox": [30, 20, 20, 10], "segmentation": [[30, 20, 50, 20, 50, 30, 30, 30]]}]
    found = read_detections(coco(tmp_path, entries), masks=True)
    assert found.masks is not None
    (mask,) = found.masks[0]
    assert mask is not None
    assert (mask.xyxy.tolist(), found.xyxy[0].tolist()) == ([30, 20, 40, 30], [[30, 20, 40, 30]])


def test_yolo_polygons_are_masks_and_boxes_are_not(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "one.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    corners = " ".join(str(value) for value in (np.array(FISH).reshape(-1, 2) / SIZE).ravel())
    crossing = "0 0 0 1 1 1 0 0 1"
    (tmp_path / "labels" / "one.txt").write_text(f"0 {corners}\n0 0.5 0.5 0.2 0.2\n{crossing}\n")
    found = read_detections(tmp_path, masks=True)
    assert found.masks is not None
    assert [None if one is None else area(one) for one in found.masks[0]] == [60, None, None]
    assert [problem.name for problem in found.problems] == ["labels/one.txt:3"]


def test_masks_follow_their_boxes(tmp_path: Path) -> None:
    entries = [{"segmentation": [FISH]}, {"category_id": 2, "segmentation": in_frame(np.ones((3, 3)))}]
    found = read_detections(coco(tmp_path, entries), masks=True)
    weed = with_classes(found, ("weed",))
    assert weed.masks is not None
    assert [area(one) for one in weed.masks[0] if one] == [9]
    both = joined_detections("both", [found, weed])
    assert both.masks is not None
    assert [len(own) for own in both.masks] == [2, 1]
    assert joined_detections("both", [found, read_detections(tmp_path)]).masks is None
    assert both.select([1]).masks == (weed.masks[0],)
    with pytest.raises(ValueError, match="a mask, or None, for every box"):
        type(found)(**{**vars(found), "masks": ((),)})


def test_what_is_boxed_and_outlined_counts_once(tmp_path: Path) -> None:
    double, apart = {"bbox": [5, 4, 10, 7]}, {"bbox": [20, 20, 8, 8]}
    other_kind = {"category_id": 2, "bbox": [5, 5, 10, 6]}
    found = read_detections(coco(tmp_path, [double, {"segmentation": [FISH]}, apart, other_kind]), masks=True)
    once = outlined_once(found)
    assert once.masks is not None
    assert once.xyxy[0].tolist() == [[5, 5, 15, 11], [20, 20, 28, 28], [5, 5, 15, 11]]
    assert [one is None for one in once.masks[0]] == [False, True, True]
    plain = read_detections(tmp_path)
    assert outlined_once(plain) is plain


def test_written_outlines_are_read_again(tmp_path: Path) -> None:
    mask = from_picture(np.pad(np.tril(np.ones((8, 8))), 3))
    outlines = [one.ravel().tolist() for one in polygons(mask)]
    for written in (outlines, rle(mask, SIZE)):
        assert read_detections(coco(tmp_path, [{"segmentation": written}]), masks=True).masks == ((mask,),)


def test_luderick_is_read_whole(shankha_data: Path) -> None:
    found = read_detections(shankha_data / "fish" / "luderick", "val", masks=True)
    assert found.masks is not None
    assert (found.names, found.boxes, found.problems) == (("luderick", "bream"), 1661, ())
    assert all(mask is not None for own in found.masks for mask in own)
