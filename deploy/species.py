"""From a trained species network to its artifact.

Everything is measured through the runtime: a draft of the artifact is written, and its namer looks at crops of held-out
fish. The temperature, the probability of being known and its threshold are fitted to what it answers.

No species is unknown to a model that was taught all there are. What unknown fish would look like is taken from the
known ones: for a held-out crop of species c the familiarity is computed once more without c, as if c had never been
learnt. This is how the probability of being known is calibrated; its threshold needs the known fish alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import nn

from data.calibration import fit_platt
from data.errors import ConfigurationError, InputError
from data.metrics import class_scores, confusion_matrix, expected_calibration_error, fit_temperature, softmax
from data.species import known_probabilities
from data.taxonomy import Taxonomy
from deploy.card import CardFacts, CardWords, model_card
from deploy.graph import write_graph
from deploy.networks import NetworkFiles, float_files, int8_files
from deploy.packing import Export, training_facts, write_artifact
from deploy.parity import SpeciesParity
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import CARD_FILE, MODEL_FILE, TAXONOMY_FILE, EngineName, species_graph
from deploy.runtime.species import SpeciesNamer, decode_species
from models import zoo
from models.species import Familiarity, FamiliarSpecies, SpeciesNetwork
from training.recipe import SpeciesRecipe, recipe_text
from training.tasks.species import SpeciesTask

REJECTED: Final = 0.05
"""Share of held-out known crops that the threshold calls unknown."""
CALIBRATION_INPUTS: Final = 300
_SCORING_BATCH: Final = 64
_LIMITS: Final = """\
- It knows the species listed below and no others. Most fish of other species are called unknown; those that look like
  one of its own are not. Check the names of a sample by hand before trusting them at a new site.
- Species of few training fish are named less surely than the numbers say: the held-out fish are few too.
- It names whatever is in the middle of a crop. What is no fish at all may get a name.
- Crops must show about as much of what is around the fish as those it learnt from; see `crop_margin` in spec.json."""


@dataclass(frozen=True)
class SpeciesDeployData:
    """What an export needs besides the network; inputs are (N, 3, height, width) float32, labels (N,) int64.

    `names` are the C species. `train` are crops learnt from; the familiarity and the int8 ranges are taken from
    them. `held` are crops of other fish.
    """

    names: tuple[str, ...]
    taxonomy: Taxonomy
    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    held: NDArray[np.float32]
    held_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Calibrated:
    """What was fitted on held-out crops, and what it gives there; see `SpeciesSpec`.

    `rejected` is the share of the known crops that is called unknown, `blind_rejected` the same of the crops whose
    own species was left out of the familiarity.
    """

    temperature: float
    known_scale: float
    known_shift: float
    threshold: float
    accuracy: float
    macro_recall: float
    ece_before: float
    ece_after: float
    rejected: float
    blind_rejected: float


def deploy_data(task: SpeciesTask, taxonomy: Taxonomy | None = None) -> SpeciesDeployData:
    """All crops of the task; the taxonomy is what the names alone tell, where none is given.

    Raises:
        InputError: The taxonomy lacks a species of the task.
    """
    taxa = taxonomy or Taxonomy.of_names(task.names)
    taxa.check(task.names)
    train, held = task.train, task.held
    inputs = task.inputs_of(train), task.inputs_of(held)
    return SpeciesDeployData(task.names, taxa.only(task.names), inputs[0], train.labels, inputs[1], held.labels)


def species_count(weights: Path) -> int:
    """How many species the weights of a run tell apart.

    Raises:
        InputError: The file is damaged, or no species network's.
    """
    try:
        with safe_open(weights, framework="numpy") as stream:
            return int(stream.get_slice("classifier.bias").get_shape()[0])
    except (OSError, SafetensorError) as error:
        raise InputError(weights, f"holds no species network ({error})", cure="train the run anew") from error


def export_species(
    network: nn.Module, recipe: SpeciesRecipe, data: SpeciesDeployData, to: Path, engine: EngineName, *, int8: bool
) -> Export:
    """Convert a species network, calibrate it, and write its artifact: float ONNX, with `int8` OpenVINO beside it.

    Raises:
        ConfigurationError: The network names no fish.
    """
    if not isinstance(network, SpeciesNetwork):
        raise ConfigurationError("network.name", f"{recipe.network.name!r} names no fish")
    if network.classifier.out_features != len(data.names):
        found = f"holds {len(data.names)} species, the run learnt {network.classifier.out_features}"
        raise InputError(recipe.data.folder, found, cure="train the run anew")
    familiarity, blind = measured_familiarity(network, data)
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        plain = Path(place) / MODEL_FILE
        whole = FamiliarSpecies(network, familiarity)
        write_graph(whole, species_graph(recipe.preprocessing, len(data.names)), plain)
        draft = _Draft(recipe, data, Path(place) / "draft")
        files = float_files(plain.read_bytes(), engine)
        answers = {"float32": draft.answers(files)}
        if int8:
            chosen = np.linspace(0, len(data.train) - 1, min(CALIBRATION_INPUTS, len(data.train))).round().astype(int)
            reference = _accuracy(answers["float32"][0], data.held_labels)
            files = int8_files(files, plain, data.train[chosen], draft.measure, reference)
            answers["int8"] = draft.answers(files)
    best = files.models[0].precision
    fitted = calibrate(*answers[best], blind, data.held_labels)
    parity = _parity(files, answers, data.held_labels) if int8 else None
    spec = _spec(recipe, data, files) | {
        "temperature": fitted.temperature,
        "known_scale": fitted.known_scale,
        "known_shift": fitted.known_shift,
        "unknown_threshold": fitted.threshold,
        "metrics": _metrics(fitted, data, zoo.parameters(network)),
    }
    card = model_card(_facts(spec, recipe, files, data, fitted, parity), _words(fitted, data))
    contents = {**files.contents, CARD_FILE: card.encode(), TAXONOMY_FILE: data.taxonomy.text().encode()}
    return Export(write_artifact(to, spec, contents), parity, _notes(spec, files))


@torch.no_grad()
def looked_at(network: SpeciesNetwork, inputs: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, F) features and (N, L) looks, float32, of network inputs, in evaluation."""
    network.eval()
    parts = [network.looks(part) for part in torch.from_numpy(inputs).split(_SCORING_BATCH)]
    return torch.cat([features for features, _ in parts]), torch.cat([looks for _, looks in parts])


