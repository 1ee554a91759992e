"""The monthly form CF6, and IEM's rows of it: every form rewrites all days of its month so far, in order of arrival.

A form is issued every morning (all days to yesterday) and every afternoon (today's partial value too). IEM
does not check the order, so an older form that arrives late overwrites a newer one until the next arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kalshi_simulator.weather.cli import MISSING, amount
from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.curve import Curve
from kalshi_simulator.weather.days import Day, Days
from kalshi_simulator.weather.reports import FIRST_DAY, Reports
from kalshi_simulator.weather.stations import Station
from kalshi_simulator.wire import Row

CSV_COLUMNS = [
    "station",
    "valid",
    "name",
    "state",
    "wfo",
    "high",
    "low",
    "avg_temp",
    "dep_temp",
    "hdd",
    "cdd",
    "precip",
    "snow",
    "snowd_12z",
    "avg_smph",
    "max_smph",
    "avg_drct",
    "minutes_sunshine",
    "possible_sunshine",
    "cloud_ss",
    "wxcodes",
    "gust_smph",
    "gust_drct",
]
_AFTERNOON = timedelta(hours=16, minutes=40)
_MORNING = timedelta(hours=29, minutes=12)
"""After the midnight that begins the climate day which the form is complete for: 05:12 of the next."""
_LATE = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Form:
    """One issuance; it holds the days of its month up to `last`, of which an afternoon's last is partial."""

    station: Station
    last: date
    issued: datetime
    arrived: datetime
    partial: bool

    @property
    def product(self) -> str:
        """IEM's id: UTC issue time, office, WMO heading, AFOS id."""
        return f"{self.issued:%Y%m%d%H%M}-{self.station.office}-{self.code}-{self.station.form_pil}"

    @property
    def code(self) -> str:
        """First word of its WMO heading."""
        return f"CXUS5{self.station.wmo[-1]}"


class Cf6Rows:
    """What `/json/cf6.py` shows, and the forms that it is made from."""

    def __init__(self, days: Days, reports: Reports, curve: Curve, oddities: Oddities) -> None:
        self._days = days
        self._reports = reports
        self._curve = curve
        self._oddities = oddities

    def of_year(self, station: Station, year: int, now: datetime) -> list[Row]:
        """The rows of one station and year, by date."""
        last = min(date(year, 12, 31), station.climate_day(now))
        day = max(date(year, 1, 1), FIRST_DAY)
        rows: list[Row] = []
        while day <= last:
            end = min(_month_end(day), last)
            rows += self._month(station, day, end, now)
            day = end + timedelta(days=1)
        return rows

    def issued_between(self, station: Station, start: datetime, end: datetime, now: datetime) -> list[Form]:
        """Forms with `start` ≤ issue time ≤ `end` that have arrived, oldest first; what came twice is there twice."""
        first = max(station.climate_day(start) - timedelta(days=2), FIRST_DAY)
        forms = self._forms(station, first, station.climate_day(end))
        return sorted((f for f in forms if start <= f.issued <= end and f.arrived <= now), key=lambda form: form.issued)

    def rows_of(self, form: Form) -> list[Row]:
        """What a form says of each day of its month so far."""
        first = max(form.last.replace(day=1), FIRST_DAY)
        days = (first + timedelta(days=n) for n in range((form.last - first).days + 1))
        return [self._row(self._days.of(form.station, day), form) for day in days]

    def _month(self, station: Station, first: date, last: date, now: datetime) -> Iterator[Row]:
        forms = [form for form in self._forms(station, first, last) if form.arrived <= now]
        forms.sort(key=lambda form: form.arrived)
        day = first
        while day <= last:
            form = next((form for form in reversed(forms) if form.last >= day), None)
            if form is not None:
                yield self._row(self._days.of(station, day), form)
            day += timedelta(days=1)

    def _forms(self, station: Station, first: date, last: date) -> Iterator[Form]:
        day = first
        while day <= last:
            start = station.day_start(day)
            yield Form(station, day, start + _AFTERNOON, start + _AFTERNOON, partial=True)
            yield Form(station, day, start + _MORNING, start + _MORNING, partial=False)
            if self._oddities.has("cf6_older_product", station.icao, day):
                yield Form(station, day, start + _AFTERNOON, start + _MORNING + _LATE, partial=True)
            day += timedelta(days=1)

    def _row(self, of: Day, form: Form) -> Row:
        station = of.station
        high = self._high(of, form)
        average = None if high is None else (high + of.low) / 2
        whole = None if average is None else int(average + 0.5)
        return {
            "station": station.icao,
            "valid": of.day.isoformat(),
            "state": station.state,
            "wfo": station.office[1:],
            "link": f"/api/1/nwstext/{form.product}",
            "product": form.product,
            "name": station.title.title(),
            "high": MISSING if high is None else high,
            "low": of.low,
            "avg_temp": MISSING if average is None else average,
            "dep_temp": MISSING if average is None else average - (of.normal_high + of.normal_low) / 2,
            "hdd": MISSING if whole is None else max(65 - whole, 0),
            "cdd": MISSING if whole is None else max(whole - 65, 0),
            "precip": amount(of.precip),
            "snow": 0.0,
            "snowd_12z": 0.0,
            "avg_smph": of.wind / 2,
            "max_smph": float(of.wind),
            "avg_drct": of.direction,
            "minutes_sunshine": MISSING,
            "possible_sunshine": MISSING,
            "cloud_ss": float(of.sky),
            "wxcodes": "1" if of.precip > 0 else None,
            "gust_smph": float(of.gust),
            "gust_drct": of.direction,
        }

    def _high(self, of: Day, form: Form) -> int | None:
        """What the office knew of the day when it issued the form; corrections are in it a day later."""
        icao = of.station.icao
        if form.partial and form.last == of.day:
            return self._curve.highest_until(of, 16 * 60)
        if self._oddities.has("cf6_m", icao, of.day):
            return None
        if self._oddities.has("cf6_off", icao, of.day):
            return of.high + (1 if self._oddities.draw("cf6 off", icao, of.day) < 0.5 else -1)
        return corrected(self._reports, of, form.issued)


def corrected(reports: Reports, of: Day, moment: datetime) -> int:
    """The official maximum as last corrected by `moment`, whether or not a climate report of that day was issued."""
    known = [
        r.high for r in reports.about(of.station, of.day) if r.full_day and r.high is not None and r.issued <= moment
    ]
    return known[-1] if known else of.high


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
