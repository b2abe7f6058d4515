"""The model card of a digit artifact: what it is, what it was made from, how good it is and what it cannot do."""

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
    }
)
_LIMITS: Final = """\
- It reads one digit a picture. Letters, signs, Latin digits and two digits in one cell are unknown to it; it may call
  them a digit with confidence.
- "Not a digit" was learnt from digits that were crossed out, smeared or left empty by a program, not from real mistakes
  on forms. Scribbles that look like a digit are read as one.
- Its writers are those of the datasets above, mostly adults of Bangladesh and West Bengal. Children, other regions and
  shaky hands were not measured.
- The confidence was calibrated on held-out examples of the same datasets. On pictures unlike them it is too high; check
  a sample by hand before trusting a new kind of form.
- It must not decide alone where a wrong digit harms somebody: doses, money, identity."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. `rows` are the lines of the metrics table: what, value, and on which examples."""

    name: str
    network: str
    precision: str
    parameters: int
    model_bytes: int
    datasets: Sequence[str]
    recipe: str
    recipe_text: str
    temperature: float
    accept_threshold: float
    ece_before: float
    ece_after: float
    rows: Sequence[tuple[str, str, str]]
    date: str


def digit_card(facts: CardFacts) -> str:
    """The card as Markdown."""
    return f"""\
# {facts.name}

Reads one handwritten Bengali digit (০-৯) in a picture of a form's cell, or says that it is none.

| | |
|---|---|
| network | `{facts.network}`, {facts.parameters:,} parameters |
| weights | {facts.precision}, {facts.model_bytes / 1000:,.0f} kB |
| engine | ONNX Runtime on a CPU |
| input | a picture of any size, colour or grey, dark on light or light on dark |
| answer | ten digits and `not_a_digit`, each with a calibrated probability |
| made on | {facts.date} |

## Intended use

Reading the digit cells of paper forms, as a first pass: what the model is unsure of goes to a person. Research and
teaching on Bengali handwriting.

## Data and licence

{_data(facts.datasets)}

The model is for non-commercial use where one of its datasets is. None of the data is part of this folder.

## Training

Recipe `{facts.recipe}`, every value written out:

```yaml
{facts.recipe_text.rstrip()}
```

## Metrics

Validation examples were held out of training; they chose the epoch, the temperature and the threshold, so these numbers
lean towards the model. A test on other data follows below where one was made.

| what | value | on |
|---|---|---|
{_rows(facts.rows)}

## Calibration

Logits are divided by a temperature of {facts.temperature:.3f}. Expected calibration error (15 bins) on validation
digits: {facts.ece_before:.4f} before, {facts.ece_after:.4f} after. A digit is accepted without review from a confidence
of {facts.accept_threshold:.4f}.

## Limits

{_LIMITS}

## Evaluate it

```
shankha evaluate path/to/{facts.name} --data FOLDER --json scores.json
```

`FOLDER` holds ordinary pictures in a folder a class (`0` to `9` or `০` to `৯`, and `not_a_digit`), or a known dataset.
"""


def _data(datasets: Sequence[str]) -> str:
    lines = []
    for folder in datasets:
        known = [text for name, text in _ORIGINS.items() if name in folder.lower()]
        lines.append(f"- `{folder}`: {known[0]}" if known else f"- `{folder}`: under its own licence.")
    return "\n".join(lines)


def _rows(rows: Sequence[tuple[str, str, str]]) -> str:
    return "\n".join(f"| {what} | {value} | {where} |" for what, value, where in rows)
