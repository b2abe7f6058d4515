"""Digit labels: the ten classes, their two scripts, and the eleventh answer, "not a digit"."""

from __future__ import annotations

from typing import Final, Literal

Script = Literal["bengali", "latin"]

LATIN: Final = "0123456789"
BENGALI: Final = "০১২৩৪৫৬৭৮৯"
NOT_A_DIGIT: Final = 10
"""Class index of a crossed-out, smeared or empty cell."""
NOT_A_DIGIT_NAME: Final = "not_a_digit"
DIGIT_CLASSES: Final[tuple[str, ...]] = (*LATIN, NOT_A_DIGIT_NAME)

_TO_LATIN: Final = str.maketrans(BENGALI, LATIN)
_TO_BENGALI: Final = str.maketrans(LATIN, BENGALI)


def in_script(text: str, script: Script) -> str:
    """Write the digits of `text` in the script; every other character stays."""
    return text.translate(_TO_BENGALI if script == "bengali" else _TO_LATIN)


def digit_of(name: str) -> int | None:
    """Class index that a label or folder name stands for, in either script; None where it is no such name.

    "3", "03", "৩", "digit_3" and "not_a_digit" (also "reject", "x") are understood.
    """
    text = name.strip().lower().removeprefix("digit").strip("_- ").translate(_TO_LATIN)
    if name.strip().lower() in {NOT_A_DIGIT_NAME, "not-a-digit", "reject", "x"}:
        return NOT_A_DIGIT
    if text.isdecimal() and text.isascii() and 0 <= int(text) <= 9:
        return int(text)
    return None
