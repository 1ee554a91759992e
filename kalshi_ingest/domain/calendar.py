"""Day arithmetic: event dates, and the climate day in UTC. No clock is read here."""

from datetime import UTC, date, datetime, timedelta

from kalshi_ingest.domain.cities import City
from kalshi_ingest.errors import Unusable


def event_dates(start: date, end: date) -> list[date]:
    """Every date from `start` to `end`, both included. Raises Unusable when `start` lies after `end`."""
    if start > end:
        raise Unusable(f"The start date {start} lies after the end date {end}.")
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def climate_day_utc(city: City, day: date) -> tuple[datetime, datetime]:
    """The UTC window [start, end) of the city's climate day: midnight to midnight local *standard* time.

    Always 24 hours: daylight saving does not move it (NWS directive 10-1004; 1:00 AM to 12:59 AM on the clock in
    summer). Chicago's day D is D 06:00Z to D+1 06:00Z all year.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start = midnight - timedelta(hours=city.standard_offset_hours)
    return start, start + timedelta(days=1)
