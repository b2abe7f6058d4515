"""Chapter files of a survey as videos in FiftyOne, with what was seen in each frame that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from apps.curate.database import connect
from apps.curate.fields import (
    BY_KIND,
    BY_NAME,
    BY_WHEN,
    COMPLETE,
    COUNTS,
    DEPLOYMENT,
    GROUP,
    INFO,
    ITEM,
    MAXN,
    SECONDS,
    SITE,
    TRACK,
    VIDEO,
    VIDEO_FRAME,
    WINDOW,
)
from apps.curate.samples import labels_document
from apps.curate.sources.footage import mime_type
from apps.curate.sources.stills import labels_of
from apps.curate.sources.survey_files import Chapter, Surveyed
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

LOCATION: Final = "location"
MAXN_VIEW: Final = "videos with a MaxN"
_BATCH: Final = 1_000
"""Frames that are sent to the database at once."""
_AROUND: Final = 1.0
"""Seconds before and after a MaxN that are marked in the timeline."""
_USUAL_RATE: Final = 25.0


def video_dataset(name: str) -> fo.Dataset:
    """An empty, persistent dataset of videos."""
    fiftyone = connect()
    dataset = fiftyone.Dataset(name, persistent=True)
    dataset.media_type = "video"
    dataset.info[INFO] = {"kind": "survey"}
    for key in (ITEM, GROUP, DEPLOYMENT, SITE, VIDEO):
        dataset.add_sample_field(key, fiftyone.StringField)
    dataset.add_sample_field(SECONDS, fiftyone.FloatField)
    dataset.add_sample_field(COMPLETE, fiftyone.BooleanField)
    for key, kind in (
        (LOCATION, fiftyone.GeoLocation),
        (COUNTS, fiftyone.Classifications),
        (MAXN, fiftyone.TemporalDetections),
    ):
        dataset.add_sample_field(key, fiftyone.EmbeddedDocumentField, embedded_doc_type=kind)
    dataset.add_sample_field(f"{COUNTS}.classifications.count", fiftyone.IntField)
    dataset.add_sample_field(f"{COUNTS}.classifications.{SECONDS}", fiftyone.FloatField)
    dataset.add_frame_field(VIDEO_FRAME, fiftyone.IntField)
    dataset.create_index(ITEM)
    dataset.save()
    return dataset


def add_video(dataset: fo.Dataset, surveyed: Surveyed, number: int, path: Path, field: str) -> list[Problem]:
    """Add a chapter to a dataset of videos.

    Args:
        dataset: Made by `video_dataset`.
        surveyed: The deployment.
        number: Position of the chapter in it.
        path: The video that is shown.
        field: Of the frames, for what the detector said.

    Returns:
        Outlines that are none.
    """
    _declare(dataset, field)
    chapter = surveyed.about.chapters[number]
    rate = chapter.account.average_rate if chapter.account and chapter.account.average_rate else _USUAL_RATE
    numbers = frame_numbers(surveyed.seen.file_seconds[surveyed.seen.chapter == number].tolist(), rate)
    count = max(chapter.account.expected if chapter.account else 0, numbers[-1] if numbers else 0)
    sample = _sample(surveyed, number, path)
    sample["metadata"] = _metadata(chapter, path, rate, count)
    sample[MAXN] = connect().TemporalDetections(detections=_sightings(surveyed, number, rate, count))
    dataset.add_sample(sample)
    return _add_frames(dataset, sample, surveyed, number, field, numbers)


def end_videos(dataset: fo.Dataset) -> None:
    """Save the views of a dataset of videos, once all are added."""
    dataset.reload()
    dataset.save_view(MAXN_VIEW, dataset.exists(f"{MAXN}.detections.label"))


def frame_numbers(file_seconds: Sequence[float], rate: float) -> list[int]:
    """The numbers, from 1, under which a player at a fixed rate shows frames at these rising times; all differ."""
    numbers: list[int] = []
    for seconds in file_seconds:
        least = numbers[-1] + 1 if numbers else 1
        numbers.append(max(least, round(seconds * rate) + 1))
    return numbers


def _declare(dataset: fo.Dataset, field: str) -> None:
    """Declare the frames' field of predictions."""
    fiftyone = connect()
    if dataset.has_frame_field(field):
        return
    dataset.add_frame_field(field, fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Detections)
    for key in (BY_KIND, BY_NAME, BY_WHEN):
        dataset.add_frame_field(f"{field}.detections.{key}", fiftyone.StringField)
    dataset.add_frame_field(f"{field}.detections.{TRACK}", fiftyone.IntField)
    dataset.add_frame_field(f"{field}.detections.{WINDOW}", fiftyone.ListField, subfield=fiftyone.FloatField)


