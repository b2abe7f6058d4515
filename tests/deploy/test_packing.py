from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from data.errors import FileAccessError, InputError
from deploy import packing
from deploy.packing import check_replaceable, replace_card, write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader


@pytest.fixture
def parts(tiny):
    """Spec and files of a real artifact."""
    artifact = tiny.int8.artifact
    files = {name: (artifact.folder / name).read_bytes() for name in artifact.spec.files}
    return artifact.spec.model_dump(exclude={"files"}), files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_artifact_is_written_with_its_hashes(parts, tmp_path):
    artifact = write_artifact(tmp_path / "deep" / "art", *parts)
    assert names(artifact.folder) == ["card.md", "model.onnx", "spec.json"]
    assert names(tmp_path / "deep") == ["art"]
    assert set(artifact.spec.files) == {"card.md", "model.onnx"}
    assert b"\r" not in (artifact.folder / "spec.json").read_bytes()


def test_an_older_artifact_gives_way(parts, tmp_path):
    spec, files = parts
    write_artifact(tmp_path / "art", spec, files)
    artifact = write_artifact(tmp_path / "art", spec | {"temperature": 3.0}, files)
    assert artifact.spec.temperature == 3.0
    assert names(tmp_path) == ["art"]


def test_an_empty_folder_is_filled(parts, tmp_path):
    (tmp_path / "art").mkdir()
    assert write_artifact(tmp_path / "art", *parts).spec.task == "digits"


@pytest.mark.parametrize(
    "strangers", [{"photo.jpg": ""}, {"spec.json": "{}"}, {"spec.json": "[1]"}, {"spec.json": "x"}]
)
def test_anything_else_is_left_alone(parts, tmp_path, strangers):
    folder = tmp_path / "art"
    folder.mkdir()
    for name, text in strangers.items():
        (folder / name).write_text(text)
    with pytest.raises(InputError, match="which is no part of an artifact"):
        write_artifact(folder, *parts)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: text}


def test_notes_in_an_artifact_are_not_thrown_away(parts, tmp_path):
    artifact = write_artifact(tmp_path / "art", *parts)
    (artifact.folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        check_replaceable(artifact.folder)


def test_a_file_in_the_way_is_refused(parts, tmp_path):
    (tmp_path / "art").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write_artifact(tmp_path / "art", *parts)
    with pytest.raises(FileAccessError, match="cannot be written"):
        write_artifact(tmp_path / "art" / "below", *parts)
    assert (tmp_path / "art").read_text() == "mine"


def test_a_failure_leaves_the_old_artifact_whole(parts, tmp_path, monkeypatch):
    spec, files = parts
    old = write_artifact(tmp_path / "art", spec, files)
    rename = Path.rename

    def full_disk(self, target):
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(packing.Path, "rename", full_disk)
    with pytest.raises(FileAccessError, match="No space left"):
        write_artifact(tmp_path / "art", spec | {"temperature": 3.0}, files)
    assert Artifact.open(tmp_path / "art").spec == old.spec
    assert names(tmp_path) == ["art"]


def test_a_wrong_spec_is_never_written(parts, tmp_path):
    spec, files = parts
    with pytest.raises(ValidationError):
        write_artifact(tmp_path / "art", spec | {"temperature": -1.0}, files)
    assert names(tmp_path) == []


def test_a_new_card_leaves_the_model_as_it_was(parts, tmp_path):
    old = write_artifact(tmp_path / "art", *parts)
    new = replace_card(tmp_path / "art", "# কার্ড\n")
    assert (tmp_path / "art" / "card.md").read_text(encoding="utf-8") == "# কার্ড\n"
    assert new.model == old.model
    assert new.spec.model_dump(exclude={"files"}) == old.spec.model_dump(exclude={"files"})
    assert len(DigitReader(new).read([])) == 0
