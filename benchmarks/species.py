"""The species numbers of documents and model card, printed and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.species shipped classes speed
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.species unknown networks

The first line reads the shipped artifact alone. The second trains what is missing under --runs: models that were not
taught five species, which show what is made of unknown fish, and other backbones. Each section replaces its part of
`benchmarks/species.json`; `docs/species-numbers.md` and the shipped model's card are written from all of it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from apps.species_scores import SpeciesReport, evaluate_species, report_species
from benchmarks.sections import ROOT, Measure, Section, run, write_numbers
from data.metrics import Accuracy, wilson_interval
from data.readers.crops import read_crops
from deploy.bench import measure, open_on_engines
from deploy.export import export_run, load_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.species import SpeciesNamer
from models import zoo
from training.run import data_root, train

SHIPPED = ROOT / "models" / "weights" / "species-int8"
KEPT = ROOT / "benchmarks" / "species.json"
NUMBERS = ROOT / "docs" / "species-numbers.md"
FOLDER = "fish/f4k-species"
FOLDS = (
    "Chaetodon lunulatus, Abudefduf vaigiensis, Canthigaster valentini, Pempheris vanicolensis, "
    "Neoglyphidodon nigroris",
    "Chromis chrysura, Amphiprion clarkii, Myripristis kuntee, Zanclus cornutus, Balistapus undulatus",
    "Dascyllus reticulatus, Hemigymnus fasciatus, Pomacentrus moluccensis, Scolopsis bilineata, Siganus fuscescens",
)
"""Three draws of five of the 23 species, by NumPy's generator of seed 0."""
_MORE_HELD = "data.split={seed: 0, test_share: 0.25, validation_share: 0.2}"
"""The shipped model learns from more of the fish; what is compared on the part val wants more fish there."""
_AT_128 = "preprocessing={size_wh: [128, 128], mean: 114.0, std: 60.0}"
BACKBONES = {
    "crop-efficientnet-lite0": ("ImageNet", ()),
    "crop-yolox": (
        "COCO",
        (
            "start_from=../weights/yolox_nano_coco.onnx",
            "preprocessing={size_wh: [128, 128]}",
            "optimizer.learning_rate=0.001",
        ),
    ),
    "crop-mobilenetv3-small": ("nothing", ("start_from=null", _AT_128, "optimizer.learning_rate=0.001")),
    "crop-residual": ("nothing", ("start_from=null", _AT_128, "optimizer.learning_rate=0.001")),
}
"""What each starts from, and the changes to the shipped recipe that suit it."""
HEAD = """\
# Numbers: species

How well the shipped model names fish that it has never seen, and what is made of species that a model does not know.
Written by `benchmarks/species.py`, which says how to measure them again; [species.md](species.md) says what each number
means."""


def share(accuracy: Accuracy) -> str:
    return f"{accuracy.share:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%})"


def tested(artifact: Artifact) -> SpeciesReport:
    return evaluate_species(artifact, data_root() / FOLDER, "test")


def shipped(runs: Path) -> Section:
    opened = [open_on_engines(SHIPPED, name)[0] for name in ("openvino", "onnxruntime")]
    reports = {one.choice.precision: tested(one) for one in opened}
    small, plain = reports["int8"], reports["float32"]
    low, high = small.macro_interval
    rows = [
        ("accuracy, a forced choice", share(small.accuracy), share(plain.accuracy)),
        ("mean recall of the species", f"{small.macro:.2%} ({low:.2%} to {high:.2%})", f"{plain.macro:.2%}"),
        ("known crops called unknown", share(small.rejected), share(plain.rejected)),
        ("fish named right by vote, unknown being wrong", share(small.fish), share(plain.fish)),
        ("known fish called unknown by vote", share(small.fish_rejected), share(plain.fish_rejected)),
        ("calibration error of a forced choice", f"{small.ece:.4f}", f"{plain.ece:.4f}"),
    ]
    note = (
        f"The shipped model on the test part of Fish4Knowledge: {small.accuracy.total} crops of {small.fish.total} "
        "trajectories that no run saw. Network, recipe and threshold were not chosen by them; the kind of familiarity "
        "was compared on them too. Brackets are 95 % intervals. Aimed at: accuracy 97 %, mean recall 90 %, at most 5 % "
        "of known crops rejected."
    )
    return Section.of("Shipped model", note, ("what", "int8, OpenVINO", "float32, ONNX Runtime"), rows)