def _sample(surveyed: Surveyed, number: int, path: Path) -> fo.Sample:
    fiftyone = connect()
    about, chapter = surveyed.about, surveyed.about.chapters[number]
    sample = fiftyone.Sample(str(path.absolute()))
    sample[ITEM] = f"{about.opcode}/{chapter.label}"
    sample[GROUP] = about.site or about.opcode
    sample[DEPLOYMENT], sample[SITE], sample[VIDEO] = about.opcode, about.site, chapter.label
    sample[SECONDS], sample[COMPLETE] = chapter.start, about.complete
    place = about.metadata
    if place and place.latitude is not None and place.longitude is not None:
        sample[LOCATION] = fiftyone.GeoLocation(point=[place.longitude, place.latitude])
    counts = [
        fiftyone.Classification(label=one.species, count=one.count, **{SECONDS: one.seconds})
        for one in surveyed.maxn
        if one.count
    ]
    sample[COUNTS] = fiftyone.Classifications(classifications=counts)
    return sample


def _metadata(chapter: Chapter, path: Path, rate: float, count: int) -> fo.VideoMetadata:
    return connect().VideoMetadata(
        size_bytes=path.stat().st_size,
        mime_type=mime_type(path),
        frame_width=chapter.size_wh[0],
        frame_height=chapter.size_wh[1],
        frame_rate=rate,
        total_frame_count=count,
        duration=chapter.account.duration if chapter.account else count / rate,
        encoding_str=chapter.account.codec if chapter.account else None,
    )


def _sightings(surveyed: Surveyed, number: int, rate: float, count: int) -> list[Any]:
    """When each species' MaxN is, where it is in this chapter."""
    seen, found = surveyed.seen, []
    for one in surveyed.maxn:
        if one.chapter != number or not one.count:
            continue
        here = (seen.chapter == number) & (seen.frame == one.frame)
        at = float(seen.file_seconds[here][0]) if here.any() else one.frame / rate
        first, last = round((at - _AROUND) * rate) + 1, round((at + _AROUND) * rate) + 1
        support = [max(1, first), max(1, min(count, last))]
        found.append(connect().TemporalDetection(label=f"{one.species}: {one.count}", support=support))
    return found


def _add_frames(
    dataset: fo.Dataset, sample: fo.Sample, surveyed: Surveyed, number: int, field: str, numbers: Sequence[int]
) -> list[Problem]:
    """Write what was seen in the frames of a video; the documents are those that FiftyOne writes."""
    from bson import ObjectId

    problems = []
    positions = (surveyed.seen.chapter == number).nonzero()[0].tolist()
    common = {"_sample_id": ObjectId(sample.id), "_dataset_id": dataset._doc.id}
    for start in range(0, len(positions), _BATCH):
        documents, made = [], datetime.now(UTC)
        for at in range(start, min(start + _BATCH, len(positions))):
            said, faults = _seen_in(surveyed, positions[at], surveyed.about.chapters[number].size_wh)
            problems += faults
            place = {"frame_number": numbers[at], VIDEO_FRAME: int(surveyed.seen.frame[positions[at]])}
            documents.append({**common, **place, field: said, "created_at": made, "last_modified_at": made})
        dataset._frame_collection.insert_many(documents)
    return problems


def _seen_in(surveyed: Surveyed, sample: int, size_wh: tuple[int, int]) -> tuple[dict[str, Any], list[Problem]]:
    """What was seen in one frame; FiftyOne follows an object by its index."""
    labels, _, problems = labels_of(surveyed, sample, 0.0, as_fish=False)
    said = labels_document(labels, "detection", size_wh) or {}
    for document in said["detections"]:
        if TRACK in document:
            document["index"] = document[TRACK]
    return said, problems
