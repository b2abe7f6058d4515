"""Operators that work on many pictures: ask a model, choose what to label next, export; and the greeting."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import fiftyone.operators as foo
from fiftyone.operators import types

from apps.curate.choosing import LABEL_NEXT, choose_samples
from apps.curate.database import curate_folder
from apps.curate.exporting import export
from apps.curate.fields import INFO
from apps.curate.opening import SHIPPED, model_folder
from apps.curate.plugin.asking import form
from apps.curate.plugin.panel import Shankha
from apps.curate.plugin.targets import pictures
from apps.curate.predicting import predict
from data.curation.exchange import FORMATS
from data.errors import ArgumentError

SELECTED: Final = "what is selected"
SHOWN: Final = "what is shown"
ALL: Final = "the whole dataset"
USUAL: Final = "usual"
MOST: Final = 10_000
"""Pictures to label next, at most."""
_SECONDS: Final = 0.5
"""How often the App hears of progress."""

_Tick = Callable[[int, int | None], None]
_Show = Callable[[], Any]
"""Shows in the App what came of the work."""


class _Working(foo.Operator):
    """An operator that takes its time; it goes on to its end where the browser is closed meanwhile."""

    name: ClassVar[str]
    title: ClassVar[str]
    button: ClassVar[str]
    icon: ClassVar[str]

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        return foo.OperatorConfig(
            type(self).name, label=self.title, icon=self.icon, execute_as_generator=True, view_target=False
        )

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form."""
        asked, answer = form(self.title, self.button)
        self.ask(ctx, asked)
        return answer

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Work in a thread; tell the App how far it is, and at last what came of it."""
        told: queue.SimpleQueue[tuple[int, int | None]] = queue.SimpleQueue()
        ended: list[_Show] = []

        def work() -> None:
            try:
                ended.append(self.work(ctx, lambda done, total: told.put((done, total))))
            except Exception as error:
                message = str(error)
                ended.append(lambda: ctx.ops.notify(message, variant="error"))

        worker = threading.Thread(target=work)
        worker.start()
        while worker.is_alive():
            worker.join(_SECONDS)
            done, total = _latest(told)
            if total:
                yield ctx.ops.set_progress(label=f"{done:,} of {total:,} pictures", progress=done / total)
        yield ended[0]()
        yield ctx.ops.reload_dataset()

    @abstractmethod
    def ask(self, ctx: Any, asked: types.Object) -> None:
        """Ask what the operator must know."""

    @abstractmethod
    def work(self, ctx: Any, tick: _Tick) -> _Show:
        """Do it."""


class RunModel(_Working):
    """Ask a model about pictures."""

    name, title, button, icon = "run_model", "Run a model", "Run", "smart_toy"

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """Which model, and on what."""
        _ask_model(asked)
        _ask_scope(ctx, asked)

    def work(self, ctx: Any, tick: _Tick) -> _Show:
        """What it says goes into a field of its own."""
        samples = _scope(ctx)
        field = predict(samples, _model(ctx), tick)
        count = len(samples)
        return lambda: ctx.ops.notify(f"What the model says of {count:,} pictures is in {field}.", variant="success")


class OpenNext(_Working):
    """Choose the pictures to label next, and show them."""

    name, title, button, icon = "open_next", "Open the next pictures to label", "Open", "queue_play_next"

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """How many, and for which model."""
        asked.int("count", label="How many", min=1, max=MOST, default=50, required=True)
        _ask_model(asked)

    def work(self, ctx: Any, tick: _Tick) -> _Show:
        """They become the saved view of what to label next."""
        choose_samples(ctx.dataset, int(ctx.params["count"]), str(_model(ctx)))
        return lambda: ctx.ops.set_view(name=LABEL_NEXT)


class ExportDataset(_Working):
    """Write what is held to be right as a versioned folder."""

    name, title, button, icon = "export_dataset", "Export as a dataset folder", "Export", "ios_share"

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """Where to, as what, and what."""
        asked.str(
            "folder",
            label="Folder",
            description="of the first version; where it is one already, the next is written beside it",
            default=str(curate_folder() / "sets" / ctx.dataset.slug),
            required=True,
        )
        kind = (ctx.dataset.info.get(INFO) or {}).get("kind")
        fitting = [USUAL, *(name for name, one in FORMATS.items() if kind is None or kind in one.kinds)]
        asked.enum("format", fitting, label="Format", default=USUAL, view=types.Dropdown())
        _ask_scope(ctx, asked)

    def work(self, ctx: Any, tick: _Tick) -> _Show:
        """A folder, whole or not at all."""
        folder = Path(str(ctx.params.get("folder") or "")).expanduser()
        if not folder.is_absolute():
            raise ArgumentError("the folder", f"{str(folder)!r} is no whole path", expected="one that begins with /")
        chosen = ctx.params.get("format", USUAL)
        done = export(_scope(ctx), folder, None if chosen == USUAL else chosen, "exported in the App", tick)
        return lambda: ctx.ops.notify("\n".join(done.notes), variant="success")


class Greet(foo.Operator):
    """Show the panel beside the pictures of a dataset that is opened."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        return foo.OperatorConfig(
            "greet", label="Show the panel of Shankha", icon="fact_check", on_dataset_open=True, view_target=False
        )

    def execute(self, ctx: Any) -> None:
        """Open it."""
        ctx.ops.open_panel(Shankha().config.name, layout="horizontal")


WORKING: Final = (RunModel, OpenNext, ExportDataset, Greet)


def _ask_model(asked: types.Object) -> None:
    asked.str(
        "model",
        label="Model",
        description=f"the folder of an artifact; {SHIPPED!r} is the one that comes with the suite",
        default=SHIPPED,
        required=True,
    )


def _ask_scope(ctx: Any, asked: types.Object) -> None:
    """Ask which pictures are meant: nothing is asked where there is no choice."""
    scopes = [SELECTED] if pictures(ctx) else []
    scopes += [SHOWN] if ctx.has_custom_view else []
    if scopes:
        view = types.RadioGroup()
        for one in (*scopes, ALL):
            view.add_choice(one, label=one)
        asked.enum("of", [*scopes, ALL], label="Of", default=scopes[0], view=view, required=True)


def _scope(ctx: Any) -> Any:
    """The pictures that are meant."""
    chosen = ctx.params.get("of", ALL)
    if chosen == SELECTED:
        return ctx.dataset.select(pictures(ctx))
    if chosen == SHOWN:
        view = ctx.view
        return ctx.dataset.select(view.distinct("sample_id")) if view._is_generated else view
    return ctx.dataset


def _model(ctx: Any) -> Path:
    kind = str((ctx.dataset.info.get(INFO) or {}).get("kind", "detection"))
    return model_folder(str(ctx.params.get("model") or SHIPPED), kind)


def _latest(told: queue.SimpleQueue[tuple[int, int | None]]) -> tuple[int, int | None]:
    latest: tuple[int, int | None] = (0, None)
    while not told.empty():
        latest = told.get()
    return latest
