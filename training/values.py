"""Values that the parts of a recipe are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Strict(BaseModel):
    """A part of a recipe: checked when built, never changed, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
