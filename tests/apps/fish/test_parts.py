"""Naming, outlining and counting by points in a survey, through the command line, on footage of coloured blobs."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.fish import survey
from apps.fish.ledger import Ledger
from apps.fish.tables.parquet import read_records
from apps.fish.tables.species import read_species
from apps.main import run
from data.rle import from_rle
from tests.apps.fish import partners
from tests.apps.fish.blobs import BlobDetector, BlobSource
from tests.apps.fish.partners import (
    BROKEN,
    DAMAGED,
    NAMES,
    STUMBLES,
    BlobDense,
    BlobMasks,
    BlobSpecies,
    DeadlySpecies,
    write_school,
)
from tests.apps.fish.tables.reading import tab
from tests.apps.fish.test_survey import files, kill_somewhere, needs_proc, started, table
from tests.conftest import ROOT

EVERY = ("--every", "2")
ALL = ("--species", "x", "--masks", "x", "--dense", "x")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """OP1: two red, two white and two green ones in its second spell; OP2: two of which nobody knows."""
    disk = tmp_path_factory.mktemp("schools") / "disk"
    write_school(disk / "OP1" / "GX010007.MP4", [(20, "rw"), (60, "rwrwgg"), (6, "")])
    write_school(disk / "OP1" / "GX020007.MP4", [(30, "rw")])
    write_school(disk / "OP2" / "GX010008.MP4", [(20, "gg")])
    (disk / "metadata.csv").write_text("opcode,mm_per_pixel\nOP1,10\nOP2,\n")
    return disk


@pytest.fixture
def disk(clips, tmp_path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "disk"))


@pytest.fixture(autouse=True)
def blobs(monkeypatch):
    monkeypatch.setattr(survey, "ArtifactSource", BlobSource)
    for name, part in (("SpeciesPart", BlobSpecies), ("MasksPart", BlobMasks), ("DensePart", BlobDense)):
        monkeypatch.setattr(survey, name, part)


def surveyed(disk: Path, out: Path, *options: object) -> int:
    return run(["fish", "survey", str(disk), "--out", str(out), *EVERY, *map(str, options)])


def command(disk: Path, out: Path, *options: str) -> list[str]:
    code = (
        "from apps.fish import survey; from tests.apps.fish.blobs import BlobSource; "
        "from tests.apps.fish import partners; survey.ArtifactSource = BlobSource; "
        "survey.SpeciesPart, survey.MasksPart, survey.DensePart = "
        "partners.BlobSpecies, partners.BlobMasks, partners.BlobDense; from apps.main import main; main()"
    )
    return [sys.executable, "-c", code, "fish", "survey", str(disk), "--out", str(out), *EVERY, *options]


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory) -> Path:
    """Results of the disk with all parts, surveyed without a break."""
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(clips, out, *ALL), cwd=ROOT, capture_output=True, check=True)
    return out


@pytest.fixture(scope="module")
def plain(clips, tmp_path_factory) -> Path:
    """Results of the disk without any part."""
    out = tmp_path_factory.mktemp("plain") / "out"
    subprocess.run(command(clips, out), cwd=ROOT, capture_output=True, check=True)
    return out


def test_fish_are_counted_by_their_names(whole):
    rows = {(row["opcode"], row["species"]): row for row in table(whole / "maxn.csv")}
    assert {key: row["maxn"] for key, row in rows.items()} == {
        **{("OP1", name): "2" for name in (*NAMES, "unknown fish")},
        **{("OP2", name): "0" for name in NAMES},
        ("OP2", "unknown fish"): "2",
    }
    # The red and white ones are there from the start, the unknown ones from the second spell on.
    assert [rows["OP1", name]["first_arrival_seconds"] for name in (*NAMES, "unknown fish")] == [
        "0.000",
        "0.000",
        "0.667",
    ]
    # 43 samples of the first chapter, of which 10 show one of each, 30 two and 3 none; 15 of the second show one.
    assert float(rows["OP1", NAMES[0]]["mean_count"]) == pytest.approx((10 + 2 * 30 + 15) / 58, abs=1e-3)
    assert float(rows["OP1", "unknown fish"]["mean_count"]) == pytest.approx(2 * 30 / 58, abs=1e-3)


def test_a_track_has_one_name_with_its_confidence_and_pictures(whole):
    found = read_species(whole / "OP1")
    assert found is not None
    assert (found.model, found.names, found.threshold) == ("species-x", NAMES, 0.5)
    records = read_records(whole / "OP1")
    seen, tracks = records.tracked.observations, records.tracked.tracks
    assert [one.track for one in found.fish] == list(range(1, records.tracked.count + 1))
    for one in found.fish:
        assert {seen.names[label] for label in seen.labels[tracks == one.track]} == {one.label}
        assert (one.name or "unknown fish") == one.label
        assert 1 <= len(one.crops) <= 3 <= one.votes + 2
        assert one.confidence == pytest.approx(0.95 if one.name is None else 0.855, abs=0.01)
        colours = [_colour(whole / "OP1" / crop.picture) for crop in one.crops]
        assert set(colours) == {{NAMES[0]: "red", NAMES[1]: "white"}.get(one.label, "green")}
    assert [row["species"] for row in table(whole / "OP1" / "species.csv")] == [one.label for one in found.fish]


def _colour(path: Path) -> str:
    picture = cv2.imread(str(path))
    assert picture is not None
    assert max(picture.shape) <= 160
    _, green, red = picture[picture.max(axis=2) > 120].mean(axis=0)
    return "red" if red > green + 40 else "green" if green > red + 40 else "white"


def test_crops_are_where_they_say(whole, clips):
    """The detection under a crop's place is the one that the crop shows."""
    found = read_species(whole / "OP1")
    seen = read_records(whole / "OP1").tracked.observations
    places = {
        (seen.samples.chapter[sample], seen.samples.frame[sample], *np.round(box.astype(float), 2).tolist())
        for sample, box in zip(seen.sample.tolist(), seen.xyxy, strict=True)
    }
    chapters = ("OP1/GX010007.MP4", "OP1/GX020007.MP4")
    crops = [crop for one in found.fish for crop in one.crops]
    assert len({crop.picture for crop in crops}) == len(crops)
    assert all((chapters.index(crop.file), crop.frame, *crop.xyxy) in places for crop in crops)


