"""The operators on a real dataset in the real database, as the App runs them but without a browser."""

from __future__ import annotations

import importlib
import json
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.curate import fields
from apps.curate.plugin import edits
from apps.curate.plugin.history import History
from apps.curate.plugin.person import person, remember
from apps.curate.samples import dataset_of
from data.curation.collection import Collection, Label, Picture, Provenance
from data.errors import FileAccessError, InputError
from data.versions import MANIFEST

NAMES = tuple("0123456789")
SOURCE = Provenance(kind="source", name="drawn")
WHO = "Asha Rao"


def picture(folder: Path, name: str, size: int = 24) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size, size, 3), 255, np.uint8)
    cv2.putText(image, path.stem[-1], (5, size - 6), cv2.FONT_HERSHEY_PLAIN, 1.2, (0, 0, 0))
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def asked(fiftyone_module, curate_home):
    """Runs an operator of the plugin: `asked("accept_label", dataset, selected=[...], name="7")`."""
    remember(curate_home, WHO)

    def run(operator, dataset, view=None, params=None, **context):
        context = {"dataset": dataset, "view": view, "params": params or {}, **context}
        return fiftyone_module.operators.execute_operator(
            f"@shankha/curate/{operator}", {k: v for k, v in context.items() if v is not None}
        )

    return run


def notes(result) -> list[str]:
    """What the App would show."""
    requests = result.executor.to_json()["requests"]
    return [one["params"]["message"] for one in requests if one["operator_uri"] == "notify"]


@pytest.fixture
def digits(fiftyone_module, tmp_path):
    """Eight digits; those from 4 on are labelled 1 too high, which is suspected."""
    pictures = tuple(
        Picture(f"train/{digit}.png", picture(tmp_path, f"{digit}.png"), (24, 24),
                (Label(str(digit + (digit >= 4)), SOURCE),), "train")
        for digit in range(8)
    )  # fmt: skip
    dataset = dataset_of(Collection("digits", "digits", NAMES, pictures), f"digits {tmp_path.name}")
    dataset.add_sample_field(fields.DOUBT, fiftyone_module.FloatField)
    dataset.set_values(fields.DOUBT, [0.1] * 4 + [0.9] * 4)
    dataset.set_values(fields.SUGGESTED, [str(digit + (digit < 4)) for digit in range(8)])
    yield dataset
    dataset.delete()


@pytest.fixture
def reef(fiftyone_module, tmp_path):
    """Two pictures with two boxes each."""

    def box(name: str, left: float) -> Label:
        return Label(name, SOURCE, np.array([left, 10, left + 20, 40], np.float32), confidence=0.5)

    pictures = tuple(
        Picture(f"{site}.png", picture(tmp_path, f"{site}.png", 100), (100, 100), (box("bream", 10), box("wrasse", 60)))
        for site in "ab"
    )
    dataset = dataset_of(Collection("reef", "detection", ("bream", "wrasse"), pictures), f"reef {tmp_path.name}")
    yield dataset
    dataset.delete()


def said(dataset, place: int):
    """What a picture's label says: name, who, tags."""
    sample = dataset.select(dataset.values("id")[place]).first()
    label = sample[fields.TRUTH]
    return label.label, (label.by_kind, label.by_name), set(sample.tags)


def boxes(dataset, place: int = 0):
    sample = dataset.select(dataset.values("id")[place]).first()
    return sample, {box.label: box for box in sample[fields.TRUTH].detections}


def meant(sample, box) -> dict[str, str]:
    return {"label_id": box.id, "sample_id": sample.id, "field": fields.TRUTH}


def test_accepting_says_so_in_the_database_and_in_the_history(asked, digits, curate_home):
    ids = digits.values("id")
    result = asked("accept_label", digits, selected=ids[:2])
    assert result.result == {"changed": 2}
    assert notes(result) == ["Accepted 2 pictures."]
    assert said(digits, 0) == ("0", ("person", WHO), {"accepted"})
    assert said(digits, 2) == ("2", ("source", "drawn"), set())
    (line,) = History(curate_home, digits.name).path.read_text().splitlines()
    written = json.loads(line)
    assert (written["who"], written["what"]) == (WHO, "accept")
    change = written["changes"][0]
    assert (change["item"], change["from"]["name"], change["to"]["name"]) == ("train/0.png", "0", "0")
    assert change["from"]["by"]["kind"] == "source"
    assert change["to"]["by"]["when"] == written["when"]


