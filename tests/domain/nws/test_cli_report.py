"""The text of the daily climate report: every recorded one, and what they do not show."""

import re
from datetime import UTC, date, datetime

import pytest

from kalshi_ingest.domain.cities import CITIES, City, find_city
from kalshi_ingest.domain.nws.cli_report import (
    AS_OF_AFTER_THE_DAY,
    NO_AS_OF_DURING_THE_DAY,
    finality,
    outline,
    parse_cli,
)
from kalshi_ingest.errors import BadPayload
from tests.support.recorded import RECORDED, needs_recorded

# file → product id, climate date, maximum, time of it, record, full day; read by eye from the texts
_RECORDED = {
    "aus_final.txt": ("202607090658-KEWX-CDUS44-CLIAUS", 8, 99, True),
    "aus_intermediate.txt": ("202607092147-KEWX-CDUS44-CLIAUS", 9, 98, False),
    "chi_final.txt": ("202607090634-KLOT-CDUS43-CLIMDW", 8, 89, True),
    "chi_intermediate.txt": ("202607092134-KLOT-CDUS43-CLIMDW", 9, 87, False),
    "den_final.txt": ("202607090735-KBOU-CDUS45-CLIDEN", 8, 94, True),
    "den_intermediate.txt": ("202607091231-KBOU-CDUS45-CLIDEN", 9, 65, False),
    "mia_final.txt": ("202607090825-KMFL-CDUS42-CLIMIA", 8, 92, True),
    "mia_intermediate.txt": ("202607092021-KMFL-CDUS42-CLIMIA", 9, 92, False),
    "nyc_final.txt": ("202607090626-KOKX-CDUS41-CLINYC", 8, 85, True),
    "nyc_intermediate.txt": ("202607092035-KOKX-CDUS41-CLINYC", 9, 82, False),
    "nyc_record.txt": ("202607030619-KOKX-CDUS41-CLINYC", 2, 100, True),
    "phl_final.txt": ("202607090552-KPHI-CDUS41-CLIPHL", 8, 86, True),
    "phl_intermediate.txt": ("202607092139-KPHI-CDUS41-CLIPHL", 9, 81, False),
    "text_clinyc_202607100625.txt": ("202607100625-KOKX-CDUS41-CLINYC", 9, 82, True),
}


@needs_recorded
def test_every_recorded_report() -> None:
    assert RECORDED is not None
    found = {}
    for path in sorted((RECORDED / "cli").glob("*.txt")):
        report = parse_cli(path.read_text())
        city = next(city for city in CITIES if city.station.cli_pil == report.pil)
        full, flag = finality(city, report.climate_date, report.issued_at, report.says_as_of)
        assert flag is None
        assert report.issued_at == datetime.strptime(report.product_id[:12] + "+0000", "%Y%m%d%H%M%z")
        assert report.climate_date.replace(day=1) == date(2026, 7, 1)
        found[path.name] = (
            report.product_id,
            report.climate_date.day,
            report.maximum_f,
            full,
        )
    assert found == _RECORDED


@needs_recorded
def test_every_recorded_report_with_each_mark() -> None:
    """A mark after the number changes neither number nor time; without the line a report of today has no value yet."""
    assert RECORDED is not None
    for path in sorted((RECORDED / "cli").glob("*.txt")):
        issued = path.read_text()
        plain = parse_cli(issued)
        for mark in ("R", "E", "(E)", "(R)", "RE", "R(E)", " R", " (E)"):
            marked = parse_cli(re.sub(r"(MAXIMUM +\d+)R? {0,4}", rf"\1{mark} ", issued, count=1))
            assert marked.maximum_f == plain.maximum_f
            assert marked.is_estimate == ("E" in mark)
        for missing in ("M", "MM"):
            assert parse_cli(re.sub(r"MAXIMUM +\d+R?", f"MAXIMUM {missing} ", issued, count=1)).maximum_f is None
        without = re.sub(r"^ +MAXIMUM +\d.*\n", "", issued, count=1, flags=re.MULTILINE)
        if plain.says_as_of:
            assert parse_cli(without).maximum_f is None
        else:
            with pytest.raises(BadPayload, match="the maximum cannot be read"):
                parse_cli(without)