def test_tables_for_other_programs_have_the_taxonomy(whole):
    points = tab(whole / "unnamed_Points.txt")
    named = {(row["Family"], row["Genus"], row["Species"], row["Code"]) for row in points if row["OpCode"] == "OP1"}
    rubra, alba, nothing = ("Sparidae", "Pagrus", "rubra"), ("Kyphosidae", "Girella", "alba"), ("", "", "")
    assert named == {(*rubra, "37353001"), (*alba, ""), (*nothing, "")}
    counts = table(whole / "unnamed_Count.csv")
    assert [(row["family"], row["genus"], row["species"]) for row in counts] == [rubra, alba, nothing] * 2
    assert [row["count"] for row in counts] == ["2", "2", "2", "0", "0", "2"]
    occurrences = {row["verbatimIdentification"]: row for row in table(whole / "OP1" / "occurrence.csv")}
    red, unknown = occurrences["Pagrus rubra"], occurrences["unknown fish"]
    assert red["scientificName"] == "Pagrus rubra"
    assert red["scientificNameID"] == "urn:lsid:marinespecies.org:taxname:218"
    assert (unknown["scientificName"], unknown["phylum"]) == ("Gnathostomata", "Chordata")
    assert occurrences["Girella alba"]["scientificNameID"] == ""
    assert "named by one (species-x)" in red["identificationRemarks"]