def test_a_label_is_corrected_to_a_class_that_there_is_or_to_a_new_one(asked, digits):
    ids = digits.values("id")
    asked("correct_label", digits, selected=ids[4:5], params={"name": "4"})
    assert said(digits, 4) == ("4", ("person", WHO), {"corrected"})
    asked("correct_label", digits, selected=ids[5:6], params={"name": "another class", "new_name": " not  a digit "})
    assert said(digits, 5)[0] == "not a digit"
    asking = importlib.import_module("apps.curate.plugin.asking")  # which needs FiftyOne
    assert asking.classes(digits) == [*NAMES, "not a digit"]
    # To say what it says already is to accept it.
    asked("correct_label", digits, selected=ids[1:2], params={"name": "1"})
    assert said(digits, 1) == ("1", ("person", WHO), {"accepted"})


@pytest.mark.parametrize("name", ["", "  ", "a\nb" * 40, "x" * 81])
def test_names_that_are_none_are_refused(asked, digits, name):
    result = None
    with pytest.raises(Exception, match=r"class|Validation"):
        result = asked("correct_label", digits, selected=digits.values("id")[:1],
                       params={"name": "another class", "new_name": name})  # fmt: skip
    assert result is None
    assert said(digits, 0) == ("0", ("source", "drawn"), set())


def test_suggestions_are_taken_for_all_selected_that_have_another(asked, digits):
    digits.set_values(fields.SUGGESTED, ["0", None, "", *[str(digit) for digit in range(3, 8)]])
    result = asked("take_suggestions", digits, selected=digits.values("id"))
    assert result.result == {"changed": 4}
    assert [said(digits, place)[0] for place in range(8)] == [str(digit) for digit in range(8)]
    assert [said(digits, place)[2] for place in (3, 4)] == [set(), {"corrected"}]


def test_what_is_marked_is_tagged_and_says_why(asked, digits):
    ids = digits.values("id")
    asked("send_to_relabel", digits, selected=ids[:1], params={"reason": " smeared \n ink "})
    asked("mark_illegible", digits, selected=ids[1:2])
    asked("add_to_next_training_set", digits, selected=ids[:2])
    assert digits.select(ids[0]).first()[fields.REASON] == "smeared ink"
    assert said(digits, 0) == ("0", ("source", "drawn"), {"relabel", "next training set"})
    assert said(digits, 1)[2] == {"illegible", "next training set"}
    # A label given at last takes the question and its reason away.
    asked("correct_label", digits, selected=ids[:1], params={"name": "3"})
    assert said(digits, 0) == ("3", ("person", WHO), {"corrected", "next training set"})
    assert digits.select(ids[0]).first()[fields.REASON] is None


def test_the_open_picture_goes_before_the_selected_ones(asked, digits):
    ids = digits.values("id")
    asked("accept_label", digits, selected=ids[:3], current_sample=ids[5])
    assert [place for place in range(8) if said(digits, place)[2]] == [5]


def test_edits_are_taken_back_one_by_one(asked, digits):
    ids = digits.values("id")
    before = [said(digits, place) for place in range(8)]
    asked("accept_label", digits, selected=ids[:2])
    asked("correct_label", digits, selected=ids[1:3], params={"name": "9"})
    asked("mark_illegible", digits, selected=ids[2:3])
    assert notes(asked("undo_edit", digits)) == ["Taken back: marked 1 picture as illegible."]
    assert said(digits, 2) == ("9", ("person", WHO), {"corrected"})
    asked("undo_edit", digits)
    assert said(digits, 1) == ("1", ("person", WHO), {"accepted"})
    asked("undo_edit", digits)
    assert [said(digits, place) for place in range(8)] == before
    assert edits.stands(digits) is None
    with pytest.raises(Exception, match="nothing to take back"):
        asked("undo_edit", digits)
    assert len(edits.edits_of(digits)) == 6


