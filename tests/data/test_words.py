from __future__ import annotations

import pytest

from data.words import several


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 problems"), (1, "1 problem"), (2, "2 problems"), (12_345, "12,345 problems")]
)
def test_one_is_told_as_one(count: int, told: str) -> None:
    assert several(count, "problem") == told


def test_what_ends_in_s_takes_es() -> None:
    assert [several(count, "class") for count in (1, 2)] == ["1 class", "2 classes"]
