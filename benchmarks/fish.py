"""The fish numbers of README, documents and model card, printed and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.fish shipped sites luderick tank synthetic memory
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.fish precisions trainers speed

The first line reads the shipped artifact alone. The second needs training runs, made under --runs where they are
missing (the shipped recipe takes an hour or two on two cores; a run that was stopped goes on). Each section replaces
its part of `benchmarks/fish.json`; `docs/fish-numbers.md` and the shipped model's card are written from all of it. The
sites of DeepFish's val part and of Luderick's were never trained on, and nothing was chosen by them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.fish.counts import CountSettings, Period, count
from apps.fish.records import Observations, Samples, TrackedObservations
from apps.fish.tracking import TrackingSettings, track
from benchmarks import survey_speed, ultralytics_trainer
from benchmarks.sections import ROOT, Measure, Section, run, write_numbers
from benchmarks.shoals import Scene, visits
from benchmarks.tracking import score as track_score
from data.detection_metrics import bootstrap_map50, judge, operating_point, score_detections
from data.detections import Detections
from data.metrics import expected_calibration_error
from data.readers import DetectionSet, as_fish, read_detections
from data.synth.footage import ClipTruth, FishTruth, render_clip, standard_clips
from deploy.bench import measure
from deploy.detectors import deploy_data, detect_all, engine_for, export_detector
from deploy.export import load_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.spec import DetectionSpec
from training.recipe import DetectionRecipe
from training.run import build_task, data_root, train

SHIPPED = ROOT / "models" / "weights" / "fish-int8"
KEPT = ROOT / "benchmarks" / "fish.json"
NUMBERS = ROOT / "docs" / "fish-numbers.md"
SIZES = ((640, 384), (512, 320), (416, 256))
SAMPLES_A_SECOND = 5
LONGER = 5
"""Minutes of the longer clip by which the speed is measured; deployments last an hour and more."""
BINS = ((0, 1), (2, 3), (4, 6), (7, 10_000))
"""Abundance bins by true MaxN, both ends within."""
LEAST_VISIBLE = 0.25


def unseen(folder: str, split: str | None) -> DetectionSet:
    return as_fish(read_detections(data_root() / "fish" / folder, split))


def counts(found: Sequence[Detections], threshold: float) -> NDArray[np.int64]:
    return np.array([int((seen.scores >= threshold).sum()) for seen in found])


def shipped(_runs: Path) -> Section:
    """The shipped artifact, with the engine that it picks, on sites never trained on."""
    detector = FishDetector(Artifact.open(SHIPPED))
    pictures = unseen("deepfish", "val")
    found = detect_all(detector, pictures)
    scores, judged = score_detections(pictures, found), judge(pictures, found)
    interval = bootstrap_map50(judged, pictures.clips)
    at = operating_point(judged, detector.threshold)
    errors = counts(found, detector.threshold) - np.array([len(boxes) for boxes in pictures.xyxy])
    choice = detector.artifact.choice
    rows = [
        ("mAP50", f"{scores.map50:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")),
        ("mAP50-95", f"{scores.map50_95:.3f}"),
        *((f"mAP50 of {size} fish", f"{of.map50:.3f} ({of.boxes:,} boxes)") for size, of in scores.sizes.items()),
        ("at the shipped threshold: precision", f"{at.precision:.1%}"),
        ("recall", f"{at.recall:.1%}"),
        ("mean absolute error of the count in a frame", f"{np.abs(errors).mean():.2f}"),
        ("mean error (bias)", f"{errors.mean():+.2f}"),
        ("calibration error of the scores", f"{expected_calibration_error(judged.scores, judged.right):.3f}"),
    ]
    note = (
        f"The shipped model ({choice.precision}, {choice.engine}) on DeepFish val: {len(pictures)} frames of four "
        f"sites never trained on, {pictures.boxes:,} fish; in brackets: 95 % interval, drawing whole clips."
    )
    return Section.of("Shipped detector", note, ("what", "value"), rows)


def sites(_runs: Path) -> Section:
    pictures = unseen("deepfish", "val")
    found = detect_all(FishDetector(Artifact.open(SHIPPED)), pictures)
    scores = score_detections(pictures, found)
    rows = [
        (site, str(int((pictures.sites == site).sum())), f"{of.boxes:,}", f"{of.map50:.3f}", f"{of.map50_95:.3f}")
        for site, of in scores.sites.items()
    ]
    note = "The shipped model on each site of DeepFish val."
    return Section.of("By site", note, ("site", "frames", "fish", "mAP50", "mAP50-95"), rows)


def precisions(runs: Path) -> Section:
    """Float and int8 of the shipped run at several input sizes."""
    run_folder = train("fish", (), None, runs / "fish")[0]
    recipe, network = load_run(run_folder)
    assert isinstance(recipe, DetectionRecipe)
    pictures = unseen("deepfish", "val")
    rows, opened = [], []
    with tempfile.TemporaryDirectory() as place:
        for size_wh in SIZES:
            sized = recipe.model_copy(
                update={"preprocessing": recipe.preprocessing.model_copy(update={"size_wh": size_wh})}
            )
            to = Path(place) / f"{size_wh[0]}"
            export_detector(network, sized, deploy_data(build_task(sized)), to, engine_for(None, int8=True), int8=True)
            for model in Artifact.open(to).of(DetectionSpec).spec.models:
                artifact = Artifact.open(to, model.engine)
                scores = score_detections(pictures, detect_all(FishDetector(artifact), pictures))
                size = sum((to / name).stat().st_size for name in (model.file, model.weights) if name)
                rows.append([
                    f"{size_wh[0]} x {size_wh[1]}", f"{model.precision}, {model.engine}", f"{scores.map50:.3f}",
                    f"{scores.map50_95:.3f}", f"{size / 1000:,.0f} kB",
                ])  # fmt: skip
                opened.append(artifact)
        latencies = [latency for latency in measure(opened).latencies if latency.batch == 1]
    for row, latency in zip(rows, latencies, strict=True):
        row.append(f"{latency.milliseconds:.1f} ms")
    note = (
        "The shipped network, converted at two input sizes, on DeepFish val (sites never trained on), through the "
        "runtime; time of the network for one frame on one thread, measured in turns in one run."
    )
    columns = "input", "model", "mAP50", "mAP50-95", "size", "a frame"
    return Section.of("int8 against float", note, columns, rows)


def trainers(runs: Path) -> Section:
    """Our loop and ultralytics' own trainer with its defaults, on the same pictures for as many epochs."""
    pictures = unseen("deepfish", "val")
    rows = [
        (name, f"{result.epochs}", f"{result.pictures:,}", f"{held.map50:.3f}", f"{held.map50_95:.3f}",
         f"{val.map50:.3f}", f"{val.map50_95:.3f}")
        for name, result in ultralytics_trainer.compared(runs).items()
        for held, val in ([score_detections(seen, result.detect(seen)) for seen in (result.held, pictures)],)
    ]  # fmt: skip
    note = (
        "Trained on the same frames of DeepFish train, as many epochs, input 416 pixels wide, then read by the same "
        "code: on a held-out site, by which ultralytics' trainer also chose its best epoch, and on DeepFish val. It "
        "runs with its defaults. YOLO11n starts from nothing in both; YOLOX-Nano starts from COCO, which ultralytics' "
        "trainer cannot do."
    )
    columns = (
        "trainer and network", "epochs", "frames an epoch", "held-out: mAP50", "mAP50-95", "val: mAP50", "mAP50-95"
    )  # fmt: skip
    return Section.of("Trainers", note, columns, rows)


