"""The cities, and the weather that decides their markets.

Temperatures are whole degrees Fahrenheit: a yearly wave per city plus weather that lasts some days.
First event dates, legacy names and rule-text names follow the exchange's own listings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from kalshi_simulator.seeds import stream


@dataclass(frozen=True, slots=True)
class City:
    """One daily-high series: its names, its clock and its climate."""

    series: str
    legacy: str | None
    """Ticker prefix up to event date 2024-10-23, for series that are that old."""
    name: str
    place: str
    """The place as the National Weather Service era's rules name it."""
    report: str
    """The climate report as the later rules name it."""
    zone: ZoneInfo
    standard_offset: int
    """Hours from UTC in standard time; the climate day keeps it all year."""
    first_event: date
    mean: float
    """Mean of the daily high over the year, °F."""
    swing: float
    """Half the distance between the warmest and the coldest season, °F."""
    noise: float
    """Standard deviation of the weather around the season, °F."""


_EASTERN = ZoneInfo("America/New_York")
_CENTRAL = ZoneInfo("America/Chicago")
_MOUNTAIN = ZoneInfo("America/Denver")
_PACIFIC = ZoneInfo("America/Los_Angeles")

# The day of Chicago's first event in August 2021 is not published; New York's is.
_TABLE = (
    City("KXHIGHCHI", "HIGHCHI", "Chicago", "Chicago Midway, IL", "CLIMDW", _CENTRAL, -6,
         date(2021, 8, 6), 58, 26, 9.0),
    City("KXHIGHMIA", "HIGHMIA", "Miami", "Miami International Airport", "CLIMIA", _EASTERN, -5,
         date(2023, 5, 11), 83.5, 7, 3.5),
    City("KXHIGHAUS", "HIGHAUS", "Austin", "Austin Bergstrom", "CLIAUS", _CENTRAL, -6,
         date(2023, 5, 12), 80, 17, 7.0),
    City("KXHIGHLAX", None, "Los Angeles", "Los Angeles Airport, CA", "CLILAX", _PACIFIC, -8,
         date(2025, 1, 5), 71, 6, 5.0),
    City("KXHIGHDEN", None, "Denver", "Denver, CO", "CLIDEN", _MOUNTAIN, -7,
         date(2024, 11, 20), 67, 22, 10.0),
    City("KXHIGHPHIL", None, "Philadelphia", "Philadelphia International Airport", "CLIPHL", _EASTERN, -5,
         date(2024, 11, 20), 65, 23.5, 7.5),
    City("KXHIGHNY", "HIGHNY", "NYC", "Central Park, New York", "CLINYC", _EASTERN, -5,
         date(2021, 8, 6), 62, 23, 7.5),
)  # fmt: skip

CITIES: dict[str, City] = {city.series: city for city in _TABLE}
"""Every series the simulator knows, by ticker."""

# Chicago's cold days of January 2024, from which the exchange's negative strikes are recorded.
_RECORDED_COLD = {date(2024, 1, 14): -1, date(2024, 1, 15): -2, date(2024, 1, 16): 3, date(2024, 1, 17): 15}


@lru_cache(maxsize=65_536)
def _knot(seed: int, series: str, scale: int, place: int) -> float:
    return stream(seed, "weather", series, scale, place).gauss(0, 1)


def _noise(seed: int, series: str, scale: int, day: int) -> float:
    """Weather that lasts about `scale` days: interpolated between draws that lie so far apart."""
    place, within = divmod(day, scale)
    share = within / scale
    blend = share * share * (3 - 2 * share)
    return _knot(seed, series, scale, place) * (1 - blend) + _knot(seed, series, scale, place + 1) * blend


def high_temperature(seed: int, city: City, day: date) -> int:
    """The settled daily high of `city` on climate day `day`, °F."""
    if city.series == "KXHIGHCHI" and day in _RECORDED_COLD:
        return _RECORDED_COLD[day]
    season = city.mean - city.swing * math.cos(2 * math.pi * (day.timetuple().tm_yday - 20) / 365.25)
    number = day.toordinal()
    weather = (
        0.75 * _noise(seed, city.series, 4, number)
        + 0.55 * _noise(seed, city.series, 11, number)
        + 0.35 * _noise(seed, city.series, 1, number)
    )
    return round(season + city.noise * weather)