def test_outlines_fit_the_boxes_and_give_lengths(whole):
    masks = json.loads((whole / "OP1" / "masks.json").read_text())
    boxes = {one["id"]: one for one in json.loads((whole / "OP1" / "coco.json").read_text())["annotations"]}
    assert len(masks["annotations"]) > 100
    for one in masks["annotations"]:
        height, width = one["segmentation"]["size"]
        mask = from_rle(one["segmentation"]["counts"], (width, height))
        assert mask.inside.sum() == one["area"] > 50
        left, top, wide, _ = boxes[one["id"]]["bbox"]
        assert abs(mask.left - left) + abs(mask.top - top) + abs(mask.inside.shape[1] - wide) <= 4
        assert {key: one[key] for key in ("image_id", "category_id", "track_id")} == {
            key: boxes[one["id"]][key] for key in ("image_id", "category_id", "track_id")
        }
    rows = table(whole / "OP1" / "lengths.csv")
    assert {row["species"] for row in rows} == {*NAMES, "unknown fish"}
    for row in rows:
        assert float(row["length_px"]) == pytest.approx(17, abs=2)
        assert float(row["length_mm"]) == pytest.approx(10 * float(row["length_px"]), abs=1)
    classes = table(whole / "OP1" / "length_classes.csv")
    counted = {name: sum(int(row["count"]) for row in classes if row["species"] == name) for name in NAMES}
    assert counted == dict.fromkeys(NAMES, 2)
    assert not (whole / "OP2" / "length_classes.csv").exists()
    assert {row["length_mm"] for row in table(whole / "OP2" / "lengths.csv")} == {""}


def test_outlines_as_labels_of_yolo(whole):
    with zipfile.ZipFile(whole / "OP2" / "yolo_seg.zip") as archive:
        names = archive.namelist()
        assert names[0] == "data.yaml"
        assert names[1:] == [f"labels/OP2/GX010008.MP4/{frame:08d}.txt" for frame in range(0, 20, 2)]
        for line in archive.read(names[1]).decode().splitlines():
            label, *corners = line.split()
            assert label == "2"
            points = np.array(corners, float).reshape(-1, 2)
            assert len(points) >= 4
            assert 0 <= points.min() < points.max() <= 1
            width, height = np.ptp(points * [partners.WIDTH, partners.HEIGHT], axis=0)
            assert (width, height) == pytest.approx((17, 9), abs=2)


def test_the_table_says_what_was_counted_by_points(whole):
    one, other = table(whole / "dense.csv")
    # Six blobs are six and a half for the counter, which is trusted from five on.
    assert (one["maxn"], one["counted_by"], one["maxn_boxes"], one["maxn_points"]) == ("7", "points", "6", "7")
    assert (one["maxn_file"], one["maxn_frame"], one["dense_samples"]) == ("OP1/GX010007.MP4", "20", "30")
    assert float(one["mean_count"]) - float(one["mean_count_boxes"]) == pytest.approx(0.5 * 30 / 58, abs=1e-3)
    assert (other["maxn"], other["counted_by"], other["maxn_points"], other["dense_samples"]) == ("2", "boxes", "", "0")