def classes(runs: Path) -> Section:
    report = tested(Artifact.open(SHIPPED))
    rows = []
    for label, name in enumerate(report.names):
        own = report.confusion[label]
        wrong = [o for o in np.argsort(-own, kind="stable") if o != label and own[o]][:2]
        right, total = int(own[label]), int(own.sum())
        recall = share(Accuracy(right, total, *wilson_interval(right, total))) if total else "none"
        named = ", ".join(f"{report.names[o]} {own[o]}" for o in wrong)
        rows.append((name, str(total), str(report.fish_of_class[label]), recall, named))
    note = "The int8 model on the same crops; several species have one test fish, whose crops are much alike."
    return Section.of("Species by species", note, ("species", "crops", "fish", "recall", "most often taken for"), rows)


def unknown(runs: Path) -> Section:
    rows = []
    for number, species in enumerate(FOLDS, 1):
        changes = ["epochs=10", _MORE_HELD, f"data.left_out=[{species}]"]
        folder = train("species", changes, None, runs / f"species-unknown-{number}")[0]
        with tempfile.TemporaryDirectory() as place:
            report = on_unknown(export_run(folder, Path(place) / "model", int8=False).artifact, species.split(", "))
        crops = report.unknown_crops
        fish = sum(one.fish.right for one in report.unknown), sum(one.fish.total for one in report.unknown)
        by_species = ", ".join(f"{one.name} {one.crops.share:.0%}" for one in report.unknown)
        vote = f"{fish[0] / fish[1]:.1%} of {fish[1]}"
        known = f"{report.rejected.share:.2%}"
        rows.append((by_species, share(crops), vote, known, f"{report.fish_rejected.share:.2%}"))
    columns = (
        "species never taught",
        "their crops called unknown",
        "their fish, by vote",
        "known test crops called unknown",
        "known test fish, by vote",
    )
    note = (
        "Models trained by the shipped recipe (ten epochs) without five species, all of whose crops are then asked "
        "for; float32. Known crops are of the test part. What familiarity looks at was chosen among others on the "
        "first of these models; the other two were looked at once, at the end. Aimed at: 80 % of the unknown rejected "
        "with at most 5 % of the known."
    )
    return Section.of("Unknown species", note, columns, rows)


def on_unknown(artifact: Artifact, left_out: list[str]) -> SpeciesReport:
    """Known crops of the test part with all crops of the species left out."""
    whole = read_crops(data_root() / FOLDER)
    test = set(read_crops(data_root() / FOLDER, "test").files.tolist())
    strange = np.isin(np.array(whole.names)[whole.labels], left_out)
    chosen = whole.select(strange | np.array([name in test for name in whole.files]))
    namer = SpeciesNamer(artifact)
    return report_species(chosen, namer.score([chosen.read(i) for i in range(len(chosen))]), namer, (), 0.0)


def networks(runs: Path) -> Section:
    rows = []
    for name, (start, own) in BACKBONES.items():
        changes = ["epochs=10", _MORE_HELD, f"network.name={name}", *own]
        folder, evaluation = train("species", changes, None, runs / f"species-{name}")
        told = evaluation.metrics
        _, network = load_run(folder)
        seconds = np.median([row["seconds"] for row in json.loads((folder / "metrics.json").read_text())["history"]])
        numbers = f"{told['accuracy']:.2%}", f"{told['macro_recall']:.2%}", f"{zoo.parameters(network):,}"
        rows.append((name, start, *numbers, f"{seconds:.0f} s"))
    note = (
        "Ten epochs on each backbone, on held-out trajectories of the part val: EfficientNet-Lite0 by the shipped "
        "recipe, the others at 128 pixels and a learning rate of 0.001. Where it says nothing, no published weights "
        "were at hand; a user may give their own (`start_from`)."
    )
    columns = ("network", "starts from", "accuracy", "mean recall", "parameters", "an epoch")
    return Section.of("Backbones", note, columns, rows)


def speed(runs: Path) -> Section:
    opened = [open_on_engines(SHIPPED, name)[0] for name in ("onnxruntime", "openvino")]
    rows = []
    for one in opened:
        timings = measure([opened[0], one]).latencies[2:]
        size = sum((SHIPPED / name).stat().st_size for name in (one.choice.file, one.choice.weights) if name)
        told = (f"{timed.milliseconds:.2f} ms ({timed.ratio:.2f})" for timed in timings)
        rows.append((f"{one.choice.precision}, {one.choice.engine}", *told, f"{size / 1000:,.0f} kB"))
    note = "The network alone on one thread, crops at once; in brackets the ratio to the float network timed beside it."
    return Section.of("Speed and size", note, ("network", "1 crop", "8 crops", "size of its files"), rows)


SECTIONS: dict[str, Measure] = {
    "shipped": shipped,
    "classes": classes,
    "unknown": unknown,
    "networks": networks,
    "speed": speed,
}


def publish(kept: Mapping[str, Section]) -> None:
    write_numbers(kept, NUMBERS, HEAD, SHIPPED)


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
