"""Small videos made on the spot, each frame telling its own number, and ways to damage them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, RATE = 160, 96, 30
BITS = 8


@dataclass(frozen=True)
class Encoding:
    """How a video is stored; `stamps` are times of its frames in milliseconds, None at an even 30 a second."""

    name: str
    codec: str
    format: str | None = None
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    stamps: Sequence[int] | None = None
    frames: int = 90


def uneven(frames: int) -> list[int]:
    """Milliseconds of a camera that slows down in the dark."""
    steps = [33, 33, 34, 50, 67, 120, 33]
    return [sum(steps[number % len(steps)] for number in range(count)) for count in range(frames)]


B_FRAMES = {"g": "15", "bf": "3", "preset": "ultrafast"}
X265 = "keyint=15:bframes=3:log-level=none:pools=none:frame-threads=1"
ENCODINGS = [
    Encoding("h264.mp4", "libx264", options=B_FRAMES),
    Encoding("open-gop.mp4", "libx264", options={**B_FRAMES, "x264-params": "open-gop=1"}),
    Encoding("vfr.mp4", "libx264", options=B_FRAMES, stamps=uneven(90)),
    Encoding("hevc.mp4", "libx265", options={"preset": "ultrafast", "x265-params": f"{X265}:open-gop=1"}),
    Encoding("hevc.mkv", "libx265", options={"preset": "ultrafast", "x265-params": X265}),
    Encoding("mjpeg.avi", "mjpeg", pixels="yuvj420p"),
    Encoding("h264.avi", "libx264", options=B_FRAMES),
    Encoding("h264.mts", "libx264", "mpegts", options=B_FRAMES),
    Encoding("interlaced.mts", "libx264", "mpegts", options={**B_FRAMES, "flags": "+ilme+ildct"}),
    Encoding("mpeg2.m2ts", "mpeg2video", "mpegts", options={"g": "15", "bf": "2"}),
]


def picture(number: int, frames: int = 90) -> np.ndarray:
    """A moving texture with the frame's number in a row of black and white squares."""
    rng = np.random.default_rng(5)
    texture = rng.integers(60, 190, (HEIGHT // 8, WIDTH // 8 + 2 * frames // 8 + 2, 3), dtype=np.uint8)
    texture = texture.repeat(8, 0).repeat(8, 1)
    image = np.ascontiguousarray(texture[:HEIGHT, 2 * number % 200 : 2 * number % 200 + WIDTH])
    for bit in range(BITS):
        image[:16, 16 * bit : 16 * bit + 16] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: np.ndarray) -> int:
    """The number that a picture shows."""
    return sum(1 << bit for bit in range(BITS) if image[4:12, 16 * bit + 4 : 16 * bit + 12].mean() > 127)


def write_video(path: Path, encoding: Encoding) -> Path:
    with av.open(str(path), "w", format=encoding.format) as container:
        stream = container.add_stream(encoding.codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, encoding.pixels
        stream.options = encoding.options
        stream.codec_context.thread_count = 1
        base = Fraction(1, RATE) if encoding.stamps is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        for number in range(encoding.frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts = number if encoding.stamps is None else encoding.stamps[number]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moov_first(path: Path, target: Path) -> Path:
    """The same streams with the index in front, as a file is stored that was prepared for the web."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def flipped(content: bytes, low: float, high: float, count: int, seed: int = 3) -> bytes:
    """The bytes with some between two shares of the length changed."""
    damaged, rng = bytearray(content), random.Random(seed)
    for _ in range(count):
        damaged[rng.randrange(int(len(content) * low), int(len(content) * high))] ^= rng.randrange(1, 256)
    return bytes(damaged)


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for start in range(0, 44100, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
