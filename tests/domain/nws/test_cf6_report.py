"""The text of the monthly form F-6: what it says of each day, when it was issued, and what makes it unreadable."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.nws.cf6_report import Cf6Report, month_of, parse_cf6
from kalshi_ingest.domain.nws.cli_report import finality
from kalshi_ingest.domain.settlement import Observation, Source, settle
from kalshi_ingest.errors import BadPayload

MIDWAY = find_city("chicago")
_RULE = "=" * 80

# rows in the columns of published forms
ROWS = """
 1 102  75  89  -6   0  24 0.00  0.0    0  7.2 18 190   M    M   1        27 160
 2  97  82  90  -5   0  25    T    T    0  7.6  M   M   M    M   7 378     M   M
 3   M   M   M   M   M   M    M    M    M    M  M   M   M    M   M         M   M
 4  -5 -15 -10 -36  75   0 0.12  1.3    2 10.1 39  60   M    M   4 3      50  50
"""


def text(rows: str = ROWS, *, wmo: str = "CXUS53 KLOT 051012", month: str = "JULY", year: str = "2026") -> str:
    """A form by hand; the trap is the second page, which has a month, days and temperatures too."""
    return f"""
000
{wmo}
CF6MDW
PRELIMINARY LOCAL CLIMATOLOGICAL DATA (WS FORM: F-6)

                                          STATION:   CHICAGO-MIDWAY
                                          MONTH:     {month}
                                          YEAR:      {year}
                                          LATITUDE:  41 47 N
                                          LONGITUDE: 87 45 W

  TEMPERATURE IN F:       :PCPN:    SNOW:  WIND      :SUNSHINE: SKY     :PK WND
{_RULE}
1   2   3   4   5  6A  6B    7    8   9   10  11  12  13   14  15   16   17  18
                                     12Z  AVG MX 2MIN
DY MAX MIN AVG DEP HDD CDD  WTR  SNW DPTH SPD SPD DIR MIN PSBL S-S WX    SPD DR
{_RULE}
{rows}{_RULE}
SM  194  142        75  49  0.12  1.3     24.9          M       12
{_RULE}
AV 64.7 47.3                                8.3 FASTST   M    M   4
NOTES:

PRELIMINARY LOCAL CLIMATOLOGICAL DATA (WS FORM: F-6) , PAGE 2

                                          STATION:   CHICAGO-MIDWAY
                                          MONTH:     AUGUST
                                          YEAR:      1999

HIGHEST:   104 ON  5     GRTST 24HR  0.12 ON  4- 4
 5 104  75  89  -6   0  24 0.00  0.0    0  7.2 18 190   M    M   1        27 160
