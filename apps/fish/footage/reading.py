"""Reading one video file, packet by packet, so that damage costs no more than the frames that it hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from av.video.frame import VideoFrame

from apps.fish.footage.frames import ChapterAccount, ResumePoint, Tally
from apps.fish.footage.sampling import Sampling
from data.errors import InputError
from data.footage.decoding import Decoder, clock_for, packets_from_keyframe
from data.footage.video import SampledFrame, VideoFile, picture_checksum

_UNEVEN: Final = 1.5
"""Gaps between frames that differ by more than this factor make a variable rate."""
_ENDS_EARLY: Final = 1.0
"""Seconds by which frames may end before the container says: sound may be longer than the picture."""


class ChapterReader:
    """Iterates over the sampled frames of a video file, once.

    A packet that cannot be decoded is counted and reading goes on. After the last frame `account` tells what was read.
    Close it, or use it in a `with` statement, where it is not read to its end.

    Args:
        path: The file.
        sampling: Which frames to give.
        resume: Go on after that sample: the same frames follow as in a reading that was never interrupted.
        threads: Decoding threads.

    Raises:
        InputError: The file is empty, no video, or not the one of the resume point; while iterating: there is no frame
            in it, or it changed meanwhile.
        FileAccessError: It cannot be read; while iterating: it vanished.
    """

    def __init__(self, path: Path, sampling: Sampling, resume: ResumePoint | None = None, *, threads: int = 1) -> None:
        self.path = path
        self.sampling = sampling
        self._threads = threads
        self._resume = resume
        self._point: ResumePoint | None = resume
        self._finished = False
        self._begin()
        if resume is not None and resume.size != self._video.size:
            self.close()
            found = f"has {self._video.size} bytes, {resume.size} when its reading began"
            raise InputError(path, found, expected="the same file", cure="survey it anew")

    def __enter__(self) -> ChapterReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SampledFrame]:
        try:
            yield from self._samples()
            self._video.check_unchanged()
            if not self._tally.decoded:
                found = "holds no frame that can be decoded"
                raise InputError(self.path, found, cure="copy the file again from the camera's card")
            self._finished = not self._video.broken_off
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._video.close()

    @property
    def resume_point(self) -> ResumePoint:
        """Where to go on after the sample given last.

        Raises:
            ValueError: None was given yet.
        """
        if self._point is None:
            raise ValueError("no sample was given yet")
        return self._point

    @property
    def account(self) -> ChapterAccount:
        """What was read so far; it is final when the iteration has ended."""
        video, tally, clock = self._video, self._tally, self._clock
        rest, rest_wanted = clock.rest() if self._ended else (0, 0)
        frames = clock.number + 1
        duration = self._seconds(clock.end) if frames else 0.0
        stated = video.stated_duration
        truncated = video.cut_short or bool(video.broken_off) or (self._ended and stated - duration > _ENDS_EARLY)
        expected = frames + rest
        rate = expected / duration if duration else float(video.rate)
        if truncated or (clock.holes and video.format == "avi"):
            expected = max(expected, video.listed or round(stated * rate))
        wanted = tally.decoded + tally.missing + rest_wanted if self._keyframes_only else expected
        return ChapterAccount(
            codec=video.codec,
            size_wh=video.size_wh if self._upright else video.size_wh[::-1],
            container=video.format,
            expected=expected,
            wanted=wanted,
            decoded=tally.decoded,
            corrupt=tally.corrupt,
            damaged_packets=self._damaged_packets,
            estimated_times=tally.estimated_times,
            first_seconds=float((clock.origin or 0) * video.time_base),
            last_seconds=self._seconds(self._last) if frames else 0.0,
            duration=duration,
            average_rate=rate,
            variable_rate=tally.largest_gap > _UNEVEN * tally.smallest_gap,
            stated_duration=stated,
            truncated=truncated,
            finished=self._finished,
        )

    def _begin(self) -> None:
        self._video = VideoFile(self.path, self._threads)
        # Half frames cannot be told from frames by their packets, so interlaced video is decoded whole.
        self._keyframes_only = self.sampling.unit == "keyframes" and not self._video.fields
        self._use_new_clock()
        self._tally = Tally()
        self._tick = -1
        self._previous: int | None = None
        self._upright = True
        self._ended = False

    def _use_new_clock(self) -> None:
        self._clock = clock_for(self._video)
        self._decoder = Decoder(self._video, self._clock, keyframes_only=self._keyframes_only)

    def _samples(self) -> Iterator[SampledFrame]:
        """The samples after the resume point."""
        after = -1 if self._resume is None else self._resume.frame
        frames = self._sought(self._resume) if self._resume and self._resume.tally.sound else None
        if frames is not None:
            for frame, missing in frames:
                self._count(frame, missing)
                if self._is_damaged():
                    break
                if self._is_sampled(frame):
                    yield self._sample(frame)
                    after = self._clock.number
            else:
                self._ended = not self._is_damaged()
        if not self._ended:
            yield from self._samples_from_start(after)

    def _samples_from_start(self, after: int) -> Iterator[SampledFrame]:
        if self._resume is not None:
            # How a decoder conceals damage depends on all that it has decoded before, so nothing is left out.
            self.close()
            self._begin()
        for frame, missing in self._decoder.frames(self._video.packets()):
            self._count(frame, missing)
            if self._is_sampled(frame) and self._clock.number > after:
                yield self._sample(frame)
        self._ended = True

    def _is_damaged(self) -> bool:
        return not self._tally.sound or self._damaged_packets > 0

    def _sample(self, frame: VideoFrame) -> SampledFrame:
        sample = SampledFrame(self._video.picture(frame), self._clock.number, self._seconds(self._last))
        self._point = ResumePoint(
            frame=sample.frame,
            seconds=sample.seconds,
            pts=self._last,
            picture=picture_checksum(sample.image),
            size=self._video.size,
            tally=self._tally.model_copy(update={"damaged_packets": self._damaged_packets}),
        )
        return sample

    def _sought(self, resume: ResumePoint) -> Iterator[tuple[VideoFrame, int]] | None:
        """The frames after the resume point, reached by a seek; None where only decoding from the start is safe."""
        for packets in packets_from_keyframe(self._video, resume.pts):
            self._use_new_clock()
            frames = self._decoder.frames(packets)
            frame = next((frame for frame, _ in frames if self._last >= resume.pts), None)
            if frame is None or self._last != resume.pts:
                continue
            if picture_checksum(self._video.picture(frame)) == resume.picture:
                self._go_on(frame, resume)
                return frames
        return None

    def _go_on(self, frame: VideoFrame, resume: ResumePoint) -> None:
        """Take over the counts of the reading that ended with this frame."""
        self._tally = resume.tally.model_copy()
        self._clock.renumber(resume.frame, resume.tally.origin)
        self._look_at(frame)
        self._tick = self._current_tick()

    def _count(self, frame: VideoFrame, missing: int) -> None:
        tally, clock = self._tally, self._clock
        tally.origin = clock.origin or 0
        tally.decoded += 1
        tally.missing += missing
        tally.corrupt += frame.is_corrupt
        tally.estimated_times = clock.estimated
        if self._previous is not None and not missing and not self._keyframes_only:
            tally.add_gap(self._last - self._previous)
        self._look_at(frame)

    def _look_at(self, frame: VideoFrame) -> None:
        self._previous = self._last
        self._upright = round(frame.rotation / 90) % 2 == 0

    def _is_sampled(self, frame: VideoFrame) -> bool:
        if self.sampling.unit == "keyframes":
            return self._keyframes_only or frame.key_frame
        before, self._tick = self._tick, self._current_tick()
        return self._tick > before

    def _current_tick(self) -> int:
        if self.sampling.unit == "keyframes":
            return -1
        return self.sampling.tick(self._clock.number, self._last - (self._clock.origin or 0), self._video.time_base)

    @property
    def _damaged_packets(self) -> int:
        return self._decoder.damaged + self._video.unread

    @property
    def _last(self) -> int:
        """The timestamp of the frame at hand, as the file has it."""
        return self._clock.last or 0

    def _seconds(self, stamp: int) -> float:
        return float((stamp - (self._clock.origin or 0)) * self._video.time_base)
