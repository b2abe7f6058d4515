"""The report: its numbers are those of the tables, it is whole and safe, and it tells what is not complete."""

from __future__ import annotations

import csv
import datetime
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from apps.fish.counts import CountSettings
from apps.fish.footage import DeploymentMetadata, FootageProblem
from apps.fish.ledger import LEDGER, Ledger
from apps.fish.lines import Line
from apps.fish.naming import folder_name
from apps.fish.publishing import PROBLEM_COLUMNS
from apps.fish.report import stored
from apps.fish.report.markup import Html, joined, tag
from apps.fish.report.page import MANY
from apps.fish.report.quality import at_thresholds, notes
from apps.fish.report.stored import ABOUT, read_deployment
from apps.fish.report.writing import write_report
from apps.main import run
from tests.apps.fish.blobs import write_clip
from tests.apps.fish.results import published, result_of

EVIL = "<script>alert('1')</script>&\"OP"
VOID = {"meta", "link", "input", "img", "br"}


def place(opcode: str, latitude: float, **more) -> DeploymentMetadata:
    date = datetime.datetime(2026, 3, 14, 9, 30)
    return DeploymentMetadata(
        opcode=opcode, site="Meadow", latitude=latitude, longitude=145.9, depth_m=6.5, date_time=date, **more
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Four deployments: of two chapters, one lacking a chapter, one with an evil name, one without fish."""
    disk, out = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("results") / "out"
    long, short = write_clip(disk / "GX010007.MP4", 400), write_clip(disk / "GX020007.MP4", 120, first=400)
    empty = write_clip(disk / "GX010009.MP4", 40, (0,))
    missing = FootageProblem("missing_chapter", disk, "chapter 1 missing", "copy it", "OP2", loss=True)
    lines = CountSettings(threshold=0.5, lines=(Line.parse("0.5,0,0.5,1"),))
    published(
        out,
        [
            result_of("OP1", [long, short], settings=lines, metadata=place("OP1", -16.7, period_start=2.0)),
            result_of("OP2", [short], metadata=place("OP2", -16.8), problems=[missing]),
            result_of(EVIL, [short], species="<b>fish</b>"),
            result_of("OP4", [empty]),
        ],
    )
    return out


def finish(results: Path) -> None:
    """What a survey writes at its end, as far as the report reads it."""
    (results / "UNFINISHED.txt").unlink(missing_ok=True)
    (results / "summary.json").write_text(json.dumps({"deployments": {"waiting": 0}}))
    rows = [",".join(PROBLEM_COLUMNS), "OP9,OP9/GX010001.MP4,,unreadable_file,is empty (0 bytes),copy it,yes"]
    (results / "problems.csv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")


@pytest.fixture
def own(results, tmp_path) -> Path:
    copy = Path(shutil.copytree(results, tmp_path / "own"))
    finish(copy)
    return copy


class Page(HTMLParser):
    """A page that must be well formed: every element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.shown: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, key, value or "") for key, value in attributes]
        self.ids += [value or "" for key, value in attributes if key == "id"]
        if name == "tr":
            self.rows.append([])
        elif name in {"td", "th"} and self.rows:
            self.rows[-1].append("")
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.shown.append(text)
            if {"td", "th"} & set(self.open) and self.rows:
                self.rows[-1][-1] += text

    @property
    def text(self) -> str:
        return " ".join("".join(self.shown).split())


def reported(folder: Path, code: int = 0) -> str:
    assert run(["fish", "report", str(folder)]) == code
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(results, tmp_path_factory) -> str:
    folder = Path(shutil.copytree(results, tmp_path_factory.mktemp("page") / "own"))
    finish(folder)
    return reported(folder)


def test_it_is_one_well_formed_page(page):
    parsed = Page(page)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert {("meta", "charset", "utf-8")} <= set(parsed.attributes)
    assert all(value for name, key, value in parsed.attributes if (name, key) == ("img", "alt"))
    pictures = [value for name, key, value in parsed.attributes if (name, key) == ("img", "src")]
    assert len(pictures) == 3
    labels = [value for name, key, value in parsed.attributes if name == "svg" and key == "aria-label"]
    assert "MaxN of fish in each minute: 3" in labels


def test_it_asks_nothing_of_the_network(page):
    assert re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", page) == []
    for _, key, value in Page(page).attributes:
        if key in {"src", "href", "action", "poster", "data"}:
            assert value.startswith(("data:", "#")) or "//" not in value
    assert "@import" not in page
    assert "url(" not in page


def test_links_lead_to_files_beside_it(own):
    parsed = Page(reported(own))
    links = [value for name, key, value in parsed.attributes if (name, key) == ("a", "href")]
    files = {unquote(link) for link in links if not link.startswith("#")}
    assert "OP1/maxn-fish.mp4" in files
    assert all((own / file).is_file() for file in files)
    assert {link[1:] for link in links if link.startswith("#")} <= set(parsed.ids)


