"""The numbers of curation, printed and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.curate flips duplicates
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.curate retrained active_species active_digits
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.curate opening

The first line takes minutes, the second trains under --runs and takes an hour or two on two cores, the third opens
50,000 pictures and wants an idle machine. Each section replaces its part of `benchmarks/curate.json`;
`docs/curate-numbers.md` is written from all of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.curate_active import active_digits, active_species
from benchmarks.curate_duplicates import duplicates
from benchmarks.curate_flips import flips, retrained
from benchmarks.curate_opening import opening
from benchmarks.sections import ROOT, Measure, Section, run
from data.files import write_text

KEPT = ROOT / "benchmarks" / "curate.json"
NUMBERS = ROOT / "docs" / "curate-numbers.md"
HEAD = """\
# Numbers: curation

How many wrong labels and copies are found, what choosing labels saves, and how long it takes to open many pictures.
Written by `benchmarks/curate.py`, which says how to measure them again; [curate.md](curate.md) says how to use what was
measured."""

SECTIONS: dict[str, Measure] = {
    "flips": flips,
    "retrained": retrained,
    "duplicates": duplicates,
    "active_species": active_species,
    "active_digits": active_digits,
    "opening": opening,
}
PICTURES = {"active_species": "curate-species.png", "active_digits": "curate-digits.png"}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the document, with the pictures of those sections that draw one."""
    parts = [
        section.markdown() + (f"\n![{section.title}]({PICTURES[name]})\n" if name in PICTURES else "")
        for name, section in kept.items()
    ]
    write_text(NUMBERS, f"{HEAD}\n\n" + "\n".join(parts))


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
