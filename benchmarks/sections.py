"""Tables of measured numbers: printed, kept as JSON, and shown in the documents that are written from it."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data.files import write_text
from deploy.bench import cpu_name
from deploy.packing import replace_card
from deploy.runtime.spec import CARD_FILE

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Section:
    """A table: `rows` of text under `columns`, what it was measured on, and when."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    machine: str
    date: str

    @classmethod
    def of(cls, title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Section:
        """The table, with today's date and this processor."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return cls(title, note, tuple(columns), tuple(tuple(row) for row in rows), cpu_name(), today)

    def markdown(self) -> str:
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, ["---"] * len(self.columns), *self.rows)]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + f"\n\n*{self.date}, {self.machine}*\n"


CARD_MARK = "\n## Measured on other data\n"


def write_numbers(kept: Mapping[str, Section], document: Path, head: str, artifact: Path) -> None:
    """Write the tables into a document below its head, and into the card of the artifact that they are about."""
    tables = "\n".join(section.markdown() for section in kept.values())
    write_text(document, f"{head}\n\n{tables}")
    card = (artifact / CARD_FILE).read_text(encoding="utf-8").partition(CARD_MARK)[0]
    replace_card(artifact, f"{card.rstrip()}\n{CARD_MARK}\n{tables}")


Measure = Callable[[Path], Section]
"""Measures a section; it is given the folder of training runs, where it trains what is missing."""


def run(
    description: str | None,
    sections: Mapping[str, Measure],
    kept: Path,
    publish: Callable[[Mapping[str, Section]], None],
) -> None:
    """The command line of a benchmark: measure the named sections, keep them in a JSON file, publish all kept ones."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=sections)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where training runs are, or are made")
    given = parser.parse_args()
    for name in given.sections:
        section = sections[name](given.runs)
        sys.stdout.write(section.markdown() + "\n")
        all_kept = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        all_kept[name] = asdict(section)
        write_text(kept, json.dumps(all_kept, indent=1, ensure_ascii=False) + "\n")
        # Through JSON, so that a document is the same whether its numbers are new or kept.
        read = json.loads(kept.read_text(encoding="utf-8"))
        publish({name: Section(**read[name]) for name in sections if name in read})