def test_its_numbers_are_those_of_the_tables(own):
    rows = [row for row in Page(reported(own)).rows if len(row) == 12 and row[0] != "Deployment"]
    shown = {row[0]: row for row in rows}
    for opcode in ("OP1", "OP2", EVIL, "OP4"):
        with (own / folder_name(opcode) / "maxn.csv").open(encoding="utf-8-sig", newline="") as stream:
            (table,) = csv.DictReader(stream)
        row = shown[opcode]
        assert row[4] == ("complete" if table["complete"] == "yes" else "incomplete")
        assert row[5].replace(",", "") == table["samples"]
        assert row[6] == table["species"]
        assert row[7] == table["maxn"]
        assert row[9] == f"{float(table['mean_count']):.2f}"
        numbers = (table[name] for name in ("individuals", "individuals_low", "individuals_high"))
        assert row[11] == "{} ({} to {})".format(*numbers)
        if table["maxn_seconds"]:
            hours, minutes, seconds = row[8].split(":")
            told = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
            assert told == pytest.approx(float(table["maxn_seconds"]), abs=0.051)
    assert shown["OP1"][1:4] == ["Meadow", "2026-03-14", "6.5 m"]


def test_read_again_the_counts_are_the_same(own):
    one = read_deployment(own / "OP1")
    with (own / "OP1" / "maxn.csv").open(encoding="utf-8-sig", newline="") as stream:
        (table,) = csv.DictReader(stream)
    species = one.counts.species[0]
    assert (species.max_n, one.counts.samples) == (int(table["maxn"]), int(table["samples"]))
    assert species.max_n_at.seconds == pytest.approx(float(table["maxn_seconds"]), abs=5e-4)


def test_names_are_escaped(page):
    assert "<script>alert" not in page
    assert "<b>fish</b>" not in page
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;&quot;OP" in page
    assert page.count("<script>") == 1


def test_the_incomplete_is_marked(page):
    parsed = Page(page)
    assert "Incomplete: OP2. Footage is missing or could not be read" in parsed.text
    assert "chapter 1 missing. Copy it." in parsed.text
    assert "Not counted at all: OP9." in parsed.text
    assert "OP9/GX010001.MP4: is empty (0 bytes)" in parsed.text
    assert "not finished" not in parsed.text


def test_line_crossings_and_periods_are_told(page):
    parsed = Page(page)
    assert "0.5,0,0.5,1" in parsed.text
    assert ["0.5,0,0.5,1", "fish", "rightwards"] in [row[:3] for row in parsed.rows]
    assert "On seabed" in parsed.text
    assert "All Shankha" not in parsed.text
    assert "2 deployments by longitude and latitude; north is up" in page


def test_an_interrupted_survey_is_told(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "own"))
    text = Page(reported(folder)).text
    assert "This survey is not finished." in text
    assert (folder / "UNFINISHED.txt").exists()


def test_what_the_ledger_does_not_hold_is_not_shown(own):
    with Ledger(own) as ledger:
        ledger.drop_deployment("OP1")
    assert "OP1" not in Page(reported(own)).text


def test_results_without_their_ledger_are_shown(own, page):
    for path in own.glob(f"{LEDGER}*"):
        path.unlink()
    assert reported(own) == page


def test_a_damaged_deployment_without_the_ledger_is_told(own):
    for path in own.glob(f"{LEDGER}*"):
        path.unlink()
    (own / "OP1" / ABOUT).write_text("{")
    text = Page(reported(own, 2)).text
    assert "These results cannot be read: " in text
    assert "OP2" in text


def test_the_same_results_give_the_same_bytes(own, page):
    assert reported(own) == page
    assert reported(own) == page


@pytest.mark.parametrize("file", ["detections.parquet", "samples.parquet", ABOUT, "evidence.json"])
@pytest.mark.parametrize("spoil", ["gone", "damaged"])
def test_results_that_cannot_be_read_are_told_and_the_rest_is_shown(own, file, spoil, capsys):
    path = own / "OP1" / file
    path.unlink() if spoil == "gone" else path.write_bytes(path.read_bytes()[:40])
    text = Page(reported(own, 2)).text
    assert "These results cannot be read: " in text
    assert "OP2" in text
    assert str(own / "OP1") in capsys.readouterr().err


def test_a_missing_picture_is_told(own):
    (own / "OP1" / "maxn-fish.jpg").write_bytes(b"no picture")
    assert "the picture maxn-fish.jpg is missing" in Page(reported(own)).text


def test_no_results_are_refused(tmp_path, capsys):
    assert run(["fish", "report", str(tmp_path / "none")]) == 5
    assert run(["fish", "report", str(tmp_path)]) == 2
    assert "holds no results of a survey" in capsys.readouterr().err


