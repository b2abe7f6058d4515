"""What a collection of pictures is of, what its pictures are for, and who said what of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["digits", "species", "detection", "segmentation"]
"""One digit a picture; one fish a picture; boxes in pictures; outlines in pictures."""
WHOLE_PICTURE: Final = ("digits", "species")
"""The kinds whose labels speak of the picture as a whole."""
Part = Literal["train", "val", "test", ""]
"""What a picture is for; "" where nobody has said so."""
Speaker = Literal["source", "model", "person"]
"""The dataset that a label came with, a network, or someone who looked at it."""


class Provenance(BaseModel):
    """Who said something.

    `name` is that of the dataset, the artifact or the person; `when` is a time in UTC ("2026-11-22T20:15:03Z"), empty
    where it is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Speaker
    name: Annotated[str, Field(min_length=1)]
    when: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$")] = ""


def now() -> str:
    """The present second in UTC, as `Provenance.when` has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
