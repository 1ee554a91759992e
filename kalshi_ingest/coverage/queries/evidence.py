"""What is held, read in one snapshot: the evidence that `coverage` judges."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

import asyncpg

from kalshi_ingest.coverage.queries.rows import RowsCheck, unknown_tickers
from kalshi_ingest.coverage.queries.weather import read_weather
from kalshi_ingest.coverage.rules.evidence import Claim, Evidence, HeldEvent, HeldMarket, Listed, WeatherRows
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cities import CITIES, city_of_series
from kalshi_ingest.domain.tickers import parse_market_ticker
from kalshi_ingest.errors import BadPayload, DatabaseAway, DatabaseFull
from kalshi_ingest.postgres.catalog import LISTED
from kalshi_ingest.postgres.database import LONG, PATIENCE, Database
from kalshi_ingest.postgres.ingestion_log import EXPECTED

_SERIES = f"""
select asked.series_ticker, series.city
from (
    select series_ticker from series
    union select series_ticker from {EXPECTED}
    union select series_ticker from checkpoints
    union select series_ticker from listings
) as asked
left join series using (series_ticker)
where $1::text[] is null or asked.series_ticker = any($1)
"""  # noqa: S608

_ASKED = f"""
select min(first) as first, max(last) as last
from (
    select series_ticker, min(min_event_date) as first, max(max_event_date) as last from {EXPECTED} group by 1
    union all select series_ticker, min(event_date), max(event_date) from {LISTED} group by 1
    union all select series_ticker, min(event_date), max(event_date) from checkpoints group by 1
    union all select series_ticker, min(event_date), max(event_date) from markets group by 1
    union all select series_ticker, min(event_date), max(event_date) from events group by 1
) as dated
where $1::text[] is null or series_ticker = any($1)
"""  # noqa: S608

_WITHIN = """
where ($1::text[] is null or series_ticker = any($1))
  and event_date >= coalesce($2::date, '-infinity') and event_date <= coalesce($3::date, 'infinity')
"""

_LISTED = f"""
select series_ticker, event_date, events, markets from listings {_WITHIN}
"""  # noqa: S608

_EVENTS = f"""
select event_ticker, series_ticker, event_date from events {_WITHIN}
"""  # noqa: S608

_MARKETS = f"""
select ticker, event_ticker, series_ticker, event_date, strike_type, floor_strike, cap_strike, strike_source,
       open_time, close_time, settled_at, status, result, (volume * 100)::bigint
from markets {_WITHIN}
"""  # noqa: S608

_CLAIMS = f"""
select ticker, series_ticker, event_date, state, verdict, pages, trades_stored, (contracts_stored * 100)::bigint,
       (exchange_volume * 100)::bigint, error
