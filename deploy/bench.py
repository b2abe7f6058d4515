"""`shankha bench`: how fast artifacts answer on this machine, measured side by side in one run."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.errors import ArgumentError
from data.files import write_text
from deploy.runtime.artifact import Artifact
from deploy.runtime.engines import Session, installed
from deploy.runtime.spec import ArtifactSpec, EngineName

BATCHES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"digits": (1, 256), "detection": (1, 8), "segmentation": (1, 8), "counting": (1, 8), "species": (1, 8)}
)
"""Inputs at once, for each task: how it is used when one comes at a time, and when many do."""
ROUNDS: Final = 60
_TARGET_SECONDS: Final = 0.004
_WARM_UPS: Final = 3


@dataclass(frozen=True)
class Latency:
    """Median milliseconds that an artifact's network takes for a batch on one thread of an engine.

    `ratio` is this network's median over the first one's: below 1 is faster.
    """

    artifact: str
    engine: str
    precision: str
    batch: int
    milliseconds: float
    ratio: float


@dataclass(frozen=True)
class BenchReport:
    """Latencies of all networks, batch by batch for each, and the processor they were measured on."""

    cpu: str
    latencies: tuple[Latency, ...]


def bench(
    artifacts: Annotated[list[Path], typer.Argument(metavar="ARTIFACT...", help="Artifact folders.")],
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="Only this engine; by default every one.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers here.")] = None,
) -> None:
    """Measure artifacts side by side, on every engine they are for: one thread, medians and ratios to the first.

    Example: shankha bench digits-float32 digits-int8
    """
    opened = [one for folder in artifacts for one in open_on_engines(folder, engine)]
    report = measure(opened)
    batches = BATCHES[opened[0].spec.task]
    table = Table(title=Text(f"{report.cpu}, one thread"), title_justify="left")
    table.add_column("artifact", overflow="fold")
    table.add_column("network")
    for batch in batches:
        table.add_column(f"batch {batch}", justify="right")
        table.add_column("to the first", justify="right")
    for at, artifact in enumerate(opened):
        mine = report.latencies[at * len(batches) : (at + 1) * len(batches)]
        numbers = [text for one in mine for text in (f"{one.milliseconds:.3f} ms", f"{one.ratio:.2f}")]
        table.add_row(Text(str(artifact.folder)), f"{mine[0].precision}, {mine[0].engine}", *numbers)
    Console().print(table)
    if json is not None:
        write_text(json, dumps(asdict(report), indent=1) + "\n")


def open_on_engines(folder: Path, engine: str | None = None) -> list[Artifact[ArtifactSpec]]:
    """An artifact once for each of its engines that is installed, or for the one that is asked for.

    Raises:
        ArgumentError: The artifact is not for that engine.
        MissingDependencyError: That engine is not installed.
        ShankhaError: The folder is no artifact (see `Artifact.open`).
    """
    own: dict[EngineName, None] = dict.fromkeys(model.engine for model in Artifact.open(folder).spec.choices)
    if engine is None:
        return [Artifact.open(folder, one) for one in own if installed(one)]
    asked = [one for one in own if one == engine]
    if not asked:
        raise ArgumentError("--engine", f"{engine!r} does not run {folder}", expected=" or ".join(own))
    return [Artifact.open(folder, asked[0])]


def measure(artifacts: Sequence[Artifact[ArtifactSpec]], rounds: int = ROUNDS) -> BenchReport:
    """Time the artifacts' networks in turns, so that whatever else the machine does hits all alike.

    Preprocessing is left out: it is the same for all. A short call is repeated within a timing until a few
    milliseconds are measured.

    Args:
        artifacts: Opened artifacts of one task; ratios are to the first.
        rounds: Timings of each artifact and batch.

    Raises:
        ArgumentError: They are for different tasks.
    """
    tasks = {artifact.spec.task for artifact in artifacts}
    if len(tasks) != 1:
        raise ArgumentError("ARTIFACT", f"are for {' and '.join(sorted(tasks))}", expected="artifacts of one task")
    sessions = [artifact.session() for artifact in artifacts]
    latencies = []
    for batch in BATCHES[tasks.pop()]:
        medians = _medians(sessions, [(batch, *one.spec.graph.input_shape) for one in artifacts], rounds)
        latencies.append(
            [
                Latency(one.spec.name, one.choice.engine, one.choice.precision, batch, median, median / medians[0])
                for one, median in zip(artifacts, medians, strict=True)
            ]
        )
    return BenchReport(cpu_name(), tuple(one for group in zip(*latencies, strict=True) for one in group))


def _medians(sessions: Sequence[Session], shapes: Sequence[tuple[int, ...]], rounds: int) -> list[float]:
    """Median milliseconds of one call, for each network."""
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    repeats = []
    for session, given in zip(sessions, inputs, strict=True):
        for _ in range(_WARM_UPS):
            seconds = _seconds(session, given, 1)
        repeats.append(max(1, round(_TARGET_SECONDS / seconds)))
    timings: list[list[float]] = [[] for _ in sessions]
    for _ in range(rounds):
        for session, given, repeat, timing in zip(sessions, inputs, repeats, timings, strict=True):
            timing.append(_seconds(session, given, repeat) / repeat)
    return [1000 * statistics.median(timing) for timing in timings]


def _seconds(session: Session, inputs: NDArray[np.float32], repeat: int) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        session.run(inputs)
    return time.perf_counter() - started


def cpu_name() -> str:
    """The processor's name, as the system has it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