def test_doubt_is_told(own):
    one = read_deployment(own / "OP1")
    (steps,) = at_thresholds(one, one.settled())
    assert [score for score, _ in steps.max_n] == pytest.approx([0.4, 0.5, 0.6])
    assert steps.steady
    told = [note.text for note in notes(one, one.settled())]
    assert any("MaxN stays the same with a threshold 0.1 lower or higher" in line for line in told)
    assert any("400 of 400 frames were decoded" in line for line in told)


@pytest.fixture(scope="module")
def many(results, tmp_path_factory) -> Path:
    """As many deployments as fold and shrink the page."""
    folder = tmp_path_factory.mktemp("many") / "out"
    folder.mkdir()
    for number in range(MANY + 10):
        own = Path(shutil.copytree(results / "OP1", folder / f"SITE-{number:03d}"))
        for name in (ABOUT, "detections.parquet", "samples.parquet"):
            own.joinpath(name).write_bytes(results.joinpath("OP1", name).read_bytes())
        about = json.loads((own / ABOUT).read_text())
        (own / ABOUT).write_text(json.dumps({**about, "opcode": f"SITE-{number:03d}"}))
    return folder


def test_hundreds_of_deployments_stay_small(many, results, monkeypatch):
    real = stored.read_records
    monkeypatch.setattr(stored, "read_records", lambda folder: _renamed(real(folder), folder.name))
    files = write_report(many, sorted(path for path in many.iterdir() if path.is_dir()), unfinished=False)
    assert len(files.deployments) == MANY + 10
    text = (many / "report.html").read_text()
    assert len(text) < 30_000 * len(files.deployments)
    assert "<details open" not in text
    assert max(int(width) for width in re.findall(r'<img src="[^"]*" width="(\d+)"', text)) <= 240


def _renamed(records, opcode):
    return replace(records, opcode=opcode)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (tag("p", "a < b & c"), "<p>a &lt; b &amp; c</p>"),
        (
            tag("i", class_="x", data_t='"', hidden=True, open=False, id=None),
            '<i class="x" data-t="&quot;" hidden></i>',
        ),
        (tag("td", Html("<b>x</b>"), None, 3, 2.5), "<td><b>x</b>32.5</td>"),
        (joined("<", Html("<br>")), "&lt;<br>"),
        (tag("img", alt=""), '<img alt="">'),
    ],
)
def test_markup(made, text):
    assert made == text


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
PROBE = """<script>
addEventListener("load", () => {
  const type = (id, value) => {
    const field = document.getElementById(id);
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const cells = () => [...document.querySelectorAll("#overview-table tbody tr:not([hidden]) th")];
  const shown = () => cells().map((cell) => cell.textContent);
  const told = { all: shown() };
  type("search", "op1"); told.search = shown();
  told.sections = document.querySelectorAll("details.deployment:not([hidden])").length;
  type("search", ""); type("state", "incomplete"); told.incomplete = shown();
  type("state", "");
  document.getElementById("seen").click(); told.seen = shown(); document.getElementById("seen").click();
  const sort = [...document.querySelectorAll("thead button")].find((b) => b.textContent === "MaxN");
  sort.click(); told.rising = shown(); sort.click(); told.falling = shown();
  const chart = document.querySelector("svg.counts");
  chart.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
  told.reading = document.querySelector(".reading").textContent;
  location.hash = "#d4";
  setTimeout(() => {
    told.open = document.getElementById("d4").open;
    told.requests = performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"));
    const out = document.createElement("pre");
    out.id = "told";
    out.textContent = JSON.stringify(told);
    document.body.append(out);
  }, 200);
});
</script></body>"""


@needs_browser
def test_it_works_in_a_browser(own, tmp_path):
    (own / "report.html").write_text(reported(own).replace("</body>", PROBE))
    flags = ["--headless", "--no-sandbox", "--virtual-time-budget=4000", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [BROWSER, *flags, "--dump-dom", (own / "report.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    told = json.loads(html.unescape(re.search(r'<pre id="told">(.*?)</pre>', dumped, re.DOTALL)[1]))
    assert len(told["all"]) == 5
    assert (told["search"], told["sections"]) == (["OP1"], 1)
    assert told["incomplete"] == ["OP2"]
    assert "OP4" in told["all"]
    assert told["seen"] == [opcode for opcode in told["all"] if opcode != "OP4"]
    assert told["rising"][0] == told["falling"][3] == "OP4"
    assert told["rising"][4] == told["falling"][4] == "OP9"
    assert re.fullmatch(r"0:00:03\.9: <b>fish</b> \d", told["reading"])
    assert told["open"]
    assert told["requests"] == []