def test_taking_back_leaves_what_somebody_changed_since(asked, digits):
    ids = digits.values("id")
    asked("correct_label", digits, selected=ids[:2], params={"name": "9"})
    digits.set_values(f"{fields.TRUTH}.label", ["4", *digits.values(f"{fields.TRUTH}.label")[1:]])
    assert asked("undo_edit", digits).result == {"changed": 1}
    assert [said(digits, place)[0] for place in (0, 1)] == ["4", "1"]


def test_tags_that_others_leave_meanwhile_stay(asked, digits):
    ids = digits.values("id")
    asked("accept_label", digits, selected=ids[:1])
    digits.select(ids[:1]).tag_samples("mine")
    asked("undo_edit", digits)
    assert said(digits, 0)[2] == {"mine"}


def test_a_picture_without_a_label_gets_one(asked, digits):
    ids = digits.values("id")
    sample = digits[ids[0]]
    sample[fields.TRUTH] = None
    sample.save()
    assert asked("accept_label", digits, selected=ids[:1]).result == {"changed": 0}
    asked("correct_label", digits, selected=ids[:1], params={"name": "0"})
    assert said(digits, 0) == ("0", ("person", WHO), {"corrected"})
    asked("undo_edit", digits)
    assert digits.select(ids[0]).first()[fields.TRUTH] is None


def test_one_of_several_boxes_is_corrected(asked, reef):
    sample, found = boxes(reef)
    asked("correct_label", reef, current_sample=sample.id, selected_labels=[meant(sample, found["bream"])],
          params={"name": "wrasse"})  # fmt: skip
    sample, _ = boxes(reef)
    first, second = sample[fields.TRUTH].detections
    assert (first.label, first.by_name, first.confidence, first.tags) == ("wrasse", WHO, None, ["corrected"])
    assert first.bounding_box == pytest.approx([0.1, 0.1, 0.2, 0.3])
    assert (second.label, second.by_name, second.confidence, second.tags) == ("wrasse", "drawn", 0.5, [])
    assert sample.tags == ["corrected"]
    asked("undo_edit", reef)
    sample, found = boxes(reef)
    assert (found["bream"].by_name, found["bream"].confidence, found["bream"].tags) == ("drawn", 0.5, [])
    assert sample.tags == []


def test_of_pictures_with_boxes_it_must_be_said_which_box_is_wrong(asked, reef):
    with pytest.raises(Exception, match="select boxes by clicking"):
        asked("correct_label", reef, selected=reef.values("id"), params={"name": "wrasse"})
    assert asked("accept_label", reef, selected=reef.values("id")).result == {"changed": 4}
    assert all(box.by_name == WHO for place in (0, 1) for box in boxes(reef, place)[1].values())


def test_in_a_view_of_boxes_the_selected_boxes_are_meant(asked, reef):
    view = reef.to_patches(fields.TRUTH)
    chosen = [patch.id for patch in view if patch[fields.TRUTH].label == "wrasse"]
    asked("correct_label", reef, view=view, selected=chosen[:1], params={"name": "bream"})
    assert sorted(reef.values(f"{fields.TRUTH}.detections.label", unwind=True)) == ["bream"] * 3 + ["wrasse"]
    (change,) = edits.edits_of(reef)[-1].changes
    assert change.sample in reef.values("id")
    asked("mark_illegible", reef, view=reef.to_patches(fields.TRUTH), selected=chosen[1:])
    assert reef.count_label_tags(fields.TRUTH) == {"corrected": 1, "illegible": 1}


