"""COCO's evaluation of boxes or masks, kept in FiftyOne as its own `evaluate_detections` keeps it.

FiftyOne compares objects one by one in Python and saves every sample by itself, half a second and more where a picture
has a hundred boxes. Here our own comparison gives the same numbers (a test holds that), and they are written at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.curate.fields import TRUTH
from apps.curate.scoring import Faced
from data.detection_metrics import OVERLAPS, precision_curves
from data.matching import MOST_DETECTIONS, RIGHT_FROM, match

if TYPE_CHECKING:
    import fiftyone as fo

Ids = Sequence[Sequence[str]]
"""The ids of each sample's labels."""
Match = tuple[str | None, str | None, float | None, float | None, str | None, str | None]
"""FiftyOne's: true and found class, overlap, confidence, ids of both; None for what has no partner."""


@dataclass
class _Marks:
    """What is written on the labels of one field: for each sample a value for each label, None where it has none."""

    ids: Ids
    verdicts: list[list[str | None]] = field(init=False)
    partners: list[list[str | None]] = field(init=False)
    overlaps: list[list[float | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = [[None] * len(one) for one in self.ids]
        self.partners = [[None] * len(one) for one in self.ids]
        self.overlaps = [[None] * len(one) for one in self.ids]

    def set(self, sample: int, label: int, verdict: str, partner: str = "", overlap: float | None = None) -> None:
        self.verdicts[sample][label] = verdict
        self.partners[sample][label] = partner
        self.overlaps[sample][label] = overlap

    def write(self, samples: fo.DatasetView, path: str, key: str) -> None:
        for name, values in ((key, self.verdicts), (f"{key}_id", self.partners), (f"{key}_iou", self.overlaps)):
            samples.set_values(f"{path}.detections.{name}", values, validate=False, progress=False)


def keep_run(
    samples: fo.DatasetView, said: str, faced: Faced, ids: tuple[Ids, Ids], key: str, least: float | None = None
) -> Any:
    """Keep an evaluation under a key; an earlier one of that key is replaced.

    Args:
        samples: N samples, as they were faced.
        said: The field of what was found.
        faced: What is compared.
        ids: Of the samples' labels in `TRUTH` and in `said`.
        key: Of the evaluation.
        least: Only what was found with this confidence or more is compared, at one overlap. None compares all, and
            computes COCO's mean average precision.

    Returns:
        FiftyOne's results.
    """
    from fiftyone.utils.eval.coco import COCODetectionResults, COCOEvaluationConfig
    from fiftyone.utils.eval.detection import DetectionResults

    settings = {
        "iou": RIGHT_FROM,
        "classwise": True,
        "use_masks": faced.masks is not None,
        "max_preds": MOST_DETECTIONS,
    }
    config = COCOEvaluationConfig(said, TRUTH, compute_mAP=least is None, **settings)
    method = config.build()
    _forget(samples, key)
    method.register_run(samples, key)
    method.register_samples(samples, key)
    matches = _marked(samples, said, faced, ids, key, least)
    names = list(faced.right.names)
    if least is None:
        curves = precision_curves(faced.right, faced.found, faced.masks)
        results = COCODetectionResults(
            samples,
            config,
            key,
            matches,
            curves.precision,
            np.linspace(0, 1, curves.precision.shape[-1]),
            list(OVERLAPS),
            names,
            recall_sweep=curves.recall,
            thresholds=curves.scores,
            backend=method,
        )
    else:
        results = DetectionResults(samples, config, key, matches, classes=names, backend=method)
    method.save_run_results(samples, key, results)
    method.add_fields_to_sidebar_group(samples, key, omit_fields=(said, TRUTH))
    return results


def _marked(
    samples: fo.DatasetView, said: str, faced: Faced, ids: tuple[Ids, Ids], key: str, least: float | None
) -> list[Match]:
    """Write on every label whether it is right, and on every sample how many are; the matches."""
    found, masks, rows = faced.found, faced.masks, faced.found_labels
    if least is not None:
        kept = [np.flatnonzero(one.scores >= least) for one in found]
        found = [one.select(chosen) for one, chosen in zip(found, kept, strict=True)]
        rows = [[row[i] for i in chosen] for row, chosen in zip(rows, kept, strict=True)]
        masks = None if masks is None else [tuple(own[i] for i in c) for own, c in zip(masks, kept, strict=True)]
    marks = _Marks(ids[0]), _Marks(ids[1])
    matches: list[Match] = []
    counts = np.zeros((3, len(found)), np.int64)
    names = faced.right.names
    for sample, matched in enumerate(match(faced.right, found, RIGHT_FROM, masks)):
        taken = dict(zip(matched.chosen.tolist(), zip(matched.boxes, matched.overlaps, strict=True), strict=True))
        missed = set(range(len(faced.right_labels[sample])))
        for number, label in enumerate(rows[sample]):
            box, overlap = taken.get(number, (-1, 0.0))
            name, sure = names[found[sample].labels[number]], float(found[sample].scores[number])
            own = ids[1][sample][label]
            if box < 0:
                marks[1].set(sample, label, "fp")
                matches.append((None, name, None, sure, None, own))
                continue
            missed.discard(int(box))
            place = faced.right_labels[sample][box]
            other = ids[0][sample][place]
            marks[0].set(sample, place, "tp", own, float(overlap))
            marks[1].set(sample, label, "tp", other, float(overlap))
            matches.append((name, name, float(overlap), sure, other, own))
        for box in sorted(missed):
            place = faced.right_labels[sample][box]
            marks[0].set(sample, place, "fn")
            matches.append((names[faced.right.labels[sample][box]], None, None, None, ids[0][sample][place], None))
        right = len(faced.right_labels[sample]) - len(missed)
        counts[:, sample] = right, len(rows[sample]) - right, len(missed)
    marks[0].write(samples, TRUTH, key)
    marks[1].write(samples, said, key)
    _write_counts(samples, key, counts)
    return matches


def _write_counts(samples: fo.DatasetView, key: str, counts: NDArray[np.int64]) -> None:
    for name, values in zip(("tp", "fp", "fn"), counts.tolist(), strict=True):
        samples.set_values(f"{key}_{name}", values, progress=False)


def _forget(samples: fo.DatasetView, key: str) -> None:
    dataset = samples._root_dataset
    if key in dataset.list_evaluations():
        dataset.delete_evaluation(key)
