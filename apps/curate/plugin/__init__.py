"""The plugin of FiftyOne's App: operators that change labels, each change on record, and the panel "Shankha".

FiftyOne finds it by `fiftyone.yml` and runs it in the process that serves the App.
"""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Hand all operators and the panel to FiftyOne, which calls this."""
    from apps.curate.plugin.labelling import LABELLING
    from apps.curate.plugin.panel import Shankha
    from apps.curate.plugin.working import WORKING

    for operator in (*LABELLING, *WORKING, Shankha):
        plugin.register(operator)
