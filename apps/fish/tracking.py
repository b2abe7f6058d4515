"""Which detections are one fish seen again: tracks through the samples of a deployment.

The tracker is OC-SORT (Cao et al., CVPR 2023) of the `trackers` library, matching by the IoU of grown boxes (Yang et
al., WACV 2023), chosen by `benchmarks/tracking.py`.
All times are seconds of the deployment: sampling may be irregular, and where chapters are cut makes no difference.
Species play no part, so that a fish whose species flickers keeps one track.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

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

    `buffer_seconds`: a fish not seen for longer is a new track. `least_score`: detections below it are in no track.
    `margin`: boxes are grown on each side by so much of their size before they are compared, since at few samples a
    second a small fish leaves its own box; `overlap`: IoU that the grown boxes need. `direction`: how much it counts,
    beside that IoU, that a fish goes on in the direction in which it went.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    buffer_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    least_score: Share = 0.3
    margin: Annotated[float, Field(ge=0, le=5)] = 1.5
    overlap: Share = 0.1
    direction: Share = 0.1


def track(observations: Observations, settings: TrackingSettings) -> TrackedObservations:
    """Follow fish through the samples of one deployment; the same observations give the same tracks.

    A gap in time longer than the buffer (damaged footage, a missing chapter) ends every track.

    Args:
        observations: Of all chapters, joined.
        settings: How detections become tracks.
    """
    from trackers import OCSORTTracker
    from trackers.utils.iou import BIoU

    tracker = OCSORTTracker(
        lost_track_buffer=round(settings.buffer_seconds * LIBRARY_RATE),
        frame_rate=REFERENCE_RATE,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=settings.overlap,
        direction_consistency_weight=settings.direction,
        high_conf_det_threshold=settings.least_score,
        delta_t=1,
        iou=BIoU(buffer_ratio=settings.margin),
    )
    return follow(observations, tracker, settings.buffer_seconds)


def follow(observations: Observations, tracker: BaseTracker, buffer_seconds: float) -> TrackedObservations:
    """Run a tracker of the `trackers` library, set to confirm at once, over the samples by their times.

    It is reset after gaps longer than the buffer.
    """
    follower = _Follower(tracker)
    tracks = np.zeros(len(observations), np.int64)
    candidates = np.flatnonzero(~doubles(observations))
    edges = np.searchsorted(observations.sample[candidates], np.arange(len(observations.samples) + 1))
    now = -np.inf
    for position, seconds in enumerate(observations.samples.seconds):
        if seconds - now > buffer_seconds:
            follower.forget()
        now = max(float(seconds), now + _SMALLEST_STEP)
        rows = candidates[edges[position] : edges[position + 1]]
        tracks[rows] = follower.step(observations.xyxy[rows].astype(np.float64), observations.scores[rows], now)
    return TrackedObservations(observations, in_order_of_sight(tracks))


class _Follower:
    """Numbers a tracker's tracklets from birth: the library gives them a number only with their second detection."""

    def __init__(self, tracker: BaseTracker) -> None:
        self._tracker = tracker
        self._numbers: dict[int, int] = {}  # by id() of the tracklet; self._alive keeps those ids from being reused
        self._alive: list[Any] = []
        self._used = 0

    def forget(self) -> None:
        """No fish seen so far is seen again."""
        self._tracker.reset()
        self._numbers, self._alive = {}, []

    def step(self, xyxy: NDArray[np.float64], scores: NDArray[np.float32], now: float) -> NDArray[np.int64]:
        """The number of each detection's track, 0 for none; rising from birth to birth."""
        from supervision import Detections

        rows = np.arange(len(xyxy))
        found = self._tracker.update(Detections(xyxy, confidence=scores, data={"row": rows}), timestamp=now)
        tracklets = list(self._tracker.tracks)
        born = [tracklet for tracklet in tracklets if id(tracklet) not in self._numbers]
        of_library = {one.tracker_id: self._numbers[id(one)] for one in tracklets if one.tracker_id >= 0}
        numbers = np.zeros(len(xyxy), np.int64)
        if len(found):
            known = np.asarray(found.tracker_id)
            numbers[found.data["row"][known >= 0]] = [of_library[number] for number in known[known >= 0]]
        for tracklet in born:
            self._used += 1
            self._numbers[id(tracklet)] = self._used
            free = np.flatnonzero(numbers == 0)
            numbers[free[np.abs(xyxy[free] - tracklet.get_state_bbox()).sum(axis=1).argmin()]] = self._used
        self._alive = tracklets
        self._numbers = {id(tracklet): self._numbers[id(tracklet)] for tracklet in tracklets}
        return numbers


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
