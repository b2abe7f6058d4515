"""Review of names: the page's server, the page in a browser, and what becomes of decisions in the next survey."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from apps.fish.decisions import History
from apps.fish.doubts import doubts
from apps.fish.naming import HISTORY
from apps.fish.report.stored import read_deployment
from apps.fish.review import server
from apps.fish.review.queue import read_queue
from apps.fish.tables.species import BY_A_PERSON, StoredCrop, StoredFish, StoredProposal, read_species
from apps.main import run
from tests.apps.fish.partners import NAMES
from tests.apps.fish.test_parts import blobs, clips, command, plain, surveyed, whole  # noqa: F401
from tests.apps.fish.test_survey import files, table
from tests.conftest import ROOT

CHROMIUM = Path("/usr/bin/chromium")
NEW = "Pagrus auratus"


@pytest.fixture(scope="module")
def named(clips, tmp_path_factory) -> Path:  # noqa: F811
    """Results of a survey that names fish."""
    out = tmp_path_factory.mktemp("named") / "out"
    subprocess.run(command(clips, out, "--species", "x"), cwd=ROOT, capture_output=True, check=True)
    return out


@pytest.fixture
def results(named, tmp_path) -> Path:
    return Path(shutil.copytree(named, tmp_path / "results"))


def client(results: Path) -> TestClient:
    history = History(results)
    return TestClient(server.review_app(read_queue(results, history), history), base_url="http://127.0.0.1")


def fish_of(asked: TestClient) -> list[dict]:
    return asked.get("/api/fish").json()["fish"]


def decide(asked: TestClient, number: int, answer: str) -> dict:
    reply = asked.post("/api/decisions", json={"fish": number, "answer": answer})
    assert reply.status_code == 200, reply.text
    return reply.json()


def first(asked: TestClient, opcode: str, proposal: str) -> int:
    return next(at for at, one in enumerate(fish_of(asked)) if (one["opcode"], one["proposal"]) == (opcode, proposal))


def species_rows(results: Path, opcode: str) -> list[dict[str, str]]:
    return list(csv.DictReader((results / opcode / "species.csv").read_text(encoding="utf-8-sig").splitlines()))


def test_doubtful_fish_come_first_with_their_pictures_and_candidates(results):
    asked = client(results)
    fish = fish_of(asked)
    doubtful = [bool(one["doubts"]) for one in fish]
    assert doubtful == sorted(doubtful, reverse=True)
    assert any(doubtful)
    assert {one["proposal"] for one in fish} == {*NAMES, "unknown"}
    for at, one in enumerate(fish):
        assert (one["proposal"] == "unknown") == ("unknown" in one["doubts"])
        assert set(one["candidates"]) == set(NAMES)
        assert one["proposal"] in {one["candidates"][0], "unknown"}
        picture = asked.get(f"/{one['crops'][0]['src']}")
        assert picture.content[:2] == b"\xff\xd8"
        assert picture.content == (results / one["opcode"] / _picture(results, asked, at)).read_bytes()


def _picture(results: Path, asked: TestClient, at: int) -> str:
    one = fish_of(asked)[at]
    stored = read_species(results / one["opcode"])
    assert stored is not None
    told = (one["file"], one["crops"][0]["frame"], one["track"])
    return next(
        fish.crops[0].picture
        for fish in stored.fish
        if fish.crops and (fish.crops[0].file, fish.crops[0].frame, fish.track) == told
    )


def test_a_decision_is_on_the_disk_at_once_survives_a_restart_and_can_be_taken_back(results):
    asked = client(results)
    assert decide(asked, 0, "unknown")["settled"] == 1
    assert decide(asked, 1, NAMES[0])["settled"] == 2
    assert len((results / HISTORY).read_text().splitlines()) == 2
    again = client(results)
    assert [one["answer"] for one in fish_of(again)[:3]] == ["unknown", NAMES[0], "open"]
    assert again.post("/api/undo").json() == {"fish": 1, "answer": "open", "settled": 1}
    assert again.post("/api/undo").json() == {"fish": 0, "answer": "open", "settled": 0}
    assert again.post("/api/undo").json() == {"fish": None, "answer": None, "settled": 0}
    assert len((results / HISTORY).read_text().splitlines()) == 4


def test_names_are_spelled_as_the_taxonomy_does_and_nonsense_is_refused(results):
    asked = client(results)
    assert decide(asked, 0, f" {NAMES[0].upper()} ".strip())["answer"] == NAMES[0]
    assert decide(asked, 0, NEW)["answer"] == NEW
    for answer in ("", "   ", "open", "Unknown", "unknown fish", "a\nb", "x" * 81, None):
        assert asked.post("/api/decisions", json={"fish": 0, "answer": answer}).status_code == 422
    for number, status in ((999, 404), (-1, 422)):
        assert asked.post("/api/decisions", json={"fish": number, "answer": "unknown"}).status_code == status
    assert asked.get("/crops/999/0.jpg").status_code == asked.get("/crops/0/9.jpg").status_code == 404
    assert len(History(results).decisions) == 2


def test_other_sites_are_shut_out_and_the_page_asks_nothing_of_the_network(results):
    asked = client(results)
    assert asked.get("/", headers={"host": "evil.example"}).status_code == 400
    evil = {"origin": "http://evil.example"}
    assert asked.post("/api/undo", headers=evil).status_code == 403
    page = asked.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    assert asked.get("/docs").status_code == asked.get("/openapi.json").status_code == 404


def test_what_a_person_settles_counts_in_the_next_survey(results, clips):  # noqa: F811
    asked = client(results)
    red = first(asked, "OP2", "unknown")
    decide(asked, red, NEW)
    other = next(at for at, one in enumerate(fish_of(asked)) if one["opcode"] == "OP2" and at != red)
    decide(asked, other, "not a fish")
    before = {name: content for name, content in files(results).items() if name.startswith("OP1/")}
    assert surveyed(clips, results, "--species", "x") == 0
    rows = {(row["opcode"], row["species"]): row["maxn"] for row in table(results / "maxn.csv")}
    assert (rows["OP2", NEW], rows["OP2", "unknown fish"]) == ("1", "0")
    assert {name: content for name, content in files(results).items() if name.startswith("OP1/")} == before
    told = {(row["species"], row["confidence"], row["settled"]) for row in species_rows(results, "OP2")}
    assert told == {(NEW, "1.0000", BY_A_PERSON), ("not a fish", "1.0000", BY_A_PERSON)}
    assert "settled" not in species_rows(results, "OP1")[0]
    assert read_deployment(results / "OP2").counts.species[-1].max_n == 1
    points = next(results.glob("*_Points.txt")).read_text()
    assert "Pagrus\tauratus" in points
    # The review goes on from there, under the same history.
    again = client(results)
    assert sorted(one["answer"] for one in fish_of(again) if one["answer"] != "open") == [NEW, "not a fish"]
    assert again.post("/api/undo").json()["answer"] == "open"


def test_a_review_taken_back_leaves_the_results_as_they_were(results, clips):  # noqa: F811
    before = files(results)
    asked = client(results)
    decide(asked, 0, NAMES[1])
    asked.post("/api/undo")
    assert surveyed(clips, results, "--species", "x") == 0
    after = files(results)
    assert {name: after[name] for name in before} == before


def test_another_tracking_of_the_same_detections_keeps_what_was_settled(results, clips):  # noqa: F811
    asked = client(results)
    decide(asked, first(asked, "OP2", "unknown"), NAMES[0])
    # Another threshold counts the fish anew: the ledger's detections are the same, all tables are not.
    assert surveyed(clips, results, "--species", "x", "--threshold", "0.4") == 0
    assert [row["species"] for row in species_rows(results, "OP2")].count(NAMES[0]) == 1


def test_the_report_shows_plates_with_doubts_and_decisions(results, clips):  # noqa: F811
    asked = client(results)
    decide(asked, first(asked, "OP2", "unknown"), NAMES[0])
    surveyed(clips, results, "--species", "x")
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.count("Species plates") == 2
    assert "Sparidae <i>Pagrus rubra</i>" in page
    assert "settled by a person" in page
    assert 'class="doubtful"' in page
    (results / "OP1" / "species.json").write_text("{")
    shutil.rmtree(results / "OP2" / "crops")
    assert run(["fish", "report", str(results)]) == 0
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "There are none: " in page
    assert "picture missing" in page


def test_bad_input_is_one_clear_line(results, plain, tmp_path, capsys):  # noqa: F811
    def refused(folder: Path, *options: str) -> tuple[int, str]:
        code = run(["fish", "review", str(folder), "--no-browser", *options])
        return code, capsys.readouterr().err.strip()

    assert refused(tmp_path / "nowhere")[0] == 5
    (tmp_path / "empty").mkdir()
    code, line = refused(tmp_path / "empty")
    assert (code, "holds no results of a survey" in line) == (2, True)
    code, line = refused(plain)
    assert (code, "holds no names of fish" in line, "--species" in line) == (2, True, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused(results, "--port", str(port))
        assert (code, line.startswith(f"error: --port: {port} cannot be used"), "\n" in line) == (1, True, False)
    (results / HISTORY).write_text("{}\n")
    code, line = refused(results)
    assert (code, "line 1 is damaged" in line) == (2, True)


@pytest.mark.parametrize("change", [{"opcode": "OTHER"}, {"frame": 987654}])
def test_the_history_of_another_survey_is_refused(results, clips, capsys, change):  # noqa: F811
    decide(client(results), 0, "unknown")
    line = json.loads((results / HISTORY).read_text())
    line["fish"] |= change
    (results / HISTORY).write_text(json.dumps(line) + "\n")
    assert run(["fish", "review", str(results), "--no-browser"]) == 2
    assert "is the history of another survey" in capsys.readouterr().err
    if "opcode" in change:
        assert surveyed(clips, results, "--species", "x") == 2


@pytest.mark.parametrize(
    ("name", "confidence", "says", "expected"),
    [
        ("a", 0.95, ("a",), ()),
        ("a", 0.75, ("a",), ("low confidence",)),
        ("a", 0.6, ("a",), ("low confidence", "close runner-up")),
        ("a", 0.95, ("a", "b"), ("pictures disagree",)),
        (None, 0.95, (None,), ("unknown",)),
    ],
)
def test_what_is_doubtful(name, confidence, says, expected):
    crops = tuple(
        StoredCrop(picture="p", file="f", frame=1, seconds=0.0, xyxy=(0, 0, 1, 1), name=one, confidence=0.9)
        for one in says
    )
    one = StoredFish(track=1, label="x", name=name, confidence=confidence, runner_up="b", votes=2, crops=crops)
    assert doubts(one) == expected
    proposed = StoredProposal(name=name, confidence=confidence, runner_up="b")
    assert doubts(one.model_copy(update={"proposed": proposed})) == ()


@pytest.fixture
def address(results):
    """The review, listening."""
    history = History(results)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = server.review_app(read_queue(results, history), history)
        serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        serving.should_exit = True
        thread.join(20)


def until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    assert holds()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium")
def test_keys_settle_fish_in_a_browser(results, address):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#crops img")
        proposal = fish_of(client(results))[5]["proposal"]
        for keys in ("1", "u", "n", "z", "ArrowRight", "ArrowRight", "ArrowRight", "Enter", "ArrowLeft"):
            page.keyboard.press(keys)
            until(lambda: page.evaluate("busy.then(() => true)"))
        page.keyboard.press("/")
        page.keyboard.type(NEW)
        page.keyboard.press("Enter")
        until(lambda: len(History(results).decisions) == 6)
        # The third fish is open again, and the new name takes the place of what was accepted for the sixth.
        until(lambda: page.evaluate("document.getElementById('bar').value") == 3)
        told = [(one.after, one.undo) for one in History(results).decisions]
        first_name = fish_of(client(results))[0]["candidates"][0]
        assert told == [
            (first_name, False), ("unknown", False), ("not a fish", False), ("open", True), (proposal, False),
            (NEW, False),
        ]  # fmt: skip
        assert "3 of" in page.inner_text("#progress")
        assert page.locator("#plate img").count() >= 1
        browser.close()
    assert faults == []
    assert all(url.startswith((address, "data:")) for url in asked)