def test_the_same_command_again_loads_nothing(disk, whole, tmp_path, monkeypatch, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    monkeypatch.setattr(BlobSource, "load", None)
    assert surveyed(disk, out, *ALL, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["resumed"] == 2
    assert told["parts"]["masks"] == {"model": "masks-x", "deployments_without": []}
    assert files(out) == files(whole)


class Blind(BlobDetector):
    """Sees nothing: results that are right come from the ledger."""

    def detect(self, frames):
        raise AssertionError("frames were detected again")


class BlindSource(BlobSource):
    def load(self) -> Blind:
        super().load()
        return Blind()


def test_a_part_asked_for_later_takes_the_detections_that_are_there(disk, plain, whole, tmp_path, monkeypatch):
    out = Path(shutil.copytree(plain, tmp_path / "out"))
    monkeypatch.setattr(survey, "ArtifactSource", BlindSource)
    assert surveyed(disk, out, "--species", "x") == 0
    assert surveyed(disk, out, *ALL) == 0
    assert files(out) == files(whole)
    assert surveyed(disk, out) == 0
    assert files(out) == files(plain)


def test_after_every_segment_it_goes_on_alike(disk, whole, tmp_path):
    """Whatever is kept of the detections and of each part."""
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    moments = random.Random(3)
    for _ in range(2):
        with Ledger(out) as ledger:
            db = ledger._db
            db.execute("UPDATE chapters SET account = NULL")
            db.execute("DELETE FROM deployments")
            kept = moments.randrange(3)
            db.execute("DELETE FROM segments WHERE number >= ?", (kept,))
            db.execute("DELETE FROM looks WHERE number >= ?", (kept,))
            for (part,) in db.execute("SELECT DISTINCT part FROM looks").fetchall():
                db.execute("DELETE FROM looks WHERE part = ? AND number >= ?", (part, moments.randrange(3)))
        assert surveyed(disk, out, *ALL) == 0
        assert files(out) == files(whole)


def test_workers_do_not_change_the_tables(disk, whole, tmp_path):
    assert surveyed(disk, tmp_path / "out", *ALL, "--workers", 3) == 0
    assert files(tmp_path / "out") == files(whole)


@needs_proc
def test_killed_it_ends_with_the_same_tables(disk, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("tests.apps.fish.test_survey.command", command)
    kill_somewhere(started(disk, out, "0.1", *ALL), out, 0.3)
    assert surveyed(disk, out, *ALL) == 0
    assert files(out) == files(whole)


def test_a_part_that_fails_is_told_and_the_rest_goes_on(disk, plain, whole, tmp_path, capsys):
    """One model is damaged, one cannot be loaded, one stumbles over the frames of one deployment."""
    out = tmp_path / "out"
    assert surveyed(disk, out, "--species", DAMAGED, "--masks", BROKEN, "--dense", STUMBLES) == 2
    problems = {row["kind"]: row for row in table(out / "problems.csv")}
    assert sorted(problems) == ["no_dense", "no_masks", "no_species"]
    assert len(table(out / "problems.csv")) == 3
    assert problems["no_species"]["problem"] == "is not valid JSON (char 0), so fish are not named"
    assert problems["no_masks"]["problem"] == "cannot be loaded (bad protobuf), so fish are not outlined"
    assert problems["no_dense"]["problem"].endswith("so schools are not counted by points")
    assert {row["footage_lost"] for row in problems.values()} == {"no"}
    told, err = capsys.readouterr()
    for kind in problems.values():
        assert kind["problem"] in " ".join(err.split())
    assert f"Left out: {DAMAGED}/spec.json: is not valid JSON (char 0), so fish are not named." in told
    assert "2 complete" in told
    parts = json.loads((out / "summary.json").read_text())["parts"]
    assert parts == {
        "species": {"model": None, "deployments_without": ["OP1", "OP2"]},
        "masks": {"model": "masks-broken", "deployments_without": ["OP1", "OP2"]},
        "dense": {"model": "dense-stumbles", "deployments_without": ["OP1"]},
    }
    assert [row["opcode"] for row in table(out / "dense.csv")] == ["OP2"]
    assert files(out)["maxn.csv"] == files(plain)["maxn.csv"]
    notes = (out / "report.html").read_text()
    assert "so fish are not named" in notes
    assert "so fish are not outlined" in notes
    # Mended, the same command completes what is missing.
    assert surveyed(disk, out, *ALL) == 0
    assert files(out) == files(whole)


def test_a_part_that_ends_its_process_costs_only_itself(disk, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "SpeciesPart", DeadlySpecies)
    out = tmp_path / "out"
    assert surveyed(disk, out, "--species", "x") == 2
    assert [row["kind"] for row in table(out / "problems.csv")] == ["no_species"]
    assert files(out)["OP1/maxn.csv"] == files(plain)["OP1/maxn.csv"]
    (row,) = [row for row in table(out / "OP2" / "maxn.csv") if row["species"] == "unknown fish"]
    assert (row["maxn"], row["complete"]) == ("2", "yes")


@pytest.mark.parametrize("option", ["--species", "--masks", "--dense"])
def test_the_shipped_model_is_a_word(disk, tmp_path, option, monkeypatch, capsys):
    asked = []
    kind = {"--species": "SpeciesPart", "--masks": "MasksPart", "--dense": "DensePart"}[option]
    part = getattr(survey, kind)
    monkeypatch.setattr(part, "described", lambda self: asked.append(self.folder) or ("shipped", "0"))
    assert surveyed(disk / "OP2", tmp_path / "out", option, "shipped") == 0
    assert asked == [ROOT / "models" / "weights" / f"{option[2:]}-int8"]
