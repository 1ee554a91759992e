"""What really happened at a station on a climate day: maximum, minimum, their times, rain and wind.

Everything follows from the official maximum and from draws that belong to the station-day, so a day looks
the same whoever asks and in whatever order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from kalshi_simulator.climate import City
from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.stations import Station
from kalshi_simulator.weather.truth import Truth

TRACE = -1
"""Precipitation too little to measure, where other amounts are hundredths of an inch."""


@dataclass(frozen=True, slots=True)
class Day:
    """One climate day at one station. Temperatures in °F, minutes since midnight of standard time."""

    station: Station
    day: date
    high: int
    """The official maximum, as the first full-day report says it."""
    low: int
    high_minute: int
    low_minute: int
    peak: float
    """Warmest moment, at most one degree below the official maximum, which is measured every five seconds."""
    normal_high: int
    normal_low: int
    record_high: int
    record_year: int
    tied_record: bool
    precip: int
    """Hundredths of an inch, or `TRACE`."""
    wind: int
    """Highest wind speed, mph."""
    gust: int
    direction: int
    """Degrees, in tens."""
    sky: int
    """Tenths of the sky covered."""
    moisture: float
    """By how much the dew point lies below the minimum, °F."""


class Days:
    """Every station-day of one world."""

    def __init__(self, truth: Truth, oddities: Oddities) -> None:
        self._truth = truth
        self._oddities = oddities
        self.of = lru_cache(maxsize=32_768)(self._of)

    def _of(self, station: Station, day: date) -> Day:
        def draw(name: str) -> float:
            return self._oddities.draw(name, station.icao, day)

        late = self._oddities.has("late_peak", station.icao, day)
        high = self._truth.high(station, day)
        normal = _season(station.city, day)
        tied = self._oddities.has("record", station.icao, day)
        wet = draw("rain")
        return Day(
            station=station,
            day=day,
            high=high,
            low=high - 10 - int(14 * draw("range")),
            high_minute=(1110 if late else 800) + int((80 if late else 160) * draw("high time")),
            low_minute=290 + int(80 * draw("low time")),
            peak=high - 0.95 * draw("peak"),
            normal_high=normal,
            normal_low=normal - 18,
            record_high=high if tied else max(normal + 14 + int(8 * draw("record")), high + 1),
            record_year=1931 + int(92 * draw("record year")),
            tied_record=tied,
            precip=0 if wet < 0.65 else TRACE if wet < 0.75 else 1 + int(180 * (wet - 0.75) ** 1.5 * 8),
            wind=8 + int(16 * draw("wind")),
            gust=14 + int(24 * draw("wind")),
            direction=10 * (1 + int(36 * draw("direction"))),
            sky=int(11 * draw("sky")),
            moisture=1 + 12 * draw("moisture"),
        )

    def last_year(self, station: Station, day: date) -> Day:
        """The same climate day one year earlier."""
        return self.of(station, day - timedelta(days=365))


def _season(city: City, day: date) -> int:
    return round(city.mean - city.swing * math.cos(2 * math.pi * (day.timetuple().tm_yday - 20) / 365.25))