from checkpoints {_WITHIN}
"""  # noqa: S608

_SNAPSHOT = "set transaction isolation level repeatable read, read only"

One = TypeVar("One")
Two = TypeVar("Two")


async def expected_dates(connection: asyncpg.Connection, series: list[str] | None = None) -> tuple[date, date] | None:
    """First and last event date that runs of some series (None: all) asked for or that is held; None: nothing is."""
    first, last = await connection.fetchrow(_ASKED, series) or (None, None)
    return None if first is None or last is None else (first, last)


async def read(
    url: str,
    series: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    *,
    patience: float = PATIENCE,
) -> Evidence:
    """Everything held of some series (None: all) from `start` to `end` (None: no bound), both included.

    `asked` heeds the series only. Trades and candles without market and checkpoint belong where their ticker says; one
    that says nothing is read only when nothing is left out. `patience`: seconds to wait for a database that goes away
    meanwhile. Raises `OutOfReach` and `Unusable` as `Database` does.
    """
    wanted = list(series) if series is not None else None
    loop = asyncio.get_running_loop()
    since: float | None = None
    while True:
        try:
            return await _read_once(url, wanted, (start, end))
        except DatabaseFull:
            raise
        except DatabaseAway:
            since = loop.time() if since is None else since
            if loop.time() - since >= patience:
                raise
            await asyncio.sleep(min(1.0, patience / 10))


async def _read_once(url: str, wanted: list[str] | None, dates: tuple[date | None, date | None]) -> Evidence:
    """One snapshot: what is lost in its middle is read again from the beginning."""
    # A session keeps one processor of the server busy, and the candles take by far the longest.
    lead, other = Database(url, patience=0), Database(url, patience=0)
    begun = False

    async def once(one: asyncpg.Connection, two: asyncpg.Connection) -> Evidence:
        nonlocal begun
        if begun:  # one of the two has another transaction, which does not fit the other's snapshot
            raise DatabaseAway(f"lost the database at {lead.place} while it was read; run again later")
        begun = True
        return await _read(one, two, wanted, dates)

    await lead.open()
    try:
        await other.open()
        return await lead.run(lambda one: other.run(lambda two: once(one, two), longest=LONG), longest=LONG)
    finally:
        await other.close()
        await lead.close()


async def _read(
    one: asyncpg.Connection, two: asyncpg.Connection, series: list[str] | None, dates: tuple[date | None, date | None]
) -> Evidence:
    """In two transactions that have read nothing yet."""
    await one.execute(_SNAPSHOT)
    snapshot = await one.fetchval("select pg_export_snapshot()")
    await two.execute(f"{_SNAPSHOT}; set transaction snapshot '{snapshot}'")
    held, (unknown, weather) = await _both(catalog(one, series, dates), _others(two, series, dates))
    tickers = {market.ticker for market in held.markets} | held.claims.keys()
    tickers.update(ticker for ticker in unknown if _within(ticker, series, dates))
    check = RowsCheck(tickers)
    await _both(check.work(one), check.work(two))
    return replace(held, rows=check.rows, weather=weather)


async def catalog(
    connection: asyncpg.Connection, series: list[str] | None, dates: tuple[date | None, date | None]
) -> Evidence:
    """Everything about the markets of some series and dates but their trades, candles and weather."""
    named = {
        row[0]: row[1] or (known.key if (known := city_of_series(row[0])) else None)
        for row in await connection.fetch(_SERIES, series)
    }
    return Evidence(
        series=named,
        asked=await expected_dates(connection, series),
        listed={(row[0], row[1]): Listed(row[2], row[3]) for row in await connection.fetch(_LISTED, series, *dates)},
        events=[HeldEvent(*row) for row in await connection.fetch(_EVENTS, series, *dates)],
        markets=[HeldMarket(*row) for row in await connection.fetch(_MARKETS, series, *dates)],
        claims={row[0]: _claim(row) for row in await connection.fetch(_CLAIMS, series, *dates)},
        rows={},
        weather={},
    )


async def _others(
    connection: asyncpg.Connection, series: list[str] | None, dates: tuple[date | None, date | None]
) -> tuple[list[str], dict[str, WeatherRows]]:
    """Tickers that only trades or candles know, and the weather."""
    cities = [city for city in CITIES if series is None or city.series_ticker in series]
    return await unknown_tickers(connection), await read_weather(connection, cities, dates)


def _claim(row: asyncpg.Record) -> Claim:
    verdict = row["verdict"] and Verdict(row["verdict"])
    return Claim(row[1], row[2], State(row["state"]), verdict, *row[5:])


def _within(ticker: str, series: Collection[str] | None, dates: tuple[date | None, date | None]) -> bool:
    """Whether a market of which only the ticker is known belongs to what is read."""
    if series is None and dates == (None, None):
        return True
    try:
        parsed = parse_market_ticker(ticker)
    except BadPayload:
        return False
    name = parsed.event_ticker.partition("-")[0]
    start, end = dates[0] or date.min, dates[1] or date.max
    return start <= parsed.event_date <= end and (series is None or name in series or f"KX{name}" in series)


async def _both(one: Coroutine[None, None, One], two: Coroutine[None, None, Two]) -> tuple[One, Two]:
    """Both results; when one of the two fails, the other is stopped first."""
    tasks = asyncio.ensure_future(one), asyncio.ensure_future(two)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
