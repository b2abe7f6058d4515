from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from apps.datasets import app
from data.catalogue import load_catalogue
from data.errors import ArgumentError, FileAccessError

RUNNER = CliRunner()


def shankha_data_command(*arguments: str) -> Result:
    return RUNNER.invoke(app, list(arguments))


def test_the_list_shows_every_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHANKHA_DATA", str(tmp_path))
    (tmp_path / "digits" / "cmaterdb").mkdir(parents=True)
    result = shankha_data_command("list")
    assert result.exit_code == 0
    for dataset in load_catalogue():
        assert dataset.name in result.stdout
    assert re.search(r"cmaterdb .* here ", result.stdout)
    assert str(tmp_path) in result.stdout


def test_the_list_as_json() -> None:
    entries = json.loads(shankha_data_command("list", "--json").stdout)
    assert [entry["name"] for entry in entries] == [dataset.name for dataset in load_catalogue()]
    assert all(set(file) == {"name", "address", "bytes", "sha256", "verified"} for e in entries for file in e["files"])


def test_get_from_a_mirror_then_verify(shankha_data: Path, tmp_path: Path) -> None:
    arguments = ["get", "cmaterdb", "--to", str(tmp_path), "--from", str(shankha_data)]
    result = shankha_data_command(*arguments)
    folder = tmp_path / "digits" / "cmaterdb"
    assert result.exit_code == 0, result.output
    assert re.search(r"training-images\.npz: 489\.3 kB, sha256 [0-9a-f]{64}", result.stdout)
    assert str(folder) in result.stdout
    assert "there already" in shankha_data_command(*arguments).stdout

    result = shankha_data_command("verify", str(folder))
    assert result.exit_code == 0
    assert "5,993 examples" in result.stdout
    assert "nothing is wrong" in result.stdout


def test_verify_ends_with_code_2_and_names_the_file(shankha_data: Path, tmp_path: Path) -> None:
    shankha_data_command("get", "cmaterdb", "--to", str(tmp_path), "--from", str(shankha_data))
    folder = tmp_path / "digits" / "cmaterdb"
    (folder / "testing-images.npz").unlink()
    result = shankha_data_command("verify", str(folder))
    assert result.exit_code == 2
    assert "missing: 1\n  testing-images.npz: is not there" in result.stdout
    findings = json.loads(shankha_data_command("verify", str(folder), "--json").stdout)
    assert findings["missing"] == ["testing-images.npz"]
    assert findings["sound"] is False


def test_verify_counts_pictures_boxes_and_sites(shankha_data: Path) -> None:
    result = shankha_data_command("verify", str(shankha_data / "fish" / "tank-clip"))
    assert result.exit_code == 0
    assert "50 pictures, 276 boxes\n" in result.stdout
    findings = json.loads(shankha_data_command("verify", str(shankha_data / "fish" / "tank-clip"), "--json").stdout)
    assert (findings["examples"], findings["boxes"], findings["sites"], findings["sound"]) == (50, 276, [], True)


def test_long_lists_are_cut_on_the_screen_only(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / "3" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    result = shankha_data_command("verify", str(tmp_path))
    assert result.exit_code == 2
    assert "unreadable: 30" in result.stdout
    assert "3/19.png" in result.stdout
    assert "3/20.png" not in result.stdout
    assert "and 10 more" in result.stdout
    assert len(json.loads(shankha_data_command("verify", str(tmp_path), "--json").stdout)["unreadable"]) == 30


def test_errors_are_the_projects_own(tmp_path: Path) -> None:
    assert isinstance(shankha_data_command("get", "unknown").exception, ArgumentError)
    error = shankha_data_command("get", "numtadb", "--to", str(tmp_path)).exception
    assert isinstance(error, FileAccessError)
    assert "--from FOLDER" in str(error)


@pytest.mark.parametrize("command", ["list", "get", "verify"])
def test_every_help_has_an_example(command: str) -> None:
    assert f"Example: shankha data {command}" in shankha_data_command(command, "--help").stdout
