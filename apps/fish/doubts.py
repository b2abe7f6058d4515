"""Which names of fish a person should look at."""

from __future__ import annotations

from typing import Final

from apps.fish.tables.species import StoredFish

SURE: Final = 0.8
"""A name of at least this confidence is not doubtful; its runner-up has at most the rest."""
_CLOSE: Final = 0.2
"""A name that is not surer than this beyond an even chance may be the runner-up's as well."""


def doubts(fish: StoredFish) -> tuple[str, ...]:
    """Why the fish is doubtful; nothing where it is not, or where a person has settled it."""
    if fish.proposed is not None:
        return ()
    found = []
    if fish.name is None:
        found.append("unknown")
    if fish.confidence < SURE:
        found.append("low confidence")
    if fish.name is not None and fish.runner_up and fish.confidence < 0.5 + _CLOSE:
        found.append("close runner-up")
    if len({crop.name for crop in fish.crops}) > 1:
        found.append("pictures disagree")
    return tuple(found)
