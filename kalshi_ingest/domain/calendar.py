"""Day arithmetic: event dates, and the climate day in UTC. No clock is read here."""

from datetime import UTC, date, datetime, timedelta

from kalshi_ingest.domain.cities import City
from kalshi_ingest.errors import Unusable

SLOT = timedelta(minutes=5)
"""Minute weather is kept at one observation per slot."""

SLOTS_A_DAY = 288
"""Every climate day has as many: it is always 24 hours long."""


def event_dates(start: date, end: date) -> list[date]:
    """Every date from `start` to `end`, both included. Raises Unusable when `start` lies after `end`."""
    if start > end:
        raise Unusable(f"The start date {start} lies after the end date {end}.")
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def climate_day_utc(city: City, day: date) -> tuple[datetime, datetime]:
    """The UTC window [start, end) of the city's climate day: 24 hours from midnight local *standard* time, all year.

    NWS directive 10-1004: 1:00 AM to 12:59 AM on the clock in summer. Chicago's day D is D 06:00Z to D+1 06:00Z.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start = midnight - timedelta(hours=city.standard_offset_hours)
    return start, start + timedelta(days=1)


def climate_day_of(city: City, moment: datetime) -> date:
    """The city's climate day that `moment`, an aware datetime, lies in."""
    return (moment.astimezone(UTC) + timedelta(hours=city.standard_offset_hours)).date()
