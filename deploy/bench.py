"""`shankha bench`: how fast artifacts answer on this machine, measured side by side in one run."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.files import write_text
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader

BATCHES: Final = (1, 256)
ROUNDS: Final = 60
_TARGET_SECONDS: Final = 0.004
_WARM_UPS: Final = 3


@dataclass(frozen=True)
class Latency:
    """Median milliseconds that an artifact's network takes for a batch on one thread.

    `ratio` is this artifact's median over the first one's: below 1 is faster.
    """

    artifact: str
    precision: str
    batch: int
    milliseconds: float
    ratio: float


@dataclass(frozen=True)
class BenchReport:
    """Latencies of all artifacts, and the processor they were measured on."""

    cpu: str
    latencies: tuple[Latency, ...]


def bench(
    artifacts: Annotated[list[Path], typer.Argument(metavar="ARTIFACT...", help="Artifact folders.")],
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers here.")] = None,
) -> None:
    """Measure artifacts side by side: one thread, one picture and 256 at once, medians and ratios to the first.

    Example: shankha bench digits-float32 digits-int8
    """
    report = measure([Artifact.open(folder) for folder in artifacts])
    table = Table(title=Text(f"{report.cpu}, one thread"), title_justify="left")
    table.add_column("artifact", overflow="fold")
    table.add_column("weights")
    for batch in BATCHES:
        table.add_column(f"batch {batch}", justify="right")
        table.add_column("to the first", justify="right")
    for at, folder in enumerate(artifacts):
        mine = report.latencies[at * len(BATCHES) : (at + 1) * len(BATCHES)]
        numbers = [text for one in mine for text in (f"{one.milliseconds:.3f} ms", f"{one.ratio:.2f}")]
        table.add_row(Text(str(folder)), mine[0].precision, *numbers)
    Console().print(table)
    if json is not None:
        write_text(json, dumps(asdict(report), indent=1) + "\n")


def measure(artifacts: Sequence[Artifact], rounds: int = ROUNDS) -> BenchReport:
    """Time the artifacts' networks in turns, so that whatever else the machine does hits all alike.

    Preprocessing is left out: it is the same for all. A short call is repeated within a timing until a few
    milliseconds are measured.

    Args:
        artifacts: Opened artifacts; ratios are to the first.
        rounds: Timings of each artifact and batch.
    """
    readers = [DigitReader(artifact) for artifact in artifacts]
    latencies = []
    for batch in BATCHES:
        medians = _medians(readers, batch, rounds)
        latencies.append(
            [
                Latency(reader.artifact.spec.name, reader.artifact.spec.precision, batch, median, median / medians[0])
                for reader, median in zip(readers, medians, strict=True)
            ]
        )
    return BenchReport(cpu_name(), tuple(one for group in zip(*latencies, strict=True) for one in group))


def _medians(readers: Sequence[DigitReader], batch: int, rounds: int) -> list[float]:
    """Median milliseconds of one call, for each reader."""
    rng = np.random.default_rng(1)
    sizes = [reader.artifact.spec.preprocessing.size for reader in readers]
    inputs = [rng.normal(size=(batch, 1, size, size)).astype(np.float32) for size in sizes]
    repeats = []
    for reader, given in zip(readers, inputs, strict=True):
        for _ in range(_WARM_UPS):
            seconds = _seconds(reader, given, 1)
        repeats.append(max(1, round(_TARGET_SECONDS / seconds)))
    timings: list[list[float]] = [[] for _ in readers]
    for _ in range(rounds):
        for reader, given, repeat, timing in zip(readers, inputs, repeats, timings, strict=True):
            timing.append(_seconds(reader, given, repeat) / repeat)
    return [1000 * statistics.median(timing) for timing in timings]


def _seconds(reader: DigitReader, inputs: NDArray[np.float32], repeat: int) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        reader.logits(inputs)
    return time.perf_counter() - started


def cpu_name() -> str:
    """The processor's name, as the system has it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
