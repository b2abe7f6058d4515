"""Fetching of large files over HTTP: resumes what broke off, and never mixes two versions of a file."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import requests
import urllib3

from data.errors import FileAccessError, InputError
from data.files import sha256_of, write_text

Tick = Callable[[int, int | None], None]
"""Hears how many bytes there are so far, and how many there will be, where known."""

_CHUNK: Final = 1 << 18
_TIMEOUT: Final = (20.0, 60.0)
_SPARE_BYTES: Final = 100_000_000
_LONGEST_PAUSE: Final = 60.0
_WORTH_RETRYING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How stubbornly a broken connection is taken up again.

    `attempts` in a row that bring nothing end it; the first pause lasts `pause` seconds, each further one twice as
    long, one minute at most.
    """

    attempts: int = 5
    pause: float = 1.0


@dataclass(frozen=True)
class _Version:
    """What tells one version of a remote file from another."""

    address: str
    etag: str | None
    modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified

    def is_of(self, other: _Version) -> bool:
        """Whether bytes of both may be put together."""
        return self == other and (self.etag or self.modified or self.total) is not None


class _BrokenOffError(Exception):
    """The transfer ended early; it may be taken up again after `pause` seconds, if the server names them."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    tick: Tick | None = None,
    retries: Retries | None = None,
) -> str:
    """Fetch one file whole, or leave what came in `<target>.part` for the next call to go on from.

    A part is continued only while the server's ETag, date and length stay the same; else it starts anew.

    Args:
        address: An http or https address.
        target: Where the file goes; its folder is made.
        sha256: What the content must hash to; None where unknown.
        size: How many bytes it must have; None where unknown.
        tick: Hears of progress.
        retries: How often broken connections are tried again.

    Returns:
        SHA-256 of the content.

    Raises:
        FileAccessError: The address cannot be reached or refuses, or the disk is full.
        InputError: What came has another length or hash than it must have, or is a web page.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _fetch(address, part, size, tick, retries or Retries())
    found = sha256_of(part)
    if sha256 is not None and found != sha256:
        _discard(part)
        cure = "try again; if it stays so, the publisher has changed the file"
        raise InputError(address, f"what came has the hash {found}", expected=sha256, cure=cure)
    part.replace(target)
    _discard(part)
    return found


