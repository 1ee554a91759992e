"""The text of the monthly form F-6, laid out like published ones: two pages, of which the first has the days.

What stands below the days (totals, averages, remarks) is plausible and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kalshi_simulator.weather.cf6 import Form
from kalshi_simulator.wire import Row

_RULE = "=" * 80
_TITLE = "PRELIMINARY LOCAL CLIMATOLOGICAL DATA (WS FORM: F-6)"
_COLUMNS = (
    "  TEMPERATURE IN F:       :PCPN:    SNOW:  WIND      :SUNSHINE: SKY     :PK WND ",
    _RULE,
    "1   2   3   4   5  6A  6B    7    8   9   10  11  12  13   14  15   16   17  18",
    "                                     12Z  AVG MX 2MIN",
    "DY MAX MIN AVG DEP HDD CDD  WTR  SNW DPTH SPD SPD DIR MIN PSBL S-S WX    SPD DR",
    _RULE,
    "",
)
_BY_NUMBER = ("KLAX", "KMIA")
"""Stations whose form has its month as a number."""


def form_text(form: Form, rows: Sequence[Row]) -> str:
    """The product as it goes over the wire, without control characters; lines end with a newline."""
    station = form.station
    first = (
        "000 ",
        f"{form.code} {station.office} {form.issued:%d%H%M}",
        station.form_pil,
        *(_TITLE, "", *_place(form), ""),
        *_COLUMNS,
    )
    return "\n".join([*first, *(_day(row) for row in rows), *_totals(rows), *_second_page(form, rows), ""])


def _place(form: Form) -> Iterator[str]:
    month = f"{form.last:%m}" if form.station.icao in _BY_NUMBER else f"{form.last:%B}".upper()
    longitude, latitude = form.station.place
    yield f"{'':42}STATION:   {form.station.title}"
    yield f"{'':42}MONTH:     {month}"
    yield f"{'':42}YEAR:      {form.last.year}"
    yield f"{'':42}LATITUDE:  {int(latitude):>3} {int(latitude % 1 * 60):>2} N"
    yield f"{'':42}LONGITUDE: {int(-longitude):>3} {int(-longitude % 1 * 60):>2} W"


def _day(row: Row) -> str:
    weather = row["wxcodes"] or ""
    return (
        f"{int(row['valid'][8:]):>2}{row['high']:>4}{row['low']:>4}{_whole(row['avg_temp']):>4}"
        f"{_whole(row['dep_temp']):>4}{row['hdd']:>4}{row['cdd']:>4}{_to(row['precip'], 2):>5}{_to(row['snow'], 1):>5}"
        f"{_whole(row['snowd_12z']):>5}{_to(row['avg_smph'], 1):>5}{_whole(row['max_smph']):>3}{row['avg_drct']:>4}"
        f"{row['minutes_sunshine']:>4}{row['possible_sunshine']:>5}{_whole(row['cloud_ss']):>4} {weather:<6}"
        f"{_whole(row['gust_smph']):>3}{row['gust_drct']:>4}"
    )


def _to(value: float | str, places: int) -> str:
    """An amount, or the letter that stands for none or a trace."""
    return value if isinstance(value, str) else f"{value:.{places}f}"


def _whole(value: float | str) -> str:
    return value if isinstance(value, str) else str(int(value + 0.5))


def _totals(rows: Sequence[Row]) -> Iterator[str]:
    highs = [row["high"] for row in rows if row["high"] != "M"]
    lows = [row["low"] for row in rows]
    yield _RULE
    yield f"SM{sum(highs):>5}{sum(lows):>5}".ljust(80)
    yield _RULE
    yield f"AV{sum(highs) / max(len(highs), 1):>5.1f}{sum(lows) / max(len(lows), 1):>5.1f}".ljust(80)
    yield from ("", "NOTES:", "# LAST OF SEVERAL OCCURRENCES", "", "COLUMN 17 PEAK WIND IN M.P.H.", "")


def _second_page(form: Form, rows: Sequence[Row]) -> Iterator[str]:
    highest = max((row["high"] for row in rows if row["high"] != "M"), default="M")
    yield from (f"{_TITLE} , PAGE 2", "", *_place(form), "")
    yield "[TEMPERATURE DATA]      [PRECIPITATION DATA]       SYMBOLS USED IN COLUMN 16"
    yield "AVERAGE MONTHLY:  M     TOTAL FOR MONTH:    M      1 = FOG OR MIST"
    yield f"HIGHEST:{highest:>6} ON {form.last.day:>2}   GRTST 24HR   M              3 = THUNDER"
    yield from ("", "[REMARKS]", "")
