"""Labels of other tools come back into the real FiftyOne."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from apps.curate.fields import CORRECTED, ITEM, RELABEL, TRUTH
from apps.curate.importing import import_into
from apps.curate.putting import RECORDS, Import
from apps.curate.reading import collection_of
from apps.curate.samples import dataset_of
from apps.main import run
from data.curation.collection import Kind, Provenance
from data.curation.exchange import FORMATS
from data.errors import ArgumentError, InputError
from tests.data.curation.exchange.reef import PERSON, differences, made

BY = Provenance(kind="person", name="Asha", when="2026-11-22T21:00:00Z")
CASES = [(name, kind) for name, one in FORMATS.items() for kind in sorted(one.kinds)]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_an_export_that_nobody_touched_changes_nothing(
    name: str, kind: Kind, fiftyone_module: ModuleType, tmp_path: Path
) -> None:
    collection = made(kind, tmp_path / "in")
    dataset = dataset_of(collection, f"untouched {name} {kind}")
    before = collection_of(dataset)
    FORMATS[name].write(collection, tmp_path / "out")
    done = import_into(dataset, tmp_path / "out", name, BY)
    assert done.pictures == sum(bool(one.labels) or name != "classes" for one in collection.pictures)
    assert (dict(done.counts), done.record) == ({}, None)
    assert differences(before, collection_of(dataset)) == []
    dataset.delete()


def test_what_a_person_changed_in_cvat_comes_back(
    fiftyone_module: ModuleType, curate_home: Path, tmp_path: Path
) -> None:
    collection = made("detection", tmp_path / "in")
    dataset = dataset_of(collection, "reef of cvat")
    for sample in dataset.match_tags([]):
        sample.tags.append(RELABEL)
        sample.save()
    FORMATS["cvat"].write(collection, tmp_path / "out")
    path = tmp_path / "out" / "annotations.xml"
    tree = ElementTree.parse(path)  # noqa: S314 - our own file
    first, second, empty = tree.findall("image")[:3]
    first[0].set("label", "Chromis chrysura")
    first[1].set("xtl", "33.00")
    second.remove(second[1])
    ElementTree.SubElement(empty, "box", {"label": "eel", "xtl": "1", "ytl": "1", "xbr": "9", "ybr": "9"})
    tree.write(path)
    shutil.rmtree(tmp_path / "out" / "images")
    kept_id = dataset.match({ITEM: "b/x.png"}).first()[TRUTH].detections[0].id

    done = import_into(dataset, path, None, BY)

    assert dict(done.counts) == {"renamed": 1, "moved": 1, "removed": 1, "added": 1}
    assert [problem.why for problem in done.problems] == ["is a class that the dataset did not have"]
    after = {picture.id: picture for picture in collection_of(dataset).pictures}
    renamed, moved = after["a/x.png"].labels
    assert (renamed.name, renamed.by, renamed.confidence, renamed.track) == ("Chromis chrysura", BY, None, 1)
    assert moved.xyxy is not None
    assert (moved.xyxy.round(2).tolist(), moved.by, moved.confidence) == ([33, 10, 60, 40.5], BY, None)
    assert [label.by for label in after["b/x.png"].labels] == [PERSON]
    assert [(label.name, label.by) for label in after["b/empty sea.png"].labels] == [("eel", BY)]
    assert dataset.match({ITEM: "b/x.png"}).first()[TRUTH].detections[0].id == kept_id
    tagged = {item: CORRECTED in tags for item, tags in zip(dataset.values(ITEM), dataset.values("tags"), strict=True)}
    assert tagged == {"a/x.png": True, "b/x.png": True, "b/empty sea.png": True, "c/সমুদ্র #3.png": False}
    assert done.record == curate_home / RECORDS / "reef_of_cvat.jsonl"
    record = Import.model_validate_json(done.record.read_text(encoding="utf-8"))
    assert [one.item for one in record.pictures] == ["a/x.png", "b/x.png", "b/empty sea.png"]
    assert [label.name for label in record.pictures[1].before] == ["রুই", "রুই"]
    dataset.delete()


def test_a_digit_that_came_back_is_no_longer_to_be_relabelled(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    collection = made("digits", tmp_path / "in")
    dataset = dataset_of(collection, "sheets of label studio")
    dataset.tag_samples(RELABEL)
    FORMATS["label-studio"].write(collection, tmp_path / "out")
    path = tmp_path / "out" / "tasks.json"
    tasks = json.loads(path.read_text(encoding="utf-8"))
    tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = ["1"]
    tasks[1]["annotations"][0]["result"][0]["value"]["choices"] = ["nonsense"]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    done = import_into(dataset, path, None, BY)
    assert dict(done.counts) == {"renamed": 1}
    assert [problem.why for problem in done.problems] == ["is called 'nonsense', which is no digit: left as it was"]
    labels = {picture.id: picture.labels[0] for picture in collection_of(dataset).pictures}
    assert (labels["w0/0.png"].name, labels["w0/0.png"].by) == ("1", BY)
    assert labels["w1/1.png"].name == "0"
    assert dataset.match_tags(RELABEL).values(ITEM) == ["w1/1.png"]
    assert dataset.match_tags(CORRECTED).values(ITEM) == ["w0/0.png"]
    dataset.delete()


def test_labels_beside_one_that_cannot_be_read_are_not_deleted(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    collection = made("detection", tmp_path / "in")
    dataset = dataset_of(collection, "reef with a slip")
    FORMATS["viame"].write(collection, tmp_path / "out")
    path = tmp_path / "out" / "viame.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("30.00,10.00,60.00,40.50", "30.00,,60.00,40.50"))
    done = import_into(dataset, path, None, BY)
    assert dict(done.counts) == {}
    assert [problem.name for problem in done.problems] == ["viame.csv:4", "a/x.png"]
    assert differences(collection, collection_of(dataset), near=1e-4) == []
    dataset.delete()


def test_what_fits_nowhere_is_one_error(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    dataset = dataset_of(made("detection", tmp_path / "in"), "reef alone")
    FORMATS["cvat"].write(made("segmentation", tmp_path / "other" / "in"), tmp_path / "other" / "out")
    FORMATS["label-studio"].write(made("digits", tmp_path / "cells"), tmp_path / "digits")
    with pytest.raises(ArgumentError, match="does not say of which format"):
        import_into(dataset, tmp_path / "in", None, BY)
    with pytest.raises(ArgumentError, match="no format 'voc'"):
        import_into(dataset, tmp_path / "in", "voc", BY)
    with pytest.raises(ArgumentError, match="labels pictures as a whole"):
        import_into(dataset, tmp_path / "digits", None, BY)
    for picture in (tmp_path / "other" / "out" / "images").iterdir():
        picture.write_bytes(picture.read_bytes() + b"0")
    with pytest.raises(InputError, match=r"is called like a/x\.png, but is another picture"):
        import_into(dataset, tmp_path / "other" / "out", None, BY)
    dataset.delete()


def test_the_command_tells_what_it_did(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = made("detection", tmp_path / "in")
    dataset = dataset_of(collection, "reef of the command")
    FORMATS["cvat"].write(collection, tmp_path / "out")
    archive = str(tmp_path / "out" / "cvat.zip")
    assert run(["curate", "import", archive, "--into", dataset.name, "--by", "Asha"]) == 0
    assert "4 pictures of" in capsys.readouterr().out
    assert run(["curate", "import", archive, "--into", "nowhere"]) == 1
    assert "there is no dataset 'nowhere'" in capsys.readouterr().err
    assert run(["curate", "import", str(tmp_path / "lost.zip")]) == 5
    assert run(["curate", "import", "--help"]) == 0
    dataset.delete()


def test_fiftyones_own_importers_read_our_files(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    collection = made("detection", tmp_path / "in")
    for name in ("cvat", "coco", "yolo"):
        FORMATS[name].write(collection, tmp_path / name)
    types = fiftyone_module.types
    cvat = {"data_path": str(tmp_path / "cvat" / "images"), "labels_path": str(tmp_path / "cvat" / "annotations.xml")}
    labels = str(tmp_path / "coco" / "annotations" / "instances_train.json")
    coco = {"data_path": str(tmp_path / "coco" / "images"), "labels_path": labels, "label_types": "detections"}
    yolo = {"dataset_dir": str(tmp_path / "yolo"), "yaml_path": "data.yaml", "split": "train"}
    for dataset_type, arguments, pictures in (
        (types.CVATImageDataset, cvat, 4),
        (types.COCODetectionDataset, coco, 2),
        (types.YOLOv5Dataset, yolo, 2),
    ):
        dataset = fiftyone_module.Dataset.from_dir(dataset_type=dataset_type, progress=False, **arguments)
        field = next(name for name in ("detections", "ground_truth") if dataset.has_field(name))
        assert len(dataset) == pictures
        boxes = dict(zip(dataset.values("filepath"), dataset.values(f"{field}.detections.label"), strict=True))
        assert all(Path(path).is_file() for path in boxes)
        counts = sorted(len(names or ()) for names in boxes.values())
        assert counts == ([0, 1, 2, 2] if pictures == 4 else [2, 2])
        dataset.delete()