def check_space(folder: Path, needed: int) -> None:
    """Raise FileAccessError where the folder's disk has less than `needed` bytes free, and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        found = f"has {free / 1e6:,.0f} MB free of the {needed / 1e6:,.0f} MB needed"
        raise FileAccessError(folder, found, cure="free some space, or choose a folder on another disk")


def _fetch(address: str, part: Path, size: int | None, tick: Tick | None, retries: Retries) -> None:
    failures = 0
    with requests.Session() as session:
        session.headers.update({"User-Agent": "shankha", "Accept-Encoding": "identity"})
        while True:
            before = _length(part)
            try:
                _attempt(session, address, part, size, tick)
                return
            except (_BrokenOffError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                if isinstance(error, ValueError):  # what requests calls an address that is none
                    raise FileAccessError(address, f"is no address to fetch from ({error})") from error
                failures = 1 if _length(part) > before else failures + 1
                if failures >= retries.attempts:
                    raise _unreachable(address, part, error) from error
                named = error.pause if isinstance(error, _BrokenOffError) else None
                pause = retries.pause * 2 ** (failures - 1) if named is None else named
                time.sleep(min(pause, _LONGEST_PAUSE))


def _unreachable(address: str, part: Path, error: Exception) -> FileAccessError:
    why = "no answer in time" if isinstance(error, requests.Timeout) else str(error)
    if isinstance(error, requests.ConnectionError):
        why = "no connection to the server"
    if not _length(part):
        return FileAccessError(address, f"cannot be fetched ({why})", cure="check the connection and try again")
    cure = "check the connection and run the command again: it goes on from there"
    return FileAccessError(address, f"cannot be fetched after {_length(part) / 1e6:,.1f} MB ({why})", cure=cure)


def _attempt(session: requests.Session, address: str, part: Path, size: int | None, tick: Tick | None) -> None:
    """One request: go on from what is there, or start anew. Returns only when the file is whole."""
    known = _saved_version(part, address)
    start = _length(part) if known else 0
    if known and start and start == known.total:
        return  # the last run ended between the last byte and the check of the hash
    headers = _range_headers(known, start)
    with session.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416 and start:
            _discard(part)
            raise _BrokenOffError("the server has another file now", pause=0)
        _check_answer(response, address, part)
        version, start = _agreed(response, address, known, start, part)
        if size is not None and version.total not in {None, size}:
            _discard(part)
            found = f"has {version.total:,} bytes"
            raise InputError(address, found, expected=f"{size:,}", cure="the publisher has changed the file")
        check_space(part.parent, (version.total or 0) - start)
        _receive(response, part, version, start, tick)
    _check_length(address, part, size if version.total is None else version.total)


def _range_headers(known: _Version | None, start: int) -> dict[str, str]:
    if known is None or not start:
        return {}
    headers = {"Range": f"bytes={start}-"}
    if known.validator:
        headers["If-Range"] = known.validator
    return headers


def _check_answer(response: requests.Response, address: str, part: Path) -> None:
    status = response.status_code
    if status in _WORTH_RETRYING:
        raise _BrokenOffError(f"the server answers {status} {response.reason}", _named_pause(response))
    if status not in {200, 206}:
        cure = "look for the file on the dataset's homepage, and give its folder with --from"
        raise FileAccessError(address, f"cannot be fetched (the server answers {status} {response.reason})", cure=cure)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not part.name.lower().endswith((".html.part", ".htm.part")):
        cure = "open it in a browser, fetch the file by hand, and give its folder with --from"
        raise InputError(address, "gives a web page, not the file", cure=cure)
    if response.headers.get("Content-Encoding", "identity").lower() not in {"identity", ""}:
        raise InputError(address, "is sent in an encoding that was not asked for", cure="fetch it by hand")


def _named_pause(response: requests.Response) -> float | None:
    named = response.headers.get("Retry-After", "")
    return float(named) if named.isdecimal() else None


def _agreed(
    response: requests.Response, address: str, known: _Version | None, start: int, part: Path
) -> tuple[_Version, int]:
    """The version being sent, and the byte it is sent from."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return _version(response, address, int(length) if length.isdecimal() else None), 0
    first, total = _content_range(response)
    version = _version(response, address, total)
    if known is None or first != start or not version.is_of(known):
        _discard(part)
        raise _BrokenOffError("the server has another file now", pause=0)
    return version, start


def _version(response: requests.Response, address: str, total: int | None) -> _Version:
    return _Version(address, response.headers.get("ETag"), response.headers.get("Last-Modified"), total)


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total of "bytes 100-199/2000"; None where it is not said."""
    unit, _, value = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = value.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not first.isdecimal():
        return None, None
    return int(first), int(total) if total.isdecimal() else None


def _receive(response: requests.Response, part: Path, version: _Version, start: int, tick: Tick | None) -> None:
    # Before the first byte: a part without a version is never gone on from.
    write_text(_version_file(part), json.dumps(asdict(version)))
    done = start
    try:
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                stream.write(chunk)
                done += len(chunk)
                if tick:
                    tick(done, version.total)
    except (urllib3.exceptions.HTTPError, requests.RequestException):
        raise
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise FileAccessError(part, found, cure="free some space, or choose another folder") from error


def _check_length(address: str, part: Path, expected: int | None) -> None:
    found = _length(part)
    if expected is None or found == expected:
        return
    if found < expected:
        raise _BrokenOffError(f"the transfer ended after {found:,} of {expected:,} bytes")
    _discard(part)
    raise InputError(address, f"sent {found:,} bytes", expected=f"{expected:,}", cure="try again later")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _saved_version(part: Path, address: str) -> _Version | None:
    """The version that the part belongs to; None where that is not known."""
    try:
        version = _Version(**json.loads(_version_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return version if version.address == address and part.exists() else None


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
