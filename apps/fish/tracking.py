"""Which detections are one fish seen again: tracks through the samples of a deployment.

The tracker is ByteTrack (Zhang et al., ECCV 2022) of the `trackers` library, matching by the IoU of grown boxes (Yang
et al., WACV 2023), chosen by `benchmarks/tracking.py`.
All times are seconds of the deployment: sampling may be irregular, and where chapters are cut makes no difference.
Species play no part, so that a fish whose species flickers keeps one track.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.fish.records import Observations, TrackedObservations, in_order_of_sight
from data.boxes import ious

if TYPE_CHECKING:
    from trackers.core.base import BaseTracker

Share = Annotated[float, Field(ge=0, le=1)]

REFERENCE_RATE = 5.0
"""Samples a second at which the library's noise of motion holds as it is; other rates are scaled to it by time."""
_DOUBLE_OVERLAP = 0.7
"""IoU from which two boxes of different species are one fish."""
LIBRARY_RATE = 30.0
"""Frames a second in which the library counts its buffer."""
_SMALLEST_STEP = 1e-3


class TrackingSettings(BaseModel):
    """How detections become tracks; defaults from `benchmarks/tracking.py`.

    `buffer_seconds`: a fish not seen for longer is a new track. `start_score`: from this score a detection may start a
    track. `sure_score`: detections from this score are matched first, those below only to tracks that found none.
    `margin`: boxes are grown on each side by so much of their size before they are compared, since at few samples a
    second a small fish leaves its own box; `overlap`: IoU that the grown boxes need.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    buffer_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    start_score: Share = 0.3
    sure_score: Share = 0.3
    margin: Annotated[float, Field(ge=0, le=5)] = 1.5
    overlap: Share = 0.05


def track(observations: Observations, settings: TrackingSettings) -> TrackedObservations:
    """Follow fish through the samples of one deployment; the same observations give the same tracks.

    A gap in time longer than the buffer (damaged footage, a missing chapter) ends every track.

    Args:
        observations: Of all chapters, joined; also weak detections, which keep a track alive.
        settings: How detections become tracks.
    """
    from trackers import ByteTrackTracker
    from trackers.utils.iou import BIoU

    tracker = ByteTrackTracker(
        lost_track_buffer=round(settings.buffer_seconds * LIBRARY_RATE),
        frame_rate=REFERENCE_RATE,
        track_activation_threshold=settings.start_score,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=settings.overlap,
        high_conf_det_threshold=settings.sure_score,
        iou=BIoU(buffer_ratio=settings.margin),
    )
    return follow(observations, tracker, settings.buffer_seconds)


def follow(observations: Observations, tracker: BaseTracker, buffer_seconds: float) -> TrackedObservations:
    """Run any tracker of the `trackers` library over the samples, by their times; it is reset after long gaps."""
    tracks = np.zeros(len(observations), np.int64)
    candidates = np.flatnonzero(~doubles(observations))
    edges = np.searchsorted(observations.sample[candidates], np.arange(len(observations.samples) + 1))
    now, used = -np.inf, 0
    for position, seconds in enumerate(observations.samples.seconds):
        if seconds - now > buffer_seconds:
            tracker.reset()
            used = int(tracks.max(initial=0))
        now = max(float(seconds), now + _SMALLEST_STEP)
        rows = candidates[edges[position] : edges[position + 1]]
        tracks[rows] = _step(tracker, observations, rows, now, used)
    return TrackedObservations(observations, in_order_of_sight(tracks))


def _step(
    tracker: BaseTracker, observations: Observations, rows: NDArray[np.int64], now: float, used: int
) -> NDArray[np.int64]:
    """The tracks of one sample's observations, numbered from `used` + 1; 0 where there is none."""
    from supervision import Detections

    xyxy, scores = observations.xyxy[rows], observations.scores[rows]
    found = tracker.update(
        Detections(xyxy.astype(np.float64), confidence=scores, data={"row": np.arange(len(rows))}), timestamp=now
    )
    tracks = np.zeros(len(rows), np.int64)
    if len(found):
        numbers = np.asarray(found.tracker_id)
        tracks[found.data["row"]] = np.where(numbers >= 0, numbers + 1 + used, 0)
    return tracks


def doubles(observations: Observations) -> NDArray[np.bool_]:
    """(N,) bool: boxes that lie on a surer box of another species in the same sample, and so are the same fish."""
    doubled = np.zeros(len(observations), bool)
    edges = np.searchsorted(observations.sample, np.arange(len(observations.samples) + 1))
    labels, scores = observations.labels, observations.scores
    for start, stop in itertools.pairwise(edges):
        if stop - start < 2 or (labels[start:stop] == labels[start]).all():
            continue
        rows = start + np.lexsort((labels[start:stop], -scores[start:stop]))
        overlap = ious(observations.xyxy[rows], observations.xyxy[rows]) >= _DOUBLE_OVERLAP
        overlap &= labels[rows][:, None] != labels[rows][None]
        for place, row in enumerate(rows):
            if not doubled[row]:
                doubled[rows[place + 1 :][overlap[place, place + 1 :]]] = True
    return doubled