def text(**parts: str) -> str:
    """A report by hand; the traps are the normals below, which have maxima too."""
    part = {
        "wmo": "CDUS43 KLOT 090634",
        "pil": "CLIMDW",
        "title": "CLIMATE REPORT",
        "issued": "134 AM CDT THU JUL 09 2026",
        "headline": "...THE CHICAGO-MIDWAY CLIMATE SUMMARY FOR JULY 8 2026...",
        "valid": "",
        "maximum": "  MAXIMUM         89   2:56 PM 106    1936  85      4       85",
    } | parts
    return f"""
000
{part["wmo"]}
{part["pil"]}

{part["title"]}
NATIONAL WEATHER SERVICE CHICAGO IL
{part["issued"]}

{part["headline"]}
{part["valid"]}
CLIMATE NORMAL PERIOD: 1991 TO 2020

WEATHER ITEM   OBSERVED TIME   RECORD YEAR NORMAL DEPARTURE LAST
...................................................................
TEMPERATURE (F)
 YESTERDAY
{part["maximum"]}
  MINIMUM         67   4:31 AM  49    1934  67      0       70

PRECIPITATION (IN)
  YESTERDAY        0.00          2.41 1951   0.11  -0.11     0.05

THE CHICAGO-MIDWAY CLIMATE NORMALS FOR TODAY
                         NORMAL    RECORD    YEAR
 MAXIMUM TEMPERATURE (F)   85       101      1936
$$
"""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("  MAXIMUM        103R   247 PM 103    1901", 103),
        ("  MAXIMUM        103R  2:47 PM 103    1901", 103),
        ("  MAXIMUM         MM     MM    106    1936  85", None),
        ("  MAXIMUM         MM", None),
        ("  MAXIMUM         -4   1220 AM  40    1936", -4),
        ("  MAXIMUM          0  12:00 PM  40    1936", 0),
        ("  MAXIMUM         71  11:59 PM  40    1936", 71),
        ("  MAXIMUM         71     MM    106    1936", 71),
        ("  MAXIMUM          M     M     106    1936  85", None),
        ("  MAXIMUM          M", None),
        ("  MAXIMUM         57(E)  3:55 PM  83    1929", 57),
        ("  MAXIMUM         57E    3:55 PM  83    1929", 57),
        ("  MAXIMUM         57 (E) 3:55 PM  83    1929", 57),
        ("  MAXIMUM         -5(E)", -5),
        ("  MAXIMUM        103RE   2:47 PM 103    1901", 103),
        ("  MAXIMUM        103R(E) 2:47 PM 103    1901", 103),
        ("  MAXIMUM        103(R)  2:47 PM 103    1901", 103),
        ("  MAXIMUM        103 R   2:47 PM 103    1901", 103),
    ],
)
def test_the_line_of_the_maximum(line: str, value: int | None) -> None:
    report = parse_cli(text(maximum=line))
    assert report.maximum_f == value
    assert report.is_estimate == ("E" in line.split("MAXIMUM")[1])


@pytest.mark.parametrize("block", ["TEMPERATURE (F)", "TEMPERATURE"])
def test_a_report_of_the_morning_may_have_no_maximum_yet(block: str) -> None:
    """A report of the day so far may leave the line out; one of the whole day that does is garbled."""
    morning = text(maximum="", valid="VALID TODAY AS OF 0600 AM LOCAL TIME.").replace("TEMPERATURE (F)", block, 1)
    assert parse_cli(morning).maximum_f is None
    unheaded = text(maximum="").replace(" YESTERDAY", " TODAY", 1)
    assert (parse_cli(unheaded).maximum_f, parse_cli(unheaded).says_as_of) == (None, False)
    with pytest.raises(BadPayload, match="the maximum cannot be read"):
        parse_cli(text(maximum="  MAX?             89   2:56 PM", valid="VALID TODAY AS OF 0600 AM LOCAL TIME."))


def test_dates_in_other_spellings() -> None:
    short = text(headline="...THE CHICAGO-MIDWAY CLIMATE SUMMARY FOR SEP 29 2026...", issued="1 AM WED SEP 30 2026")
    report = parse_cli(short.replace("090634", "300634"))
    assert report.climate_date == date(2026, 9, 29)
    wrapped = text(headline="...THE CHICAGO-MIDWAY CLIMATE SUMMARY FOR\nJuly 8, 2026...").replace("\n", "\r\n")
    assert parse_cli(wrapped).climate_date == date(2026, 7, 8)