def luderick(_runs: Path) -> Section:
    """MaxN of every clip of a site never trained on."""
    detector = FishDetector(Artifact.open(SHIPPED))
    pictures = unseen("luderick", "val")
    seen = counts(detect_all(detector, pictures), detector.threshold)
    true = np.array([len(boxes) for boxes in pictures.xyxy])
    clips = np.unique(pictures.clips)
    errors = np.array([seen[pictures.clips == clip].max() - true[pictures.clips == clip].max() for clip in clips])
    truth = np.array([true[pictures.clips == clip].max() for clip in clips])
    rows = [("all", str(len(clips)), f"{(np.abs(errors) <= 1).mean():.1%}", f"{errors.mean():+.2f}")]
    for low, high in BINS:
        held = (truth >= low) & (truth <= high)
        if held.any():
            name = f"{low} to {high}" if high < BINS[-1][1] else f"{low} and more"
            rows.append(
                (name, str(held.sum()), f"{(np.abs(errors[held]) <= 1).mean():.1%}", f"{errors[held].mean():+.2f}")
            )
    note = (
        "Luderick val, whole clips of a site never trained on: MaxN found against MaxN labelled. Only luderick and "
        "bream are labelled there; other fish in view count as errors of ours."
    )
    return Section.of("MaxN of clips", note, ("true MaxN", "clips", "within 1", "bias"), rows)


