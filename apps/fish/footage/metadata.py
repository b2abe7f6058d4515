"""The table of deployments: where, when and how deep each camera stood."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DeploymentMetadata(BaseModel):
    """One row of the metadata table; what a row leaves out is None or empty.

    `latitude` and `longitude` are decimal degrees (WGS 84), `depth_m` metres below the surface. `period_start` is the
    second of the deployment's footage at which the camera stands on the seabed, from the start of its first chapter.
    `folder` is the deployment's folder, where the table names it; `line` the row's line in its file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    opcode: Annotated[str, Field(min_length=1)]
    line: int = 0
    campaignid: str = ""
    site: str = ""
    location: str = ""
    status: str = ""
    folder: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    depth_m: Annotated[float, Field(ge=0, le=11000)] | None = None
    date_time: datetime.datetime | None = None
    period_start: Annotated[float, Field(ge=0)] | None = None
    successful_count: bool | None = None
    successful_length: bool | None = None