def test_a_box_in_a_frame_of_a_video_is_corrected(asked, fiftyone_module, tmp_path):
    dataset = fiftyone_module.Dataset(f"video {tmp_path.name}", persistent=True)
    video = fiftyone_module.Sample(filepath=str(tmp_path / "clip.mp4"), media_type="video")
    for number in (1, 2):
        box = fiftyone_module.Detection(label="fish", bounding_box=[0, 0, 0.5, 0.5], by_kind="model", by_name="m")
        video.frames[number] = fiftyone_module.Frame(ground_truth=fiftyone_module.Detections(detections=[box]))
    dataset.add_sample(video)
    box = video.frames[2].ground_truth.detections[0]
    one = {"label_id": box.id, "sample_id": video.id, "field": f"frames.{fields.TRUTH}", "frame_number": 2}
    asked("correct_label", dataset, current_sample=video.id, selected_labels=[one],
          params={"name": "another class", "new_name": "bream"})  # fmt: skip
    found = dataset.first()
    labels = [found.frames[number].ground_truth.detections[0] for number in (1, 2)]
    assert [(one.label, one.by_name) for one in labels] == [("fish", "m"), ("bream", WHO)]
    with pytest.raises(Exception, match="select boxes"):
        asked("accept_label", dataset, selected=[video.id])
    dataset.delete()


def test_a_box_around_nothing_goes_and_comes_back_as_it_was(asked, reef):
    before, found = boxes(reef)
    asked("remove_box", reef, current_sample=before.id, selected_labels=[meant(before, found["bream"])])
    sample, left = boxes(reef)
    assert list(left) == ["wrasse"]
    assert sample.tags == ["corrected"]
    assert asked("accept_label", reef, selected_labels=[meant(before, found["bream"])]).result == {"changed": 0}
    asked("undo_edit", reef)
    sample, back = boxes(reef)
    assert back["bream"].to_dict() == found["bream"].to_dict()
    assert (len(back), sample.tags) == (2, [])


def test_outlines_come_back_too(asked, reef, fiftyone_module):
    sample, found = boxes(reef)
    mask = np.eye(7, 5, dtype=bool)
    found["bream"].mask = mask
    sample.save()
    asked("remove_box", reef, current_sample=sample.id, selected_labels=[meant(sample, found["bream"])])
    asked("undo_edit", reef)
    assert np.array_equal(boxes(reef)[1]["bream"].mask, mask)


def test_what_only_the_model_found_is_taken_over(asked, reef, fiftyone_module):
    ids = reef.values("id")
    sample = reef[ids[1]]
    found = fiftyone_module.Detection(
        label="bream", bounding_box=[0.5, 0.5, 0.2, 0.2], confidence=0.8, by_kind="model", by_name="m"
    )
    sample["fish_int8"] = fiftyone_module.Detections(detections=[found])
    sample[fields.TRUTH] = None
    sample.save()
    one = {"label_id": found.id, "sample_id": sample.id, "field": "fish_int8"}
    assert asked("take_over_box", reef, current_sample=sample.id, selected_labels=[one]).result == {"changed": 1}
    (box,) = reef[ids[1]][fields.TRUTH].detections
    assert (box.label, box.by_kind, box.by_name, box.confidence) == ("bream", "person", WHO, None)
    assert box.bounding_box == pytest.approx([0.5, 0.5, 0.2, 0.2])
    assert box.id != found.id
    asked("undo_edit", reef)
    assert reef[ids[1]][fields.TRUTH].detections == []
    assert len(reef[ids[1]]["fish_int8"].detections) == 1
    with pytest.raises(Exception, match="missing in the truth"):
        asked("take_over_box", reef, current_sample=sample.id)


def test_nothing_is_done_without_a_selection_or_a_name(asked, digits, curate_home):
    with pytest.raises(Exception, match="Select pictures"):
        asked("accept_label", digits)
    (curate_home / "person.txt").unlink()
    with pytest.raises(Exception, match="person"):
        asked("accept_label", digits, selected=digits.values("id")[:1])
    assert said(digits, 0) == ("0", ("source", "drawn"), set())
    asked("accept_label", digits, selected=digits.values("id")[:1], params={"person": "  Ravi   Das "})
    assert said(digits, 0)[1] == ("person", "Ravi Das")
    assert person(curate_home) == "Ravi Das"
    asked("name_person", digits, params={"name": "Mita"})
    assert person(curate_home) == "Mita"


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\x00b"])
def test_a_name_that_is_none_is_not_kept(curate_home, name):
    remember(curate_home, WHO)
    with pytest.raises(InputError, match="is no name"):
        remember(curate_home, name)
    assert person(curate_home) == WHO


