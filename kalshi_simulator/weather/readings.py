"""What the sensors of a station gave, climate day by climate day, before any service spells it its own way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.curve import MINUTES, Curve
from kalshi_simulator.weather.days import Day, Days
from kalshi_simulator.weather.stations import Station

OUTAGE_DAYS = 3
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of one climate day: minutes `first` ≤ minute < `end`, counted from `base` (UTC)."""

    of: Day
    base: datetime
    first: int
    end: int
    temperatures: Sequence[float]
    """All 1,440 of the day, °F."""


class Readings:
    """Readings of all stations; nothing comes from a station while it is out."""

    def __init__(self, days: Days, curve: Curve, oddities: Oddities) -> None:
        self._days = days
        self._curve = curve
        self._oddities = oddities

    def between(self, station: Station, start: datetime, end: datetime) -> Iterator[Stretch]:
        """The stretches with `start` ≤ time < `end`, in order."""
        day = station.climate_day(start)
        while (base := station.day_start(day)) < end:
            first = max(0, -((base - start) // _MINUTE))
            last = min(MINUTES, -((base - end) // _MINUTE))
            if first < last and not self._out(station, day):
                yield Stretch(self._days.of(station, day), base, first, last, self._curve.minutes(station, day))
            day += timedelta(days=1)

    def _out(self, station: Station, day: date) -> bool:
        return any(
            self._oddities.has("outage", station.icao, day - timedelta(days=back)) for back in range(OUTAGE_DAYS)
        )


def gap(oddities: Oddities, kind: str, of: Day, shortest: int, longest: int) -> range:
    """The minutes of a climate day that an oddity leaves out; empty where it does not show."""
    icao = of.station.icao
    if not oddities.has(kind, icao, of.day):
        return range(0)
    length = shortest + int((longest - shortest) * oddities.draw(kind + " length", icao, of.day))
    begins = int((MINUTES - length) * oddities.draw(kind + " place", icao, of.day))
    return range(begins, begins + length)


def dew_point(of: Day, temperature: float) -> float:
    """°F; rises a little in the warm hours."""
    return of.low - of.moisture + 0.1 * (temperature - of.low)


@lru_cache(maxsize=65_536)
def humidity(temperature: int, dew: int) -> float:
    """Relative humidity, per cent, of tenths of °F (Magnus formula)."""

    def pressure(tenths: int) -> float:
        celsius = (tenths / 10 - 32) / 1.8
        return math.exp(17.625 * celsius / (243.04 + celsius))

    return round(min(100.0, 100 * pressure(dew) / pressure(temperature)), 2)


def wind_mph(of: Day, minute: int) -> float:
    """Mean wind, mph: weak at night, at most the day's highest."""
    away = abs(minute - 900)
    return round(of.wind * (0.9 - 0.6 * min(away, 700) / 700), 1)
