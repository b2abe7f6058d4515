"""Which tracker, with which settings, and how far tracks tell how many fish there were.

    uv run --all-extras python -m benchmarks.tracking search trackers individuals

`search` draws settings for every tracker and scores them on tuning clips; `trackers` compares the best of each on other
clips; `individuals` measures how many fish a confirmed track stands for, and whether the intervals hold. Each section
replaces its part of `benchmarks/tracking.json`; `docs/tracking.md` is written from all of it. No pictures and no
detector are needed: see `benchmarks/shoals.py`. `trackeval` gives HOTA and IDF1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trackers import BoTSORTTracker, ByteTrackTracker, CBIoUTracker, OCSORTTracker
from trackers.utils.iou import BIoU
from trackeval.metrics import HOTA, Identity

from apps.fish.counts import Fragmentation, confirmed_tracks, counts_per_sample, individuals, track_scores
from apps.fish.records import TrackedObservations
from apps.fish.tracking import LIBRARY_RATE, REFERENCE_RATE, TrackingSettings, follow, track
from benchmarks.shoals import RATE, WATERS, Eyes, Scene, footage, shoal
from data.boxes import ious
from data.files import write_text
from data.synth.footage_spec import standard_clips

KEPT = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "tracking.md"
SECONDS = 30
DRAWS = 7
CONFIRMED = 3
Draw = dict[str, float]

TEXT = """# Which tracker, and what tracks are worth

Printed by `python -m benchmarks.tracking search trackers individuals`. Fish are simulated and nothing is drawn: the
detector is simulated too (it misses, jitters, sees fish where there are none; `benchmarks/shoals.py`), {rate} samples a
second, clips of {seconds} s. So this ranks trackers and tells how tracks break; it is no promise about real footage.
Scores are means over clips, in per cent (trackeval). Tracks of fewer than {confirmed} sightings are left out.

All trackers are those of the library `trackers` (Apache-2.0), which takes times in seconds and needs no torch. A fish
that was away for three seconds counts as another.

### Search

The best of {draws} settings, the same draws for each, on six tuning clips. At {rate} samples a second a small fish
leaves its own box between two samples: growing the boxes before they are compared matters more than the tracker.

{search}
### Trackers, on other clips

"as shipped" is `TrackingSettings()`: ByteTrack with grown boxes, its settings refined by hand from the search.

{trackers}
### Individuals from tracks

For each expected confirmed track there were {ratio} individuals (geometric mean over 28 clips, spread of the logarithm
{spread}). With these numbers, on 28 other clips; in brackets the mean absolute error:

{individuals}"""

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
    kept = confirmed_tracks(tracked, CONFIRMED)[tracked.tracks]
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


def search() -> dict[str, Any]:
    """The settings of every tracker that give the best mean HOTA on the tuning clips, of the same draws."""
    rng = np.random.default_rng(1)
    draws = [{name: float(rng.choice(values)) for name, values in RANGES.items()} for _ in range(DRAWS)]
    clips = tuning_clips()
    best: dict[str, Any] = {}
    for method in METHODS:
        hotas = [float(np.mean([_run(clip, method, draw).hota for clip in clips])) for draw in draws]
        best[method] = {"hota": max(hotas), "settings": draws[int(np.argmax(hotas))]}
        print(method, best[method], flush=True)
    return best


def compare(best: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for kind, clips in other_clips(200, 1).items():
        runs = {method: [_run(clip, method, best[method]["settings"]) for clip in clips] for method in METHODS}
        runs["as shipped"] = [score(clip, partial(track, clip.observations, TrackingSettings())) for clip in clips]
        for method, scores in runs.items():
            means = [
                float(np.mean([getattr(one, part) for one in scores])) for part in ("hota", "deta", "assa", "idf1")
            ]
            tracks = sum(one.tracks for one in scores) / sum(one.visits for one in scores)
            spent = float(np.mean([one.milliseconds for one in scores]))
            rows.append([kind, method, *(f"{100 * mean:.1f}" for mean in means), f"{tracks:.2f}", f"{spent:.1f} ms"])
            print(*rows[-1], flush=True)
    columns = ["clips", "tracker", "HOTA", "DetA", "AssA", "IDF1", "tracks for a fish", "CPU a sample"]
    return {"columns": columns, "rows": rows}


def _expected(clip: Scene) -> tuple[TrackedObservations, np.ndarray]:
    tracked = track(clip.observations, TrackingSettings())
    return tracked, track_scores(tracked)[confirmed_tracks(tracked, CONFIRMED)]


def measure_individuals() -> dict[str, Any]:
    """Individuals for each expected track on some clips, and how the intervals from it hold on others."""
    fitted = [(clip.visits, _expected(clip)[1]) for clips in other_clips(300, 2).values() for clip in clips]
    logs = np.log([visits / scores.sum() for visits, scores in fitted if len(scores)])
    ratio = Fragmentation(ratio=round(float(np.exp(logs.mean())), 2), spread=round(float(logs.std(ddof=1)), 2))
    print(ratio, flush=True)
    rows = []
    for kind, clips in other_clips(400, 2).items():
        held, errors, most = [], [], {"all": [], "tracked": []}
        for clip in clips:
            tracked, scores = _expected(clip)
            counted = counts_per_sample(clip.observations, 0.5).max(initial=0)
            found = individuals(scores, int(counted), ratio)
            held.append(found.low - 0.5 <= clip.visits <= found.high + 0.5)
            errors.append(abs(found.estimate - clip.visits) / clip.visits)
            confirmed = tracked.select(confirmed_tracks(tracked, CONFIRMED)[tracked.tracks]).observations
            most["all"].append(counted - clip.max_n)
            most["tracked"].append(counts_per_sample(confirmed, 0.5).max(initial=0) - clip.max_n)
        biases = [f"{np.mean(each):+.2f} ({np.mean(np.abs(each)):.2f})" for each in most.values()]
        rows.append([kind, str(len(clips)), f"{np.mean(held):.0%}", f"{np.median(errors):.0%}", *biases])
        print(*rows[-1], flush=True)
    columns = ["clips", "number", "visits within the interval", "median error of the estimate"]
    columns += ["MaxN - true: all detections", "only confirmed tracks"]
    return {"fragmentation": ratio.model_dump(), "columns": columns, "rows": rows}


def _table(section: dict[str, Any]) -> str:
    lines = [section["columns"], ["---"] * len(section["columns"]), *section["rows"]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(kept: dict[str, Any]) -> str:
    drawn = [
        [method, f"{100 * best['hota']:.1f}", ", ".join(f"{key} {value:g}" for key, value in best["settings"].items())]
        for method, best in kept["search"].items()
    ]
    return TEXT.format(
        rate=RATE,
        seconds=SECONDS,
        draws=DRAWS,
        confirmed=CONFIRMED,
        search=_table({"columns": ["tracker", "HOTA", "settings"], "rows": drawn}),
        trackers=_table(kept["trackers"]),
        individuals=_table(kept["individuals"]),
        **kept["individuals"]["fragmentation"],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=["search", "trackers", "individuals"])
    sections = parser.parse_args(arguments).sections
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    if "search" in sections:
        kept["search"] = search()
    if "trackers" in sections:
        kept["trackers"] = compare(kept["search"])
    if "individuals" in sections:
        kept["individuals"] = measure_individuals()
    write_text(KEPT, json.dumps(kept, indent=1) + "\n")
    if set(kept) == {"search", "trackers", "individuals"}:
        write_text(DOCUMENT, document(kept))


if __name__ == "__main__":
    main()
