"""What is wrong with a file is one clear error; what is wrong with one label is listed, and the rest goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.curation.collection import Collection
from data.curation.exchange import FORMATS, Library
from data.curation.exchange.brush import packed, unpacked
from data.curation.exchange.unpacking import unpacked as unpacked_archive
from data.errors import ArgumentError, InputError, ShankhaError
from tests.data.curation.exchange.reef import SIZE_WH, boxes, made, picture_file, staircase

GOOD_XML = '<box label="fish" xtl="1" ytl="2" xbr="20" ybr="30"/>'
GOOD_VALUE = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["f"]}
GOOD_TASK = {"type": "rectanglelabels", "value": GOOD_VALUE}
GOOD_ROW = "1,x.png,0,1,2,20,30,0.9,-1,fish,0.9"
GOOD_FEATURE = {"frame": 0, "bounds": [1, 2, 20, 30]}


def xml(shapes: str, image: str = 'name="x.png" width="64" height="48"') -> str:
    return f"<annotations><meta/><image id='0' {image}>{shapes}</image></annotations>"


def tasks(*results: object, image: str = "images/x.png") -> str:
    return json.dumps([{"data": {"image": image}, "annotations": [{"result": list(results)}]}])


def dive(*features: object, name: object = "fish", sure: object = 0.9) -> str:
    track = {"id": 1, "confidencePairs": [[name, sure]], "features": list(features), "begin": 0, "end": 0}
    return json.dumps({"version": 2, "tracks": {"1": track}, "groups": {}})


FILES = {"cvat": "annotations.xml", "label-studio": "tasks.json", "viame": "viame.csv", "dive": "dive.json"}


def read(name: str, content: str | bytes, folder: Path, **library: Library) -> Collection:
    picture_file(folder / "images" / "x.png")
    path = folder / FILES[name]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FORMATS[name].read(path, **library)


def value(**told: object) -> dict[str, object]:
    return {"type": "rectanglelabels", "value": {**GOOD_VALUE, **told}}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("cvat", xml('<box label="fish" xtl="nan" ytl="2" xbr="20" ybr="30"/>' + GOOD_XML), "not finite"),
        ("cvat", xml('<box label="fish" xtl="" ytl="2" xbr="20" ybr="30"/>' + GOOD_XML), "no box of four"),
        ("cvat", xml('<box label="fish" xtl="90" ytl="2" xbr="99" ybr="30"/>' + GOOD_XML), "outside"),
        ("cvat", xml('<polygon label="fish" points="0,0;40,40;40,0;0,40"/>' + GOOD_XML), "crosses itself"),
        ("cvat", xml('<polygon label="fish" points="0,0;a,b"/>' + GOOD_XML), "no numbers"),
        ("cvat", xml('<mask label="f" rle="1,2" left="0" top="0" width="9" height="9"/>' + GOOD_XML), "run lengths"),
        ("cvat", xml('<mask label="f" rle="0,9" left="63" top="0" width="3" height="3"/>' + GOOD_XML), "leaves"),
        ("cvat", xml('<polyline label="fish" points="0,0;4,4"/>' + GOOD_XML), "polyline"),
        ("cvat", xml('<box xtl="1" ytl="2" xbr="20" ybr="30"/>' + GOOD_XML), "no label"),
        ("label-studio", tasks(value(x=150), GOOD_TASK), "outside"),
        ("label-studio", tasks(value(width=None), GOOD_TASK), "not finite"),
        ("label-studio", tasks(value(y="ten"), GOOD_TASK), "no number"),
        (
            "label-studio",
            tasks({"type": "polygonlabels", "value": {"points": [[1, 2], [3]], "polygonlabels": ["f"]}}, GOOD_TASK),
            "no number",
        ),
        (
            "label-studio",
            tasks({"type": "brushlabels", "value": {"rle": None, "brushlabels": ["f"]}}, GOOD_TASK),
            "no bytes",
        ),
        (
            "label-studio",
            tasks({"type": "brushlabels", "value": {"rle": [0, 0], "brushlabels": ["f"]}}, GOOD_TASK),
            "cut short",
        ),
        ("label-studio", tasks({"type": "textarea", "value": {"text": ["?"]}}, GOOD_TASK), "textarea"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0,1,,3,4,1,-1,fish,1", "no box of four"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0,nan,2,3,4,1,-1,fish,1", "not finite"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0,100,2,300,4,1,-1,fish,1", "outside"),
        ("viame", f"{GOOD_ROW}\ntwo,x.png,0,1,2,3,4,1,-1,fish,1", "no row of 9 columns"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0", "no row of 9 columns"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0,1,2,3,4,1,-1", "names no species"),
        ("viame", f"{GOOD_ROW}\n2,x.png,0,1,2,9,9,1,-1,fish,1,(poly) 0 0 a b", "not finite"),
        ("viame", f"{GOOD_ROW}\n2,lost.png,1,1,2,3,4,1,-1,fish,1", "is not there"),
        ("dive", dive(GOOD_FEATURE, {"frame": 0, "bounds": [1, 2, 3, 4]}), "feature at frame 0"),
        ("dive", dive(GOOD_FEATURE, {"frame": 7, "bounds": [1, 2, 3, 4]}), "labels frame 7 of 1 pictures"),
        ("dive", dive(GOOD_FEATURE, {"frame": -1}), "feature at frame -1"),
    ],
)
def test_one_bad_label_is_listed_and_the_others_stay(name: str, content: str, why: str, tmp_path: Path) -> None:
    found = read(name, content, tmp_path)
    assert [why in problem.why for problem in found.problems].count(True) == 1, found.problems
    assert sum(len(picture.labels) for picture in found.pictures) >= 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cvat", xml(GOOD_XML.replace("/>", '><attribute name="confidence">nan</attribute></box>'))),
        ("label-studio", tasks({**GOOD_TASK, "score": 7})),
        ("viame", GOOD_ROW.replace("fish,0.9", "fish,NaN")),
        ("dive", dive(GOOD_FEATURE, sure="sure")),
    ],
)
def test_a_label_without_a_sound_confidence_is_taken_without_one(name: str, content: str, tmp_path: Path) -> None:
    found = read(name, content, tmp_path)
    assert [label.confidence for picture in found.pictures for label in picture.labels] == [None]
    assert any("confidence" in problem.why for problem in found.problems)


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\xff\xfe\x00garbage\x00",
        lambda content: "নয়".encode("utf-16"),
    ],
)
def test_a_file_that_is_cut_short_or_no_text_is_one_error(
    name: str, spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    content = {"cvat": xml(GOOD_XML), "label-studio": tasks(GOOD_TASK), "viame": "2,x.png,0,1,2,3", "dive": dive({})}
    with pytest.raises(ShankhaError) as caught:
        read(name, spoil(content[name].encode()), tmp_path)
    assert FILES[name] in str(caught.value)
    assert "\n" not in str(caught.value)


ATTACKS = {
    "entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>',
    "laughs": '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>',
    "outside": '<!DOCTYPE annotations SYSTEM "http://example.org/a.dtd"><annotations/>',
    "deep": "<annotations>" + "<a>" * 5000 + "</a>" * 5000 + "</annotations>",
    "other": "<nothing/>",
    "undefined": "<annotations>&x;</annotations>",
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_xml_that_hides_something_is_refused(attack: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"annotations\.xml"):
        read("cvat", ATTACKS[attack], tmp_path)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/secret.png", "..\\secret.png"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    picture_file(tmp_path / "secret.png")
    inside = tmp_path / "a" / "b"
    content = xml(GOOD_XML)[: -len("</annotations>")] + f'<image id="1" name="{name}">{GOOD_XML}</image></annotations>'
    found = read("cvat", content, inside)
    assert [picture.id for picture in found.pictures] == ["x.png"]
    assert any("is not there" in problem.why for problem in found.problems)


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../annotations.xml", "<annotations/>")
    with pytest.raises(InputError, match="leads out"), unpacked_archive(tmp_path / "evil.zip"):
        raise AssertionError
    assert not (tmp_path.parent / "annotations.xml").exists()


def test_an_archive_of_a_task_is_read_with_its_pictures(tmp_path: Path) -> None:
    collection = boxes(tmp_path / "reef")
    FORMATS["cvat"].write(collection, tmp_path / "out")
    with unpacked_archive(tmp_path / "out" / "cvat.zip") as place:
        found = FORMATS["cvat"].read(place)
        assert [picture.id for picture in found.pictures] == [picture.id for picture in collection.pictures]
        assert place.is_dir()
    assert not place.exists()


@pytest.mark.parametrize("name", ["cvat", "label-studio"])
def test_a_picture_of_another_size_is_not_labelled(name: str, tmp_path: Path) -> None:
    result = {**GOOD_TASK, "original_width": 640, "original_height": 480}
    content = {"cvat": xml(GOOD_XML, 'name="x.png" width="640" height="480"'), "label-studio": tasks(result)}
    with pytest.raises(InputError, match="64 x 48 pixels, not 640 x 480"):
        read(name, content[name], tmp_path)


def test_frames_told_by_number_need_their_pictures(tmp_path: Path) -> None:
    (tmp_path / "dive.json").write_text(dive(GOOD_FEATURE), encoding="utf-8")
    with pytest.raises(InputError, match="frames by number"):
        FORMATS["dive"].read(tmp_path / "dive.json")


def test_a_task_that_nobody_labelled_says_nothing(tmp_path: Path) -> None:
    picture_file(tmp_path / "images" / "y.png", 1)
    content = [*json.loads(tasks(GOOD_TASK)), {"data": {"image": "images/y.png"}, "annotations": []}]
    found = read("label-studio", json.dumps(content), tmp_path)
    assert [picture.id for picture in found.pictures] == ["images/x.png"]
    assert found.problems[0].why == "images/y.png has been labelled by nobody"


@pytest.mark.parametrize("name", ["digits", "species"])
def test_a_format_refuses_what_it_cannot_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=f"yolo cannot hold {name}"):
        FORMATS["yolo"].write(made(name, tmp_path / "in"), tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_picture_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    collection = made("digits" if name == "classes" else "detection", tmp_path / "in")
    collection.pictures[1].path.unlink()
    with pytest.raises(ShankhaError, match=collection.pictures[1].path.name):
        FORMATS[name].write(collection, tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".*"))


def test_brush_strokes_are_of_their_picture() -> None:
    content = packed(staircase(), SIZE_WH)
    assert unpacked(content, SIZE_WH) == staircase()
    with pytest.raises(ValueError, match="3072 pixels, not 8 x 8"):
        unpacked(content, (8, 8))
    with pytest.raises(ValueError, match="cut short"):
        unpacked(content[:-2], SIZE_WH)
