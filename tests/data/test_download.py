from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.download import Retries, check_space, download
from data.errors import FileAccessError, InputError
from tests.data.webserver import Site, served

CONTENT = np.random.default_rng(0).bytes(1_000_000)
OTHER = np.random.default_rng(1).bytes(1_000_000)
QUICK = Retries(attempts=3, pause=0.0)


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with served(Site(CONTENT)) as site:
        yield site


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


def left_behind(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_comes_whole(site: Site, target: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    found = download(site.address, target, sha256=hash_of(CONTENT), tick=lambda *now: heard.append(now))
    assert found == hash_of(CONTENT)
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == {"file.bin"}
    assert heard[-1] == (1_000_000, 1_000_000)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert site.ranges_asked == [None]


def test_dropped_connections_are_taken_up_again(site: Site, target: Path) -> None:
    site.drops = [300_000, 200_000, 1]
    assert download(site.address, target, sha256=hash_of(CONTENT), retries=QUICK) == hash_of(CONTENT)
    assert target.read_bytes() == CONTENT
    assert site.ranges_asked == [None, "bytes=300000-", "bytes=500000-", "bytes=500001-"]
    assert all(headers["If-Range"] == '"one"' for headers in site.asked[1:])


def test_drops_that_bring_something_do_not_count_against_the_attempts(site: Site, target: Path) -> None:
    site.drops = [50_000] * 10
    assert download(site.address, target, retries=Retries(attempts=2, pause=0.0)) == hash_of(CONTENT)


def test_a_second_call_goes_on_from_the_first(site: Site, target: Path) -> None:
    site.drops = [400_000, 0, 0, 0]
    with pytest.raises(FileAccessError, match="goes on from there") as caught:
        download(site.address, target, retries=QUICK)
    assert caught.value.exit_code == 5
    assert left_behind(target) == {"file.bin.part", "file.bin.part.json"}
    assert not target.exists()
    site.drops.clear()
    site.asked.clear()
    assert download(site.address, target) == hash_of(CONTENT)
    assert site.ranges_asked == ["bytes=400000-"]


@pytest.mark.parametrize(
    ("etag", "modified"),
    [('"two"', None), (None, "Mon, 02 Nov 2026 10:00:00 GMT"), ('W/"weak"', "Mon, 02 Nov 2026 10:00:00 GMT")],
)
def test_a_file_that_changed_starts_anew(site: Site, target: Path, etag: str | None, modified: str | None) -> None:
    if etag is None or etag.startswith("W/"):
        site.etag, site.modified = etag, "Sun, 01 Nov 2026 10:00:00 GMT"
    site.drops = [400_000, 0, 0, 0]
    with pytest.raises(FileAccessError):
        download(site.address, target, retries=QUICK)
    site.content, site.etag, site.modified, site.drops = OTHER, etag, modified, []
    assert download(site.address, target, retries=QUICK) == hash_of(OTHER)
    assert target.read_bytes() == OTHER


def test_a_server_that_names_no_version_but_another_length(site: Site, target: Path) -> None:
    site.etag = None
    site.drops = [400_000, 0, 0, 0]
    with pytest.raises(FileAccessError):
        download(site.address, target, retries=QUICK)
    site.content, site.drops = OTHER + b"more", []
    assert download(site.address, target, retries=QUICK) == hash_of(OTHER + b"more")


def test_a_server_that_sends_a_range_of_another_version(site: Site, target: Path) -> None:
    site.drops = [400_000, 0, 0, 0]
    with pytest.raises(FileAccessError):
        download(site.address, target, retries=QUICK)
    version = json.loads((target.parent / "file.bin.part.json").read_text())
    # A weak tag cannot stand in If-Range: the server answers 206, and only the tag tells that the file changed.
    version["etag"] = 'W/"old"'
    (target.parent / "file.bin.part.json").write_text(json.dumps(version))
    site.content, site.etag, site.drops = OTHER, 'W/"new"', []
    site.asked.clear()
    assert download(site.address, target, retries=QUICK) == hash_of(OTHER)
    assert site.ranges_asked == ["bytes=400000-", None]


def test_a_server_without_ranges(site: Site, target: Path) -> None:
    site.ranges = False
    site.drops = [400_000]
    assert download(site.address, target, retries=QUICK) == hash_of(CONTENT)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_drops_is_given_up(site: Site, target: Path) -> None:
    site.ranges = False
    site.drops = [400_000] * 50
    with pytest.raises(FileAccessError, match="cannot be fetched"):
        download(site.address, target, retries=QUICK)
    assert len(site.asked) <= 4


def test_a_part_longer_than_the_file_starts_anew(site: Site, target: Path) -> None:
    site.drops = [400_000, 0, 0, 0]
    with pytest.raises(FileAccessError):
        download(site.address, target, retries=QUICK)
    site.content, site.drops = b"a much shorter file", []
    assert download(site.address, target, retries=QUICK) == hash_of(site.content)


def test_a_whole_part_is_not_fetched_again(site: Site, target: Path) -> None:
    target.parent.mkdir()
    part = target.with_name("file.bin.part")
    part.write_bytes(CONTENT)
    version = {"address": site.address, "etag": '"one"', "modified": None, "total": len(CONTENT)}
    part.with_name("file.bin.part.json").write_text(json.dumps(version))
    assert download(site.address, target, sha256=hash_of(CONTENT)) == hash_of(CONTENT)
    assert site.asked == []


@pytest.mark.parametrize("sidecar", [None, "{", '{"address": "elsewhere"}', "[]"])
def test_a_part_of_unknown_origin_is_not_used(site: Site, target: Path, sidecar: str | None) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(OTHER[:500])
    if sidecar is not None:
        target.with_name("file.bin.part.json").write_text(sidecar)
    assert download(site.address, target) == hash_of(CONTENT)
    assert site.ranges_asked == [None]


def test_a_wrong_hash_leaves_nothing(site: Site, target: Path) -> None:
    with pytest.raises(InputError, match=hash_of(CONTENT)) as caught:
        download(site.address, target, sha256=hash_of(OTHER))
    assert hash_of(OTHER) in str(caught.value)
    assert left_behind(target) == set()


def test_a_wrong_length_is_told_before_the_transfer(site: Site, target: Path) -> None:
    with pytest.raises(InputError, match="has 1,000,000 bytes; expected 999,999"):
        download(site.address, target, size=999_999)
    assert left_behind(target) == set()


def test_a_length_that_only_shows_at_the_end(site: Site, target: Path) -> None:
    site.length = False
    assert download(site.address, target, size=1_000_000) == hash_of(CONTENT)
    with pytest.raises(InputError, match="sent 1,000,000 bytes"):
        download(site.address, target.with_name("b.bin"), size=999_999)


def test_a_web_page_is_not_the_file(site: Site, target: Path) -> None:
    site.kind = "text/html; charset=utf-8"
    with pytest.raises(InputError, match="gives a web page"):
        download(site.address, target)
    assert left_behind(target) == set()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(site: Site, target: Path, status: int) -> None:
    site.statuses = [status] * 5
    with pytest.raises(FileAccessError, match=f"answers {status}"):
        download(site.address, target, retries=QUICK)
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(site: Site, target: Path, status: int) -> None:
    site.statuses, site.retry_after = [status, status], "0"
    assert download(site.address, target, retries=Retries(attempts=3, pause=30.0)) == hash_of(CONTENT)
    assert len(site.asked) == 3


def test_nobody_answers(site: Site, target: Path) -> None:
    with served(Site()) as gone:
        address = gone.address
    with pytest.raises(FileAccessError, match="no connection to the server"):
        download(address, target, retries=QUICK)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/a", "http://", "nonsense"])
def test_no_address_at_all(tmp_path: Path, address: str) -> None:
    with pytest.raises(FileAccessError, match="no address to fetch from"):
        download(address, tmp_path / "a", retries=QUICK)


def test_a_full_disk_is_told_before_the_transfer(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(Path.cwd()))(10**9, 10**9, 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FileAccessError, match="MB free of the"):
        download(site.address, target)
    with pytest.raises(FileAccessError):
        check_space(target.parent, 600_000)


def test_an_empty_file_is_a_file(site: Site, target: Path) -> None:
    site.content = b""
    assert download(site.address, target, size=0) == hash_of(b"")
    assert target.read_bytes() == b""
