"""The text of a daily climate report, laid out like the recorded ones.

Columns, headings and phrases follow reports of July 2026 of six offices; numbers that nobody settles on
(degree days, humidity, sunrise) are plausible and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from kalshi_simulator.weather.days import TRACE, Day
from kalshi_simulator.weather.reports import Report

_RULE = "." * 67
_HEADER = (
    "WEATHER ITEM   OBSERVED TIME   RECORD YEAR NORMAL DEPARTURE LAST      ",
    "                VALUE   (LST)  VALUE       VALUE  FROM      YEAR     ",
    "                                                  NORMAL           ",
)
_LEGEND = (
    "-  INDICATES NEGATIVE NUMBERS.",
    "R  INDICATES RECORD WAS SET OR TIED.",
    "MM INDICATES DATA IS MISSING.",
    "T  INDICATES TRACE AMOUNT.",
)
_POINTS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


def report_text(report: Report, last_year: Day) -> str:
    """The product as it goes over the wire, without control characters; lines end with a newline."""
    return "\n".join([*_heading(report), *_body(report, last_year), *_ending(report), ""])


def clock_text(minute: int, *, colon: bool) -> str:
    """A minute of the day as an office writes it: `3:38 PM` or `338 PM`."""
    hour, rest = divmod(minute, 60)
    return f"{hour % 12 or 12}{':' if colon else ''}{rest:02d} {'AM' if hour < 12 else 'PM'}"


def _heading(report: Report) -> Iterator[str]:
    station, day = report.of.station, report.of.day
    local = report.issued.astimezone(station.city.zone)
    since = 1870 + 7 * len(station.title)
    colon = ":" if station.colon else ""
    yield "000 "
    yield f"{station.wmo} {station.office} {report.issued:%d%H%M}"
    yield station.pil
    yield ""
    yield "CLIMATE REPORT " if report.kind != "correction" else "CLIMATE REPORT...CORRECTION"
    yield f"NATIONAL WEATHER SERVICE {station.office_name}"
    yield f"{local.hour % 12 or 12}{local:%M %p %Z %a %b %d %Y}".upper()
    yield from ("", "...................................", "")
    # Some offices write the month out, others cut it to three letters.
    month = day.strftime("%b" if station.icao == "KLAX" else "%B").upper()
    yield f"...THE {station.title} CLIMATE SUMMARY FOR {month} {day.day} {day.year}..."
    if report.as_of is not None:
        yield f"VALID {'TODAY ' if station.says_today else ''}AS OF {_as_of(report)} LOCAL TIME."
    yield from ("", f"CLIMATE NORMAL PERIOD{colon} 1991 TO 2020", f"CLIMATE RECORD PERIOD{colon} {since} TO {day.year}")
    yield from ("", "", *_HEADER, _RULE)


def _as_of(report: Report) -> str:
    station = report.of.station
    moment = station.day_start(report.of.day) + timedelta(minutes=report.as_of or 0)
    local: datetime = moment.astimezone(station.city.zone)
    return f"{local.hour % 12 or 12:02d}00 {local:%p}"


def _body(report: Report, last_year: Day) -> Iterator[str]:
    of, station = report.of, report.of.station
    word = "YESTERDAY" if report.full_day else "TODAY"
    yield "TEMPERATURE (F)".ljust(73)
    yield f" {word}".ljust(69)
    yield from _maximum(report, last_year)
    low_time = clock_text(of.low_minute, colon=station.colon)
    yield (
        f"  MINIMUM{of.low:>11}{low_time:>10} {of.normal_low - 16:>3}{of.record_year + 3:>8}"
        f"{of.normal_low:>4}{of.low - of.normal_low:>7}{last_year.low:>9}       "
    )
    high = of.high if report.high is None else report.high
    average, normal = (high + of.low + 1) // 2, (of.normal_high + of.normal_low + 1) // 2
    yield f"  AVERAGE{average:>11}{normal:>26}{average - normal:>7}{(last_year.high + last_year.low + 1) // 2:>9}     "
    yield ""
    yield from _precipitation(of, last_year, word)
    if station.icao != "KMDW":
        yield from _snow(word)
    yield from _degree_days(of, last_year, word)
    yield from _wind_and_sky(of, word)


def _maximum(report: Report, last_year: Day) -> Iterator[str]:
    of = report.of
    if report.high is None:
        value, when, departure = "MM", "MM", "MM"
    else:
        value, departure = str(report.high), str(report.high - of.normal_high)
        minute = min(of.high_minute, report.as_of - 1) if report.as_of is not None else of.high_minute
        when = clock_text(minute, colon=of.station.colon)
    flag = "R" if is_record(report) else " "
    yield (
        f"  MAXIMUM{value:>11}{flag}{when:>9}{of.record_high:>4}{of.record_year:>8}"
        f"{of.normal_high:>4}{departure:>7}{last_year.high:>9}        "
    )
    if of.record_year % 5 == 0:  # records that were reached twice take a second line
        yield f"{of.record_year + 9:>42}".ljust(69)


def is_record(report: Report) -> bool:
    """Whether the value carries an R."""
    return report.of.tied_record and report.full_day and report.high is not None


def _amount(precip: int) -> str:
    return "T   " if precip == TRACE else f"{precip / 100:.2f}"


def _precipitation(of: Day, last_year: Day, word: str) -> Iterator[str]:
    month = sum(divmod(of.day.day * 11, 3)) + max(of.precip, 0)
    yield "PRECIPITATION (IN)".ljust(70)
    yield (
        f"  {word:<9}{_amount(of.precip):>12}{'1.96':>14}{of.record_year:>5}{'0.11':>7}"
        f"{(max(of.precip, 0) - 11) / 100:>7.2f}{_amount(last_year.precip):>9}     "
    )
    yield f"  MONTH TO DATE{month / 100:>8.2f}{'0.89':>26}{(month - 89) / 100:>7.2f}{'0.73':>9}     "
    yield f"  SINCE JAN 1{(month + 1400) / 100:>10.2f}{'14.38':>26}{(month - 38) / 100:>7.2f}{'15.67':>9}     "
    yield ""


def _snow(word: str) -> Iterator[str]:
    yield "SNOWFALL (IN)".ljust(75)
    for name in (word, "MONTH TO DATE", "SINCE JUN 1", "SINCE JUL 1"):
        yield f"  {name:<17}0.0".ljust(68)
    yield "  SNOW DEPTH       0".ljust(67)
    yield ""


def _degree_days(of: Day, last_year: Day, word: str) -> Iterator[str]:
    average, before = (of.high + of.low + 1) // 2, (last_year.high + last_year.low + 1) // 2
    yield "DEGREE DAYS".ljust(70)
    for name, now, then in (
        (" HEATING", max(65 - average, 0), max(65 - before, 0)),
        (" COOLING", max(average - 65, 0), max(before - 65, 0)),
    ):
        yield name.ljust(70)
        yield f"  {word:<13}{now:>5}{10:>26}{now - 10:>7}{then:>9}        "
        month = now * of.day.day
        yield f"  MONTH TO DATE{month:>5}{10 * of.day.day:>26}{month - 10 * of.day.day:>7}{then:>9}        "
        yield ""
    yield _RULE


def _wind_and_sky(of: Day, word: str) -> Iterator[str]:
    point = f"{_POINTS[round(of.direction / 45) % 8]:>2} ({of.direction})"
    yield from ("", "", "WIND (MPH)".ljust(70))
    yield f"  HIGHEST WIND SPEED{of.wind:>6}   HIGHEST WIND DIRECTION    {point:<14}"
    yield f"  HIGHEST GUST SPEED{of.gust:>6}   HIGHEST GUST DIRECTION    {point:<14}"
    yield f"  AVERAGE WIND SPEED{of.wind / 2:>8.1f}".ljust(67)
    yield from ("", "", "SKY COVER".ljust(70))
    yield f"  AVERAGE SKY COVER {of.sky / 10:.1f}".ljust(71)
    yield from ("", "", "WEATHER CONDITIONS".ljust(70))
    yield f"THE FOLLOWING WEATHER WAS RECORDED {word}.".ljust(70)
    weather = "NO SIGNIFICANT WEATHER WAS OBSERVED." if of.precip == 0 else "LIGHT RAIN"
    yield f"  {weather}".ljust(70)
    yield from ("", "", "RELATIVE HUMIDITY (PERCENT)")
    for name, value, minute in ((" HIGHEST", 84, 300), (" LOWEST ", 41, 900)):
        yield f"{name}{value:>6}{clock_text(minute, colon=of.station.colon):>18}".ljust(69)
    yield " AVERAGE    62".ljust(70)


def _ending(report: Report) -> Iterator[str]:
    of, station = report.of, report.of.station
    when, normals_of = ("TODAY", of.day + timedelta(days=1)) if report.full_day else ("TOMORROW", of.day)
    yield from ("", "." * 58, "", "", f"THE {station.title} CLIMATE NORMALS FOR {when}")
    yield "                         NORMAL    RECORD    YEAR".ljust(71)
    yield f" MAXIMUM TEMPERATURE (F){of.normal_high:>5}{of.record_high + 2:>10}{of.record_year - 4:>10}".ljust(71)
    yield f" MINIMUM TEMPERATURE (F){of.normal_low:>5}{of.normal_low - 18:>10}{of.record_year + 1:>10}".ljust(71)
    yield from ("", "", "SUNRISE AND SUNSET".ljust(70))
    for day in (normals_of, normals_of + timedelta(days=1)):
        yield _sun(report, day)
    yield from ("", "", *_LEGEND, "", "", "", "", "$$")


def _sun(report: Report, day: date) -> str:
    station = report.of.station
    zone = report.issued.astimezone(station.city.zone).strftime("%Z")
    rises, sets = (
        clock_text(349 + day.day % 3, colon=station.colon),
        clock_text(1197 - day.day % 3, colon=station.colon),
    )
    name = f"{day:%B} {day.day:>2} {day.year}".upper()
    return f"{name:.<22}SUNRISE   {rises} {zone}   SUNSET   {sets} {zone}     "
