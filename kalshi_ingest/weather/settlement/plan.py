"""The settlements to request: those never requested, those that failed, and recent days that may change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kalshi_ingest.domain.calendar import climate_day_of, climate_day_utc, event_dates
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.settlement import Source
from kalshi_ingest.weather.settlement.queries import Poll

POLL_AGAIN: Mapping[Source, timedelta] = {
    Source.CLI: timedelta(days=7),
    Source.CF6: timedelta(days=7),
    Source.IEM_CF6: timedelta(days=7),
    Source.GHCND: timedelta(days=60),
}
"""How long after the end of a climate day its report may still change: an older answer is requested again."""

Polls = Mapping[tuple[str, date, Source], Poll]


@dataclass(frozen=True, slots=True)
class CityYear:
    city: City
    year: int
    days: Sequence[date]


def days_of(city: City, start: date, end: date, now: datetime) -> list[date]:
    """The city's climate days from `start` to `end` that have an event and have begun; empty when there is none."""
    first, last = max(start, city.first_event_date), min(end, climate_day_of(city, now))
    return event_dates(first, last) if first <= last else []


def due(city: City, days: Sequence[date], source: Source, polls: Polls) -> list[date]:
    def is_due(day: date) -> bool:
        poll = polls.get((city.station.loc_id, day, source))
        if poll is None or poll.state == "failed":
            return True
        return poll.polled_at < climate_day_utc(city, day)[1] + POLL_AGAIN[source]

    return [day for day in days if is_due(day)]


def by_year(wanted: Mapping[City, Sequence[date]]) -> Iterator[list[CityYear]]:
    """The days year by year, for services that answer for one station and year."""
    for year in sorted({day.year for days in wanted.values() for day in days}):
        some = [CityYear(city, year, [day for day in days if day.year == year]) for city, days in wanted.items()]
        yield [each for each in some if each.days]


def cheaper_by_day(some: Sequence[CityYear]) -> bool:
    """Whether one request per day, which brings all cities, is cheaper than one per city, which brings all days."""
    return len({day for each in some for day in each.days}) < len(some)
