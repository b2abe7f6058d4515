"""The digit numbers of README, documents and model card, printed and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.digits shipped speed pages
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.digits networks sources

The first line reads the shipped artifact alone. The second trains what is missing under --runs (an hour or two on two
cores; a run that was stopped goes on) and compares what came out. Each section replaces its part of
`benchmarks/digits.json`; `docs/numbers.md` and the shipped model's card are written from all of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from apps.evaluate import evaluate_digits
from apps.scores import DigitScores
from benchmarks import pages as page_benchmark
from benchmarks.sections import ROOT, Measure, Section, run, write_numbers
from data.metrics import Accuracy
from deploy.bench import measure
from deploy.export import export_run, load_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader, DigitReadings
from deploy.runtime.spec import MODEL_FILE
from models import zoo
from training.augmentation.handwriting import HandwritingAugmenter
from training.augmentation.handwriting_spec import HandwritingAugmentation
from training.recipe import DigitSource
from training.run import data_root, train
from training.tasks.digits import load_inks

SHIPPED = ROOT / "models" / "weights" / "digits-int8"
KEPT = ROOT / "benchmarks" / "digits.json"
NUMBERS = ROOT / "docs" / "numbers.md"
NETWORKS = {
    "compact": (),
    "vgg5": ("network={name: vgg5, options: {dropout: 0.1, drop_block: 0.05}}",),
    "vgg5-spinal": ("network={name: vgg5-spinal, options: {dropout: 0.1, drop_block: 0.05}}",),
}
ALL_BUT = {
    "NumtaDB a": "[{folder: digits/cmaterdb, split: train}, {folder: digits/numtadb, sources: [numtadb-b, numtadb-c]}]",
    "NumtaDB c": "[{folder: digits/cmaterdb, split: train}, {folder: digits/numtadb, sources: [numtadb-a, numtadb-b]}]",
    "CMATERdb": "[{folder: digits/numtadb}]",
}
LEFT_OUT = {
    "NumtaDB a": ("digits/numtadb", "a"),
    "NumtaDB c": ("digits/numtadb", "c"),
    "CMATERdb": ("digits/cmaterdb", "test"),
}


def share(accuracy: Accuracy) -> str:
    return f"{accuracy.share:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%})"


def cmaterdb_test(artifact: Artifact) -> DigitScores:
    return evaluate_digits(artifact, data_root() / "digits" / "cmaterdb", "test")


def spoilt_cells(artifact: Artifact, count: int = 2000) -> DigitReadings:
    """What is read in cells whose CMATERdb test digits were crossed out, smeared, or are missing."""
    reader = DigitReader(artifact)
    inks = load_inks(
        [DigitSource(folder="digits/cmaterdb", split="test")], data_root(), artifact.spec.preprocessing
    ).inks
    augmenter = HandwritingAugmenter(HandwritingAugmentation())
    augmenter.seed(1)
    chosen = np.random.default_rng(1).integers(0, len(inks), (count, 2))
    return reader.read([augmenter.not_a_digit(inks[one], inks[other]) for one, other in chosen], "dark")


def trained(runs: Path, name: str, changes: Sequence[str]) -> Path:
    """The run of that name; trained, or gone on with, where it is not finished."""
    return train("digits", changes, None, runs / name)[0]


def shipped(runs: Path) -> Section:
    artifact = Artifact.open(SHIPPED)
    scores = cmaterdb_test(artifact)
    review, spoilt = scores.review, spoilt_cells(artifact)
    rows = [
        ("accuracy (forced choice among ten)", share(scores.accuracy)),
        ("wrong", f"{scores.accuracy.total - scores.accuracy.right} of {scores.accuracy.total}"),
        ("calibration error before temperature", f"{scores.ece_uncalibrated:.4f}"),
        ("calibration error after", f"{scores.ece:.4f}"),
        ("accepted without review", f"{1 - review.effort:.2%}"),
        ("right among the accepted", f"{review.accepted_accuracy:.2%}"),
        ("2,000 spoilt cells: called no digit", f"{spoilt.not_a_digit.mean():.2%}"),
        ("2,000 spoilt cells: kept from being accepted", f"{1 - spoilt.accepted.mean():.2%}"),
        ("size of the int8 file", f"{(SHIPPED / MODEL_FILE).stat().st_size / 1000:.0f} kB"),
    ]
    note = (
        "The shipped int8 model on CMATERdb 3.1.1 test, 993 images (seven copies of training images left out). "
        "Spoilt cells are test digits crossed out, scribbled over, wiped, doubled, or missing, drawn by program."
    )
    return Section.of("Shipped model", note, ("what", "value"), rows)


def networks(runs: Path) -> Section:
    rows, artifacts = [], []
    with tempfile.TemporaryDirectory() as place:
        for name, changes in NETWORKS.items():
            run = trained(runs, f"compared-{name}", [*changes, "data.limit=20000", "epochs=6"])
            _, network = load_run(run)
            plain = export_run(run, Path(place) / f"{name}-float32", int8=False).artifact
            small = export_run(run, Path(place) / f"{name}-int8", int8=True).artifact
            artifacts += [plain, small]
            size = (Path(place) / f"{name}-int8" / MODEL_FILE).stat().st_size
            rows.append([
                name,
                f"{cmaterdb_test(plain).accuracy.share:.2%}",
                f"{cmaterdb_test(small).accuracy.share:.2%}",
                f"{plain.spec.metrics['validation_accuracy']:.2%}",
                f"{small.spec.metrics['validation_accuracy']:.2%}",
                f"{zoo.parameters(network):,}",
                f"{zoo.multiply_adds(network, torch.zeros(1, 1, 32, 32)) / 1e6:.1f} M",
                f"{size / 1000:.0f} kB",
            ])  # fmt: skip
        latencies = iter(measure(artifacts).latencies)
    for row in rows:
        before, after = ([next(latencies).milliseconds for _ in range(2)] for _ in range(2))
        row += [f"{before[0]:.2f} / {after[0]:.2f} ms", f"{before[1]:.0f} / {after[1]:.0f} ms"]
    columns = (
        "network", "CMATERdb test, float", "int8", "validation, float", "int8", "parameters", "multiply-adds",
        "int8 file", "batch 1, float / int8", "batch 256, float / int8",
    )  # fmt: skip
    note = (
        "The shipped recipe (`training/recipes/digits.yaml`) at 6 epochs of 20,000 examples, the same in the same "
        "order for each; validation counts held-out digits as they are and as form cells. One thread, in turns."
    )
    return Section.of("Networks", note, columns, rows)


def sources(runs: Path) -> Section:
    rows, shares = [], []
    with tempfile.TemporaryDirectory() as place:
        for left_out, training in ALL_BUT.items():
            name = "without-" + left_out.lower().replace(" ", "-")
            run = trained(runs, name, [f"data.train={training}", "epochs=12"])
            artifact = export_run(run, Path(place) / name, int8=True).artifact
            folder, split = LEFT_OUT[left_out]
            parts = [evaluate_digits(artifact, data_root() / folder, split)]
            if left_out == "CMATERdb":
                parts.append(evaluate_digits(artifact, data_root() / folder, "train"))
            right, total = sum(p.accuracy.right for p in parts), sum(p.accuracy.total for p in parts)
            shares.append(right / total)
            rows.append((left_out, f"{total:,}", str(total - right), f"{right / total:.2%}"))
    rows.append(("mean", "", "", f"{sum(shares) / len(shares):.2%}"))
    note = (
        "Each source left out of training in turn, the int8 model read on all of it. The shipped recipe at 12 epochs; "
        "the shipped model itself is trained longer and on all sources."
    )
    return Section.of("Sources never trained on", note, ("left out", "images", "wrong", "accuracy"), rows)


def speed(runs: Path) -> Section:
    with tempfile.TemporaryDirectory() as place:
        plain = export_run(trained(runs, "digits", ()), Path(place) / "float32", int8=False).artifact
        latencies = measure([plain, Artifact.open(SHIPPED)]).latencies
        before, after = cmaterdb_test(plain).accuracy, cmaterdb_test(Artifact.open(SHIPPED)).accuracy
    rows = [
        (f"batch {f.batch}", f"{f.milliseconds:.3f} ms", f"{i.milliseconds:.3f} ms", f"{1 / i.ratio:.2f} x as fast")
        for f, i in zip(latencies[:2], latencies[2:], strict=True)
    ]
    rows.append(("CMATERdb test", f"{before.share:.2%}", f"{after.share:.2%}", f"{after.share - before.share:+.2%}"))
    note = "The shipped network in float32 and int8, ONNX Runtime, one thread, measured in turns in one run."
    return Section.of("int8 against float", note, ("", "float32", "int8", "int8 against float32"), rows)


def pages(runs: Path) -> Section:
    found = page_benchmark.run(data_root())
    rows = [
        ("photographed pages that registered", f"{found.pages - found.not_read} of {found.pages}"),
        ("of the others, not in problems.csv", str(found.unlisted)),
        ("pages silently wrong", str(found.silently_wrong)),
        ("cells accepted", f"{found.accepted:,} of {found.cells:,}"),
        ("right among the accepted cells", f"{found.right_share:.2%}"),
        ("right among the accepted digits", f"{found.accepted_digits_right:,} of {found.accepted_digits:,}"),
        ("cells sent to review", f"{found.review_share:.2%}"),
        ("of them crossed out in truth", f"{found.review_not_digits:,} of {found.review:,}"),
        ("crossed-out cells accepted as a digit", str(found.struck_accepted)),
        ("speed on scans, start-up included", f"{found.pages_per_second:.1f} pages/s"),
        (f"peak memory of a process, {page_benchmark.FEW} pages", f"{found.memory_few_mb:.0f} MB"),
        (f"peak memory of a process, {found.pages} pages", f"{found.memory_all_mb:.0f} MB"),
    ]
    note = (
        "200 synthetic pages of 100 cells filled with CMATERdb test digits, photographed as by a phone; speed on A4 "
        "JPEG scans at 200 dpi, two cores, everything written (tables, overlays, crops)."
    )
    return Section.of("Whole pages", note, ("what", "value"), rows)


SECTIONS: dict[str, Measure] = {
    "shipped": shipped,
    "speed": speed,
    "networks": networks,
    "sources": sources,
    "pages": pages,
}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the documents that show the numbers."""
    write_numbers(
        kept,
        NUMBERS,
        "# Numbers\n\nPrinted by `python -m benchmarks.digits`; in brackets: 95 % intervals (Wilson).",
        SHIPPED,
    )


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
