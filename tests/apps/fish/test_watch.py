"""Files that arrive: taken when they are complete, never before."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from apps.fish.footage import find_deployments, parse_sampling
from apps.fish.overlap import ahead
from apps.fish.watch import GIVEN_UP, SETTLED, Arrivals
from tests.apps.fish.blobs import write_clip
from tests.apps.fish.test_survey import needs_proc, started, table, wait_until


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "GX010001.MP4", 30)


class Clock:
    """A time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_file_is_taken_once_it_is_whole_and_quiet(clip, tmp_path):
    clock = Clock()
    arrivals = Arrivals(parse_sampling("1"), clock)
    content = clip.read_bytes()
    target = tmp_path / "OP1" / clip.name
    target.parent.mkdir()

    def arriving() -> bool:
        return target in arrivals.arriving(find_deployments(tmp_path)[0])

    target.write_bytes(content[:500])
    assert arriving()
    clock.now += SETTLED
    assert arriving()  # quiet, but its index has not come
    target.write_bytes(content)
    assert arriving()
    clock.now += SETTLED - 0.1
    assert arriving()
    clock.now += 0.1
    assert not arriving()
    target.write_bytes(content[:-100])
    assert arriving()  # it changes again


def test_a_file_that_stays_damaged_is_given_up(tmp_path):
    clock = Clock()
    arrivals = Arrivals(parse_sampling("1"), clock)
    target = tmp_path / "OP1" / "GX010001.MP4"
    target.parent.mkdir()
    target.write_text("no video")
    found, _ = find_deployments(tmp_path)
    assert arrivals.arriving(found) == {target}
    clock.now += GIVEN_UP - 1
    assert arrivals.arriving(found) == {target}
    clock.now += 1
    assert arrivals.arriving(found) == frozenset()


@needs_proc
def test_a_watch_does_chapters_again_as_they_come_and_ends_on_demand(clip, tmp_path):
    disk, out = tmp_path / "disk", tmp_path / "out"
    shutil.copytree(clip.parent, disk / "OP1")
    process = started(disk, out, "0", "--watch")
    try:
        wait_until(lambda: (out / "maxn.csv").exists() and table(out / "maxn.csv"))
        assert [row["samples"] for row in table(out / "maxn.csv")] == ["30"]
        arriving = disk / "OP1" / "GX020001.MP4"
        chapter = write_clip(tmp_path / "GX020001.MP4", 22, first=30)
        arriving.write_bytes(chapter.read_bytes()[:700])
        wait_until(lambda: not (out / "OP1" / "maxn.csv").exists())  # the deployment has become incomplete
        shutil.copyfile(chapter, arriving)
        wait_until(lambda: (out / "OP1" / "maxn.csv").exists() and (out / "maxn.csv").exists())
        wait_until(lambda: not (out / "UNFINISHED.txt").exists())
        assert [(row["samples"], row["complete"]) for row in table(out / "maxn.csv")] == [("52", "yes")]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        told, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert b"1 deployment, 2 chapters" in told
    assert b"Traceback" not in error


def test_items_made_ahead_come_in_order_and_errors_where_they_belong():
    def items():
        yield from range(50)
        raise OSError("the disk is gone")

    stream = ahead(items(), 3)
    assert [next(stream) for _ in range(50)] == list(range(50))
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_items_that_nobody_wants_are_not_made():
    closed = []

    def items():
        try:
            for number in range(10**9):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    made: list[int] = []
    stream = ahead(items(), 3)
    assert next(stream) == 0
    stream.close()
    assert len(made) <= 6
    assert closed == [True]
