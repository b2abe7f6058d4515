"""The one training loop. A task gives batches, loss and score; a recipe gives everything else.

A run folder holds `recipe.yaml`, `checkpoint.safetensors` (resumes), `weights.safetensors` (moving average of the
best epoch), `metrics.json`, `events/` for TensorBoard and `pictures/`. Every epoch is seeded by the recipe's seed and
its own number, so a run that was killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from data.errors import InputError
from data.files import write_text
from training import checkpoint, optimization
from training.internal import InternalRegularizer
from training.recipe import Recipe, load_recipe, recipe_text
from training.report import plot_history
from training.task import Evaluation, Moment, Task

BatchT = TypeVar("BatchT")


def pick_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """bfloat16 for the network's arithmetic where the recipe asks for it, or leaves it open and the hardware has it."""
    wanted = recipe.precision == "bfloat16" or (recipe.precision == "auto" and _has_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


class Run(Generic[BatchT]):
    """One training run in its folder.

    Args:
        task: What is learnt.
        recipe: How.
        folder: Where; a folder with a checkpoint of the same recipe goes on from it.
    """

    def __init__(self, task: Task[BatchT], recipe: Recipe, folder: Path) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        self.device = pick_device()
        # Threads that share a core with a worker wait for each other at every layer: leave the workers theirs.
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - recipe.workers)))
        torch.manual_seed(recipe.seed)
        self.network: nn.Module = task.network().to(self.device).to(memory_format=torch.channels_last)
        self.average = optimization.MovingAverage(self.network, recipe.ema_decay)
        internal = InternalRegularizer(self.network, recipe.regularization.internal, task.classes)
        self.internal = internal.to(self.device)
        self.learning = nn.ModuleList([self.network, self.internal])
        self.optimizer = optimization.build_optimizer(self.learning, recipe.optimizer)
        self.learner = checkpoint.Learner(self.network, self.internal, self.average, self.optimizer)
        self.progress = self._start_or_resume()

    def _start_or_resume(self) -> checkpoint.Progress:
        kept, saved = self.folder / "recipe.yaml", self.folder / "checkpoint.safetensors"
        if not saved.is_file():
            write_text(kept, recipe_text(self.recipe))
            return checkpoint.Progress()
        if load_recipe(kept) != self.recipe:
            raise InputError(self.folder, "holds a run of another recipe", cure="choose another --out folder")
        return checkpoint.load_checkpoint(saved, self.learner)

    def fit(self, shown: Progress | None = None) -> Evaluation:
        """Train to the end of the recipe (or until early stopping), and tell how the selected epoch does.

        Args:
            shown: Where to show the progress, for who runs several; by default a display of its own.
        """
        with SummaryWriter(self.folder / "events") as events, nullcontext(shown) if shown else progress_bar() as bar:
            bar_id = bar.add_task(self.recipe.name, total=self.recipe.epochs * self.task.steps, note="")
            bar.update(bar_id, completed=self.progress.epochs_done * self.task.steps)
            while not self._finished():
                row = self._epoch(self.progress.epochs_done, lambda note: bar.update(bar_id, advance=1, note=note))
                self._record(row, events)
                bar.console.print(_line(row))
            if shown:
                bar.remove_task(bar_id)
        return self._finish()

    def _finished(self) -> bool:
        done, patience = self.progress.epochs_done, self.recipe.early_stopping.patience
        tired = patience > 0 and done - self.progress.best_epoch >= patience
        return done >= self.recipe.epochs or tired

    def _epoch(self, epoch: int, tell: Callable[[str], None]) -> dict[str, float]:
        torch.manual_seed(int(np.random.SeedSequence([self.recipe.seed, epoch]).generate_state(1)[0]))
        self.network.train()
        started, losses = time.perf_counter(), []
        rate = 0.0
        for step, batch in enumerate(self.task.batches(epoch)):
            done = (epoch + step / self.task.steps) / self.recipe.epochs
            warmup = self.recipe.schedule.warmup_epochs / self.recipe.epochs
            rate = self.recipe.optimizer.learning_rate * optimization.rate_share(self.recipe.schedule, done, warmup)
            losses.append(self._step(batch, rate, done))
            tell(f"epoch {epoch + 1} loss {np.mean(losses[-50:]):.3f}")
        evaluation = self.task.evaluate(self.average.network, self.device)
        seconds = time.perf_counter() - started
        return {
            "epoch": epoch + 1,
            "loss": float(np.mean(losses)),
            "learning_rate": rate,
            "seconds": seconds,
            "score": evaluation.score,
            **evaluation.metrics,
        }

    def _step(self, batch: BatchT, rate: float, done: float) -> float:
        optimization.set_rate(self.optimizer, rate)
        with mixed_precision(self.recipe, self.device), self.internal.acting() as side:
            self.task.moment = Moment(done, self.average.network, side)
            loss = self.task.loss(self.network, batch, self.device)
        if not torch.isfinite(loss):
            raise InputError(
                self.folder,
                f"the loss became {loss.item()}",
                cure="lower optimizer.learning_rate, or resume with float32",
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(self.learning.parameters(), self.recipe.optimizer.clip_norm)
        self.optimizer.step()
        self.average.update(self.network)
        return loss.item()

    def _record(self, row: dict[str, float], events: SummaryWriter) -> None:
        """Keep the epoch: first the best weights, then the checkpoint that says so."""
        progress = self.progress
        progress.epochs_done += 1
        progress.history.append(row)
        if row["score"] > progress.best_score:
            progress.best_score, progress.best_epoch = row["score"], progress.epochs_done
            checkpoint.save_weights(self.average.network, self.folder / "weights.safetensors")
        checkpoint.save_checkpoint(self.folder / "checkpoint.safetensors", self.learner, progress)
        for name, value in row.items():
            events.add_scalar(name, value, progress.epochs_done)

    def _finish(self) -> Evaluation:
        best = checkpoint.load_weights(self.average.network.cpu(), self.folder / "weights.safetensors").to(self.device)
        evaluation = self.task.evaluate(best, self.device)
        report = {
            "selected_epoch": self.progress.best_epoch,
            "epochs": self.progress.epochs_done,
            "validation": evaluation.metrics,
            "history": self.progress.history,
        }
        write_text(self.folder / "metrics.json", json.dumps(report, indent=1) + "\n")
        plot_history(self.progress.history, self.folder / "pictures" / "curves.png")
        self.task.picture(best, self.device, self.folder / "pictures")
        return evaluation


def progress_bar() -> Progress:
    """The display of a run's progress, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


def _line(row: dict[str, float]) -> str:
    shown = {name: value for name, value in row.items() if name not in {"epoch", "score"}}
    return f"epoch {row['epoch']:.0f}  " + "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
