"""The documents keep their word: commands parse, forms are valid, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperCommand, TyperGroup

from apps.lazy import LazyCommand
from apps.main import command_tree
from data.forms import Form, lay_out
from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/weights/*/card.md")])
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def blocks(*kinds: str) -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for found in FENCE.finditer(document.read_text(encoding="utf-8")):
            if found["kind"] in kinds:
                yield document, found["body"]


def leaves(command: TyperGroup | TyperCommand) -> Iterator[TyperCommand]:
    if isinstance(command, LazyCommand):
        command = command.load()
    if isinstance(command, TyperGroup):
        for child in command.commands.values():
            yield from leaves(child)
    else:
        yield command


def shankha_lines() -> Iterator[tuple[str, str]]:
    """Where a command line stands, and its words after `shankha`."""
    for document, body in blocks("console", "bash", "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            words = line.strip().removeprefix("$ ").removeprefix("uv run ")
            if words.startswith("shankha "):
                yield str(document.relative_to(ROOT)), words.removeprefix("shankha ")
    for command in leaves(command_tree()):
        for example in re.findall(r"Example: shankha (.*)", f"{command.help}\n{command.epilog}"):
            yield f"help of {command.name}", example


def parse(line: str) -> None:
    """Parse a command line without running it; raises what the command line would."""
    command: TyperGroup | TyperCommand = command_tree()
    words = shlex.split(line, comments=True)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
        if isinstance(command, LazyCommand):
            command = command.load()
    command.make_context(command.name, words)


@pytest.mark.parametrize(("place", "line"), list(shankha_lines()), ids=lambda part: part)
def test_every_shankha_line_parses(place: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["digits new-form form.yaml --pfd blank.pdf", "digits scam x", "digits new-form"])
def test_a_wrong_line_would_not_parse(line: str) -> None:
    with pytest.raises((KeyError, typer.TyperException)):
        parse(line)


def forms() -> Iterator[tuple[str, str]]:
    for document, body in blocks("yaml"):
        if re.search(r"^form:", body, re.MULTILINE):
            yield str(document.relative_to(ROOT)), body


@pytest.mark.parametrize(("place", "text"), list(forms()), ids=lambda part: part[:24])
def test_every_form_in_the_documents_can_be_printed(place: str, text: str) -> None:
    assert lay_out(Form.model_validate(yaml.safe_load(text)))


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for found in LINK.finditer(document.read_text(encoding="utf-8")):
            if "://" not in found["target"] and not found["target"].startswith("#"):
                yield document, found["target"].partition("#")[0]


@pytest.mark.parametrize(("document", "target"), list(links()), ids=lambda part: getattr(part, "name", part))
def test_every_link_leads_to_a_file(document: Path, target: str) -> None:
    assert (document.parent / target).exists()


def test_the_readme_gives_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nuv run shankha demo\n" in readme
    assert "\nuv run --all-extras pytest\n" in readme
    assert {"uv run shankha demo", "uv run --all-extras pytest"} <= set((ROOT / ".ci/run").read_text().splitlines())


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda document: document.name)
def test_every_document_is_in_the_index(document: Path) -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert document.name == "README.md" or f"]({document.name})" in index
