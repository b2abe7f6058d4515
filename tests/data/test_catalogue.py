from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data.catalogue import CATALOGUE_FILE, Dataset, RemoteFile, dataset_named, load_catalogue
from data.errors import ArgumentError, ConfigurationError

SHA = "0" * 64
FREE = {
    "name": "set",
    "area": "digits",
    "title": "A set",
    "tasks": ["classification"],
    "contents": "ten pictures",
    "licence": "CC0",
    "citation": "nobody",
    "homepage": "https://example.org",
    "access": "free",
    "files": [{"name": "a.zip", "address": "https://example.org/a.zip"}],
}


def test_the_shipped_catalogue_names_what_the_project_is_about() -> None:
    names = {dataset.name for dataset in load_catalogue()}
    assert names >= {
        "cmaterdb",
        "numtadb",
        "ekush",
        "banglalekha-isolated",
        "isi-bangla-numerals",
        "deepfish",
        "luderick",
        "aquarium",
        "f4k-species",
        "brackish",
        "ozfish",
    }


def test_every_entry_says_how_to_come_by_it() -> None:
    for dataset in load_catalogue():
        assert dataset.files or "folder" in dataset.how, dataset.name
        assert dataset.reader in {None, {"digits": "digits", "fish": "detections"}[dataset.area]}, dataset.name


def test_a_dataset_is_found_by_name() -> None:
    assert dataset_named("cmaterdb").folder == "digits/cmaterdb"
    with pytest.raises(ArgumentError, match="one of cmaterdb, numtadb"):
        dataset_named("cmater")


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"datasets": [FREE | changes]}), encoding="utf-8")
    return path


def test_a_sound_entry_is_read(tmp_path: Path) -> None:
    (dataset,) = load_catalogue(write(tmp_path))
    assert dataset == Dataset.model_validate(FREE)


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "blue"},
        {"name": "Not A Name"},
        {"name": "../out"},
        {"access": "stolen"},
        {"files": []},
        {"access": "account"},
        {"access": "account", "files": [], "how": ""},
        {"tasks": []},
        {"bytes": -1},
        {"files": [FREE["files"][0], FREE["files"][0]]},  # type: ignore[index]
        {"files": [{"name": "../a.zip", "address": "https://example.org/a"}]},
        {"files": [{"name": "a.zip", "address": "file:///etc/passwd"}]},
        {"files": [{"name": "a.zip", "address": "https://example.org/a", "sha256": "short"}]},
        {"files": [{"name": "a.zip", "address": "https://example.org/a", "verified": True}]},
    ],
)
def test_nonsense_entries_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="no catalogue"):
        load_catalogue(write(tmp_path, **changes))


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"datasets": [FREE, FREE]}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="listed twice: set"):
        load_catalogue(path)


@pytest.mark.parametrize("text", ["", "datasets: [", "[]", "datasets: []"])
def test_what_is_no_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        load_catalogue(path)


def test_a_verified_file_needs_its_size_and_hash() -> None:
    file = RemoteFile(name="a", address="https://example.org/a", bytes=1, sha256=SHA, verified=True)
    assert file.verified
    assert CATALOGUE_FILE.is_file()
