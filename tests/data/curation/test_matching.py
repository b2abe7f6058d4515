from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.curation.collection import Collection, Picture
from data.curation.exchange import Library
from data.curation.exchange.places import class_folder
from data.curation.matching import match
from data.errors import InputError
from data.readers.crops import species_name
from tests.data.curation.exchange.reef import SIZE_WH, picture_file


def picture(item: str, path: Path) -> Picture:
    return Picture(item, path, SIZE_WH)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    names = ("val/a/x.png", "val/b/x.png", "y.png", "clip/000012.png")
    return Library([picture(name, picture_file(tmp_path / "data" / name, n)) for n, name in enumerate(names)])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("val/a/x.png", ["val/a/x.png"]),
        ("images/train/a/x.png", ["val/a/x.png"]),
        ("b\\x.png", ["val/b/x.png"]),
        ("a_x.png", ["val/a/x.png"]),
        ("x.png", ["val/a/x.png", "val/b/x.png"]),
        ("c/x.png", []),
        ("/home/asha/labels/Y.png", []),
        ("/home/asha/y.png", ["y.png"]),
        ("images/y.png", ["y.png"]),
        ("clip.mp4#12", ["clip/000012.png"]),
        ("clip.mp4/00000012.png", ["clip/000012.png"]),
        ("other.mp4#12", []),
        ("", []),
    ],
)
def test_names_find_pictures_and_never_guess(library: Library, name: str, found: list[str]) -> None:
    assert [one.id for one in library.find(name)] == found


def test_a_name_that_may_be_two_is_refused(library: Library) -> None:
    with pytest.raises(InputError, match=r"may be val/a/x\.png or val/b/x\.png"):
        library.one("x.png")


def said(*pictures: Picture) -> Collection:
    return Collection("said", "detection", (), pictures)


def test_content_tells_two_pictures_of_one_name_apart(library: Library, tmp_path: Path) -> None:
    copies = [picture_file(tmp_path / folder / "x.png", number) for folder, number in (("one", 1), ("two", 0))]
    matched = match(said(*(picture(f"{one.parent.name}/x.png", one) for one in copies)), library)
    assert [(mine.id, known.id) for mine, known in matched.pairs] == [
        ("one/x.png", "val/b/x.png"),
        ("two/x.png", "val/a/x.png"),
    ]


def test_another_picture_of_a_known_name_is_not_taken_for_it(library: Library, tmp_path: Path) -> None:
    strange = picture_file(tmp_path / "other" / "y.png", 77)
    matched = match(said(picture("y.png", strange), picture("new.png", strange)), library)
    assert matched.pairs == ()
    assert [problem.why for problem in matched.problems] == [
        "is called like y.png, but is another picture",
        "is no picture of the dataset",
    ]


def test_a_picture_is_found_once(library: Library, tmp_path: Path) -> None:
    copies = [picture_file(tmp_path / "copy" / f"{n}.png", 2) for n in range(2)]
    matched = match(said(*(picture(one.name, one) for one in copies)), library)
    assert [(mine.id, known.id) for mine, known in matched.pairs] == [("0.png", "y.png")]
    assert matched.problems[0].why == "is y.png, which 0.png is already"


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20))
def test_folders_of_classes_tell_their_class_again(name: str) -> None:
    folder = class_folder(name)
    assert species_name(folder) == name
    assert not set(folder) & set('<>:"/\\|?*\0 ')
    assert not folder.startswith(".")
    assert not folder.endswith(".")