@torch.no_grad()
def measured_familiarity(network: SpeciesNetwork, data: SpeciesDeployData) -> tuple[Familiarity, NDArray[np.float32]]:
    """The familiarity of a trained network, and what it is (M, 1) for held-out crops without their own species."""
    familiarity = Familiarity(looked_at(network, data.train)[1], torch.from_numpy(data.train_labels))
    (features, looks), labels = looked_at(network, data.held), torch.from_numpy(data.held_labels)
    logits = network.classifier(features)
    familiarity.settle(looks, logits)
    return familiarity, familiarity.without(looks, logits, labels).numpy()


@dataclass(frozen=True)
class _Draft:
    """Looks at held-out crops with networks that are not an artifact yet."""

    recipe: SpeciesRecipe
    data: SpeciesDeployData
    folder: Path

    def answers(self, files: NetworkFiles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (M, C) and familiarity (M, 1) that the first of the networks gives."""
        plain = {"temperature": 1.0, "known_scale": 1.0, "known_shift": 0.0, "unknown_threshold": 0.0, "metrics": {}}
        contents = {**files.contents, TAXONOMY_FILE: self.data.taxonomy.text().encode()}
        artifact = write_artifact(self.folder, _spec(self.recipe, self.data, files) | plain, contents)
        return answers(artifact, self.data.held)

    def measure(self, files: NetworkFiles) -> float:
        """Accuracy of the first of the networks."""
        return _accuracy(self.answers(files)[0], self.data.held_labels)


def answers(artifact: Artifact[Any], inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw logits (N, C) and familiarity (N, 1) of an artifact's network for inputs (N, 3, height, width)."""
    namer = SpeciesNamer(artifact)
    parts = [namer.raw(inputs[start : start + _SCORING_BATCH]) for start in range(0, len(inputs), _SCORING_BATCH)]
    return np.concatenate([logits for logits, _ in parts]), np.concatenate([familiar for _, familiar in parts])


def calibrate(
    logits: NDArray[np.float32],
    familiarity: NDArray[np.float32],
    blind: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Calibrated:
    """Fit temperature, probability of being known and threshold to held-out crops.

    Args:
        logits: (M, C).
        familiarity: (M, 1) with all species.
        blind: (M, 1) without the crop's own species.
        labels: (M,).
    """
    temperature = fit_temperature(logits, labels)
    is_known = np.repeat([True, False], len(labels))
    scale, shift = fit_platt(np.concatenate([familiarity, blind])[:, 0], is_known)
    known = known_probabilities(decode_species(logits, familiarity, temperature, scale, shift))
    unknown = known_probabilities(decode_species(logits, blind, temperature, scale, shift))
    threshold = float(np.quantile(known, REJECTED))
    read = logits.argmax(axis=1).astype(np.int64)
    right = read == labels
    recalls = class_scores(confusion_matrix(labels, read, logits.shape[1])).recall
    return Calibrated(
        temperature=temperature,
        known_scale=scale,
        known_shift=shift,
        threshold=threshold,
        accuracy=float(right.mean()),
        macro_recall=float(np.nanmean(recalls)),
        ece_before=expected_calibration_error(softmax(logits).max(axis=1), right),
        ece_after=expected_calibration_error(softmax(logits, temperature).max(axis=1), right),
        rejected=float((known < threshold).mean()),
        blind_rejected=float((unknown < threshold).mean()),
    )


def _accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def _spec(recipe: SpeciesRecipe, data: SpeciesDeployData, files: NetworkFiles) -> dict[str, Any]:
    training = training_facts(recipe, [recipe.data.folder]) | files.training_text()
    return {
        "task": "species",
        "name": f"{recipe.name}-{files.models[0].precision}",
        "network": recipe.network.name,
        "labels": data.names,
        "preprocessing": recipe.preprocessing,
        "crop_margin": recipe.crop_margin,
        "models": files.models,
        "training": training | {"split": recipe.data.split.model_dump()},
    }


def _parity(
    files: NetworkFiles,
    answered: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    labels: NDArray[np.int64],
) -> SpeciesParity:
    (plain, plain_familiar), (small, small_familiar) = answered["float32"], answered["int8"]
    sizes = {model.precision: files.size(model) for model in files.models}
    return SpeciesParity(
        crops=len(labels),
        agreement=float((plain.argmax(axis=1) == small.argmax(axis=1)).mean()),
        float_accuracy=_accuracy(plain, labels),
        int8_accuracy=_accuracy(small, labels),
        mean_probability_difference=float(np.abs(softmax(plain) - softmax(small)).mean()),
        mean_familiarity_difference=float(np.abs(plain_familiar - small_familiar).mean()),
        float_bytes=sizes["float32"],
        int8_bytes=sizes["int8"],
    )


def _metrics(fitted: Calibrated, data: SpeciesDeployData, parameters: int) -> dict[str, float]:
    return {
        "validation_crops": len(data.held_labels),
        "validation_accuracy": fitted.accuracy,
        "validation_macro_recall": fitted.macro_recall,
        "validation_ece_before": fitted.ece_before,
        "validation_ece_after": fitted.ece_after,
        "validation_known_rejected": fitted.rejected,
        "validation_own_species_left_out_rejected": fitted.blind_rejected,
        "parameters": parameters,
    }


def _notes(spec: dict[str, Any], files: NetworkFiles) -> tuple[str, ...]:
    first, metrics = files.models[0], spec["metrics"]
    told = (
        f"{first.precision} for {first.engine}, {len(spec['labels'])} species, "
        f"validation accuracy {metrics['validation_accuracy']:.2%}, "
        f"mean recall {metrics['validation_macro_recall']:.2%}"
    )
    return (told,) if files.method is None else (f"quantization: {files.method}", told)


def _facts(
    spec: dict[str, Any],
    recipe: SpeciesRecipe,
    files: NetworkFiles,
    data: SpeciesDeployData,
    fitted: Calibrated,
    parity: SpeciesParity | None,
) -> CardFacts:
    where = f"{len(data.held_labels):,} crops of held-out fish"
    rows = [
        ("accuracy, a forced choice", f"{fitted.accuracy:.2%}", where),
        ("mean recall of the species", f"{fitted.macro_recall:.2%}", where),
        ("known fish called unknown", f"{fitted.rejected:.2%}", where),
        ("called unknown where the own species is left out", f"{fitted.blind_rejected:.2%}", where),
    ]
    if parity is not None:
        rows += [
            ("accuracy of the float32 network", f"{parity.float_accuracy:.2%}", where),
            ("same answer as the float32 network", f"{parity.agreement:.2%}", where),
        ]
    return CardFacts(
        name=spec["name"],
        network=spec["network"],
        weights=files.sizes_text(),
        parameters=spec["metrics"]["parameters"],
        datasets=[recipe.data.folder],
        recipe=recipe.name,
        recipe_text=recipe_text(recipe),
        rows=rows,
        date=spec["training"]["date"],
    )


def _words(fitted: Calibrated, data: SpeciesDeployData) -> CardWords:
    species = ", ".join(taxon.scientific_name for taxon in data.taxonomy.taxa)
    return CardWords(
        summary=f"Names fish of {len(data.names)} species in crops of footage, or says that a fish is unknown.",
        table=(
            ("engines", "OpenVINO where it is installed and the artifact has a network for it, else ONNX Runtime"),
            ("input", "colour crops of any size, one fish in the middle of each"),
            ("answer", "a calibrated probability for each species, and one that it is none of them"),
            ("species", species),
        ),
        use="""\
Naming the fish of a survey whose names a person checks, on a sample or track by track. One name a track: the crops of a
track vote.""",
        licence="The model is for research where its dataset is.",
        validation="""\
Validation crops are of fish held out of training; they chose the epoch, the calibration and the threshold, so these
numbers lean towards the model. A test on other fish follows below where one was made.""",
        calibration=f"""\
Logits are divided by a temperature of {fitted.temperature:.3f}; expected calibration error (15 bins) of a forced
choice: {fitted.ece_before:.4f} before, {fitted.ece_after:.4f} after. Familiarity f adds the energy log(sum of
exp(logits)) and the mean cosine between how a crop looks in the middle of the network and the three nearest prototypes
of the species, each over its deviation on held-out crops; a fish is known with the probability
1 / (1 + exp(-({fitted.known_scale:.3f} f + {fitted.known_shift:.3f}))), fitted to crops with and without their own
species (Platt 1999). Below {fitted.threshold:.4f} it is called unknown: this rejects {fitted.rejected:.1%} of held-out
known crops.""",
        limits=_LIMITS,
        data="`FOLDER` holds crops in a folder a species, or parts train, val and test of such folders.",
    )
