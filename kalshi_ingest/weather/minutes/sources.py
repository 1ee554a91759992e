"""The sources of minute observations: the requests that each needs for the missing days, and the days they give."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from kalshi_ingest.domain.calendar import SLOTS_A_DAY, climate_day_utc
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.minutes import (
    IEM_ONE_MINUTE,
    IEM_REPORTS,
    OLDEST_FILL,
    VISUAL_CROSSING,
    DayMinutes,
    minutes_of,
)
from kalshi_ingest.errors import Unusable
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import new_session
from kalshi_ingest.weather.sources.asos import REQUESTS_PER_SECOND, Asos
from kalshi_ingest.weather.sources.client import Service
from kalshi_ingest.weather.sources.visual_crossing import KEY_SETTING, MOST_AT_ONCE, RECORDS_A_DAY, VisualCrossing

_IEM_DAYS = 62
"""A request for six stations is then about 6 MB, and a run that is killed loses less than two months of fetching."""

_VISUAL_CROSSING_DAYS = 31
"""Every request pays for one day more than it asks about, because a climate day spans two days of UTC."""

_PAID_GAP = 1
"""Unneeded days inside a request cost as much as another request."""

Lacking = Mapping[City, Sequence[date]]

IEM, TIMELINES = "iem", "visualcrossing"
"""The words of `--source`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The climate days that are fetched together and stored together."""

    days: Lacking

    def parts(self) -> "list[Piece]":
        """One piece per city, or the two halves of one city's days; none when it is one day."""
        if len(self.days) > 1:
            return [Piece({city: days}) for city, days in self.days.items()]
        city, days = next(iter(self.days.items()))
        middle = len(days) // 2
        return [Piece({city: days[:middle]}), Piece({city: days[middle:]})] if middle else []

    def window(self) -> tuple[datetime, datetime]:
        """From where the first day's first slot could be filled from, to the end of the last day."""
        windows = [climate_day_utc(city, day) for city, days in self.days.items() for day in (days[0], days[-1])]
        return min(start for start, _ in windows) - OLDEST_FILL, max(end for _, end in windows)

    def __str__(self) -> str:
        first, last = (pick(each for days in self.days.values() for each in days) for pick in (min, max))
        span = f"{first}" if first == last else f"{first} to {last}"
        return f"{', '.join(city.key for city in self.days)} {span}"


@dataclass(frozen=True, slots=True)
class Fetched:
    days: Sequence[DayMinutes]
    requests: int
    records: int = 0
    """What a plan is charged with."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What fetching some pieces takes at most."""

    requests: int
    records: int | None
    """Records of a paid plan; None where it is free."""


class Iem:
    """IEM's free services.

    One-minute readings take precedence: they are whole °F straight from the sensor, the unit of the official maximum,
    while five-minute reports are whole °C (1 to 2 °F off) and METARs, in tenths of °C, come once an hour. Reports are
    requested only where readings are missing: gaps, and the last day, which readings reach late.
    """

    name, code, workers = "IEM", IEM_ONE_MINUTE, 1
    """For users; for the claim of a failed day; pieces fetched at the same time."""

    def __init__(self, asos: Asos) -> None:
        self._asos = asos

    def pieces(self, lacking: Lacking) -> list[Piece]:
        every = [day for days in lacking.values() for day in days]
        if not every:
            return []
        groups: dict[int, dict[City, list[date]]] = {}
        for city, days in lacking.items():
            for day in days:
                groups.setdefault((day - min(every)).days // _IEM_DAYS, {}).setdefault(city, []).append(day)
        return [Piece(groups[number]) for number in sorted(groups)]

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        return Cost(2 * len(pieces), None)

    async def fetch(self, piece: Piece, asked_at: datetime) -> Fetched:
        stations = [city.station for city in piece.days]
        readings = await self._asos.one_minute(stations, *piece.window())
        found: dict[tuple[City, date], DayMinutes] = {}
        gaps: dict[City, list[date]] = {}
        for city, days in piece.days.items():
            first = (IEM_ONE_MINUTE, readings[city.station.loc_id])
            for day in days:
                found[city, day] = made = minutes_of(city, day, [first], asked_at)
                if made.slots_observed < SLOTS_A_DAY:
                    gaps.setdefault(city, []).append(day)
        if gaps:
            lacking = Piece(gaps)
            reports = await self._asos.reports([city.station for city in gaps], *lacking.window())
            for city, days in gaps.items():
                loc_id = city.station.loc_id
                sources = [(IEM_ONE_MINUTE, readings[loc_id]), (IEM_REPORTS, reports[loc_id])]
                found |= {(city, day): minutes_of(city, day, sources, asked_at) for day in days}
        return Fetched(list(found.values()), 2 if gaps else 1)


class Timelines:
    name, code, workers = "Visual Crossing", VISUAL_CROSSING, MOST_AT_ONCE

    def __init__(self, service: VisualCrossing) -> None:
        self._service = service

    def pieces(self, lacking: Lacking) -> list[Piece]:
        """City by city, up to a month at a time."""
        found = [Piece({city: run}) for city, days in lacking.items() for run in _runs(sorted(days))]
        return sorted(found, key=lambda piece: piece.window())

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """A record per row: 288 per station and day of UTC."""
        days = [(last - first).days + 1 for first, last in map(_utc_days, pieces)]
        return Cost(len(pieces), sum(days) * RECORDS_A_DAY)

    async def fetch(self, piece: Piece, asked_at: datetime) -> Fetched:
        """One request; days that have not begun in UTC are not asked for, they would be forecasts."""
        city, days = next(iter(piece.days.items()))
        first, last = _utc_days(piece)
        answer = await self._service.minutes(city.station, first, min(last, asked_at.astimezone(UTC).date()))
        source = (VISUAL_CROSSING, answer.observations)
        return Fetched([minutes_of(city, day, [source], asked_at) for day in days], 1, answer.records)


Source = Iem | Timelines


@dataclass(frozen=True, slots=True)
class Addresses:
    iem_url: str
    visual_crossing_url: str
    visual_crossing_key: str | None = field(default=None, repr=False)


@asynccontextmanager
async def opened_source(addresses: Addresses, name: str | None) -> AsyncIterator[Source]:
    """The source that is named `iem` or `visualcrossing`; without a name the paid one if there is a key, else IEM.

    Raises `Unusable` for another name and for Visual Crossing without a key.
    """
    key = addresses.visual_crossing_key
    name = name or (IEM if key is None else TIMELINES)
    if name not in (IEM, TIMELINES):
        raise Unusable(f"there is no source {name!r} of minutes: choose {IEM} or {TIMELINES}")
    async with new_session() as http:
        if name == IEM:
            yield Iem(
                Asos(Service(http, address_of("IEM", addresses.iem_url), requests_per_second=REQUESTS_PER_SECOND))
            )
        elif key is not None:
            yield Timelines(VisualCrossing(http, addresses.visual_crossing_url, key))
        else:
            raise Unusable(f"--source {TIMELINES} needs an account's key in {KEY_SETTING}; {IEM} is free")


def _utc_days(piece: Piece) -> tuple[date, date]:
    """First and last day of UTC that the piece's window touches."""
    start, end = piece.window()
    return start.date(), (end - timedelta(seconds=1)).date()


def _runs(days: Sequence[date]) -> Iterator[list[date]]:
    """Days, in order, that one request should cover."""
    run = list(days[:1])
    for before, day in pairwise(days):
        if (day - before).days > 1 + _PAID_GAP or (day - run[0]).days >= _VISUAL_CROSSING_DAYS:
            yield run
            run = []
        run.append(day)
    if run:
        yield run
