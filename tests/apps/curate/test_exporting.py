"""Export from the real FiftyOne: what is chosen, what becomes of the illegible, and what the folder says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from apps.curate.exporting import chosen_samples, export, prepared
from apps.curate.fields import BY_KIND, BY_NAME, ILLEGIBLE, ITEM, PART, RELABEL, TRUTH
from apps.curate.reading import SOMEONE
from apps.curate.samples import dataset_of
from apps.main import run
from data.curation.collection import Collection, Kind
from data.curation.folder import read_version
from data.errors import ArgumentError
from data.versions import read_version_file
from tests.data.curation.made import collection

KINDS: tuple[Kind, ...] = ("digits", "species", "detection", "segmentation")


@pytest.fixture
def name(fiftyone_module: ModuleType) -> Iterator[str]:
    """A name for a dataset, which is deleted again."""
    yield "to export"
    if fiftyone_module.dataset_exists("to export"):
        fiftyone_module.delete_dataset("to export")


def bare(found: Collection) -> list[object]:
    return [replace(picture, path=Path()) for picture in found.pictures]


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_in_comes_out(kind: Kind, name: str, tmp_path: Path) -> None:
    given = collection(kind, tmp_path / "source")
    dataset = dataset_of(given, name)
    exported = export(dataset, tmp_path / "set", command="shankha curate export bay")
    content = exported.written.version.content
    assert content.format == ("classes" if kind in {"digits", "species"} else "yolo")
    back = read_version(exported.written.folder)
    assert [one.id for one in back.pictures] == [one.id for one in given.pictures]
    for one, other in zip(back.pictures, given.pictures, strict=True):
        assert (one.part, one.group, one.complete) == (other.part, other.group, other.complete)
        assert [(label.name, label.by, label.track) for label in one.labels] == [
            (label.name, label.by, label.track) for label in other.labels
        ]
    assert f"dataset {name!r} in FiftyOne" == exported.written.version.source
    assert not export(dataset, tmp_path / "set").written.fresh


def test_a_correction_in_the_app_is_in_the_next_version_with_its_author(name: str, tmp_path: Path) -> None:
    dataset = dataset_of(collection("species", tmp_path / "source"), name)
    export(dataset, tmp_path / "set")
    sample = dataset.first()
    sample[TRUTH].label = "Nigra"
    sample[TRUTH][BY_KIND], sample[TRUTH][BY_NAME] = "person", "Asha"
    sample.save()
    written = export(dataset, tmp_path / "set").written
    assert (written.folder.name, written.version.version) == ("set-v2", 2)
    label = next(one for one in read_version(written.folder).pictures if one.id == sample[ITEM]).labels[0]
    assert (label.name, label.by.name) == ("Nigra", "Asha")


def test_illegible_digits_become_a_class_and_fish_are_left_out(tmp_path: Path) -> None:
    for kind in KINDS:
        given = collection(kind, tmp_path / kind)
        pictures = list(given.pictures)
        pictures[2] = replace(pictures[2], tags=(ILLEGIBLE,))
        pictures[5] = replace(pictures[5], tags=(RELABEL,))
        found, notes = prepared(replace(given, pictures=tuple(pictures)))
        ids = [one.id for one in found.pictures]
        assert pictures[5].id not in ids
        assert any("wait to be labelled again" in note for note in notes)
        if kind == "digits":
            (label,) = found.pictures[ids.index(pictures[2].id)].labels
            assert (label.name, label.by) == ("not_a_digit", SOMEONE)
        else:
            assert pictures[2].id not in ids


def test_parts_are_settled_and_torn_groups_told(tmp_path: Path) -> None:
    given = collection("detection", tmp_path / "source")
    pictures = list(given.pictures)
    pictures[3] = replace(pictures[3], part="")
    pictures[7] = replace(pictures[7], part="train")
    found, notes = prepared(replace(given, pictures=tuple(pictures)))
    assert found.pictures[3].part == "val"
    assert any(note.startswith("1 pictures of no part") for note in notes)
    assert any("groups are in more than one part (detection/site 2)" in note for note in notes)


def test_views_and_tags_choose_what_is_written(name: str, tmp_path: Path) -> None:
    dataset = dataset_of(collection("digits", tmp_path / "source"), name)
    dataset.save_view("for training", dataset.match({PART: "train"}))
    dataset.limit(5).tag_samples("next training set")
    assert len(chosen_samples(name, None, ())) == 12
    assert len(chosen_samples(name, "for training", ())) == 6
    assert len(chosen_samples(name, "for training", ("next training set",))) == 3
    with pytest.raises(ArgumentError, match="has no saved view 'x'; expected one of: for training"):
        chosen_samples(name, "x", ())
    with pytest.raises(ArgumentError, match="no picture has the tag 'y'; expected one of: next training set"):
        chosen_samples(name, None, ("y",))
    with pytest.raises(ArgumentError, match="there is no dataset 'z'"):
        chosen_samples("z", None, ())


def test_the_command_writes_and_tells(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = collection("detection", tmp_path / "source")
    dataset_of(given, name)
    given.pictures[0].path.unlink()
    assert run(["curate", "export", name, "--to", str(tmp_path / "set"), "--format", "coco"]) == 0
    shown = capsys.readouterr().out
    assert f"{tmp_path / 'set'}: version 1, 11 pictures (5 train, 3 val, 3 test), coco" in shown
    assert "by the source" in shown
    assert f"left out: {given.pictures[0].id}: cannot be read" in shown
    assert read_version_file(tmp_path / "set").content.format == "coco"
    assert run(["curate", "export", name, "--to", str(tmp_path / "set"), "--format", "classes"]) == 1
    assert "classes cannot hold detection" in capsys.readouterr().err
