"""Which labels are likely wrong: by pictures that look alike, and by what a model says against them.

Labels of whole pictures are doubted by two witnesses that never saw the label in question: a linear classifier on the
embeddings that was taught without the picture and its group (out of fold, as in Northcutt, Jiang and Chuang: Confident
learning, JAIR 2021), and the labels of the pictures that look most alike. A third may join: the probabilities of a
model. Their probabilities are joined by the geometric mean; the doubt is what is left for other classes than the
label's own. It sorts labels well; it is no calibrated chance.

Boxes are compared with confident predictions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, ious
from data.curation.neighbours import Embeddings, Neighbours, directions, nearest
from data.detections import Detections
from data.errors import MissingDependencyError

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS: Final = 10
_FOLDS: Final = 5
_MANY_GROUPS: Final = 20
"""Fewer groups are sources rather than individuals: leaving one out would teach from another kind of picture."""
_STRENGTH: Final = 0.1
"""Inverse of the classifier's L2 penalty, on features of deviation about 1."""
_UNSEEN: Final = 0.05
"""Votes that every class is given for nothing."""
_LEAST: Final = 1e-4

BoxFault = Literal["", "missed", "spurious", "badly placed", "wrong class"]
_SAME_PLACE: Final = 0.5
_SAME_THING: Final = 0.1


@dataclass(frozen=True)
class Doubts:
    """How far N labels are doubted.

    Attributes:
        doubt: (N,) float64, 0 to 1; NaN for a picture without label or embedding.
        suggested: (N,) int64, the likeliest other class; -1 where the doubt is NaN.
    """

    doubt: NDArray[np.float64]
    suggested: Labels


def doubt_labels(
    labels: Labels,
    embeddings: Embeddings,
    groups: NDArray[np.str_] | None = None,
    probabilities: Probabilities | None = None,
    neighbours: Neighbours | None = None,
) -> Doubts:
    """Doubt the labels of whole pictures.

    Args:
        labels: (N,) class of each picture, from 0; -1 where it has none.
        embeddings: (N, D), by any network; one that learnt from wrong labels has partly learnt them by heart and doubts
            them less.
        groups: (N,) what must be left out together: pictures of one fish, one clip, one writer. "" is nobody's.
        probabilities: (N, C) of a model, its classes counted as the labels are; rows that are not finite are left out.
        neighbours: `nearest` of the embeddings, with `NEIGHBOURS` or more, where they are at hand.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        ValueError: Lengths differ, or there are fewer probabilities than classes.
    """
    if {len(labels)} != {len(one) for one in (embeddings, groups, probabilities, labels) if one is not None}:
        raise ValueError("labels, embeddings, groups and probabilities differ in length")
    doubts = Doubts(np.full(len(labels), np.nan), np.full(len(labels), -1, np.int64))
    sound = np.flatnonzero((labels >= 0) & np.isfinite(embeddings).all(axis=1))
    if not len(sound) or len(np.unique(labels[sound])) < 2:
        doubts.doubt[sound] = 0.0
        doubts.suggested[sound] = labels[sound]
        return doubts
    classes = int(labels.max()) + 1
    near = (neighbours or nearest(embeddings, NEIGHBOURS)).indices[:, :NEIGHBOURS]
    votes = _votes(labels, near[sound], classes)
    held_together = np.arange(len(sound)).astype(np.str_) if groups is None else _own(groups[sound])
    witnesses = [votes, _out_of_fold(labels[sound], embeddings[sound], held_together, votes)]
    if probabilities is not None:
        if probabilities.shape[1] < classes:
            raise ValueError(f"probabilities of {probabilities.shape[1]} classes for labels of {classes}")
        witnesses.append(_normal(np.nan_to_num(probabilities[sound, :classes], nan=1.0)))
    chances = _normal(np.exp(np.mean([np.log(np.maximum(witness, _LEAST)) for witness in witnesses], axis=0)))
    own = np.arange(len(sound)), labels[sound]
    doubts.doubt[sound] = 1 - chances[own]
    chances[own] = -1
    doubts.suggested[sound] = chances.argmax(axis=1)
    return doubts


def _own(groups: NDArray[np.str_]) -> NDArray[np.str_]:
    """Groups in which a picture that belongs to nobody is a group of its own."""
    return np.array([group or f"\0{number}" for number, group in enumerate(groups.tolist())], np.str_)


def _normal(chances: Probabilities) -> Probabilities:
    return np.asarray(chances / np.maximum(chances.sum(axis=1, keepdims=True), 1e-12), np.float64)


def _votes(labels: Labels, near: NDArray[np.int64], classes: int) -> Probabilities:
    """(N, C) shares of the classes among the neighbours (N, k) that have a label."""
    counts = np.full((len(near), classes), _UNSEEN)
    for column in near.T:
        says = np.flatnonzero((column >= 0) & (labels[column] >= 0))
        counts[says, labels[column[says]]] += 1
    return _normal(counts)


