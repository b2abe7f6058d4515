"""Frames of surveyed footage in FiftyOne: what was counted in each, to be corrected, and all that the detector said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from apps.curate.database import connect
from apps.curate.fields import (
    DEPLOYMENT,
    ITEM,
    MAXN_FRAME,
    MODELS,
    SECONDS,
    SITE,
    SPECIES,
    TRUTH,
    UNSURE_FRAME,
    VIDEO,
    VIDEO_FRAME,
    WHY,
    prediction_field,
)
from apps.curate.samples import add_label_field, dataset_of, labels_document
from apps.curate.sources.stills import Still, labels_of
from apps.curate.sources.survey_files import Surveyed
from apps.curate.sources.writing import whole_datasets, write_fields
from data.curation.collection import Collection, Label, Picture
from data.provenance import Kind
from data.readers.detectionset import FISH

if TYPE_CHECKING:
    import fiftyone as fo

MAXN_VIEW: Final = "MaxN frames"
UNSURE_VIEW: Final = "unsure frames"
_TEXTS: Final = (DEPLOYMENT, SITE, VIDEO)


@dataclass(frozen=True)
class Framed:
    """A frame as a picture, with what was counted in it.

    Attributes:
        picture: The picture; its labels are what was counted.
        counted: The names that the fish of these labels were given, None where fish were not named.
        field: The field for what the detector said.
        predicted: All that the detector said, also what is too weak to count.
        named: The names of those.
        origin: Which frame of which video it is and why it is shown, by field.
        outlined: Whether fish of its deployment were outlined.
        model: What is noted of the detector.
    """

    picture: Picture
    counted: tuple[str | None, ...]
    field: str
    predicted: tuple[Label, ...]
    named: tuple[str | None, ...]
    origin: dict[str, Any]
    outlined: bool
    model: dict[str, Any]


def framed(surveyed: Surveyed, still: Still) -> Framed:
    """A frame with what was counted in it, and all that the detector said."""
    sample, chapter = still.chosen.sample, surveyed.about.chapters[still.chapter]
    labels, rows, _ = labels_of(surveyed, sample, 0.0, as_fish=surveyed.named)
    origin = {
        DEPLOYMENT: surveyed.opcode,
        SITE: surveyed.about.site,
        VIDEO: chapter.label,
        VIDEO_FRAME: int(surveyed.seen.frame[sample]),
        SECONDS: chapter.start + float(surveyed.seen.file_seconds[sample]),
        WHY: list(still.chosen.why),
    }
    return Framed(
        still.picture,
        _names(surveyed, still.rows),
        prediction_field(surveyed.about.detector),
        tuple(labels),
        _names(surveyed, rows),
        origin,
        bool(surveyed.outlined),
        _model(surveyed),
    )


def _model(surveyed: Surveyed) -> dict[str, Any]:
    """What evaluations must know of the detector: its classes, and the score that it counts from."""
    about = surveyed.about
    return {
        "artifact": about.model.identity if about.model else "",
        "name": about.detector,
        "task": "segmentation" if surveyed.outlined else "detection",
        "classes": [FISH] if surveyed.named else list(surveyed.seen.names),
        "threshold": about.settings.threshold,
    }


def frame_dataset(frames: Sequence[Framed], name: str) -> fo.Dataset:
    """Put frames into FiftyOne as a persistent dataset of pictures with boxes, or with outlines where there are some.

    Raises:
        ArgumentError: There is a dataset of that name.
    """
    kind: Kind = "segmentation" if any(one.outlined for one in frames) else "detection"
    names = dict.fromkeys(label.name for one in frames for label in (*one.picture.labels, *one.predicted))
    collection = Collection(name, kind, tuple(names) or (FISH,), tuple(one.picture for one in frames))
    dataset = dataset_of(collection, name)
    with whole_datasets([dataset]):
        _complete(dataset, frames, kind)
    return dataset


def _complete(dataset: fo.Dataset, frames: Sequence[Framed], kind: Kind) -> None:
    fiftyone = connect()
    for field in dict.fromkeys([TRUTH, *(one.field for one in frames)]):
        add_label_field(dataset, kind, field)
        dataset.add_sample_field(f"{field}.detections.{SPECIES}", fiftyone.StringField)
    for key in _TEXTS:
        dataset.add_sample_field(key, fiftyone.StringField)
    dataset.add_sample_field(VIDEO_FRAME, fiftyone.IntField)
    dataset.add_sample_field(SECONDS, fiftyone.FloatField)
    dataset.add_sample_field(WHY, fiftyone.ListField, subfield=fiftyone.StringField)
    dataset.info[MODELS] = {one.field: one.model for one in frames}
    dataset.save()
    write_fields(dataset, {one.picture.id: _fields(one, kind) for one in frames})
    for view, why in ((MAXN_VIEW, MAXN_FRAME), (UNSURE_VIEW, UNSURE_FRAME)):
        chosen = [one.picture.id for one in frames if any(reason.startswith(why) for reason in one.origin[WHY])]
        dataset.save_view(view, dataset.match(fiftyone.ViewField(ITEM).is_in(chosen)))


def _names(surveyed: Surveyed, rows: Sequence[int]) -> tuple[str | None, ...]:
    seen = surveyed.seen
    return tuple(seen.names[seen.labels[row]] if surveyed.named else None for row in rows)


def _fields(one: Framed, kind: Kind) -> dict[str, Any]:
    counted = _document(one.picture.labels, one.counted, kind, one.picture.size_wh)
    predicted = _document(one.predicted, one.named, kind, one.picture.size_wh)
    return {TRUTH: counted, one.field: predicted, **one.origin}


def _document(
    labels: Sequence[Label], names: Sequence[str | None], kind: Kind, size_wh: tuple[int, int]
) -> dict[str, Any]:
    said = labels_document(labels, kind, size_wh) or {}
    for document, name in zip(said["detections"], names, strict=True):
        if name is not None:
            document[SPECIES] = name
    return said
