"""Series, events and markets into their tables. Unchanged content is left alone, with its old `fetched_at`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg
import orjson

from kalshi_ingest.domain.model import Event, Market, Series
from kalshi_ingest.domain.strikes import Strike
from kalshi_ingest.postgres.pgcopy_rows import emptying, staging

_SERIES = """
insert into series as held (series_ticker, city, title, category, frequency, settlement_sources, raw, fetched_at)
values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8)
on conflict (series_ticker) do update set
    city = excluded.city, title = excluded.title, category = excluded.category, frequency = excluded.frequency,
    settlement_sources = excluded.settlement_sources, raw = excluded.raw, fetched_at = excluded.fetched_at
where (held.city, held.raw) is distinct from (excluded.city, excluded.raw)
"""

EVENT_COLUMNS = ("event_ticker", "series_ticker", "city", "event_date", "title", "raw", "fetched_at")
MARKET_COLUMNS = (
    "ticker",
    "event_ticker",
    "series_ticker",
    "city",
    "event_date",
    "title",
    "strike_type",
    "floor_strike",
    "cap_strike",
    "strike_source",
    "open_time",
    "close_time",
    "settled_at",
    "status",
    "api_status",
    "result",
    "settlement_value",
    "expiration_value",
    "settlement_authority",
    "volume",
    "open_interest",
    "last_price",
    "rules_primary",
    "raw",
    "fetched_at",
)


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
    records = [
        (event.ticker, event.series_ticker, city, event.event_date, event.title, event.raw, now) for event in events
    ]
    await _merge(connection, "events", EVENT_COLUMNS, records)


async def store_markets(
    connection: asyncpg.Connection,
    series_ticker: str,
    city: str | None,
    markets: Sequence[tuple[Market, Strike]],
    now: datetime,
) -> None:
    """Insert or refresh markets with their resolved strikes, in the caller's transaction."""
    records = [
        (
            market.ticker,
            market.event_ticker,
            series_ticker,
            city,
            market.event_date,
            market.title,
            strike.strike_type,
            _trimmed(strike.floor),
            _trimmed(strike.cap),
            strike.source,
            market.open_time,
            market.close_time,
            market.settled_at,
            market.status,
            market.api_status,
            market.result,
            market.settlement_value,
            market.expiration_value,
            _authority(market.rules_primary),
            None if market.volume is None else Decimal(market.volume).scaleb(-2),
            market.open_interest,
            market.last_price,
            market.rules_primary,
            market.raw,
            now,
        )
        for market, strike in markets
    ]
    await _merge(connection, "markets", MARKET_COLUMNS, records)


async def _merge(
    connection: asyncpg.Connection, table: str, columns: tuple[str, ...], records: Sequence[tuple[object, ...]]
) -> None:
    """COPY into a staging table, then insert or refresh by the first column; `fetched_at` marks a change only."""
    staged = f"staged_{table}"
    await connection.execute(staging(table, columns, staged))
    await connection.copy_records_to_table(staged, records=records, columns=columns)
    await connection.execute(merging(table, columns, staged))
    await connection.execute(emptying(staged))


def merging(table: str, columns: tuple[str, ...], staged: str) -> str:
    """The statement that inserts or refreshes by the first column."""
    key = columns[0]
    content = [column for column in columns if column != "fetched_at"]
    return (
        f"insert into {table} as held ({', '.join(columns)}) "  # noqa: S608
        f"select {', '.join(columns)} from {staged} on conflict ({key}) do update set "
        + ", ".join(f"{column} = {_new(column)}" for column in columns if column != key)
        + f" where ({', '.join(f'held.{column}' for column in content)})"
        + f" is distinct from ({', '.join(_new(column) for column in content)})"
    )


def _new(column: str) -> str:
    """The value that a refresh gives a column: what is fetched, but open interest comes from the live tier only."""
    return f"coalesce(excluded.{column}, held.{column})" if column == "open_interest" else f"excluded.{column}"


def _trimmed(strike: Decimal | None) -> Decimal | None:
    """One number, one form: 80 for 80.0 and for 8E+1."""
    if strike is None:
        return None
    whole = strike.to_integral_value()
    return whole if strike == whole else strike.normalize()


def _authority(rules: str) -> str | None:
    """Who publishes the number that settles the market, as its own rules name it."""
    return next((name for name in ("The Weather Company", "National Weather Service") if name in rules), None)
