"""Which tracker, with which settings, and how far tracks tell how many fish there were.

    uv run --all-extras python -m benchmarks.tracking search trackers individuals

`search` draws settings for every tracker and scores them on tuning clips; `trackers` compares the best of each on other
clips; `individuals` measures how many fish a confirmed track stands for, and whether the intervals hold. Each section
replaces its part of `benchmarks/tracking.json`; `docs/tracking.md` is written from all of it. No pictures and no
detector are needed (see `benchmarks/shoals.py`) but for `individuals`, which also renders clips and runs the shipped
detector over them. `trackeval` gives HOTA and IDF1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trackers import BoTSORTTracker, ByteTrackTracker, CBIoUTracker, OCSORTTracker
from trackers.utils.iou import BIoU
from trackeval.metrics import HOTA, Identity

from apps.fish.counts import counts_per_sample
from apps.fish.individuals import Fragmentation, confirmed_tracks, highest_scores, individuals
from apps.fish.records import TrackedObservations
from apps.fish.tracking import LIBRARY_RATE, REFERENCE_RATE, TrackingSettings, follow, track
from benchmarks.rendered import drawn_specs, filmed
from benchmarks.sections import ROOT, Section, run
from benchmarks.shoals import RATE, WATERS, Eyes, Scene, footage, shoal
from data.boxes import ious
from data.files import write_text
from data.synth.footage_spec import ClipSpec, standard_clips
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector

KEPT = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "tracking.md"
SHIPPED = ROOT / "models" / "weights" / "fish-int8"
SECONDS = 30
DRAWS = 7
CONFIRMED = 3
THRESHOLD = 0.5
Draw = dict[str, float]

INTRODUCTION = f"""# Which tracker, and what tracks are worth

Printed by `python -m benchmarks.tracking search trackers individuals`. But for the rendered clips at the end, fish are
simulated and nothing is drawn: the detector is simulated too (it misses, jitters, sees fish where there are none;
`benchmarks/shoals.py`), {RATE} samples a second, clips of {SECONDS} s. So this ranks trackers and tells how tracks
break; it is no promise about real footage.
Scores are means over clips, in per cent (trackeval). Tracks of fewer than {CONFIRMED} sightings are left out. A fish
that was away for three seconds counts as another.

All trackers are those of the library `trackers` (Apache-2.0), which takes times in seconds and needs no torch.