def _out_of_fold(
    labels: Labels, embeddings: Embeddings, groups: NDArray[np.str_], otherwise: Probabilities
) -> Probabilities:
    """(N, C) by a linear classifier taught on the other folds; `otherwise` of classes that these lack."""
    linear_model = _scikit("linear_model")
    units = directions(embeddings)
    units *= np.sqrt(units.shape[1])
    chances = otherwise.copy()
    for taught, asked in _folds(labels, groups):
        classes = np.unique(labels[taught])
        if len(classes) < 2:
            continue
        model = linear_model.LogisticRegression(C=_STRENGTH, max_iter=100, tol=1e-3)
        with warnings.catch_warnings():
            # A classifier that is nearly done serves as well.
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            model.fit(units[taught], labels[taught])
        said = model.predict_proba(units[asked])
        chances[np.ix_(asked, classes)] = said * otherwise[np.ix_(asked, classes)].sum(axis=1, keepdims=True)
    return _normal(chances)


def _folds(labels: Labels, groups: NDArray[np.str_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Indices to teach and indices to ask; whole groups where there are many, else every class shared out alike."""
    split = _scikit("model_selection")
    count = min(_FOLDS, len(labels))
    if len(np.unique(groups)) >= _MANY_GROUPS:
        yield from split.GroupKFold(count, shuffle=True, random_state=0).split(labels, groups=groups)
        return
    with warnings.catch_warnings():
        # Classes with fewer pictures than folds are `otherwise` spoken for.
        warnings.filterwarnings("ignore", message="The least populated class")
        if np.bincount(labels).max() >= count:
            yield from split.StratifiedKFold(count, shuffle=True, random_state=0).split(labels, labels)


def _scikit(module: str) -> ModuleType:
    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        found, cure = "the package is not installed", "install the extra: uv sync --extra curate"
        raise MissingDependencyError("scikit-learn", found, cure=cure) from error


@dataclass(frozen=True)
class BoxDoubts:
    """What confident predictions say against the boxes of one picture.

    Attributes:
        doubt: (T,) float64 of the boxes that are there, 0 to 1.
        faults: (T,) why: "" where nothing speaks against a box.
        suggested: (T,) int64, index of the prediction that should rather be there; -1 where there is none.
        missed: (M,) int64, predictions that no box is there for, the surest first; their score is the doubt.
    """

    doubt: NDArray[np.float64]
    faults: tuple[BoxFault, ...]
    suggested: NDArray[np.int64]
    missed: NDArray[np.int64]


def doubt_boxes(xyxy: Boxes, labels: Labels, found: Detections, least_score: float = 0.5) -> BoxDoubts:
    """Compare the boxes of a picture with what a model found.

    Each box is held against the prediction that overlaps it most and is no other box's own. One of the same class in
    the same place, however unsure, speaks for it. One of another class there says "wrong class"; one that overlaps it
    without being in the same place says "badly placed"; either with its score as the doubt. A box that no sure
    prediction touches is "spurious", as far as no unsure one does.

    Args:
        xyxy: (T, 4) in pixels.
        labels: (T,) classes of the boxes, counted as those of the predictions.
        found: All predictions, unsure ones too: they speak for a box.
        least_score: A prediction needs it to speak against the labels.
    """
    overlaps = ious(xyxy, found.xyxy) if len(xyxy) and len(found) else np.zeros((len(xyxy), len(found)), np.float32)
    told = [_doubt_box(row, int(labels[row]), overlaps, found, least_score) for row in range(len(xyxy))]
    touched = overlaps.max(axis=0, initial=0.0) >= _SAME_THING
    missed = np.flatnonzero((found.scores >= least_score) & ~touched)
    return BoxDoubts(
        np.array([doubt for doubt, _, _ in told], np.float64),
        tuple(fault for _, fault, _ in told),
        np.array([suggested for _, _, suggested in told], np.int64),
        missed[np.argsort(-found.scores[missed], kind="stable")].astype(np.int64),
    )


def _doubt_box(
    row: int, label: int, overlaps: NDArray[np.float32], found: Detections, least_score: float
) -> tuple[float, BoxFault, int]:
    """Doubt, fault and suggested prediction of one box, given the overlaps (T, P) of all."""
    own = overlaps[row]
    alike = (own >= _SAME_PLACE) & (found.labels == label)
    support = float(found.scores[alike].max(initial=0.0))
    of_another = (overlaps >= _SAME_PLACE).any(axis=0) & (overlaps.argmax(axis=0) != row)
    touching = (own >= _SAME_THING) & ~of_another
    against = np.flatnonzero(touching & (found.scores >= least_score))
    if not len(against):
        return (0.0, "", -1) if support else (1.0 - float(found.scores[touching].max(initial=0.0)), "spurious", -1)
    best = int(against[own[against].argmax()])
    score = float(found.scores[best])
    if found.labels[best] != label and own[best] >= _SAME_PLACE and score > support:
        return score - support, "wrong class", best
    return (score, "badly placed", best) if not support and own[best] < _SAME_PLACE else (0.0, "", -1)
