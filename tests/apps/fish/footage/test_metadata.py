from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.footage.metadata import DeploymentMetadata, _period, read_metadata
from data.errors import FileAccessError, InputError


def table(tmp_path, text: str | bytes):
    path = tmp_path / "metadata.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def one(tmp_path, header: str, row: str):
    rows, problems = read_metadata(table(tmp_path, f"{header}\n{row}\n"))
    return rows[0], [str(problem).removeprefix(f"{tmp_path}/") for problem in problems]


def test_globalarchive(tmp_path):
    header = (
        "campaignid,opcode,latitude_dd,longitude_dd,date_time,site,location,status,depth_m,successful_count,"
        "successful_length,observer,period_start"
    )
    row, problems = one(
        tmp_path, header, "C1,L1,-33.5,151.25,2026-02-28T09:30:00+11:00,Reef,Bay,Fished,12.5,Yes,No,Ann,00:01:35"
    )
    assert problems == []
    assert row == DeploymentMetadata(
        opcode="L1",
        line=2,
        campaignid="C1",
        site="Reef",
        location="Bay",
        status="Fished",
        latitude=-33.5,
        longitude=151.25,
        depth_m=12.5,
        date_time=datetime.datetime(2026, 2, 28, 9, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=11))),
        period_start=95.0,
        successful_count=True,
        successful_length=False,
    )


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfOpCode;Latitude;Longitude;Depth (m)\r\nL1;-33,5;151,25;12,5 m\r\n",
        b"opcode\tLat\tLong\tdepth\nL1\t-33.5\t151.25\t12.5m\n",
        b'"Op Code","Decimal Latitude","Decimal_Longitude","Depth"\n"L1","-33.5","151.25","12.5"\n\n,,,\n',
    ],
)
def test_spellings_and_delimiters(tmp_path, text):
    (row,), problems = read_metadata(table(tmp_path, text))
    assert problems == []
    assert (row.opcode, row.latitude, row.longitude, row.depth_m) == ("L1", -33.5, 151.25, 12.5)


@pytest.mark.parametrize(
    ("latitude", "longitude", "told"),
    [
        ("151.25", "-33.5", "latitude 151.25 is beyond the poles (latitude and longitude look swapped)"),
        ("95", "151", "latitude 95 is beyond the poles: the place"),
        ("-33.5", "200", "longitude 200 is not between -180 and 180"),
        ("-33.5", "inf", "longitude 'inf' is no number"),
        ("33 S", "151", "latitude '33 S' is no number"),
        ("-33.5", "", "longitude is missing: the place is left out"),
        ("NaN", "151", "latitude is missing: the place is left out"),
    ],
)
def test_bad_coordinates_leave_the_place_out(tmp_path, latitude, longitude, told):
    row, problems = one(tmp_path, "opcode,latitude,longitude,site", f"L1,{latitude},{longitude},Reef")
    assert (row.latitude, row.longitude, row.site) == (None, None, "Reef")
    assert len(problems) == 1
    assert problems[0].startswith(f"metadata.csv, line 2: {told}")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("date_time", "28/02/2026 09:30", "date_time '28/02/2026 09:30' is no date and time such as"),
        ("date_time", "2026-02-30", "date_time '2026-02-30' is no date"),
        ("depth", "-12", "depth_m -12 is not between 0 and 11000"),
        ("period start", "1:75", "period_start '1:75' is neither seconds nor mm:ss nor hh:mm:ss"),
        ("period_start", "-3", "period_start -3 lies before the footage"),
        ("successful_count", "maybe", "successful_count 'maybe' is neither yes nor no"),
    ],
)
def test_a_bad_value_is_told_and_the_row_kept(tmp_path, column, value, told):
    row, problems = one(tmp_path, f"opcode,site,{column}", f"L1,Reef,{value}")
    assert row == DeploymentMetadata(opcode="L1", site="Reef", line=2)
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("header", "row"),
    [("opcode,date,time", "L1,20260228,09:30:00"), ("opcode,date_time", "L1,2026/02/28 09:30:00")],
)
def test_dates(tmp_path, header, row):
    assert one(tmp_path, header, row)[0].date_time == datetime.datetime(2026, 2, 28, 9, 30)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_period_start(hours, minutes, seconds):
    total = hours * 3600 + minutes * 60 + seconds
    assert _period(f"{hours}:{minutes:02d}:{seconds:02d}", ",") == total
    assert _period(f"{total}", ",") == total
    assert _period(f"{minutes}:{seconds:02d}.5", ",") == minutes * 60 + seconds + 0.5


def test_rows_that_cannot_be_used_are_left_out(tmp_path):
    text = 'opcode,site\nL1,"two\nlines"\n,Reef\nL1,Sand\n../up,Reef\nL2,Edge\n'
    rows, problems = read_metadata(table(tmp_path, text))
    assert [(row.opcode, row.site) for row in rows] == [("L1", "two\nlines"), ("L2", "Edge")]
    assert [(problem.kind, problem.line) for problem in problems] == [
        ("no_opcode", 4),
        ("duplicate_opcode", 5),
        ("bad_opcode", 6),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no column of opcodes"),
        (b"site,depth\nReef,3\n", "has no column of opcodes"),
        (b"opcode,site\nL1,R\xe9cif\n", "is not UTF-8 text"),
        (b"PK\x03\x04\x00\x00", "is no table of text"),
    ],
)
def test_what_is_no_table(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_metadata(table(tmp_path, text))


def test_a_missing_table(tmp_path):
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_metadata(tmp_path / "none.csv")


@given(st.text())
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "metadata.csv"
    path.write_text("opcode,latitude,longitude,period_start\n" + text, encoding="utf-8", errors="replace")
    try:
        rows, problems = read_metadata(path)
    except InputError:
        return
    assert all(row.opcode for row in rows)
    assert all("\n" not in str(problem) or problem.opcode for problem in problems)