"""


def row(day: int, maximum: str = "80") -> str:
    return f"{day:>2}{maximum:>4}  61  71   0   0   6 0.00  0.0    0  7.2 18 190   M    M   1        27 160\n"


def maxima(report: Cf6Report) -> dict[int, int | None]:
    return {each.day.day: each.maximum_f for each in report.days}


@pytest.mark.parametrize("month", ["JULY", "JUL", "07", "7", "July"])
def test_the_maxima_of_a_month_by_name_or_by_number(month: str) -> None:
    report = parse_cf6(text(month=month))
    assert maxima(report) == {1: 102, 2: 97, 3: None, 4: -5}
    assert report.days[0].day == date(2026, 7, 1)
    assert report.days[3].line == ROWS.splitlines()[4]
    assert report.pil == "CF6MDW"
    assert report.issued_at == datetime(2026, 7, 5, 10, 12, tzinfo=UTC)
    assert report.product_id == "202607051012-KLOT-CXUS53-CF6MDW"


def test_lines_may_end_with_a_carriage_return_and_a_correction_has_its_mark() -> None:
    report = parse_cf6(text(wmo="CXUS53 KLOT 051012 CCA").replace("\n", "\r\n"))
    assert maxima(report) == {1: 102, 2: 97, 3: None, 4: -5}
    assert report.product_id == "202607051012-KLOT-CXUS53-CF6MDW-CCA"


def test_days_listed_ahead_say_nothing_yet() -> None:
    report = parse_cf6(text(row(1) + row(2, "M") + " 3\n 4\n", wmo="CXUS53 KLOT 020512"))
    assert maxima(report) == {1: 80, 2: None}


@pytest.mark.parametrize(
    ("last", "wmo_time", "issued"),
    [
        (31, "311640", datetime(2026, 12, 31, 16, 40, tzinfo=UTC)),  # the last day's afternoon
        (31, "010040", datetime(2027, 1, 1, 0, 40, tzinfo=UTC)),  # the same in the west
        (31, "011112", datetime(2027, 1, 1, 11, 12, tzinfo=UTC)),
        (31, "050900", datetime(2027, 1, 5, 9, 0, tzinfo=UTC)),  # a correction in the next month
        (1, "012240", datetime(2026, 12, 1, 22, 40, tzinfo=UTC)),
        (1, "021112", datetime(2026, 12, 2, 11, 12, tzinfo=UTC)),
    ],
)
def test_the_issue_time_takes_month_and_year_from_the_rows(last: int, wmo_time: str, issued: datetime) -> None:
    rows = "".join(row(day) for day in range(1, last + 1))
    report = parse_cf6(text(rows, wmo=f"CXUS53 KLOT {wmo_time}", month="DECEMBER"))
    assert report.issued_at == issued


@pytest.mark.parametrize(
    ("wmo_time", "issued"),
    [("010512", datetime(2026, 8, 1, 5, 12, tzinfo=UTC)), ("312240", datetime(2026, 7, 31, 22, 40, tzinfo=UTC))],
)
def test_a_missing_last_day_does_not_date_the_form(wmo_time: str, issued: datetime) -> None:
    rows = "".join(row(day) for day in range(1, 31)) + row(31, "M")
    assert parse_cf6(text(rows, wmo=f"CXUS53 KLOT {wmo_time}")).issued_at == issued


def test_days_ahead_that_are_missing_do_not_date_the_form() -> None:
    ahead = "".join(row(day, "M") for day in range(5, 32))
    assert parse_cf6(text(ROWS + ahead)).issued_at == datetime(2026, 7, 5, 10, 12, tzinfo=UTC)


def test_the_month_before_29_february() -> None:
    rows = "".join(row(day) for day in range(1, 29))
    report = parse_cf6(text(rows, wmo="CXUS53 KLOT 291012", month="02", year="2025"))
    assert report.issued_at == datetime(2025, 3, 29, 10, 12, tzinfo=UTC)
    leap = parse_cf6(text(rows + row(29), wmo="CXUS53 KLOT 291012", month="02", year="2024"))
    assert leap.issued_at == datetime(2024, 2, 29, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("", "cut short: 0 of the three rules"),
        (text().split("SM  194")[0].rsplit(_RULE, 1)[0], "cut short: 2 of the three rules"),
        (text(row(1) + row(2)[:60] + "\n"), "the row of 2026-07-02 is cut short"),
        (text(row(1) + row(2)[:10] + "\n"), "the row of 2026-07-02 is cut short"),
        (text(""), "the form of 2026-07 has no day"),
        (text(wmo="CXUS53 KLOT"), "the WMO heading cannot be read"),
        (text(wmo="CXUS53 KLOT 052512"), "the WMO heading's time 052512 is not a time"),
        (text(wmo="CXUS53 KLOT 001012"), "the WMO heading's time 001012 is not a time"),
        (text().replace("CF6MDW", "CLIMDW"), "the WMO heading cannot be read"),
        (text(month="?"), "the line MONTH cannot be read"),
        (text(year=""), "the line YEAR cannot be read"),
        (text(month="13"), "13 2026 is not a month"),
        (text(month="SMARCH"), "SMARCH 2026 is not a month"),
        (text(row(31), month="JUNE"), "does not begin with a day of 2026-06"),
        (text(row(1) + "x" + row(2)[1:]), "does not begin with a day of 2026-07"),
        (text(row(1) + row(1)), "the row of 2026-07-01 follows that of 2026-07-01"),
        (text(row(2) + row(1)), "the row of 2026-07-01 follows that of 2026-07-02"),
        (text(row(1, "T")), "the maximum of 2026-07-01 is 'T', not a temperature"),
        (text(row(1, "8x")), "the maximum of 2026-07-01 is '8X', not a temperature"),
        (text(row(1, "")), "the maximum of 2026-07-01 is '', not a temperature"),
        (text(row(1, "999")), "the maximum 999 °F of 2026-07-01 is impossible"),
    ],
)
def test_what_cannot_be_read_is_named(broken: str, named: str) -> None:
    with pytest.raises(BadPayload, match=named):
        parse_cf6(broken)


def test_the_month_of_a_garbled_form() -> None:
    assert month_of(text(row(1, "8x"))) == date(2026, 7, 1)
    assert month_of("nothing") is None


def told(form: str, day: date, retrieved_at: datetime) -> Observation:
    report = parse_cf6(form)
    (found,) = (each for each in report.days if each.day == day)
    return Observation(
        MIDWAY.station.loc_id,
        day,
        Source.CF6,
        report.product_id,
        None,
        report.issued_at,
        retrieved_at,
        finality(MIDWAY, day, report.issued_at)[0],
        None if found.maximum_f is None else Decimal(found.maximum_f),
    )


def test_an_older_form_that_comes_after_a_newer_one_changes_nothing() -> None:
    """The afternoon's form has a partial value of its own day and a full one of the day before."""
    now = datetime(2026, 7, 4, tzinfo=UTC)
    afternoon = text(row(1, "88") + row(2, "81"), wmo="CXUS53 KLOT 022240")
    morning = text(row(1, "89") + row(2, "84"), wmo="CXUS53 KLOT 031112")
    for day, was_full, official in ((date(2026, 7, 1), True, 89), (date(2026, 7, 2), False, 84)):
        newer, older = told(morning, day, now), told(afternoon, day, now + timedelta(hours=3))
        assert (newer.is_full_day, older.is_full_day) == (True, was_full)
        settled = settle([newer, older])
        assert (settled.tmax_final_f, settled.tmax_cf6_f, settled.is_preliminary) == (official, official, False)
        assert settled == settle([older, newer]) == settle([newer])
    alone = settle([told(afternoon, date(2026, 7, 2), now)])
    assert (alone.tmax_final_f, alone.source, alone.is_preliminary) == (81, Source.CF6, True)


@pytest.mark.parametrize(("wmo_time", "full"), [("020559", False), ("020600", True)])
def test_a_day_is_full_from_the_end_of_its_climate_day(wmo_time: str, full: bool) -> None:
    """Midnight of standard time: 01:00 on a summer's clock, 06:00 UTC at Chicago."""
    form = text(row(1), wmo=f"CXUS53 KLOT {wmo_time}")
    assert told(form, date(2026, 7, 1), datetime(2026, 7, 2, 7, tzinfo=UTC)).is_full_day is full
