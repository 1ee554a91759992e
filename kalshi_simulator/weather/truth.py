"""The daily maxima that a world's markets settled on: what the first full-day climate report says.

A synthetic world knows the temperature of every day. For rows and archives it follows from the settled
markets: from `expiration_value`, else from the bin that paid. Days without either get made-up weather.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from kalshi_simulator.climate import CITIES, high_temperature
from kalshi_simulator.synthetic import SyntheticWorld
from kalshi_simulator.weather.stations import BY_SERIES, Station
from kalshi_simulator.wire import Row
from kalshi_simulator.world import World

_EVENT_DAY = re.compile(r"-(\d{2}[A-Z]{3}\d{2})(?:-|$)")
_DEGREES = re.compile(r"\s*(-?\d+)")
_STRIKE = re.compile(r"-([BT])(-?\d+(?:\.\d+)?)$")


class Truth:
    """Official maxima by station and climate day, whole °F."""

    def __init__(self, high: Callable[[Station, date], int], days: dict[Station, list[date]]) -> None:
        self._high = high
        self.days = days
        """Event dates of each station that has markets, ascending."""

    def high(self, station: Station, day: date) -> int:
        """The maximum of a climate day."""
        return self._high(station, day)


def truth_of(world: World, seed: int) -> Truth:
    """The truth of any world; `seed` makes up the days that its markets say nothing about."""
    if isinstance(world, SyntheticWorld):
        of_world = world.config.seed
        return Truth(lambda station, day: high_temperature(of_world, station.city, day), _planned(world))
    settled = _settled(world)

    def high(station: Station, day: date) -> int:
        found = settled.get((station.series, day))
        return high_temperature(seed, station.city, day) if found is None else found

    return Truth(high, _days(world))


def event_day(ticker: str) -> date | None:
    """The climate day in an event ticker: `KXHIGHCHI-25NOV14` → 2025-11-14."""
    found = _EVENT_DAY.search(ticker)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1].title() + "+0000", "%y%b%d%z").date()
    except ValueError:
        return None


def _planned(world: SyntheticWorld) -> dict[Station, list[date]]:
    """Every event date, whether its event exists by now or not: the weather must not depend on the clock."""
    end = world.config.end
    found: dict[Station, list[date]] = {}
    for series in world.config.cities:
        start = max(world.config.start, CITIES[series].first_event)
        count = max((end - start).days + 1, 0)
        found[BY_SERIES[series]] = [start + timedelta(days=step) for step in range(count)]
    return found


def _days(world: World) -> dict[Station, list[date]]:
    found: defaultdict[Station, set[date]] = defaultdict(set)
    for event in world.events(None):
        station, day = BY_SERIES.get(event.series_ticker), event_day(event.ticker)
        if station is not None and day is not None:
            found[station].add(day)
    return {station: sorted(days) for station, days in found.items()}


def _settled(world: World) -> dict[tuple[str, date], int]:
    found: dict[tuple[str, date], int] = {}
    for event in world.events(None):
        station, day = BY_SERIES.get(event.series_ticker), event_day(event.ticker)
        if station is None or day is None:
            continue
        high = settled_on([market.row() for market in event.markets])
        if high is not None:
            found[station.series, day] = high
    return found


def settled_on(markets: Iterable[Row]) -> int | None:
    """The temperature that the markets of one event settled on, °F; of a bin that paid, its lowest degree.

    None while nothing is settled, or where the markets do not say.
    """
    rows = list(markets)
    winner = next((row for row in rows if row.get("result") == "yes"), None)
    for row in [winner] if winner is not None else rows:
        value = _DEGREES.match(str(row.get("expiration_value", "")))
        if value is not None:
            return int(value[1])
    return None if winner is None else _lowest_degree(winner, rows)


def _lowest_degree(winner: Row, rows: list[Row]) -> int | None:
    floor, cap = winner.get("floor_strike"), winner.get("cap_strike")
    if floor is not None:
        return int(floor) if cap is not None else int(floor) + 1
    if cap is not None:
        return int(cap) - 1
    # The exchange left the strikes out of winners for some weeks of 2025; the ticker still tells them.
    strike = _STRIKE.search(str(winner.get("ticker", "")))
    if strike is None:
        return None
    degrees = float(strike[2])
    if strike[1] == "B":
        return int(degrees - 0.5)
    others = [float(found[2]) for row in rows if (found := _STRIKE.search(str(row.get("ticker", ""))))]
    return int(degrees) - 1 if degrees == min(others) else int(degrees) + 1
