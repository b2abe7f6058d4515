"""Write the exact version of every package, direct and indirect, into pyproject.toml.

One universal resolution (every platform, Python version, extra and group that pyproject.toml allows) becomes
`[tool.uv] constraint-dependencies`; the rest of the file stays as it is. The lock file that uv makes beside it
is not committed: it carries download addresses, the constraints do not.

    uv run scripts/pin.py              # after adding or removing a dependency: the other pins stay
    uv run scripts/pin.py --upgrade    # take the newest version of everything
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[\n(?:    .*\n)*\]\n", re.MULTILINE)


def with_pins(pyproject: str, pins: list[str]) -> str:
    """The text of pyproject.toml with its constraints replaced by the pins, sorted; nothing else changes.

    Raises:
        ValueError: There is not exactly one list of constraints to replace.
    """
    lines = "".join(f'    "{pin}",\n' for pin in sorted(pins, key=str.lower))
    changed, count = BLOCK.subn(lambda _: f"constraint-dependencies = [\n{lines}]\n", pyproject)
    if count != 1:
        raise ValueError(f"found {count} lists of constraint-dependencies, expected one (a line for each pin)")
    return changed


def pins_of(requirements: str) -> list[str]:
    """The pins in a requirements text, without its comments and blank lines.

    Raises:
        ValueError: A line pins nothing exactly.
    """
    pins = [re.sub(r"\s*;\s*", " ; ", line.strip()) for line in requirements.splitlines()]
    pins = [pin for pin in pins if pin and not pin.startswith("#")]
    for pin in pins:
        if not re.match(r"^[A-Za-z0-9._-]+==[^\s,*]+( ; .+)?$", pin):
            raise ValueError(f"{pin!r} is no exact version")
    return pins


def resolve(pyproject: str) -> list[str]:
    """Resolve a project of this description for every platform, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(pyproject, encoding="utf-8")
        uv = ["uv", "--project", folder, "--no-progress"]
        subprocess.run([*uv, "lock", "--quiet"], check=True)  # noqa: S603
        export = ["export", "--frozen", "--all-extras", "--all-groups", "--no-emit-project"]
        plain = ["--no-hashes", "--no-annotate", "--no-header", "--quiet"]
        done = subprocess.run([*uv, *export, *plain], check=True, capture_output=True, text=True)  # noqa: S603
    return pins_of(done.stdout)


def main() -> int:
    """Resolve and rewrite; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--upgrade", action="store_true", help="forget the present pins, take the newest versions")
    upgrade = parser.parse_args().upgrade
    text = PYPROJECT.read_text(encoding="utf-8")
    try:
        pins = resolve(with_pins(text, []) if upgrade else text)
        PYPROJECT.write_text(with_pins(text, pins), encoding="utf-8")
    except subprocess.CalledProcessError as error:
        print(f"error: uv ended with {error.returncode}; pyproject.toml is unchanged", file=sys.stderr)  # noqa: T201
        return 15
    print(f"{len(pins)} pins written to {PYPROJECT.name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
