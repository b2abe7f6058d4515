"""The command line as a user meets it: help, exit codes, one line an error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperGroup

from apps import main as shell
from apps.faults import as_shankha_error
from apps.lazy import LazyCommand
from data.errors import (
    ArgumentError,
    ConfigurationError,
    FileAccessError,
    InputError,
    MissingDependencyError,
    ShankhaError,
)


def commands(command: object = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command and group with the words that call it."""
    command = command or shell.command_tree()
    if isinstance(command, LazyCommand):
        command = command.load()
    yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


ALL = list(commands())
LAZY = {
    (*path, name): child
    for path, command in ALL
    if isinstance(command, TyperGroup)
    for name, child in command.commands.items()
    if isinstance(child, LazyCommand)
}


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_every_help_has_an_example_that_calls_it(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run([*path, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: {' '.join(('shankha', *path))}" in shown


@pytest.mark.parametrize("path", LAZY, ids=" ".join)
def test_the_help_begins_with_the_line_in_the_list(path: tuple[str, ...]) -> None:
    lazy = LAZY[path]
    assert lazy.load().help.startswith(lazy.help.rstrip("."))


def test_every_command_of_the_design_is_there() -> None:
    words = {" ".join(path) for path, _ in ALL}
    assert words >= {"demo", "train", "evaluate", "export", "bench"}
    assert words >= {"data list", "data get", "data verify", "digits new-form", "digits scan"}


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["--version"]) == 0
    assert capsys.readouterr().out == f"shankha {version('shankha')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "nope"),
        (["digits", "nope"], "nope"),
        (["digits", "new-form"], "FORM.yaml"),
        (["digits", "new-form", "a.yaml", "--no-such-option"], "--no-such-option"),
        (["--no-such-option"], "--no-such-option"),
    ],
    ids=" ".join,
)
def test_bad_arguments_end_with_1_and_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert "--help" in err


@pytest.mark.parametrize("arguments", [[], ["digits"]], ids=["shankha", "shankha digits"])
def test_a_group_alone_shows_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(arguments) == 1
    out, err = capsys.readouterr()
    assert "Usage: shankha" in out
    assert err == ""


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a command `fail` that raises the error in the tree."""

    def fail() -> None:
        raise error

    app = typer.Typer()
    app.command("fail")(fail)
    app.callback()(lambda: None)
    monkeypatch.setattr(shell, "command_tree", lambda: typer.main.get_command(app))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ArgumentError("--page", "is 0"), 1),
        (InputError("a.pdf", "is truncated"), 2),
        (MissingDependencyError("ffmpeg", "is not installed"), 3),
        (FileAccessError("out", "cannot be written"), 5),
        (ConfigurationError("form.yaml", "has unknown keys"), 9),
        (ShankhaError("model", "is odd"), 15),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 3),
        (ModuleNotFoundError("No module named 'onnx.x'", name="onnx.x"), 3),
        (ImportError("libGL.so.1: cannot open shared object file", name="cv2"), 3),
        (ModuleNotFoundError("No module named 'data.gone'", name="data.gone"), 15),
        (PermissionError(13, "Permission denied", "/out/forms.csv"), 5),
        (FileNotFoundError(2, "No such file", b"/bytes"), 5),
        (ValueError("two\nlines"), 15),
        (MemoryError(), 15),
        (KeyboardInterrupt(), 130),
        (typer.Exit(2), 2),
    ],
    ids=repr,
)
def test_each_failure_ends_with_its_code_and_at_most_one_line(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(error, monkeypatch)
    assert shell.run(["fail"]) == code
    out, err = capsys.readouterr()
    silent = isinstance(error, KeyboardInterrupt | typer.Exit)
    assert out == ""
    assert err.count("\n") == (0 if silent else 1)
    assert silent or err.startswith("error: ")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "uv sync --extra train --extra export"),
        (ImportError("libGL.so.1: cannot open shared object file", name="cv2"), "libgl1"),
        (ValueError("boom"), "SHANKHA_TRACEBACK=1"),
    ],
)
def test_the_line_says_what_to_do(error: Exception, cure: str) -> None:
    assert cure in str(as_shankha_error(error))


def test_markup_in_a_message_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(InputError("a[/red].jpg", "is [bold]no picture"), monkeypatch)
    shell.run(["fail"])
    assert "a[/red].jpg: is [bold]no picture" in capsys.readouterr().err


def test_the_traceback_comes_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ValueError("boom"), monkeypatch)
    monkeypatch.delenv("SHANKHA_TRACEBACK", raising=False)
    shell.run(["fail"])
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SHANKHA_TRACEBACK", "1")
    shell.run(["fail"])
    assert "Traceback" in capsys.readouterr().err


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_error_becomes_a_shankha_error(found: str, name: str) -> None:
    for error in (ValueError(found), ImportError(found, name=name), OSError(5, found, name), typer.BadParameter(found)):
        assert as_shankha_error(error).exit_code in {1, 3, 5, 15}


def test_help_answers_without_loading_what_the_commands_need() -> None:
    code = "import sys; from apps.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"cv2", "numpy", "onnxruntime", "yaml", "fpdf", "torch", "training", "models", "deploy"})
