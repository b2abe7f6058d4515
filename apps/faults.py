"""What the command line says when something fails: one line on stderr, and the exit code of its kind."""

from __future__ import annotations

import os
import traceback

import typer
from rich.console import Console
from rich.text import Text

from data.errors import ArgumentError, FileAccessError, MissingDependencyError, ShankhaError

OWN = {"apps", "data", "deploy", "models", "training"}
TRAINING_PACKAGES = {
    "albumentations",
    "matplotlib",
    "nncf",
    "onnx",
    "onnxscript",
    "openvino",
    "safetensors",
    "tensorboard",
    "torch",
    "torchvision",
    "ultralytics",
}
"""What the extras `train` and `export` bring, and the base install leaves out."""


def report(error: Exception) -> int:
    """Say what failed in one line; the traceback only where SHANKHA_TRACEBACK is set. Returns the exit code."""
    if os.environ.get("SHANKHA_TRACEBACK"):
        traceback.print_exception(error)
    fault = as_shankha_error(error)
    if isinstance(error, typer.TyperException) and not error.format_message():
        return fault.exit_code  # a group called without a command has shown its help
    line = " ".join(str(fault).split())
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), line))
    return fault.exit_code


def as_shankha_error(error: Exception) -> ShankhaError:
    """The error in the user's terms, with the exit code of its kind."""
    if isinstance(error, ShankhaError):
        return error
    if isinstance(error, typer.TyperException):
        return _wrong_usage(error)
    if isinstance(error, ImportError) and _package(error) not in OWN:
        return _missing(error)
    if isinstance(error, OSError) and error.filename is not None:
        cure = "check the path, its permissions and the free space"
        return FileAccessError(os.fsdecode(error.filename), f"cannot be read or written ({error.strerror})", cure=cure)
    what = f"unexpected {type(error).__name__}" + (f" ({error})" if str(error) else "")
    return ShankhaError("shankha", what, cure="set SHANKHA_TRACEBACK=1, run it again and report what it prints")


def _wrong_usage(error: typer.TyperException) -> ArgumentError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "shankha"
    return ArgumentError(command, error.format_message().rstrip("."), cure=f"see {command} --help")


def _package(error: ImportError) -> str:
    return (error.name or "").partition(".")[0]


def _missing(error: ImportError) -> MissingDependencyError:
    package = _package(error)
    if package in TRAINING_PACKAGES:
        return MissingDependencyError(package, "is not installed", cure="run uv sync --extra train --extra export")
    if ".so" in str(error):  # a system library: OpenCV needs libGL and GLib, which bare servers lack
        cure = "install the system's package for it (Debian: apt install libgl1 libglib2.0-0)"
        return MissingDependencyError(package or "a system library", f"cannot be loaded ({error})", cure=cure)
    return MissingDependencyError(package or "a package", f"cannot be imported ({error})", cure="run uv sync")
