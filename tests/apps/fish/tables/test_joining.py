"""The tables over all deployments, made by a survey of small videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.fish import survey
from apps.fish.joining import is_shared, join_tables, shared_names
from apps.fish.naming import folder_name
from apps.main import run
from data.errors import InputError
from tests.apps.fish.blobs import BlobSource, write_clip
from tests.apps.fish.tables.reading import comma, tab

METADATA = """opcode,campaignid,site,latitude_dd,longitude_dd,depth_m,date_time
OP1,Bay,=Reef,-33.5,151.25,12,2026-02-28T09:30:00
OP2,Bay,Wreck,-33.6,151.3,20.5,2026-02-28T11:00:00
OP3,River,Mouth,-33.7,151.4,3,2026-03-01T08:00:00
"""


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Path:
    """Three deployments of two campaigns: one with fish, one damaged, one without fish."""
    monkeypatch.setattr(survey, "ArtifactSource", BlobSource)
    disk = tmp_path / "disk"
    write_clip(disk / "OP1" / "GX010007.MP4", 12, (3,))
    damaged = write_clip(disk / "OP2" / "GX010008.MP4", 40, (2,))
    damaged.write_bytes(damaged.read_bytes()[:-1500])
    write_clip(disk / "OP3" / "GX010009.MP4", 8, (0,))
    (disk / "metadata.csv").write_text(METADATA)
    return disk


def surveyed(disk: Path, out: Path) -> int:
    return run(["fish", "survey", str(disk), "--out", str(out), "--every", "4"])


def test_campaigns_are_joined_over_their_deployments(disk, tmp_path):
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    (out / "Other_Count.csv").write_text("mine")
    expected = {"OP1": "3", "OP3": "0"}
    assert surveyed(disk, out) == 2
    maxn = {row["opcode"]: row["maxn"] for row in comma(out / "maxn.csv")}
    assert expected.items() <= maxn.items()
    counts = [row for name in ("Bay_Count.csv", "River_Count.csv") for row in comma(out / name)]
    assert {row["opcode"]: row["count"] for row in counts} == maxn
    metadata = {row["opcode"]: row for name in ("Bay", "River") for row in comma(out / f"{name}_Metadata.csv")}
    lost = {opcode for opcode in maxn if metadata[opcode]["successful_count"] == "No"}
    assert lost == {row["opcode"] for row in comma(out / "maxn.csv") if row["complete"] == "no"}
    assert "OP1" not in lost
    assert metadata["OP1"]["site"] == "'=Reef"
    assert [row["OpCode"] for row in tab(out / "Bay_Points.txt")][:3] == ["OP1"] * 3
    assert tab(out / "River_Points.txt") == []
    assert [row["OpCode"] for row in tab(out / "River_Period.txt")] == ["OP3"]
    occurrences = {row["eventID"]: row for row in comma(out / "occurrence.csv")}
    assert occurrences["shankha:River:OP3"]["occurrenceStatus"] == "absent"
    assert occurrences["shankha:Bay:OP1"]["eventDate"] == "2026-02-28T09:30:00"

    # A deployment that moves to another campaign leaves the tables of the one before.
    before = (out / "occurrence.csv").read_bytes()
    (disk / "metadata.csv").write_text(METADATA.replace("River", "Bay"))
    assert surveyed(disk, out) == 2
    assert not list(out.rglob("River_*"))
    assert {row["opcode"] for row in comma(out / "Bay_Count.csv")} == maxn.keys()
    assert (out / "occurrence.csv").read_bytes() == before.replace(b":River:", b":Bay:")
    assert (out / "Other_Count.csv").read_text() == "mine"


def test_campaigns_that_differ_in_case_share_a_file(tmp_path):
    """They would be one file on other systems."""
    for opcode, campaign in (("A", "Bay"), ("B", "bay")):
        (tmp_path / opcode).mkdir()
        (tmp_path / opcode / f"{campaign}_Count.csv").write_bytes(f"campaignid\r\n{campaign}\r\n".encode())
    join_tables(tmp_path, ["A/Bay_Count.csv", "A/coco.json", "B/bay_Count.csv"])
    assert (tmp_path / "Bay_Count.csv").read_bytes() == b"campaignid\r\nBay\r\nbay\r\n"
    assert {path.name for path in tmp_path.iterdir()} == {"A", "B", "Bay_Count.csv", "maxn.csv"}


def test_tables_of_other_columns_are_not_joined(tmp_path):
    for opcode, head in (("A", "opcode"), ("B", "species")):
        (tmp_path / opcode).mkdir()
        (tmp_path / opcode / "maxn.csv").write_text(f"{head}\nx\n")
    with pytest.raises(InputError, match="other columns"):
        join_tables(tmp_path, ["A/maxn.csv", "B/maxn.csv"])
    assert not (tmp_path / "maxn.csv").exists()


@pytest.mark.parametrize("opcode", ["Bay_Count.csv", "bay_points.TXT", "MAXN.csv", "occurrence.csv"])
def test_no_deployment_takes_the_place_of_a_shared_table(opcode):
    assert not is_shared(folder_name(opcode))
    assert folder_name(opcode).startswith(opcode)


def test_names_of_shared_tables():
    names = ["A/Bay_Count.csv", "B/bay_Count.csv", "B/coco.json", "B/_Count.csv"]
    assert shared_names(names) == ["maxn.csv", "Bay_Count.csv"]
