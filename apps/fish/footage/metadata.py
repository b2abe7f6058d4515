"""The table of deployments: where, when and how deep each camera stood."""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from apps.fish.footage.problems import FootageProblem
from data.errors import FileAccessError, InputError


class DeploymentMetadata(BaseModel):
    """One row of the metadata table; what a row leaves out is None or empty.

    `latitude` and `longitude` are decimal degrees (WGS 84), `depth_m` metres below the surface. `period_start` is the
    second of the deployment's footage at which the camera stands on the seabed, from the start of its first chapter.
    `mm_per_pixel` is the scale of the pictures at the distance of the fish, for lengths. `folder` is the deployment's
    folder, where the table names it; `line` the row's line in its file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    opcode: Annotated[str, Field(min_length=1)]
    line: int = 0
    campaignid: str = ""
    site: str = ""
    location: str = ""
    status: str = ""
    folder: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    depth_m: Annotated[float, Field(ge=0, le=11000)] | None = None
    date_time: datetime.datetime | None = None
    period_start: Annotated[float, Field(ge=0)] | None = None
    mm_per_pixel: Annotated[float | None, Field(gt=0, le=1000, exclude_if=lambda scale: scale is None)] = None
    successful_count: bool | None = None
    successful_length: bool | None = None


_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "opcode": ("opcode", "sample", "deployment", "deploymentid", "dropcode", "eventid"),
    "campaignid": ("campaignid", "campaign"),
    "site": ("site", "sitename", "siteid"),
    "location": ("location", "locality"),
    "status": ("status",),
    "folder": ("folder", "directory", "path"),
    "latitude": ("latitudedd", "latitude", "lat", "decimallatitude"),
    "longitude": ("longitudedd", "longitude", "long", "lon", "lng", "decimallongitude"),
    "depth_m": ("depthm", "depth"),
    "date_time": ("datetime", "eventdate", "timestamp"),
    "date": ("date",),
    "time": ("time",),
    "period_start": ("periodstart", "periodstarts", "onseabed", "timeonseabed", "seabedtime"),
    "mm_per_pixel": ("mmperpixel", "mmpixel", "scale"),
    "successful_count": ("successfulcount",),
    "successful_length": ("successfullength",),
}
"""Fields, and the names that columns have for them, in lower case without spaces and signs."""
_MOST_BYTES: Final = 20_000_000
_TRUE: Final = frozenset({"yes", "y", "true", "t", "1"})
_FALSE: Final = frozenset({"no", "n", "false", "f", "0"})
_EMPTY: Final = frozenset({"", "na", "n/a", "nan", "null", "none"})
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_NO_NAME: Final = re.compile(r'[\x00-\x1f/\\:*?"<>|]|^\.')
_METRES: Final = re.compile(r"\s*(?:m|metres?|meters?)$", re.IGNORECASE)
_MEND: Final = "mend the table and run the same command again"


@dataclass(frozen=True)
class _Table:
    """The text of a table, its delimiter, and for each field the column that holds it."""

    path: Path
    text: str
    delimiter: str
    columns: Mapping[str, int]


def read_metadata(path: Path) -> tuple[list[DeploymentMetadata], list[FootageProblem]]:
    """The rows of a metadata table: comma, semicolon or tab between columns, UTF-8, a line of names first.

    A value that makes no sense is left out and told, and the rest of its row is kept; a row without an opcode, or with
    that of a row before it, is left out.

    Raises:
        FileAccessError: It cannot be read.
        InputError: It is no text, or has no column of opcodes.
    """
    table = _opened(path)
    rows: dict[str, DeploymentMetadata] = {}
    problems: list[FootageProblem] = []
    for line, cells in _lines(table):
        row, faults = _row(table, line, cells)
        problems.extend(faults)
        if row is None:
            continue
        known = rows.setdefault(row.opcode, row)
        if known is not row:
            what = f"opcode {row.opcode!r} is on line {known.line} already: this row is left out"
            problems.append(FootageProblem("duplicate_opcode", path, what, _MEND, row.opcode, line))
    return list(rows.values()), problems


def _opened(path: Path) -> _Table:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the path") from error
    if len(content) > _MOST_BYTES or b"\0" in content:
        raise InputError(path, "is no table of text", expected="CSV with a column opcode", cure=_MEND)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", cure="save it as CSV UTF-8") from error
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=header.count)
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in next(csv.reader([header], delimiter=delimiter), [])]
    columns = {}
    for column, spellings in _NAMES.items():
        places = [names.index(spelling) for spelling in spellings if spelling in names]
        if places:
            columns[column] = places[0]
    if "opcode" not in columns:
        raise InputError(path, "has no column of opcodes", expected="a first line with opcode in it", cure=_MEND)
    return _Table(path, text, delimiter, columns)


def _lines(table: _Table) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(table.text, newline=""), delimiter=table.delimiter)
    header = True
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                yield reader.line_num, cells
            header = False
    except csv.Error as error:
        raise InputError(table.path, f"line {reader.line_num} is no CSV ({error})", cure=_MEND) from error


def _row(table: _Table, line: int, cells: list[str]) -> tuple[DeploymentMetadata | None, list[FootageProblem]]:
    texts = {name: cells[at].strip() if at < len(cells) else "" for name, at in table.columns.items()}
    texts = {name: "" if text.lower() in _EMPTY else text for name, text in texts.items()}
    opcode = texts["opcode"]
    if not opcode:
        what = "the row has no opcode and is left out"
        return None, [FootageProblem("no_opcode", table.path, what, _MEND, line=line)]
    if _NO_NAME.search(opcode):
        what = f"opcode {opcode!r} can name no folder, and its row is left out"
        return None, [FootageProblem("bad_opcode", table.path, what, _MEND, line=line)]
    if "date" in texts and not texts.get("date_time"):
        texts["date_time"] = f"{_dashed(texts['date'])} {texts.get('time', '')}".strip()
    values: dict[str, Any] = {name: text for name, text in texts.items() if name not in {*_READERS, "date", "time"}}
    problems = []
    for name, (read, kind) in _READERS.items():
        if not texts.get(name):
            continue
        try:
            values[name] = read(texts[name], table.delimiter)
        except ValueError as error:
            problems.append(FootageProblem(kind, table.path, f"{name} {error}", _MEND, opcode, line))
    _check_place(values, problems, table.path, line)
    return DeploymentMetadata(line=line, **values), problems


def _check_place(values: dict[str, Any], problems: list[FootageProblem], path: Path, line: int) -> None:
    """Half a place is none: where one coordinate is wrong, or a latitude is no latitude, both are left out."""
    latitude, longitude = values.get("latitude"), values.get("longitude")
    if latitude is not None and abs(latitude) > 90:
        swapped = longitude is not None and abs(longitude) <= 90
        hint = " (latitude and longitude look swapped)" if swapped else ""
        what = f"latitude {latitude:g} is beyond the poles{hint}: the place is left out"
        problems.append(FootageProblem("bad_coordinates", path, what, _MEND, values["opcode"], line))
    elif (latitude is None) == (longitude is None):
        return
    elif not any(problem.kind == "bad_coordinates" for problem in problems):
        what = f"{'latitude' if latitude is None else 'longitude'} is missing: the place is left out"
        problems.append(FootageProblem("bad_coordinates", path, what, _MEND, values["opcode"], line))
    values.pop("latitude", None)
    values.pop("longitude", None)


def _number(text: str, delimiter: str) -> float:
    """A number; with a comma for its point where no comma parts the columns."""
    try:
        number = float(text.replace("\N{MINUS SIGN}", "-").replace(",", "." if delimiter != "," else ","))
    except ValueError as error:
        raise ValueError(f"{text!r} is no number") from error
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number")
    return number


def _between(low: float, high: float) -> Callable[[str, str], float]:
    def read(text: str, delimiter: str) -> float:
        number = _number(text, delimiter)
        if not low <= number <= high:
            raise ValueError(f"{text} is not between {low:g} and {high:g}")
        return number

    return read


def _depth(text: str, delimiter: str) -> float:
    return _between(0, 11000)(_METRES.sub("", text), delimiter)


def _date_time(text: str, _: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text.replace("/", "-") if re.match(r"\d{4}/", text) else text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date and time such as 2026-02-28T09:30:00") from error


def _dashed(date: str) -> str:
    """2026-02-28 for GlobalArchive's 20260228."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if re.fullmatch(r"\d{8}", date) else date


def _period(text: str, delimiter: str) -> float:
    """Seconds from seconds, mm:ss or hh:mm:ss."""
    clock = _CLOCK.fullmatch(text)
    if clock and int(clock[2]) < 60 and float(clock[3]) < 60:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    try:
        seconds = _number(text, delimiter)
    except ValueError as error:
        raise ValueError(f"{text!r} is neither seconds nor mm:ss nor hh:mm:ss") from error
    if seconds < 0:
        raise ValueError(f"{text} lies before the footage")
    return seconds


def _yes(text: str, _: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


_READERS: Final[Mapping[str, tuple[Callable[[str, str], Any], str]]] = {
    "latitude": (_between(-180, 180), "bad_coordinates"),
    "longitude": (_between(-180, 180), "bad_coordinates"),
    "depth_m": (_depth, "bad_depth"),
    "date_time": (_date_time, "bad_date"),
    "period_start": (_period, "bad_period_start"),
    "mm_per_pixel": (_between(1e-4, 1000), "bad_scale"),
    "successful_count": (_yes, "bad_value"),
    "successful_length": (_yes, "bad_value"),
}
