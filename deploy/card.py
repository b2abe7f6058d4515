"""The model card of an artifact: what it is, what it was made from, how good it is and what it cannot do.

The frame is the same for every task; a task gives the words that are its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_ORIGINS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cmaterdb": "CMATERdb 3.1.1, handwritten Bengali numerals. Acknowledgement: Center for Microprocessor "
        "Applications for Training Education and Research (CMATER), Jadavpur University, Kolkata. Free for all "
        "non-commercial uses.",
        "numtadb": "NumtaDB, assembled Bengali handwritten digits, Bengali.AI (Alam et al. 2018). CC BY-SA 4.0.",
        "f4k-species": "Fish4Knowledge, crops of 23 species of Taiwan's reefs, University of Edinburgh. For research.",
        "deepfish": "DeepFish, Saleh et al. 2020: remote underwater video of north-east Australia. Boxes CC BY 4.0.",
        "luderick": "Luderick in seagrass, human polygons, doi 10.1594/PANGAEA.926930. CC BY 4.0.",
        "aquarium": "Aquarium, photographs of public aquaria with boxes, Roboflow. CC BY 4.0.",
    }
)


@dataclass(frozen=True)
class CardWords:
    """What a task says on its cards: Markdown without headings, but for `summary`, a sentence, and `licence`, one too.

    `table` are lines of the first table (what, value); `calibration` and `limits` stand below the metrics; `data` says
    what `shankha evaluate --data` takes.
    """

    summary: str
    table: Sequence[tuple[str, str]]
    use: str
    licence: str
    validation: str
    calibration: str
    limits: str
    data: str


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. `rows` are the lines of the metrics table: what, value, and on which examples.

    `weights` names the precision of each model file and its size.
    """

    name: str
    network: str
    weights: str
    parameters: int
    datasets: Sequence[str]
    recipe: str
    recipe_text: str
    rows: Sequence[tuple[str, str, str]]
    date: str


def model_card(facts: CardFacts, words: CardWords) -> str:
    """The card as Markdown."""
    return f"""\
# {facts.name}

{words.summary}

| | |
|---|---|
| network | `{facts.network}`, {facts.parameters:,} parameters |
| weights | {facts.weights} |
{_rows(words.table)}
| made on | {facts.date} |

## Intended use

{words.use}

## Data and licence

{_data(facts.datasets)}

{words.licence} None of the data is part of this folder.

## Training

Recipe `{facts.recipe}`, every value written out:

```yaml
{facts.recipe_text.rstrip()}
```

## Metrics

{words.validation}

| what | value | on |
|---|---|---|
{_rows(facts.rows)}

## Calibration

{words.calibration}

## Limits

{words.limits}

## Evaluate it

```
shankha evaluate path/to/{facts.name} --data FOLDER --json scores.json
```

{words.data}
"""


def _data(datasets: Sequence[str]) -> str:
    lines = []
    for folder in datasets:
        known = [text for name, text in _ORIGINS.items() if name in folder.lower()]
        lines.append(f"- `{folder}`: {known[0]}" if known else f"- `{folder}`: under its own licence.")
    return "\n".join(lines)


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
