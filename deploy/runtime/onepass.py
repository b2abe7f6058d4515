"""A detector and a counter that are one network: every frame goes through it once for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from data.errors import ArgumentError
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.looking import Answer, Look, look_with
from deploy.runtime.spec import ArtifactSpec, CountingSpec, DetectionSpec

_BOXES: Final = slice(0, 2)
_DENSITY: Final = slice(2, 3)


def one_pass(detector: Artifact[ArtifactSpec], counter: Artifact[ArtifactSpec]) -> bool:
    """Whether the network that runs the counter here also gives what the one that runs the detector here does."""
    finds, counts = detector.spec, counter.spec
    if not (isinstance(finds, DetectionSpec) and isinstance(counts, CountingSpec) and counts.detectors):
        return False
    theirs = counts.detectors[counts.models.index(counter.choice)]
    same = detector.choice.engine == counter.choice.engine and finds.network_hash(detector.choice) == theirs
    return same and finds.preprocessing == counts.preprocessing


class OnePass:
    """A detector and a counter of one network.

    Each answers as it does alone. Frames that one of them was shown last are remembered: the other one, asked about
    the same arrays, does not look at them again. They must not be written to in between.

    Args:
        detector: An opened detection artifact.
        counter: A counting artifact that was opened for the same engine and shares its network; see `one_pass`.
        threads: Threads of the network; everything else runs in the calling thread.

    Raises:
        ArgumentError: They share no network.
        InputError: The network cannot be loaded, or does not map frames to what the spec says.
    """

    def __init__(self, detector: Artifact[ArtifactSpec], counter: Artifact[ArtifactSpec], threads: int = 1) -> None:
        if not one_pass(detector, counter):
            raise ArgumentError(counter.folder, f"shares no network with {detector.folder}")
        counts = counter.of(CountingSpec)
        both = _Remembering(look_with(counts.session(threads, whole=True), counts))
        self.detector = FishDetector(detector, look=both.part(_BOXES))
        self.counter = DenseCounter(counter, look=both.part(_DENSITY))


class _Remembering:
    """Shows frames to a network, but for those of the last time."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._last: list[tuple[Image, Answer]] = []

    def part(self, outputs: slice) -> Look:
        """The same with those of its outputs alone."""
        return lambda frames: [answer[outputs] for answer in self._answers(frames)]

    def _answers(self, frames: Sequence[Image]) -> list[Answer]:
        # The frames are kept with their answers, so that none of these numbers can be another array's meanwhile.
        known = {id(frame): answer for frame, answer in self._last}
        fresh = [frame for frame in frames if id(frame) not in known]
        if fresh:
            self._last = []
            known |= dict(zip(map(id, fresh), self._look(fresh), strict=True))
            self._last = [(frame, known[id(frame)]) for frame in frames]
        return [known[id(frame)] for frame in frames]
