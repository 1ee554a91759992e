"""What the exchange listed for each event date: the denominator of coverage."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import asyncpg

NAMED = "listings where events > 0 or markets > 0"
"""SQL: the event dates of which the exchange listed something; not those of which it has none."""

_STORE = """
insert into listings as held (series_ticker, event_date, events, markets, run_id, listed_at)
select $1, event_date, events, markets, $5, $6
from unnest($2::date[], $3::integer[], $4::integer[]) as new (event_date, events, markets)
on conflict (series_ticker, event_date) do update set
    events = excluded.events, markets = excluded.markets, run_id = excluded.run_id, listed_at = excluded.listed_at
where (held.events, held.markets) is distinct from (excluded.events, excluded.markets)
"""


async def store_listings(
    connection: asyncpg.Connection,
    series_ticker: str,
    counts: Mapping[date, tuple[int, int]],
    run_id: UUID,
    now: datetime,
) -> None:
    """Write how many (events, markets) were listed per event date; equal counts stay as they are."""
    dates = sorted(counts)
    events, markets = [counts[day][0] for day in dates], [counts[day][1] for day in dates]
    await connection.execute(_STORE, series_ticker, dates, events, markets, run_id, now)
