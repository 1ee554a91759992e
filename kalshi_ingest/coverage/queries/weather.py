"""The weather that is held, as `coverage` judges it."""

from collections.abc import Sequence
from datetime import date

import asyncpg

from kalshi_ingest.coverage.rules.evidence import MinuteDay, WeatherRows
from kalshi_ingest.domain.cities import City
from kalshi_ingest.weather.minutes.queries import claims
from kalshi_ingest.weather.settlement.queries import settled_events, settlements

_EXISTS = "select to_regclass('wx.settlement') is not null and to_regclass('wx.minute_day') is not null"

# Day by day along the index: a million rows in a third of a second, where one grouping of all takes twice as long.
# The clock of the climate day is local standard time all year.
_HELD = """
select loc_id, date_local, held.*
from wx.minute_day
join wx.location using (loc_id)
cross join lateral (
    select count(distinct date_bin('5 minutes', ts_utc, '2000-01-01 00:00Z')) filter (where not ffilled) as observed,
           count(*) filter (where ffilled) as filled
    from wx.minute_obs
    where minute_obs.loc_id = minute_day.loc_id
      and ts_utc >= (date_local - standard_offset_hours * interval '1 hour') at time zone 'UTC'
      and ts_utc < (date_local + 1 - standard_offset_hours * interval '1 hour') at time zone 'UTC'
) as held
where loc_id = any($1::text[]) and date_local between $2 and $3
"""


async def read_weather(
    connection: asyncpg.Connection, cities: Sequence[City], dates: tuple[date | None, date | None]
) -> dict[str, WeatherRows]:
    """City key → weather of the climate days from the first to the last date (None: no bound), both included."""
    if not await connection.fetchval(_EXISTS):
        return {}
    loc_ids = [city.station.loc_id for city in cities]
    span = dates[0] or date.min, dates[1] or date.max
    settled = await settlements(connection, loc_ids, *span)
    days = await _minutes(connection, loc_ids, span)
    if not settled and not days:
        return {}
    events = await settled_events(connection, [city.series_ticker for city in cities], *span)
    found: dict[str, WeatherRows] = {}
    for city in cities:
        loc_id = city.station.loc_id
        rows = WeatherRows(
            {day: each for (place, day), each in settled.items() if place == loc_id},
            [event for event in events if event.series_ticker == city.series_ticker],
            {day: each for (place, day), each in days.items() if place == loc_id},
        )
        if rows.settlements or rows.minutes:
            found[city.key] = rows
    return found


async def _minutes(
    connection: asyncpg.Connection, loc_ids: Sequence[str], span: tuple[date, date]
) -> dict[tuple[str, date], MinuteDay]:
    held = {(row[0], row[1]): (row[2], row[3]) for row in await connection.fetch(_HELD, loc_ids, *span)}
    return {
        key: MinuteDay(
            claim.state,
            claim.slots_observed,
            claim.slots_filled,
            claim.slots_missing,
            claim.error,
            *held[key],
            hourly=claim.hourly,
        )
        for key, claim in (await claims(connection, loc_ids, *span)).items()
    }