def tank(_runs: Path) -> Section:
    detector = FishDetector(Artifact.open(SHIPPED))
    pictures = as_fish(read_detections(data_root() / "fish" / "tank-clip"))
    seen = counts(detect_all(detector, pictures), detector.threshold)
    true = np.array([len(boxes) for boxes in pictures.xyxy])
    rows = [
        ("frames", str(len(pictures))),
        ("fish in a frame, mean", f"{true.mean():.1f}"),
        ("mean absolute error of the count", f"{np.abs(seen - true).mean():.2f}"),
        ("mean error (bias)", f"{(seen - true).mean():+.2f}"),
        ("MaxN found / true", f"{seen.max()} / {true.max()}"),
    ]
    note = "A handheld clip over a tank, unlike all that was trained on: its 50 frames in which every fish is boxed."
    return Section.of("Tank clip", note, ("what", "value"), rows)


def synthetic(_runs: Path) -> Section:
    """The whole chain on rendered footage with exact truth."""
    detector = FishDetector(Artifact.open(SHIPPED))
    rows = []
    for number, spec in enumerate(standard_clips()):
        frames: list[tuple[int, Detections]] = []
        rows_of_truth: list[FishTruth] = []
        for index, (image, animals) in enumerate(render_clip(spec, 1000 + number)):
            rows_of_truth += animals
            if index % round(spec.fps / SAMPLES_A_SECOND) == 0:
                frames.append((index, detector.detect([image])[0]))
        truth = ClipTruth.of(rows_of_truth, spec.names, spec.frames, spec.fps)
        scene, tracked = _followed(frames, truth, spec.fps, detector)
        result = track_score(scene, partial(lambda done: done, tracked))
        settings = CountSettings(threshold=detector.threshold)
        counted = count(tracked, Period(0.0, None), settings, spec.size_wh).species[0]
        individuals, true = counted.individuals, _visits(scene)
        rows.append((
            str(number + 1), f"{result.hota:.3f}", f"{result.idf1:.3f}",
            f"{counted.max_n} / {truth.max_n_together().count}",
            f"{individuals.estimate:.0f} ({individuals.low:.0f} to {individuals.high:.0f}) / {true}",
        ))  # fmt: skip
    note = (
        "Rendered clips of rising difficulty with exact truth, 5 samples a second: shipped detector, tracker and "
        "counts. HOTA and IDF1 by trackeval. Individuals are visits: a fish that was away for three seconds is another."
    )
    columns = "clip", "HOTA", "IDF1", "MaxN found / true", "individuals found / true"
    return Section.of("Rendered footage", note, columns, rows)


def _visits(scene: Scene) -> int:
    return len(np.unique(visits(scene.truth_sample, scene.truth_id)))