"""

RANGES: dict[str, tuple[float, ...]] = {
    "buffer": (1, 2, 3),
    "start": (0.3, 0.4, 0.5),
    "sure": (0.3, 0.4),
    "overlap": (0.02, 0.05, 0.1, 0.2),
    "margin": (0.5, 1.0, 1.5),
    "far_margin": (1.0, 1.5, 2.0),
    "direction": (0.0, 0.1, 0.2),
}


def _common(draw: Draw) -> dict[str, Any]:
    buffer = round(draw["buffer"] * LIBRARY_RATE)
    return {"lost_track_buffer": buffer, "frame_rate": REFERENCE_RATE, "minimum_consecutive_frames": 1}


def _byte(draw: Draw, *, grown: bool) -> ByteTrackTracker:
    return ByteTrackTracker(
        **_common(draw),
        track_activation_threshold=draw["start"],
        high_conf_det_threshold=draw["sure"],
        minimum_iou_threshold=draw["overlap"],
        iou=BIoU(buffer_ratio=draw["margin"]) if grown else None,
    )


def _oc(draw: Draw, *, grown: bool) -> OCSORTTracker:
    return OCSORTTracker(
        **_common(draw),
        high_conf_det_threshold=draw["start"],
        minimum_iou_threshold=draw["overlap"],
        direction_consistency_weight=draw["direction"],
        delta_t=1,
        iou=BIoU(buffer_ratio=draw["margin"]) if grown else None,
    )


def _stages(draw: Draw) -> dict[str, Any]:
    return _common(draw) | {
        "track_activation_threshold": draw["start"],
        "high_conf_det_threshold": draw["sure"],
        "minimum_iou_threshold_first_assoc": draw["overlap"],
        "minimum_iou_threshold_second_assoc": draw["overlap"],
        "minimum_iou_threshold_unconfirmed_assoc": draw["overlap"],
        "instant_first_frame_activation": False,
    }


def _bot(draw: Draw) -> BoTSORTTracker:
    return BoTSORTTracker(**_stages(draw), enable_cmc=False)


def _cascaded(draw: Draw) -> CBIoUTracker:
    return CBIoUTracker(**_stages(draw), buffer_ratio_first=draw["margin"], buffer_ratio_second=draw["far_margin"])


METHODS: dict[str, Callable[[Draw], Any]] = {
    "ByteTrack": partial(_byte, grown=False),
    "ByteTrack, boxes grown": partial(_byte, grown=True),
    "OC-SORT": partial(_oc, grown=False),
    "OC-SORT, boxes grown": partial(_oc, grown=True),
    "BoT-SORT, still camera": _bot,
    "C-BIoU": _cascaded,
}


@dataclasses.dataclass(frozen=True)
class Score:
    """One tracker on one clip; `tracks` are the confirmed ones, `visits` the true ones."""

    hota: float
    deta: float
    assa: float
    idf1: float
    tracks: int
    visits: int
    milliseconds: float


def tuning_clips() -> list[Scene]:
    return [shoal(water, SECONDS, 100 + number) for number, water in enumerate(WATERS.values())]


def other_clips(first_seed: int, each: int) -> dict[str, list[Scene]]:
    """Clips by kind: simulated shoals, and the animals of the synthetic footage, neither used for tuning."""
    seeds = range(first_seed, first_seed + each)
    shoals = [shoal(water, SECONDS, seed + 10 * n) for seed in seeds for n, water in enumerate(WATERS.values())]
    specs = [spec.model_copy(update={"seconds": float(SECONDS)}) for spec in standard_clips()]
    eyes = (Eyes(), Eyes(missed=0.3, ghosts=0.6))
    filmed = [footage(spec, seed, eyes[seed % 2]) for seed in seeds for spec in specs]
    return {"simulated shoals": shoals, "synthetic footage": filmed}


def score(scene: Scene, follower: Callable[[], TrackedObservations]) -> Score:
    began = time.process_time()
    tracked = follower()
    spent = time.process_time() - began
    kept = (np.bincount(tracked.tracks) >= CONFIRMED)[tracked.tracks] & (tracked.tracks > 0)
    data = _trackeval(scene, tracked.select(kept))
    with contextlib.redirect_stdout(io.StringIO()):
        hota, identity = HOTA().eval_sequence(data), Identity().eval_sequence(data)
    parts = [float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")]
    milliseconds = 1000 * spent / len(scene.observations.samples)
    return Score(*parts, float(identity["IDF1"]), data["num_tracker_ids"], scene.visits, milliseconds)


def _trackeval(scene: Scene, tracked: TrackedObservations) -> dict[str, Any]:
    seen = tracked.observations
    samples = range(len(seen.samples))
    theirs = [np.flatnonzero(scene.truth_sample == sample) for sample in samples]
    ours = [np.flatnonzero(seen.sample == sample) for sample in samples]
    return {
        "num_timesteps": len(samples),
        "gt_ids": [scene.truth_id[rows] for rows in theirs],
        "tracker_ids": [tracked.tracks[rows] - 1 for rows in ours],
        "similarity_scores": [
            ious(scene.truth_xyxy[true], seen.xyxy[rows]) for true, rows in zip(theirs, ours, strict=True)
        ],
        "num_gt_ids": scene.visits,
        "num_tracker_ids": tracked.count,
        "num_gt_dets": len(scene.truth_id),
        "num_tracker_dets": len(tracked),
    }


def _run(scene: Scene, method: str, draw: Draw) -> Score:
    return score(scene, lambda: follow(scene.observations, METHODS[method](draw), draw["buffer"]))


def search(_runs: Path) -> Section:
    """The settings of every tracker that give the best mean HOTA on the tuning clips, of the same draws."""
    rng = np.random.default_rng(1)
    draws = [{name: float(rng.choice(values)) for name, values in RANGES.items()} for _ in range(DRAWS)]
    clips = tuning_clips()
    rows = []
    for method in METHODS:
        hotas = [float(np.mean([_run(clip, method, draw).hota for clip in clips])) for draw in draws]
        best = draws[int(np.argmax(hotas))]
        rows.append((method, f"{100 * max(hotas):.1f}", ", ".join(f"{name} {value:g}" for name, value in best.items())))
    note = (
        f"The best of {DRAWS} settings, the same draws for each, on six tuning clips. At {RATE} samples a second a "
        "small fish leaves its own box between two samples, so that it helps to grow boxes before they are compared."
    )
    return Section.of("Search", note, ("tracker", "HOTA", "settings"), rows)


def _found() -> dict[str, Draw]:
    """The settings that `search` kept."""
    rows = json.loads(KEPT.read_text(encoding="utf-8"))["search"]["rows"]
    pairs = {method: [setting.split() for setting in settings.split(", ")] for method, _, settings in rows}
    return {method: {name: float(value) for name, value in settings} for method, settings in pairs.items()}


def compare(_runs: Path) -> Section:
    """Every tracker with its best settings, on clips that none was tuned on."""
    best, rows = _found(), []
    for kind, clips in other_clips(200, 1).items():
        runs = {method: [_run(clip, method, best[method]) for clip in clips] for method in METHODS}
        runs["as shipped"] = [score(clip, partial(track, clip.observations, TrackingSettings())) for clip in clips]
        for method, scores in runs.items():
            parts = ("hota", "deta", "assa", "idf1")
            means = [float(np.mean([getattr(one, part) for one in scores])) for part in parts]
            tracks = sum(one.tracks for one in scores) / sum(one.visits for one in scores)
            spent = float(np.mean([one.milliseconds for one in scores]))
            rows.append((kind, method, *(f"{100 * mean:.1f}" for mean in means), f"{tracks:.2f}", f"{spent:.1f} ms"))
    note = (
        "Six simulated shoals and eight clips of the synthetic footage's animals. "
        f"As shipped: OC-SORT, `{TrackingSettings()!r}`, refined by hand on clips of other seeds. "
        "Times are of a busy machine: compare them with one another only."
    )
    columns = ("clips", "tracker", "HOTA", "DetA", "AssA", "IDF1", "tracks for a fish", "CPU a sample")
    return Section.of("Trackers, on other clips", note, columns, rows)


def _expected(clip: Scene, threshold: float) -> tuple[TrackedObservations, np.ndarray]:
    tracked = track(clip.observations, TrackingSettings())
    return tracked, highest_scores(tracked)[confirmed_tracks(tracked, CONFIRMED, threshold)]


def _clips(first_seed: int, films: Sequence[tuple[ClipSpec, int]]) -> Iterator[tuple[str, float, Scene]]:
    """Clips with their kind and threshold; those that are filmed are seen by the shipped detector."""
    for kind, clips in other_clips(first_seed, 2).items():
        yield from ((kind, THRESHOLD, clip) for clip in clips)
    detector = FishDetector(Artifact.open(SHIPPED))
    yield from (("rendered clips", detector.threshold, filmed(spec, seed, detector)) for spec, seed in films)


def measure_individuals(_runs: Path) -> Section:
    """Individuals for each expected track on some clips, and how the intervals from it hold on others."""
    standard = standard_clips()
    films = [(spec, seed + at) for seed in (2000, 3000) for at, spec in enumerate(standard)]
    films += [(spec, 5000 + at) for at, spec in enumerate(drawn_specs(12, 77))]
    fitted = [(clip.visits, _expected(clip, threshold)[1]) for _, threshold, clip in _clips(300, films)]
    logs = np.log([visits / scores.sum() for visits, scores in fitted if len(scores)])
    ratio = Fragmentation(ratio=round(float(np.exp(logs.mean())), 2), spread=round(float(logs.std(ddof=1)), 2))
    held: dict[str, list[_Held]] = {}
    for kind, threshold, clip in _clips(400, [(spec, 4000 + at) for at, spec in enumerate(standard)]):
        held.setdefault(kind, []).append(_hold(clip, threshold, ratio))
    rows = [
        (kind, str(len(clips)), f"{np.mean([one.within for one in clips]):.0%}",
         f"{np.median([one.error for one in clips]):.0%}",
         *(f"{np.mean(each):+.2f} ({np.mean(np.abs(each)):.2f})"
           for each in ([one.all_max_n for one in clips], [one.tracked_max_n for one in clips])))
        for kind, clips in held.items()
    ]  # fmt: skip
    note = (
        f"For each expected confirmed track there were {ratio.ratio} individuals on {len(logs)} clips (geometric "
        f"mean; standard deviation of the logarithm {ratio.spread}): simulated ones, and rendered ones as the shipped "
        "detector sees them. With these numbers, on other clips; in brackets the mean absolute error."
    )
    columns = ("clips", "number", "visits within the interval", "median error of the estimate")
    columns += ("MaxN - true: all detections", "only confirmed tracks")
    return Section.of("Individuals from tracks", note, columns, rows)


@dataclasses.dataclass(frozen=True)
class _Held:
    """Whether the interval held on a clip, the relative error of the estimate, and the errors of MaxN."""

    within: bool
    error: float
    all_max_n: int
    tracked_max_n: int


def _hold(clip: Scene, threshold: float, ratio: Fragmentation) -> _Held:
    tracked, scores = _expected(clip, threshold)
    counted = int(counts_per_sample(clip.observations, threshold).max(initial=0))
    found = individuals(scores, counted, ratio)
    kept = tracked.select(confirmed_tracks(tracked, CONFIRMED, threshold)[tracked.tracks]).observations
    of_tracks = int(counts_per_sample(kept, threshold).max(initial=0))
    within = found.low - 0.5 <= clip.visits <= found.high + 0.5
    error = abs(found.estimate - clip.visits) / clip.visits
    return _Held(within, error, counted - clip.max_n, of_tracks - clip.max_n)


def publish(kept: Mapping[str, Section]) -> None:
    write_text(DOCUMENT, INTRODUCTION + "\n".join(section.markdown() for section in kept.values()))


if __name__ == "__main__":
    run(__doc__, {"search": search, "trackers": compare, "individuals": measure_individuals}, KEPT, publish)
