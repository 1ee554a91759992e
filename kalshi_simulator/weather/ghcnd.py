"""GHCN-Daily as NCEI's Access Data Service shows it: padded strings, quality flags, some days late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from kalshi_simulator.weather.cf6 import corrected
from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.days import Day, Days
from kalshi_simulator.weather.reports import FIRST_DAY, Reports
from kalshi_simulator.weather.stations import Station
from kalshi_simulator.wire import Row

_ARRIVES_AFTER = 4
"""Days from the end of a climate day until the first of them arrive; the last arrive four days later."""
_NONSENSE = 40
"""How far a value that failed its quality check is from the truth, °F."""


class Ghcnd:
    """Daily summaries by station and date."""

    def __init__(self, days: Days, reports: Reports, oddities: Oddities) -> None:
        self._days = days
        self._reports = reports
        self._oddities = oddities

    def rows(self, stations: Sequence[Station], start: date, end: date, now: datetime, form: Form) -> list[Row]:
        """One row per station and day that has arrived, by station and date; both dates count."""
        found: list[Row] = []
        for station in stations:
            day = max(start, FIRST_DAY)
            while day <= min(end, station.climate_day(now)):
                if self._arrived(station, day) <= now:
                    found.append(self._row(self._days.of(station, day), form))
                day += timedelta(days=1)
        return found

    def _arrived(self, station: Station, day: date) -> datetime:
        late = _ARRIVES_AFTER + int(4 * self._oddities.draw("ghcnd late", station.icao, day))
        return station.day_end(day) + timedelta(days=late, hours=10)

    def _row(self, of: Day, form: Form) -> Row:
        station = of.station
        row: Row = {"DATE": of.day.isoformat(), "STATION": station.ghcnd}
        if form.name:
            row["NAME"] = f"{station.title}, {station.state} US"
        if "TMAX" in form.types and not self._has("ghcnd_missing", of):
            flag = "X" if self._has("ghcnd_failed", of) else ""
            row["TMAX"] = form.temperature(self._high(of))
            if form.attributes:
                row["TMAX_ATTRIBUTES"] = f",{flag},W,2400"
        if "TMIN" in form.types:
            row["TMIN"] = form.temperature(of.low)
            if form.attributes:
                row["TMIN_ATTRIBUTES"] = ",,W,2400"
        return row

    def _high(self, of: Day) -> int:
        high = corrected(self._reports, of, of.station.day_end(of.day) + timedelta(days=_ARRIVES_AFTER))
        if self._has("ghcnd_failed", of):
            return high + _NONSENSE
        if self._has("ghcnd_off", of):
            return high + (1 if self._oddities.draw("ghcnd off", of.station.icao, of.day) < 0.5 else -1)
        return high

    def _has(self, kind: str, of: Day) -> bool:
        return self._oddities.has(kind, of.station.icao, of.day)


class Form:
    """How a request wants its rows."""

    def __init__(self, types: Sequence[str], *, metric: bool, attributes: bool, name: bool) -> None:
        self.types = types
        self.attributes = attributes
        self.name = name
        self._metric = metric

    def temperature(self, degrees: int) -> str:
        """A temperature as text, padded with spaces: °F whole, or °C with a tenth, from whole °F."""
        if self._metric:
            return f"{math.floor((degrees - 32) / 1.8 * 10 + 0.5) / 10:>5.1f}"
        return f"{degrees:>5}"