def _followed(
    frames: Sequence[tuple[int, Detections]], truth: ClipTruth, fps: float, detector: FishDetector
) -> tuple[Scene, TrackedObservations]:
    """What was detected, tracked; and the truth of the same samples."""
    numbers = [number for number, _ in frames]
    samples = Samples.of_chapter(0, 0.0, numbers, [number / fps for number in numbers])
    observations = Observations.of_frames(samples, [seen for _, seen in frames], detector.names)
    animals = [
        (sample, fish) for sample, number in enumerate(numbers) for fish in truth.of_frame(number)
        if fish.visible >= LEAST_VISIBLE
    ]  # fmt: skip
    scene = Scene(
        np.array([sample for sample, _ in animals], np.int64),
        np.unique(np.array([fish.identity for _, fish in animals], np.int64), return_inverse=True)[1],
        np.array([fish.xyxy for _, fish in animals], np.float32).reshape(-1, 4),
        observations,
    )
    return scene, track(observations, TrackingSettings())


def speed(runs: Path) -> Section:
    """Survey and `yolo track` with the same network, weights and samples, on a short clip and on a longer one."""
    work = runs / "speed"
    minute = survey_speed.film(work / "1080p30" / "clip.mp4")
    longer = survey_speed.looped(minute, work / f"1080p30x{LONGER}" / "clip.mp4", LONGER)
    weights, artifact = ultralytics_trainer.exported(runs, work)
    rows = [
        (f"{name}, {minutes} min", *row)
        for minutes, video in ((1, minute), (LONGER, longer))
        for name, *row in _speeds(work, video, weights, artifact)
    ]
    note = (
        "Rendered 1080p30 H.264, five samples a second, start-up and all files included; "
        "the survey also writes tables, pictures, clips and the report. The same YOLO11n weights in both."
    )
    columns = "", "seconds", "against yolo track", "peak memory", "share of the decoding limit"
    return Section.of("Speed of a survey", note, columns, rows)


def _speeds(work: Path, video: Path, weights: Path, artifact: Path) -> list[tuple[str, ...]]:
    size_wh = Artifact.open(artifact).of(DetectionSpec).spec.preprocessing.size_wh
    theirs = survey_speed.yolo_track(video, weights, work / "track", size_wh)
    ours = survey_speed.survey(video.parent, _emptied(work / "results"), artifact)
    ship = survey_speed.survey(video.parent, _emptied(work / "results"), SHIPPED)
    decoding = survey_speed.decoding(video)
    rows = [
        (name, f"{cost.seconds:.1f} s", f"{theirs.seconds / cost.seconds:.2f} x", f"{cost.megabytes:,.0f} MB",
         f"{decoding / cost.seconds:.0%}")
        for name, cost in (
            ("yolo track, YOLO11n", theirs), ("survey, YOLO11n int8", ours), ("survey, shipped model", ship)
        )
    ]  # fmt: skip
    return [*rows, ("decoding alone", f"{decoding:.1f} s", f"{theirs.seconds / decoding:.2f} x", "", "100%")]


def memory(runs: Path) -> Section:
    """The shipped survey of one minute, and of that minute sixty times over."""
    work = runs / "memory"
    minute = survey_speed.film(work / "1" / "clip.mp4", 60, (640, 360))
    hour = survey_speed.looped(minute, work / "60" / "clip.mp4", 60)
    rows = []
    for video in (minute, hour):
        cost = survey_speed.survey(video.parent, _emptied(work / "results"), SHIPPED)
        rows.append((f"{video.parent.name} min", f"{cost.seconds:.0f} s", f"{cost.megabytes:,.0f} MB"))
    note = "Rendered 640 x 360 H.264 at 30 frames a second, five samples a second; the hour is the minute, looped."
    return Section.of("Memory of a survey", note, ("footage", "seconds", "peak memory"), rows)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


SECTIONS: dict[str, Measure] = {
    "shipped": shipped,
    "sites": sites,
    "precisions": precisions,
    "trainers": trainers,
    "luderick": luderick,
    "tank": tank,
    "synthetic": synthetic,
    "speed": speed,
    "memory": memory,
}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the documents that show the numbers."""
    write_numbers(kept, NUMBERS, "# Fish: numbers\n\nPrinted by `python -m benchmarks.fish`.", SHIPPED)


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
