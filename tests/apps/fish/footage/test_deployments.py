from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.footage import deployments
from apps.fish.footage.deployments import find_deployments
from data.errors import FileAccessError, InputError


def disk_with(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    return root


def chapters(deployment) -> list[str]:
    return [str(chapter.path.relative_to(deployment.folder)) for chapter in deployment.chapters]


def kinds(problems) -> list[str]:
    return sorted(problem.kind for problem in problems)


@pytest.mark.parametrize(
    "in_order",
    [
        ["GX010034.MP4", "GX020034.MP4", "GX030034.MP4"],
        ["GH010001.mp4", "GH020001.MP4"],
        ["GOPR0034.MP4", "GP010034.MP4", "GP020034.MP4"],
        ["L1_GX010034.MP4", "L1_GX020034.MP4"],
        ["clip 1.mov", "clip 2.mov", "clip 10.mov"],
        ["00000.MTS", "00001.MTS", "00002.m2ts"],
        ["a.avi", "b.mkv", "c.m4v"],
    ],
)
def test_chapters_are_in_the_order_of_filming(tmp_path, in_order):
    (found,), problems = find_deployments(disk_with(tmp_path, *(f"L1/{name}" for name in reversed(in_order))))
    assert (found.opcode, chapters(found), found.complete) == ("L1", in_order, True)
    assert problems == []


@given(st.sets(st.integers(1, 12), min_size=1))
def test_missing_chapters(present):
    missing = deployments._missing(sorted(present))
    assert set(missing) | present == set(range(1, max(present) + 1))
    assert not set(missing) & present


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["GX010034.MP4", "GX030034.MP4"], "chapter 2 of recording 0034 missing"),
        (["GX030034.MP4"], "chapters 1, 2 of recording 0034 missing"),
        (["GP010034.MP4"], "chapter 1 of recording 0034 missing"),
        (["GOPR0034.MP4", "GP020034.MP4"], "chapter 2 of recording 0034 missing"),
    ],
)
def test_a_missing_chapter_is_told_and_never_looks_complete(tmp_path, names, told):
    (found,), (problem,) = find_deployments(disk_with(tmp_path, *(f"L1/{name}" for name in names)))
    assert not found.complete
    assert len(found.chapters) == len(names)
    assert (problem.kind, problem.opcode, problem.loss) == ("missing_chapter", "L1", True)
    assert told in str(problem)


def test_two_recordings_are_in_order_and_noted(tmp_path):
    names = ["GX010009.MP4", "GX020009.MP4", "GX010010.MP4"]
    (found,), (problem,) = find_deployments(disk_with(tmp_path, *(f"L1/{name}" for name in names)))
    assert chapters(found) == names
    assert found.complete
    assert (problem.kind, problem.loss) == ("several_recordings", False)
    assert "2 recordings (0009, 0010)" in str(problem)


def test_what_is_no_footage_is_passed_over(tmp_path):
    passed = [
        "L1/._GX010034.MP4",
        "L1/.hidden.mp4",
        "L1/GL010034.LRV",
        "L1/GX010034.THM",
        "L1/notes.txt",
        ".Trash/a.mp4",
    ]
    (found,), problems = find_deployments(
        disk_with(tmp_path, "L1/GX010034.MP4", "out/clip.mp4", *passed), None, tmp_path / "out"
    )
    assert chapters(found) == ["GX010034.MP4"]
    assert problems == []


def test_folders_that_cameras_make_belong_to_the_folder_above(tmp_path):
    disk = disk_with(
        tmp_path,
        "L1/DCIM/100GOPRO/GX010034.MP4",
        "L1/DCIM/101GOPRO/GX020034.MP4",
        "L2/PRIVATE/AVCHD/BDMV/STREAM/00000.MTS",
    )
    (first, second), problems = find_deployments(disk)
    assert (first.opcode, chapters(first)) == ("L1", ["DCIM/100GOPRO/GX010034.MP4", "DCIM/101GOPRO/GX020034.MP4"])
    assert (second.opcode, len(second.chapters)) == ("L2", 1)
    assert problems == []


def test_same_names_are_told_apart(tmp_path):
    found, problems = find_deployments(
        disk_with(tmp_path, "reef/L1/a.mp4", "sand/L1/a.mp4", "sand/L2/a.mp4", "reef_L1/a.mp4")
    )
    assert [one.opcode for one in found] == ["L2", "reef_L1", "reef_L1_2", "sand_L1"]
    assert len({one.opcode.casefold() for one in found}) == 4
    assert kinds(problems) == ["same_opcode", "same_opcode"]
    assert "2 folders are named 'L1': this one is called 'sand_L1'" in str(problems[1])


def test_a_file_or_a_folder_of_files_given_directly(tmp_path):
    disk_with(tmp_path, "L7/a.mp4", "L7/b.mp4")
    (folder,), _ = find_deployments(tmp_path / "L7")
    assert (folder.opcode, chapters(folder)) == ("L7", ["a.mp4", "b.mp4"])
    (alone,), _ = find_deployments(tmp_path / "L7" / "b.mp4")
    assert (alone.opcode, chapters(alone)) == ("b", ["b.mp4"])


def test_empty_and_unreadable_folders(tmp_path, monkeypatch):
    disk = disk_with(tmp_path, "L1/a.mp4")
    (disk / "L2").mkdir()
    found, (problem,) = find_deployments(disk)
    assert [one.opcode for one in found] == ["L1"]
    assert str(problem) == f"{disk / 'L2'}: is empty. Copy its footage again, or remove it."
    real = deployments.os.walk

    def walk(top, onerror):
        yield from real(top)
        onerror(PermissionError(13, "Permission denied", str(disk / "L3")))

    monkeypatch.setattr(deployments.os, "walk", walk)
    _, problems = find_deployments(disk)
    assert f"{disk / 'L3'}: cannot be listed (Permission denied)" in str(problems[1])
    assert problems[1].loss


def test_nothing_to_find(tmp_path):
    assert kinds(find_deployments(tmp_path)[1]) == ["no_footage"]
    with pytest.raises(FileAccessError, match="is not there"):
        find_deployments(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no video file"):
        find_deployments(disk_with(tmp_path, "notes.txt") / "notes.txt")


def test_metadata_finds_its_folders(tmp_path):
    disk = disk_with(tmp_path, "L1/a.mp4", "L2/a.mp4", "deep/cam3/a.mp4")
    table = disk / "Metadata.csv"
    table.write_text("opcode,site,folder\nL1,Reef,\nL9,Sand,\nR3,Edge,deep/cam3\n", encoding="utf-8")
    found, problems = find_deployments(disk)
    assert [(one.opcode, one.metadata and one.metadata.site) for one in found] == [
        ("L1", "Reef"),
        ("L2", None),
        ("R3", "Edge"),
    ]
    assert kinds(problems) == ["no_metadata", "unknown_opcode"]
    assert "line 3: opcode 'L9' has no folder with footage" in " ".join(map(str, problems))
    assert "L2: has no row in Metadata.csv" in " ".join(map(str, problems))


def test_a_table_that_is_none(tmp_path):
    disk = disk_with(tmp_path, "L1/a.mp4")
    (disk / "metadata.csv").write_bytes(b"\x00\x01 no table")
    found, problems = find_deployments(disk)
    assert (len(found), kinds(problems), problems[0].loss) == (1, ["bad_metadata"], False)
    with pytest.raises(InputError, match="is no table of text"):
        find_deployments(disk, disk / "metadata.csv")
