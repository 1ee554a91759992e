"""Series, events, markets and listings into their tables. Unchanged content keeps its old `fetched_at`."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import asyncpg
import orjson

from kalshi_ingest.domain.model import Event, Market, Series
from kalshi_ingest.domain.strikes import Strike
from kalshi_ingest.postgres.pgcopy_rows import emptying, staging
from kalshi_ingest.postgres.upsert import differs, upsert

_SERIES = """
insert into series as held (series_ticker, city, title, category, frequency, settlement_sources, raw, fetched_at)
values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8)
on conflict (series_ticker) do update set
    city = excluded.city, title = excluded.title, category = excluded.category, frequency = excluded.frequency,
    settlement_sources = excluded.settlement_sources, raw = excluded.raw, fetched_at = excluded.fetched_at
where (held.city, held.raw) is distinct from (excluded.city, excluded.raw)
"""


LISTED = "listings where events > 0 or markets > 0"
"""SQL: the event dates of which the exchange listed something; not those of which it has none."""

_LISTINGS = """
insert into listings as held (series_ticker, event_date, events, markets, run_id, listed_at)
select $1, event_date, events, markets, $5, $6
from unnest($2::date[], $3::integer[], $4::integer[]) as new (event_date, events, markets)
on conflict (series_ticker, event_date) do update set
    events = excluded.events, markets = excluded.markets, run_id = excluded.run_id, listed_at = excluded.listed_at
where (held.events, held.markets) is distinct from (excluded.events, excluded.markets)
"""


async def store_series(connection: asyncpg.Connection, series: Series, city: str | None, now: datetime) -> None:
    """Insert or refresh one series; `city` is its key, None when it is not a city's daily high."""
    named = series.settlement_sources
    sources = None if named is None else orjson.dumps([{"name": name, "url": url} for name, url in named]).decode()
    values = (series.ticker, city, series.title, series.category, series.frequency, sources, series.raw, now)
    await connection.execute(_SERIES, *values)


async def store_events(
    connection: asyncpg.Connection, events: Sequence[Event], city: str | None, now: datetime
) -> None:
    """Insert or refresh events, in the caller's transaction."""
    rows: list[dict[str, object]] = [
        {
            "event_ticker": event.ticker,
            "series_ticker": event.series_ticker,
            "city": city,
            "event_date": event.event_date,
            "title": event.title,
            "raw": event.raw,
            "fetched_at": now,
        }
        for event in events
    ]
    await _merge(connection, "events", rows)


async def store_markets(
    connection: asyncpg.Connection,
    series_ticker: str,
    city: str | None,
    markets: Sequence[tuple[Market, Strike]],
    now: datetime,
) -> None:
    """Insert or refresh markets with their resolved strikes, in the caller's transaction."""
    rows: list[dict[str, object]] = [
        {
            "ticker": market.ticker,
            "event_ticker": market.event_ticker,
            "series_ticker": series_ticker,
            "city": city,
            "event_date": market.event_date,
            "title": market.title,
            "strike_type": strike.strike_type,
            "floor_strike": _trimmed(strike.floor),
            "cap_strike": _trimmed(strike.cap),
            "strike_source": strike.source,
            "open_time": market.open_time,
            "close_time": market.close_time,
            "settled_at": market.settled_at,
            "status": market.status,
            "api_status": market.api_status,
            "result": market.result,
            "settlement_value": market.settlement_value,
            "expiration_value": market.expiration_value,
            "settlement_authority": settlement_authority(market.rules_primary),
            "volume": None if market.volume is None else Decimal(market.volume).scaleb(-2),
            "open_interest": market.open_interest,
            "last_price": market.last_price,
            "rules_primary": market.rules_primary,
            "raw": market.raw,
            "fetched_at": now,
        }
        for market, strike in markets
    ]
    await _merge(connection, "markets", rows)


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
    await connection.execute(_LISTINGS, series_ticker, dates, events, markets, run_id, now)


async def _merge(connection: asyncpg.Connection, table: str, rows: Sequence[dict[str, object]]) -> None:
    """COPY into a staging table, then insert or refresh by the first column; `fetched_at` marks a change only."""
    if not rows:
        return
    staged, columns = f"staged_{table}", tuple(rows[0])
    await connection.execute(staging(table, columns, staged))
    await connection.copy_records_to_table(staged, records=[tuple(row.values()) for row in rows], columns=columns)
    await connection.execute(merging(table, columns, staged))
    await connection.execute(emptying(staged))


def merging(table: str, columns: tuple[str, ...], staged: str) -> str:
    """The statement that inserts or refreshes by the first column; open interest comes from the live tier only."""
    new = {"open_interest": "coalesce(excluded.open_interest, held.open_interest)"}
    content = [column for column in columns if column != "fetched_at"]
    source = f"select {', '.join(columns)} from {staged}"  # noqa: S608
    return f"{upsert(table, columns, columns[:1], source, new)} where {differs(content, new)}"


def _trimmed(strike: Decimal | None) -> Decimal | None:
    """One number, one form: 80 for 80.0 and for 8E+1."""
    if strike is None:
        return None
    whole = strike.to_integral_value()
    return whole if strike == whole else strike.normalize()


def settlement_authority(rules: str) -> str | None:
    """Who publishes the number that settles the market, as its own rules name it."""
    return next((name for name in ("The Weather Company", "National Weather Service") if name in rules), None)