def test_the_issue_time_takes_month_and_year_from_the_local_line() -> None:
    """Near midnight UTC the WMO heading's day is not the local one, nor is its month or year."""
    report = parse_cli(text(wmo="CDUS43 KLOT 010034", issued="634 PM CST WED DEC 31 2025"))
    assert report.issued_at == datetime(2026, 1, 1, 0, 34, tzinfo=UTC)
    assert report.product_id == "202601010034-KLOT-CDUS43-CLIMDW"


def test_a_correction_has_an_id_of_its_own() -> None:
    assert parse_cli(text(wmo="CDUS43 KLOT 090634 CCA")).product_id == "202607090634-KLOT-CDUS43-CLIMDW-CCA"


@pytest.mark.parametrize("words", ["VALID TODAY AS OF 0400 PM LOCAL TIME.", "VALID AS OF 0600 AM LOCAL TIME."])
def test_a_partial_report_says_as_of(words: str) -> None:
    assert parse_cli(text(valid=words)).says_as_of
    assert not parse_cli(text()).says_as_of


@pytest.mark.parametrize(
    ("city", "end"),
    [("miami", 5), ("philadelphia", 5), ("chicago", 6), ("austin", 6), ("denver", 7), ("la", 8)],
)
def test_two_tests_of_finality_and_what_becomes_of_a_disagreement(city: str, end: int) -> None:
    """The day ends in standard time: 01:00 on a summer's clock."""
    place: City = find_city(city)
    day, over = date(2026, 7, 8), datetime(2026, 7, 9, end, tzinfo=UTC)
    before = datetime(2026, 7, 9, end - 1, 59, tzinfo=UTC)
    assert finality(place, day, over, says_as_of=False) == (True, None)
    assert finality(place, day, before, says_as_of=True) == (False, None)
    assert finality(place, day, over, says_as_of=True) == (False, AS_OF_AFTER_THE_DAY)
    assert finality(place, day, before, says_as_of=False) == (False, NO_AS_OF_DURING_THE_DAY)
    assert finality(place, day, over) == (True, None)
    assert finality(place, day, before) == (False, None)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (text(maximum="  MAXIMUM         8x   2:56 PM"), "the maximum cannot be read"),
        (text(maximum="  MAXIMUM         89?  2:56 PM"), "the maximum cannot be read"),
        (text(maximum="  MAXIMUM         89(Q) 2:56 PM"), "the maximum cannot be read"),
        (text(maximum="  MAXIMUM          E   2:56 PM"), "the maximum cannot be read"),
        (text(maximum=""), "the maximum cannot be read"),
        (text(maximum="  MAXIMUM        489   2:56 PM"), "489 °F is impossible"),
        (text(wmo="CDUS43 KLOT"), "WMO heading cannot be read"),
        (text(wmo="CDUS43 KLOT 150634"), "does not belong to the issue date 2026-07-09"),
        (text(issued="soon"), "issue time cannot be read"),
        (text(headline="...NO SUMMARY..."), "climate date cannot be read"),
        (text(headline="...THE X CLIMATE SUMMARY FOR JUNE 31 2026..."), "JUNE 31 2026 is not a date"),
        (
            text().replace("TEMPERATURE (F)\n YES", "X\n YES").replace("MAXIMUM TEMPERATURE (F)", ""),
            "TEMPERATURE is mis",
        ),
        ("", "TEMPERATURE is missing"),
    ],
)
def test_what_cannot_be_read_is_named(broken: str, named: str) -> None:
    with pytest.raises(BadPayload, match=named):
        parse_cli(broken)


def test_what_a_garbled_report_tells_all_the_same() -> None:
    whole = outline(text(maximum="  MAXIMUM  ??"))
    assert whole.climate_date == date(2026, 7, 8)
    assert (whole.product_id, whole.pil) == ("202607090634-KLOT-CDUS43-CLIMDW", "CLIMDW")
    assert (whole.issued_at, whole.says_as_of) == (datetime(2026, 7, 9, 6, 34, tzinfo=UTC), False)
    assert outline(text(headline="...?...", valid="VALID AS OF 0400 PM")).says_as_of
    assert outline(text(headline="...?...")).climate_date is None
    dateless = outline(text(issued="soon"))
    assert (dateless.issued_at, dateless.product_id, dateless.climate_date) == (None, None, date(2026, 7, 8))
    nothing = outline("nothing")
    assert (nothing.pil, nothing.climate_date, nothing.product_id) == (None, None, None)
