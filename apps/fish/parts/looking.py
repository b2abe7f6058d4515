"""How a part takes part in a survey: described before any work, loaded where frames are, asked segment by segment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from apps.faults import as_shankha_error
from apps.fish.footage import SampledFrame
from apps.fish.parts.found import PartModel, PartName
from data.detections import Detections
from data.errors import ShankhaError
from data.preprocess import Image

_METHOD: Final = 1
"""Number of the way parts look at frames: to be raised with every change that makes older blocks wrong."""

Looks: TypeAlias = Mapping[PartName, bytes | ShankhaError]
"""What each part found in a segment, as its block, or why it failed there."""


class FrameDetector(Protocol):
    """Finds fish in frames; see `deploy.runtime.detector.FishDetector`."""

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """What is in each of the frames, (H, W, 3) BGR uint8."""


class PartLooker(Protocol):
    """Looks at the frames of a segment; between segments it remembers nothing."""

    def look(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """The segment's next frames, and what the detector found in each."""

    def end(self) -> bytes:
        """The block of the segment; another one begins."""

    def drop(self) -> None:
        """Forget what was begun of a segment."""


class PartSource(Protocol):
    """Where a part comes from; it is pickled to the worker processes, which load it."""

    @property
    def name(self) -> PartName:
        """Which part it is."""

    @property
    def settings(self) -> str:
        """What decides its answers, beside its model."""

    def describe(self) -> PartModel:
        """Check the part without loading it.

        Raises:
            ShankhaError: It cannot be used.
        """

    def load(self, detector: FrameDetector) -> PartLooker:
        """Make it ready, beside the detector of the survey, with which it may share a network."""


def part_key(source: PartSource, model: PartModel) -> str:
    """What stands for all that decides a part's answers, beside the detections."""
    parts = str(_METHOD), source.name, model.identity, source.settings
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Lookers:
    """The parts of one worker: what fails in one of them costs that part of a segment, and nothing else.

    Args:
        sources: Where they come from; each is loaded when the first frame is there for it.
        detector: The worker's.
    """

    def __init__(self, sources: Sequence[PartSource], detector: FrameDetector) -> None:
        self._detector = detector
        self._sources = {source.name: source for source in sources}
        self._loaded: dict[PartName, PartLooker | ShankhaError] = {}
        self._failed: dict[PartName, ShankhaError] = {}

    def look(self, parts: Sequence[PartName], frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """Show the next frames of a segment to those parts."""
        for name in parts:
            if name in self._failed:
                continue
            try:
                self._looker(name).look(frames, found)
            # Whatever happens in a part, the survey goes on without it.
            except Exception as error:
                self._failed[name] = as_shankha_error(error)

    def end(self, parts: Sequence[PartName]) -> Looks:
        """What those parts found in the segment."""
        looks: dict[PartName, bytes | ShankhaError] = {}
        for name in parts:
            try:
                looks[name] = self._failed.pop(name) if name in self._failed else self._looker(name).end()
            except Exception as error:
                looks[name] = as_shankha_error(error)
        self.drop()
        return looks

    def drop(self) -> None:
        """Forget what was begun of a segment."""
        self._failed.clear()
        for looker in self._loaded.values():
            if not isinstance(looker, ShankhaError):
                looker.drop()

    def _looker(self, name: PartName) -> PartLooker:
        if name not in self._loaded:
            try:
                self._loaded[name] = self._sources[name].load(self._detector)
            except Exception as error:
                self._loaded[name] = as_shankha_error(error)
        loaded = self._loaded[name]
        if isinstance(loaded, ShankhaError):
            raise loaded
        return loaded
