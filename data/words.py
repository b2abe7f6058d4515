"""Words of messages that depend on a number."""

from __future__ import annotations


def several(count: int, noun: str) -> str:
    """So many things: "1 deployment", "1,200 deployments"; the noun is given for one, and takes s or es for more."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" + ("" if count == 1 else ending)
