"""Operators that do work."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo


class Greet(foo.Operator):
    """Show the panel beside the pictures of a dataset that is opened."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        return foo.OperatorConfig(
            "greet", label="Show Shankha", icon="fact_check", on_dataset_open=True, view_target=False
        )

    def execute(self, ctx: Any) -> None:
        """Open it."""
        ctx.ops.open_panel("shankha", layout="horizontal")


WORKING = (Greet,)
