from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from data.errors import FileAccessError
from deploy.bench import BATCHES, bench, cpu_name, measure


def test_every_artifact_and_batch_is_timed_against_the_first(tiny):
    report = measure([tiny.float32.artifact, tiny.int8.artifact], rounds=5)
    found = [(one.artifact, one.precision, one.batch) for one in report.latencies]
    assert found == [
        (name, precision, batch)
        for name, precision in (("tiny-float32", "float32"), ("tiny-int8", "int8"))
        for batch in BATCHES["digits"]
    ]
    first, second = report.latencies[:2], report.latencies[2:]
    assert [one.ratio for one in first] == [1.0, 1.0]
    for one, other in zip(first, second, strict=True):
        assert other.ratio == pytest.approx(other.milliseconds / one.milliseconds)
    assert first[1].milliseconds > first[0].milliseconds > 0
    assert report.cpu == cpu_name() != ""


def test_the_command_prints_a_table_and_writes_json(tiny, tmp_path):
    app = typer.Typer()
    app.command()(bench)
    arguments = [str(tiny.float32.artifact.folder), str(tiny.int8.artifact.folder), "--json", str(tmp_path / "b.json")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "one thread" in done.output
    assert "batch 256" in done.output
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["cpu"] == cpu_name()
    assert len(written["latencies"]) == 2 * len(BATCHES["digits"])


def test_a_missing_artifact_is_an_error(tmp_path):
    with pytest.raises(FileAccessError, match="no such folder"):
        bench([tmp_path / "nowhere"])
