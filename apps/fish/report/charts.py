"""The charts of a report, as SVG: counts over time, MaxN of each minute, tracks, and the places of deployments."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.counts import counts_per_sample
from apps.fish.evidence import clock
from apps.fish.records import TrackedObservations
from apps.fish.report.markup import Html, joined, tag
from apps.fish.report.stored import ReadDeployment
from data.words import several

_WIDTH: Final = 860
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 18, 12, 24
_MOST_POINTS: Final = 430
_MOST_TRACKS: Final = 400
_LANE: Final = 7
_MOST_LANES: Final = 60
_NICE: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclass(frozen=True)
class Series:
    """Counts of the species that are drawn: `seconds` (T,) since period start, `counts` (T, K) the highest count from
    each to the next, -1 where nothing was looked at; `step` seconds from one to the next."""

    seconds: NDArray[np.float64]
    counts: NDArray[np.int64]
    step: float


def class_of(one: ReadDeployment, label: int) -> str:
    """The CSS class that colours a species of the deployment."""
    return f"c{one.colours[label]}"


def series_of(one: ReadDeployment, settled: TrackedObservations) -> Series:
    """Counts over time, thinned to what a chart can show; no maximum is lost."""
    samples, start = settled.observations.samples, one.counts.period.start
    held = one.counts.period.holds(samples)
    seconds = samples.seconds[held] - start
    counts = counts_per_sample(settled.observations, one.about.settings.threshold)[held]
    if not len(seconds):
        return Series(seconds, counts, 1.0)
    usual = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    step = max(usual, float(seconds[-1]) / _MOST_POINTS, 1e-3)
    bins = np.floor(seconds / step + 1e-6).astype(np.int64)
    binned = np.full((int(bins[-1]) + 1, counts.shape[1]), -1, np.int64)
    np.maximum.at(binned, bins, counts)
    # A sample stands for the time until the next one is due: uneven rates leave bins empty that were looked at.
    for row in range(1, len(binned)):
        if binned[row, 0] < 0 and row - 1 in bins:
            binned[row] = binned[row - 1]
    return Series(np.arange(len(binned), dtype=np.float64) * step, binned, step)


def counts_chart(one: ReadDeployment, settled: TrackedObservations, drawn: Sequence[int]) -> Html:
    """Counts over time of those species, a line each; the script tells the values under the pointer."""
    series, height = series_of(one, settled), 190
    most = max(1, int(series.counts.max(initial=0)))
    end = max(1.0, float(series.seconds[-1]) + series.step if len(series.seconds) else 1.0)
    frame = _Frame(end, most, height)
    names = settled.observations.names
    lines = [
        tag("path", d=_steps(frame, series, label), class_=f"line {class_of(one, label)}", fill="none")
        for label in drawn
    ]
    dots = []
    for label in drawn:
        species = one.counts.species[label]
        if species.max_n_at is not None:
            x, y = frame.x(species.max_n_at.seconds), frame.y(species.max_n or 0)
            title = tag("title", f"MaxN {species.max_n} of {species.species} at {clock(species.max_n_at.seconds)}")
            dots.append(tag("circle", title, cx=x, cy=y, r=4.5, class_=f"dot {class_of(one, label)}"))
    told = json.dumps(
        {
            "step": round(series.step, 4),
            "left": _LEFT,
            "width": _WIDTH - _LEFT - _RIGHT,
            "end": round(end, 4),
            "names": [names[label] for label in drawn],
            "counts": [series.counts[:, label].tolist() for label in drawn],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    spoken = f"Counts over time of {', '.join(names[label] for label in drawn) or 'no species'}, at most {most}"
    cursor = tag("line", x1=0, x2=0, y1=_TOP, y2=height - _BOTTOM, class_="cursor", visibility="hidden")
    return tag(
        "svg",
        *(frame.grid(), *_chapter_marks(one, frame), *lines, *dots, cursor),
        **_svg(height, spoken),
        tabindex="0",
        class_="chart counts",
        data_series=told,
    )


def minutes_chart(one: ReadDeployment, label: int) -> Html:
    """MaxN of each minute of one species; a minute that nobody could look at has a cross."""
    species, height = one.counts.species[label], 110
    numbers = species.max_n_per_minute
    frame = _Frame(60.0 * max(1, len(numbers)), max(1, species.max_n or 0), height)
    bars: list[Html] = []
    for minute, most in enumerate(numbers):
        left, right = frame.x(60 * minute), frame.x(60 * (minute + 1))
        gap = min(3.0, (right - left) * 0.15)
        said = "no sample" if most is None else f"MaxN {most}"
        title = tag("title", f"minute {minute + 1}: {said}")
        if most is None:
            bars.append(tag("text", title, "×", x=(left + right) / 2, y=frame.y(0) - 3, class_="none"))
            continue
        top = min(frame.y(most), frame.y(0) - 1.5)
        shape = {"x": left + gap, "y": top, "width": max(0.5, right - left - 2 * gap), "height": frame.y(0) - top}
        bars.append(tag("rect", title, **shape, class_=f"bar {class_of(one, label)}"))
    told = ", ".join("none" if number is None else str(number) for number in numbers[:30])
    more = " and so on" if len(numbers) > 30 else ""
    return tag(
        "svg",
        frame.grid(),
        *bars,
        **_svg(height, f"MaxN of {species.species} in each minute: {told}{more}"),
        class_="chart",
    )


def tracks_chart(one: ReadDeployment, settled: TrackedObservations) -> tuple[Html, int, int]:
    """When each confirmed track was seen; how many are drawn, and how many there are."""
    seen, tracks = settled.observations, settled.tracks
    held = one.counts.period.holds(seen.samples)[seen.sample] & (tracks > 0)
    rows = np.flatnonzero(held)
    numbers, inverse = np.unique(tracks[rows], return_inverse=True)
    seconds = seen.samples.seconds[seen.sample[rows]] - one.counts.period.start
    first, last = np.full(len(numbers), np.inf), np.zeros(len(numbers))
    np.minimum.at(first, inverse, seconds)
    np.maximum.at(last, inverse, seconds)
    labels = np.zeros(len(numbers), np.int64)
    labels[inverse] = seen.labels[rows]
    kept = np.flatnonzero([number in one.counts.confirmed for number in numbers.tolist()])
    total = len(kept)
    longest = kept[np.argsort(-(last - first)[kept], kind="stable")[:_MOST_TRACKS]]
    bars = sorted(_Span(float(first[at]), float(last[at]), int(numbers[at]), int(labels[at])) for at in longest)
    placed = _in_lanes(bars)
    lanes = 1 + max((lane for _, lane in placed), default=0)
    height = _TOP + _BOTTOM + lanes * _LANE
    end = max([1.0, *(float(time) for time in last[longest])])
    frame = _Frame(end, 0, height)
    shapes = []
    for span, lane in placed:
        left, right = frame.x(span.first), frame.x(span.last)
        name = seen.names[span.label]
        title = tag("title", f"track {span.track}, {name}: {clock(span.first)} to {clock(span.last)}")
        y = _TOP + lane * _LANE + 1
        shape = {"x": left, "y": y, "width": max(1.5, right - left), "height": _LANE - 2, "rx": 1.5}
        shapes.append(tag("rect", title, **shape, class_=f"bar {class_of(one, span.label)}"))
    label = f"When each of {len(placed)} tracks was seen, from its first sighting to its last"
    return tag("svg", frame.grid(), *shapes, **_svg(height, label), class_="chart"), len(placed), total


def places_chart(places: Sequence[tuple[str, str, float, float, bool]]) -> Html:
    """Deployments by longitude and latitude; each is (anchor, opcode, latitude, longitude, complete)."""
    latitudes, longitudes = [one[2] for one in places], [one[3] for one in places]
    middle = (min(latitudes) + max(latitudes)) / 2
    squeeze = max(0.05, math.cos(math.radians(middle)))
    tall = max(max(latitudes) - min(latitudes), 1e-4)
    wide = max((max(longitudes) - min(longitudes)) * squeeze, 1e-4)
    width, height, edge = 420, 300, 46
    scale = min((width - 2 * edge) / wide, (height - 2 * edge) / tall)

    def at(latitude: float, longitude: float) -> tuple[float, float]:
        x = width / 2 + (longitude - (min(longitudes) + max(longitudes)) / 2) * squeeze * scale
        return x, height / 2 - (latitude - middle) * scale

    dots = []
    for anchor, opcode, latitude, longitude, complete in places:
        x, y = at(latitude, longitude)
        title = tag("title", f"{opcode}: {latitude:.5f}, {longitude:.5f}")
        dot = tag("circle", title, cx=x, cy=y, r=6, class_=f"place{'' if complete else ' lost'}")
        named = tag("text", opcode, x=x + 9, y=y + 4, class_="name") if len(places) <= 12 else None
        dots.append(tag("a", dot, named, href=f"#{anchor}"))
    corners = [
        tag("text", _degrees(min(longitudes), "EW"), x=4, y=height - 6, class_="tick"),
        tag("text", _degrees(max(longitudes), "EW"), x=width - 4, y=height - 6, class_="tick end"),
        tag("text", _degrees(max(latitudes), "NS"), x=4, y=14, class_="tick"),
        tag("text", _degrees(min(latitudes), "NS"), x=4, y=height - 22, class_="tick"),
    ]
    label = f"{several(len(places), 'deployment')} by longitude and latitude; north is up"
    shape = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria_label": label}
    return tag("svg", *corners, *dots, **shape, class_="chart map")


def _degrees(number: float, sides: str) -> str:
    return f"{abs(number):.4f}° {sides[number < 0]}"


@dataclass(frozen=True, order=True)
class _Span:
    first: float
    last: float
    track: int
    label: int


def _in_lanes(bars: Iterable[_Span]) -> list[tuple[_Span, int]]:
    """Each bar in the first lane that is free when it begins, in the order of their beginnings."""
    free: list[float] = []
    placed = []
    for bar in bars:
        lane = next((at for at, until in enumerate(free) if until < bar.first), None)
        if lane is None and len(free) >= _MOST_LANES:
            continue
        if lane is None:
            free.append(0.0)
            lane = len(free) - 1
        free[lane] = bar.last
        placed.append((bar, lane))
    return placed


@dataclass(frozen=True)
class _Frame:
    """The axes of a chart: seconds to `end`, counts to `most`; no counts where that is 0."""

    end: float
    most: int
    height: int

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, seconds / self.end)), 2)

    def y(self, number: float) -> float:
        space = self.height - _TOP - _BOTTOM
        return round(self.height - _BOTTOM - space * number / max(1, self.most), 2)

    def grid(self) -> Html:
        step = next((nice for nice in _NICE if self.end / nice <= 9), math.ceil(self.end / 9))
        low = self.height - _BOTTOM
        parts = [tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=low, y2=low, class_="axis")]
        for at in range(0, int(self.end) + 1, step):
            x = self.x(at)
            parts.append(tag("line", x1=x, x2=x, y1=low, y2=low + 4, class_="axis"))
            parts.append(tag("text", _short(at), x=x, y=self.height - 6, class_="tick middle"))
        rise = next(nice for nice in (1, 2, 5, 10, 20, 50, 100, 500, 10_000) if self.most / nice <= 4)
        for number in range(rise if self.most else 1, self.most + 1, rise):
            y = self.y(number)
            parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(tag("text", number, x=_LEFT - 6, y=y + 4, class_="tick end"))
        return joined(*parts)


def _steps(frame: _Frame, series: Series, label: int) -> str:
    """The path of a line that holds each count until the next."""
    parts: list[str] = []
    last = -1
    for at, number in enumerate(series.counts[:, label].tolist()):
        x = frame.x(float(series.seconds[at]))
        if number < 0:
            parts += [f"H{x:g}"] if last >= 0 else []
        elif last < 0:
            parts.append(f"M{x:g} {frame.y(number):g}")
        elif number != last:
            parts.append(f"H{x:g}V{frame.y(number):g}")
        last = number
    return "".join(parts) + (f"H{frame.x(frame.end):g}" if last >= 0 else "")


def _chapter_marks(one: ReadDeployment, frame: _Frame) -> list[Html]:
    marks = []
    for chapter in one.about.chapters[1:]:
        x = frame.x(chapter.start - one.counts.period.start)
        title = tag("title", f"{chapter.label} begins")
        marks.append(tag("line", title, x1=x, x2=x, y1=_TOP, y2=frame.height - _BOTTOM, class_="chapter"))
    return marks


def _svg(height: int, label: str) -> dict[str, object]:
    return {"viewBox": f"0 0 {_WIDTH} {height}", "role": "img", "aria_label": label}


def _short(seconds: int) -> str:
    minutes, left = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{left:02d}" if seconds >= 3600 else f"{minutes}:{left:02d}"
