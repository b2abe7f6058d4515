"""The versions in pyproject.toml: exact, complete, and the ones installed here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.pin import PYPROJECT, pins_of, with_pins

PROJECT = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
CONSTRAINTS = [Requirement(pin) for pin in PROJECT["tool"]["uv"]["constraint-dependencies"]]
LEFT_OUT = {canonicalize_name(Requirement(line).name) for line in PROJECT["tool"]["uv"]["override-dependencies"]}
MACHINES = [
    {"python_full_version": python, "python_version": python[:4], "sys_platform": system, "platform_machine": machine}
    for python in ("3.11.9", "3.12.9")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
]


def direct() -> Iterator[Requirement]:
    """Everything that pyproject.toml asks for by name."""
    lists = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    lists += PROJECT["dependency-groups"].values()
    for lines in lists:
        yield from map(Requirement, lines)


def pinned(name: str, machine: dict[str, str] | None = None) -> str | None:
    """The version that the constraints give a package on a machine (this one where none is given)."""
    for pin in CONSTRAINTS:
        if canonicalize_name(pin.name) == canonicalize_name(name) and (not pin.marker or pin.marker.evaluate(machine)):
            (clause,) = pin.specifier
            return clause.version
    return None


def test_every_pin_is_exact() -> None:
    for pin in CONSTRAINTS:
        (clause,) = pin.specifier
        assert clause.operator == "==", pin
        assert "*" not in clause.version, pin
        assert pin.url is None, pin


def test_no_machine_gets_two_versions_of_one_package() -> None:
    for one, other in combinations(CONSTRAINTS, 2):
        if one.name == other.name:
            both = [m for m in MACHINES if one.marker.evaluate(m) and other.marker.evaluate(m)]
            assert not both, f"{one} and {other}"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(machine.values()))
def test_every_direct_dependency_is_pinned_within_what_it_asks_for(machine: dict[str, str]) -> None:
    for wanted in direct():
        if wanted.marker is None or wanted.marker.evaluate(machine):
            version = pinned(wanted.name, machine)
            assert version is not None, f"{wanted} has no pin: run scripts/pin.py"
            assert wanted.specifier.contains(version, prereleases=True), f"{wanted} is pinned at {version}"


def holds(need: Requirement, extras: frozenset[str]) -> bool:
    return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras or {""})


def installed_below(names: list[str]) -> set[str]:
    """The installed packages among these and all that they need, extras followed."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(canonicalize_name(Requirement(name).name), frozenset(Requirement(name).extras)) for name in names]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen or name in LEFT_OUT:
            continue
        seen.add((name, extras))
        try:
            wanted = [Requirement(line) for line in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            seen.discard((name, extras))  # an extra that is not installed here
            continue
        todo += [(canonicalize_name(need.name), frozenset(need.extras)) for need in wanted if holds(need, extras)]
    return {name for name, _ in seen}


def test_what_is_installed_is_what_is_pinned() -> None:
    names = installed_below([str(wanted) for wanted in direct()])
    assert len(names) > 30
    for name in sorted(names):
        assert pinned(name) == metadata.version(name), f"{name}: sync the environment or run scripts/pin.py"


def test_a_pin_carries_no_address() -> None:
    assert not [pin for pin in PROJECT["tool"]["uv"]["constraint-dependencies"] if "://" in pin or "@" in pin]


BEFORE, AFTER = "[tool.uv]\n# kept\nconstraint-dependencies = [\n", ']\n\n[tool.ruff]\nx = ["constraint"]\n'


@given(st.lists(st.from_regex(r"[a-z]{1,8}==[0-9]\.[0-9]( ; python_version < '3\.12')?", fullmatch=True), max_size=8))
def test_pins_are_written_sorted_and_the_rest_stays(pins: list[str]) -> None:
    written = with_pins(f'{BEFORE}    "old==1",\n{AFTER}', pins)
    assert written.startswith(BEFORE)
    assert written.endswith(AFTER)
    assert tomllib.loads(written)["tool"]["uv"]["constraint-dependencies"] == sorted(pins)
    assert with_pins(written, pins) == written


@pytest.mark.parametrize("text", ["[tool.uv]\n", "constraint-dependencies = [\n]\n" * 2])
def test_a_file_without_one_list_of_pins_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lists of constraint-dependencies"):
        with_pins(text, ["a==1"])


def test_requirements_become_pins() -> None:
    lines = "# uv export\na==1.0\nB-c==2.1.post1 ; sys_platform == 'win32'\n\nd==3   ;python_version < '3.12'\n"
    assert pins_of(lines) == ["a==1.0", "B-c==2.1.post1 ; sys_platform == 'win32'", "d==3 ; python_version < '3.12'"]


@pytest.mark.parametrize("line", ["a>=1", "a==1.*", "a", "a @ file:///x", "-e ."])
def test_what_is_not_exact_is_no_pin(line: str) -> None:
    with pytest.raises(ValueError, match="no exact version"):
        pins_of(line)
