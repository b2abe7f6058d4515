"""`shankha curate open` on the real FiftyOne: made once, there at once later, nothing of a person's lost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from apps import main as shell
from apps.curate import app, making, opening
from apps.curate.fields import BY_KIND, BY_NAME, INFO, ITEM, PART, TRUTH
from apps.curate.making import MEDIA, UNFINISHED, Request, make
from apps.curate.samples import collection_of
from data.errors import ArgumentError, FileAccessError, ShankhaError

DIGITS = opening._WEIGHTS / "digits-int8"


@pytest.fixture(autouse=True)
def _no_datasets_left(fiftyone_module: ModuleType, curate_home: Path) -> Iterator[None]:
    yield
    for name in fiftyone_module.list_datasets():
        fiftyone_module.delete_dataset(name)
    shutil.rmtree(curate_home / MEDIA, ignore_errors=True)


def digits(folder: Path, count: int = 6) -> Path:
    """A small NumtaDB."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    np.savez(folder / "training-abc.npz", x=pixels, y=np.arange(count) % 10, source=np.array(["a"] * count))
    return folder


def reef(folder: Path, names: tuple[str, ...] = ("a", "b")) -> Path:
    """A small YOLO folder, with one box a picture."""
    for name in names:
        for kind in ("images", "labels"):
            (folder / kind / "train").mkdir(parents=True, exist_ok=True)
        picture = np.full((20, 40, 3), 90, np.uint8)
        cv2.imwrite(str(folder / "images/train" / f"{name}.png"), picture)
        (folder / "labels/train" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text("names: [fish]\ntrain: images/train\n")
    return folder


def opened(*arguments: object) -> int:
    return shell.run(["curate", "open", *map(str, arguments), "--no-app"])


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out, err = capsys.readouterr()
    return " ".join(out.split()), " ".join(err.split())


def test_a_source_is_made_once_and_there_at_once_later(
    fiftyone_module: ModuleType, curate_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = digits(tmp_path / "numtadb")
    assert opened(source) == 0
    assert said(capsys)[0].startswith("numtadb: 6 pictures")
    dataset = fiftyone_module.load_dataset("numtadb")
    assert dataset.values(f"{TRUTH}.label") == list("012345")
    assert all(Path(path).is_relative_to(curate_home / MEDIA / "numtadb") for path in dataset.values("filepath"))
    told = dataset.info[INFO]
    assert opened(source) == 0
    assert said(capsys)[0] == "numtadb: the source has not changed"
    dataset.reload()
    assert dataset.info[INFO] == told


def test_what_is_new_is_added_and_nothing_of_a_person_is_lost(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = reef(tmp_path / "reef")
    opened(source)
    dataset = fiftyone_module.load_dataset("reef")
    sample = dataset.first()
    box = sample[TRUTH].detections[0]
    box.label, box[BY_KIND], box[BY_NAME] = "crab", "person", "Ada"
    sample.tags.append("corrected")
    sample.save()
    reef(source, ("c",))
    (source / "images/train/b.png").unlink()
    capsys.readouterr()
    assert opened(source) == 0
    out = said(capsys)[0]
    assert out.startswith("reef: 3 pictures (3 train)")
    assert "1 are no longer in the source; they are kept" in out
    dataset.reload()
    back = collection_of(dataset)
    assert [one.id for one in back.pictures] == [f"images/train/{name}.png" for name in "abc"]
    assert (back.pictures[0].labels[0].name, back.pictures[0].labels[0].by.name) == ("crab", "Ada")
    assert back.pictures[0].tags == ("corrected",)
    assert back.names == ("fish", "crab")
    assert fiftyone_module.list_datasets() == ["reef"]


def test_models_are_asked_once_about_each_picture(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = digits(tmp_path / "numtadb")
    assert opened(source, "--model", "shipped") == 0
    out = said(capsys)[0]
    assert "asked digits-int8 about 6 pictures; see the field digits_int8" in out
    assert "calibration error" in out
    dataset = fiftyone_module.load_dataset("numtadb")
    before = dataset.values("digits_int8.confidence")
    assert all(0 <= one <= 1 for one in before)
    assert opened(source, "--model", DIGITS) == 0
    assert said(capsys)[0] == "numtadb: the source has not changed"
    digits(source, 8)
    assert opened(source, "--model", "shipped") == 0
    assert "asked digits-int8 about 2 pictures" in said(capsys)[0]
    dataset.reload()
    assert dataset.values("digits_int8.confidence")[:6] == before


def test_a_model_that_is_asked_for_later_is_asked_then(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = digits(tmp_path / "numtadb")
    opened(source)
    assert opened(source, "--model", "shipped") == 0
    assert "about 6 pictures" in said(capsys)[0]


@pytest.mark.parametrize(
    ("model", "says"), [("nowhere", "nowhere"), (opening._WEIGHTS / "fish-int8", "answers for detection")]
)
def test_a_model_that_does_not_suit_is_told(
    model: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert opened(digits(tmp_path / "numtadb"), "--model", model) != 0
    assert says in said(capsys)[1]


def test_of_two_sources_of_one_name_the_second_must_have_another(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = reef(tmp_path / "one/reef"), reef(tmp_path / "two/reef", ("x",))
    assert opened(first) == 0
    capsys.readouterr()
    assert opened(second) == 1
    assert f"there is a dataset 'reef' of {first.resolve()} already" in (err := said(capsys)[1])
    assert "--name NAME" in err
    assert opened(second, "--name", "other") == 0
    assert len(fiftyone_module.load_dataset("other")) == 1
    assert len(fiftyone_module.load_dataset("reef")) == 2


def test_one_part_is_another_source_than_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = digits(tmp_path / "numtadb")
    assert opened(source, "--split", "a") == 0
    assert opened(source) == 1
    assert "part 'a'" in said(capsys)[1]


def test_a_dataset_that_was_not_made_here_is_left_alone(
    fiftyone_module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fiftyone_module.Dataset("reef", persistent=True)
    assert opened(reef(tmp_path / "reef")) == 1
    assert "of another making" in said(capsys)[1]


@pytest.mark.parametrize(
    ("source", "code", "says"), [("nowhere", 5, "is not there"), ("empty", 2, "is empty"), ("odd", 2, "expected")]
)
def test_what_is_no_source_is_told(
    source: str, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/notes.txt").write_text("x")
    assert opened(tmp_path / source) == code
    assert says in said(capsys)[1]


def test_problems_are_told_and_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = reef(tmp_path / "reef")
    (source / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5\n" + "0 7 7 0.1 0.1\n" * (opening.SHOWN + 5))
    assert opened(source) == 0
    out = said(capsys)[0]
    assert f"could not be taken: {opening.SHOWN + 5}" in out
    assert "labels/train/a.txt:2: its box lies outside the picture of 40 x 20 pixels" in out
    assert "and 5 more" in out


def request_of(source: Path, home: Path) -> Request:
    return Request(source, "digits", source.name, home)


def unwatched(_step: str) -> Any:
    return lambda done, total: None


@pytest.mark.parametrize(
    "trouble", [KeyboardInterrupt(), FileAccessError("disk", "is full"), ValueError("?")], ids=repr
)
def test_what_fails_in_the_middle_leaves_nothing(
    trouble: BaseException,
    fiftyone_module: ModuleType,
    curate_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(dataset: Any, *_: Any, **__: Any) -> None:
        assert dataset.name == "numtadb" + UNFINISHED
        raise trouble

    request = request_of(digits(tmp_path / "numtadb"), curate_home)
    with monkeypatch.context() as patched:
        patched.setattr("apps.curate.samples.add_pictures", fails)
        with pytest.raises(type(trouble)):
            make(request, unwatched)
    assert fiftyone_module.list_datasets() == []
    assert not request.media.exists()
    assert make(request, unwatched).added == 6


def test_what_a_killed_process_left_is_made_anew(
    fiftyone_module: ModuleType, curate_home: Path, tmp_path: Path
) -> None:
    request = request_of(digits(tmp_path / "numtadb"), curate_home)
    half = fiftyone_module.Dataset("numtadb" + UNFINISHED, persistent=True)
    half.add_sample(fiftyone_module.Sample("/nowhere/half.png"))
    (request.media / "training-abc").mkdir(parents=True)
    (request.media / "training-abc/000000.png").write_bytes(b"half a picture")
    assert make(request, unwatched).names == ("numtadb",)
    dataset = fiftyone_module.load_dataset("numtadb")
    assert len(dataset) == 6
    assert cv2.imread(dataset.first().filepath) is not None
    assert fiftyone_module.list_datasets() == ["numtadb"]


def test_two_processes_do_not_make_the_same_dataset(curate_home: Path, tmp_path: Path) -> None:
    request = request_of(digits(tmp_path / "numtadb"), curate_home)
    with making._alone(request), pytest.raises(ArgumentError, match="is being opened by another process"):
        make(request, unwatched)


def test_a_state_changes_with_any_file(tmp_path: Path) -> None:
    source = reef(tmp_path / "reef")
    states = [making.state_of(source), making.state_of(source)]
    (source / "labels/train/a.txt").write_text("0 0.25 0.5 0.5 0.5\n0 0.75 0.5 0.5 0.5\n")
    states.append(making.state_of(source))
    (source / "images/train/b.png").rename(source / "images/train/c.png")
    states.append(making.state_of(source))
    assert states[0] == states[1]
    assert len(set(states)) == 3


def test_a_survey_s_datasets_take_their_names_last_first(
    fiftyone_module: ModuleType, curate_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first has its name, all have theirs: a process that is killed between two makes them anew."""
    fo = fiftyone_module

    def maker(request: Request, watch: Any) -> Any:
        made = [fo.Dataset(f"{request.name}{UNFINISHED}{end}", persistent=True) for end in ("", " frames")]
        for dataset in made:
            dataset.add_sample_field(ITEM, fo.StringField)
            dataset.add_sample(fo.Sample("/nowhere/a.png", **{ITEM: "a"}))
        return made, ()

    monkeypatch.setitem(making._MAKERS, "survey", maker)
    request = Request(reef(tmp_path / "disk"), "survey", "disk", curate_home)
    with monkeypatch.context() as patched:
        settle = making._settle

        def killed_after_one(dataset: Any) -> Any:
            if dataset.name == "disk" + UNFINISHED:
                raise KeyboardInterrupt
            return settle(dataset)

        patched.setattr(making, "_settle", killed_after_one)
        with pytest.raises(KeyboardInterrupt):
            make(request, unwatched)
    assert fo.list_datasets() == ["disk frames"]
    assert make(request, unwatched).names == ("disk", "disk frames")
    assert sorted(fo.list_datasets()) == ["disk", "disk frames"]
    assert len(fo.load_dataset("disk frames")) == 1


def test_reopening_does_not_import_fiftyone(tmp_path: Path, curate_home: Path) -> None:
    source = digits(tmp_path / "numtadb")
    assert opened(source) == 0
    code = (
        "import sys; from apps.main import run\n"
        f"code = run(['curate', 'open', {str(source)!r}, '--no-app'])\n"
        "print(code, 'fiftyone' in sys.modules)"
    )
    env = {**os.environ, "SHANKHA_CURATE": str(curate_home)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == ["numtadb: the source has not changed", "0 False"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_taken_port_is_told_or_passed_over(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((app.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(app, "FIRST_PORT", port)
        if asked:
            with pytest.raises(ArgumentError, match=f"{port} is taken"):
                app.free_port(port)
        else:
            assert app.free_port(None) > port


def test_an_app_that_cannot_start_is_told_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with app.started(tmp_path) as started, pytest.raises(ShankhaError, match="the App ended"):
        started.wait_until_ready()


def test_parts_are_counted(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    opened(reef(tmp_path / "reef"))
    assert fiftyone_module.load_dataset("reef").count_values(PART) == {"train": 2}
