"""How fast a survey is, and how much memory it takes, beside `yolo track` of ultralytics and beside decoding alone."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from apps.fish.footage import ChapterReader, parse_sampling
from data.synth.footage import ClipSpec, render_clip, write_video

SIZE_WH = 1920, 1080
FPS = 30
SECONDS = 60
EVERY = "0.2s"
STRIDE = 6
"""`yolo track` takes every sixth frame of 30 a second: five a second, as the survey does."""


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds of a command from start to end, the peak memory of its largest process in MB, and the seconds
    that all its processes together kept a core busy."""

    seconds: float
    megabytes: float
    busy: float


def cost_of(command: list[str]) -> Cost:
    """Run a command to its end in a process of its own.

    Raises:
        RuntimeError: It failed.
    """
    watch = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime); sys.exit(code)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", watch, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    megabytes, busy = done.stdout.split()[-2:]
    return Cost(seconds, float(megabytes), float(busy))


def survey(disk: Path, results: Path, model: Path, *more: str) -> Cost:
    """A whole survey with its tables, pictures, clips and report; one chapter at a time. `more` are further options."""
    run = "from apps.main import main; main()"
    return cost_of([
        sys.executable, "-c", run, "fish", "survey", str(disk), "--out", str(results), "--model", str(model),
        "--every", EVERY, "--workers", "1", *more,
    ])  # fmt: skip


def yolo_track(video: Path, weights: Path, project: Path, size_wh: tuple[int, int]) -> Cost:
    """`yolo track` of ultralytics on the same samples: boxes written as text, no video."""
    run = (
        "import models.ultralytics_detectors; from ultralytics import YOLO; "
        f"results = YOLO({str(weights)!r}).track({str(video)!r}, stream=True, vid_stride={STRIDE}, "
        f"imgsz=({size_wh[1]}, {size_wh[0]}), device='cpu', save_txt=True, verbose=False, project={str(project)!r}); "
        "print(sum(1 for _ in results))"
    )
    return cost_of([sys.executable, "-c", run])


def decoding(video: Path) -> float:
    """Seconds to decode a file and hand over the same samples, nothing else."""
    started = time.perf_counter()
    for _ in ChapterReader(video, parse_sampling(EVERY), None):
        pass
    return time.perf_counter() - started


def film(path: Path, seconds: int = SECONDS, size_wh: tuple[int, int] = SIZE_WH) -> Path:
    """A rendered clip of fish; rendered once, then kept."""
    if not path.is_file():
        spec = ClipSpec(size_wh=size_wh, fps=FPS, seconds=float(seconds))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, (image for image, _ in render_clip(spec, 5)), FPS)
    return path


def looped(source: Path, path: Path, times: int) -> Path:
    """A file that shows the source so many times over: the same packets, later and later."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as video, av.open(str(path), "w") as loop:
        stream = video.streams.video[0]
        copy = loop.add_stream_from_template(stream)
        packets = [packet for packet in video.demux(stream) if packet.dts is not None]
        assert stream.time_base is not None
        length = round(Fraction(stream.frames, FPS) / stream.time_base)
        times_of = np.array([(packet.dts, packet.pts) for packet in packets])
        for turn in range(times):
            for packet, (dts, pts) in zip(packets, times_of.tolist(), strict=True):
                packet.stream, packet.time_base = copy, stream.time_base
                packet.dts, packet.pts = dts + turn * length, pts + turn * length
                loop.mux(packet)
    return path
