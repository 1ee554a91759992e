"""The weather of one world: everything the simulated services have to say, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from kalshi_simulator.weather.asos import Asos
from kalshi_simulator.weather.cf6 import Cf6Rows
from kalshi_simulator.weather.cli import CliRows
from kalshi_simulator.weather.config import Oddities, WeatherConfig, fraction
from kalshi_simulator.weather.curve import Curve
from kalshi_simulator.weather.days import Days
from kalshi_simulator.weather.ghcnd import Ghcnd
from kalshi_simulator.weather.readings import OUTAGE_DAYS, Readings
from kalshi_simulator.weather.reports import Report, Reports
from kalshi_simulator.weather.text import report_text
from kalshi_simulator.weather.timeline import Timeline
from kalshi_simulator.weather.truth import Truth, truth_of
from kalshi_simulator.world import World

_SHORTEST_SPAN = 8
"""Worlds with fewer event dates get no outage of their own: it would be most of what they have."""


class Weather:
    """All sources over one truth: the maxima that the world's markets settle on."""

    def __init__(self, world: World, config: WeatherConfig) -> None:
        self._world = world
        self._now = config.now
        self.truth = truth_of(world, config.seed)
        self.oddities = Oddities(config)
        if config.seeded_outage and not config.plain:
            _plant(self.truth, self.oddities, config.seed)
        self._days = Days(self.truth, self.oddities)
        curve = Curve(self._days)
        self.reports = Reports(self._days, curve, self.oddities)
        self.cli = CliRows(self._days, self.reports)
        self.cf6 = Cf6Rows(self._days, self.reports, curve, self.oddities)
        self.ghcnd = Ghcnd(self._days, self.reports, self.oddities)
        readings = Readings(self._days, curve, self.oddities)
        self.asos = Asos(readings, self.oddities)
        self.timeline = Timeline(readings, self.oddities)
        self._cache: dict[object, tuple[datetime, bytes]] = {}

    @property
    def now(self) -> datetime:
        """The moment that the services show (UTC)."""
        return self._world.clock.now if self._now is None else self._now()

    def cached(self, key: object, seconds: float, make: Callable[[datetime], bytes]) -> bytes:
        """What `make` gave for this key at most so many seconds ago, stale or not, else what it gives now."""
        now = self.now
        held = self._cache.get(key)
        if held is not None and timedelta() <= now - held[0] < timedelta(seconds=seconds):
            return held[1]
        body = make(now)
        self._cache[key] = (now, body)
        return body

    def text(self, report: Report) -> str:
        """A report's text."""
        return report_text(report, self._days.last_year(report.of.station, report.of.day))


def _plant(truth: Truth, oddities: Oddities, seed: int) -> None:
    """Oddities that every longer world shows at least once: an outage, and corrections into another bin.

    A bin between two strikes is two degrees wide, so a correction by five leaves it; the open bins at both ends
    are why there are three of them.
    """
    stations = sorted((station for station, days in truth.days.items() if days), key=lambda each: each.icao)
    if not stations:
        return
    station = stations[int(len(stations) * fraction(seed, "outage station"))]
    days = truth.days[station]
    if len(days) >= _SHORTEST_SPAN:
        place = int((len(days) - OUTAGE_DAYS) * fraction(seed, "outage day"))
        oddities.plant(station.icao, days[place], "outage")
    for number in range(3):
        station = stations[int(len(stations) * fraction(seed, "moved station", number))]
        days = truth.days[station]
        oddities.plant(station.icao, days[int(len(days) * fraction(seed, "moved day", number))], "correction")