class PowerCutError(BaseException):
    """Nothing goes on after it."""


def test_an_edit_cut_off_half_way_is_carried_out_when_the_dataset_is_opened_again(asked, digits, monkeypatch):
    ids = digits.values("id")
    apply, calls = edits._apply, []

    def cut_off(sample, change):
        calls.append(change)
        if len(calls) > 2:
            raise PowerCutError
        apply(sample, change)

    with monkeypatch.context() as patched:
        patched.setattr(edits, "_apply", cut_off)
        with pytest.raises(PowerCutError):
            edits.make(digits, [edits.Target(one) for one in ids[:5]], "correct",
                       lambda seen: seen.state.model_copy(update={"name": "9"}), WHO)  # fmt: skip
    assert len(edits.edits_of(digits)) == 1
    assert digits.count_values(f"{fields.TRUTH}.label").get("9", 0) < 5
    assert edits.recover(digits) == 1
    assert digits.count_values(f"{fields.TRUTH}.label")["9"] == 5
    assert edits.recover(digits) == 0
    asked("undo_edit", digits)
    assert "9" not in digits.count_values(f"{fields.TRUTH}.label")


def test_an_edit_that_never_reached_the_history_changes_nothing(asked, digits, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(FileAccessError, match="No space left"):
            edits.make(digits, [edits.Target(digits.first().id)], "correct",
                       lambda seen: seen.state.model_copy(update={"name": "9"}), WHO)  # fmt: skip
    assert said(digits, 0)[0] == "0"
    assert edits.edits_of(digits) == ()
    assert asked("accept_label", digits, selected=digits.values("id")[:1]).result == {"changed": 1}


def test_what_a_database_that_went_away_did_not_take_is_not_lost(asked, digits, monkeypatch):
    def gone(*_: object) -> None:
        raise ConnectionError("no answer")

    ids = digits.values("id")
    with monkeypatch.context() as patched:
        patched.setattr(edits, "_carry_out", gone)
        with pytest.raises(Exception, match="Nothing is lost"):
            asked("accept_label", digits, selected=ids[:1])
    # The next edit carries it out first.
    asked("accept_label", digits, selected=ids[1:2])
    assert [said(digits, place)[2] for place in (0, 1)] == [{"accepted"}, {"accepted"}]


def test_pictures_that_were_deleted_meanwhile_hinder_nothing(asked, digits):
    ids = digits.values("id")
    asked("correct_label", digits, selected=ids[:2], params={"name": "9"})
    digits.delete_samples(ids[0])
    assert asked("undo_edit", digits).result == {"changed": 1}
    assert digits.values(f"{fields.TRUTH}.label")[0] == "1"


def test_edits_made_at_once_are_all_kept(asked, digits):
    ids = digits.values("id")

    def accept(one: str) -> None:
        asked("accept_label", digits, selected=[one])

    threads = [threading.Thread(target=accept, args=(one,)) for one in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digits.count_values("tags") == {"accepted": 8}
    assert sorted(change.item for edit in edits.edits_of(digits) for change in edit.changes) == [
        f"train/{digit}.png" for digit in range(8)
    ]


def test_another_dataset_of_the_same_name_has_a_history_of_its_own(asked, digits, fiftyone_module):
    ids = digits.values("id")
    asked("accept_label", digits, selected=ids[:1])
    copy = digits.clone()
    name = digits.name
    digits.name = f"{name} before"
    copy.name = name
    assert edits.stands(copy) is None
    assert edits.stands(digits) is None  # it has another name now
    copy.name = f"{name} after"
    digits.name = name
    assert edits.stands(digits) is not None
    copy.delete()


def shown(result) -> str:
    """What a panel shows: all texts of its last drawing."""
    requests = result.executor.to_json()["requests"]
    return json.dumps([one["params"] for one in requests if one["operator_uri"] == "show_panel_output"][-1])


def test_the_panel_tells_what_there_is_and_offers_the_answers(asked, digits, fiftyone_module):
    doubtful = fiftyone_module.ViewField(fields.DOUBT) > 0.5
    settled = [fields.ACCEPTED, fields.CORRECTED, fields.ILLEGIBLE]
    digits.save_view("labels to doubt", digits.match_tags(settled, bool=False).match(doubtful))
    ids = digits.values("id")

    def panel(method="on_change_selected", params=None, **context):
        params = {"panel_id": "p", "panel_state": {}, "__method__": method, **(params or {})}
        return asked("shankha", digits, params=params, **context)

    page = shown(panel())
    assert all(word in page for word in ("8 pictures", "10 classes", "**4** to doubt", "labels to doubt"))
    page = shown(panel(selected=ids[5:6]))
    assert all(word in page for word in ("train/5.png", "says **6**", "rather **5**", "Take 5", "Doubt 0.90"))
    assert "Take" not in shown(panel(selected=ids[1:2]))
    page = shown(panel("take", selected=ids[5:6]))
    assert all(word in page for word in ("**3** to doubt", "**1** corrected", "Undo: took the suggestion"))
    panel("correct", {"name": "8"}, selected=ids[6:7])
    panel("accept", selected=ids[:1])
    panel("illegible", selected=ids[1:2])
    assert [said(digits, place)[0] for place in (0, 5, 6)] == ["0", "5", "8"]
    assert digits.count_values("tags") == {"corrected": 2, "accepted": 1, "illegible": 1}
    panel("undo")
    assert "illegible" not in digits.count_values("tags")
    requests = panel("open_view", {"view": "labels to doubt"}).executor.to_json()["requests"]
    assert ("set_view", {"name": "labels to doubt"}) in [(one["operator_uri"], one["params"]) for one in requests]


def test_the_panel_asks_for_a_name_once_and_tells_what_is_wrong(asked, digits, curate_home):
    (curate_home / "person.txt").unlink()
    ids = digits.values("id")

    def panel(method, state, **context):
        params = {"panel_id": "p", "panel_state": state, "__method__": method}
        return asked("shankha", digits, params=params, **context)

    result = panel("accept", {}, selected=ids[:1])
    assert "Your name" in shown(result)
    assert "is not known yet" in notes(result)[0]
    assert said(digits, 0)[2] == set()
    result = panel("keep_name", {"who": {"person": "Mita"}})
    assert person(curate_home) == "Mita"
    assert "Your name" not in shown(result)


def test_a_model_is_run_on_what_is_selected_and_the_set_is_exported(asked, digits, tmp_path):
    ids = digits.values("id")
    result = asked("run_model", digits, selected=ids[:3], params={"model": "shipped", "of": "what is selected"})
    assert notes(result) == ["What the model says of 3 pictures is in digits_int8."]
    digits.reload()
    assert [one is not None for one in digits.values("digits_int8.label")] == [True] * 3 + [False] * 5
    asked("correct_label", digits, selected=ids[4:5], params={"name": "4"})
    result = asked("export_dataset", digits, params={"folder": str(tmp_path / "set"), "format": "classes"})
    manifest = json.loads((tmp_path / "set" / MANIFEST).read_text())
    assert WHO in json.dumps(manifest)
    assert str(tmp_path / "set") in notes(result)[0]
    assert notes(asked("export_dataset", digits, params={"folder": "set"}))[0].startswith("the folder: 'set' is no")
    result = asked("run_model", digits, params={"model": str(tmp_path)})
    assert "spec.json" in notes(result)[0]


def test_the_next_to_label_are_opened(asked, digits):
    digits.set_values(fields.TRUTH, [None] * 4 + digits.values(fields.TRUTH)[4:])
    result = asked("open_next", digits, params={"count": 2, "model": "shipped"})
    requests = [(one["operator_uri"], one["params"]) for one in result.executor.to_json()["requests"]]
    assert ("set_view", {"name": "label next"}) in requests, notes(result)
    digits.reload()
    assert len(digits.load_saved_view("label next")) == 2
