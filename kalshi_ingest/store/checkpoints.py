"""Checkpoints in and out of the database."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg

from kalshi_ingest.domain.candles import MINUTE_US, fold, merge
from kalshi_ingest.domain.model import Candle, Tier, Trade, to_datetime, to_microseconds
from kalshi_ingest.domain.walk import Checkpoint

_FETCH_ROWS = 5_000

_LOAD = """
select ticker, series_ticker, event_date, state, tier, cursor, walk, confirming, settled_first, oldest_time,
       oldest_trade_id, newest_time, since_time, pages, trades_stored, (contracts_stored * 100)::bigint as contracts,
       (exchange_volume * 100)::bigint as volume, verdict, error
from checkpoints
"""

_STORE = """
insert into checkpoints as known (ticker, series_ticker, event_date, state, tier, cursor, walk, confirming,
    settled_first, oldest_time, oldest_trade_id, newest_time, since_time, pages, trades_stored, contracts_stored,
    exchange_volume, verdict, error, run_id, updated_at, completed_at)
select ticker, series_ticker, event_date, state, tier, cursor, walk, confirming, settled_first, oldest_time,
       oldest_trade_id, newest_time, since_time, pages, trades_stored, contracts / 100.0, volume / 100.0, verdict,
       error, $20::uuid, $21::timestamptz, case when state = 'complete' then $21::timestamptz end
from unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::boolean[],
            $9::boolean[], $10::timestamptz[], $11::uuid[], $12::timestamptz[], $13::timestamptz[], $14::integer[],
            $15::bigint[], $16::bigint[], $17::bigint[], $18::text[], $19::text[])
     as new (ticker, series_ticker, event_date, state, tier, cursor, walk, confirming, settled_first, oldest_time,
             oldest_trade_id, newest_time, since_time, pages, trades_stored, contracts, volume, verdict, error)
on conflict (ticker) do update set
    series_ticker = excluded.series_ticker, event_date = excluded.event_date, state = excluded.state,
    tier = excluded.tier, cursor = excluded.cursor, walk = excluded.walk, confirming = excluded.confirming,
    settled_first = excluded.settled_first, oldest_time = excluded.oldest_time,
    oldest_trade_id = excluded.oldest_trade_id, newest_time = excluded.newest_time, since_time = excluded.since_time,
    pages = excluded.pages, trades_stored = excluded.trades_stored,
    contracts_stored = excluded.contracts_stored, exchange_volume = excluded.exchange_volume,
    verdict = excluded.verdict, error = excluded.error, run_id = excluded.run_id,
    updated_at = excluded.updated_at, completed_at = excluded.completed_at
"""

_TRADES_FROM = """
select created_time, trade_id, (yes_price * 1000000)::bigint, (count * 100)::bigint, taker_side, is_block_trade
from trades where ticker = $1 and created_time >= $2 and created_time < $3
order by created_time, trade_id
"""


async def load(
    connection: asyncpg.Connection, series_tickers: Sequence[str], start: date = date.min, end: date = date.max
) -> dict[str, Checkpoint]:
    """The checkpoints of some series' markets of the event dates `start` to `end`, both included, by ticker."""
    query = _LOAD + "where series_ticker = any($1::text[]) and event_date between $2 and $3"
    rows = await connection.fetch(query, list(series_tickers), start, end)
    return {row["ticker"]: _checkpoint(row) for row in rows}


async def of_tickers(connection: asyncpg.Connection, tickers: Sequence[str]) -> dict[str, Checkpoint]:
    """The checkpoints of some markets, by ticker; markets without one are left out."""
    rows = await connection.fetch(_LOAD + "where ticker = any($1::text[])", list(tickers))
    return {row["ticker"]: _checkpoint(row) for row in rows}


async def store(connection: asyncpg.Connection, checkpoints: Sequence[Checkpoint], run_id: UUID, now: datetime) -> None:
    """Write checkpoints, in the caller's transaction."""
    columns: list[list[object]] = [[] for _ in range(19)]
    for known in checkpoints:
        values = (
            known.ticker,
            known.series_ticker,
            known.event_date,
            known.state,
            known.tier,
            known.cursor,
            known.walk,
            known.confirming,
            known.settled_first,
            to_datetime(known.oldest[0]) if known.oldest else None,
            UUID(bytes=known.oldest[1]) if known.oldest else None,
            None if known.newest_us is None else to_datetime(known.newest_us),
            None if known.since_us is None else to_datetime(known.since_us),
            known.pages,
            known.trades_stored,
            known.contracts_stored,
            known.exchange_volume,
            known.verdict,
            known.error,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    await connection.execute(_STORE, *columns, run_id, now)


async def pages(connection: asyncpg.Connection, ticker: str) -> int:
    """How many pages of a market are stored; 0 when it has no checkpoint."""
    return await connection.fetchval("select pages from checkpoints where ticker = $1", ticker) or 0


async def stored_trades(connection: asyncpg.Connection, ticker: str) -> tuple[int, int]:
    """How many trades of a market are in the table, and the sum of their contracts in hundredths."""
    row = await connection.fetchrow(
        "select count(*), coalesce(sum(count) * 100, 0)::bigint from trades where ticker = $1", ticker
    )
    return (row[0], row[1]) if row else (0, 0)


async def stored_candles(connection: asyncpg.Connection, ticker: str, start_us: int, end_us: int) -> list[Candle]:
    """One-minute candles of the stored trades in [`start_us`, `end_us`), in memory that does not grow with them.

    Needs a transaction: the rows come through a server-side cursor.
    """
    candles: list[Candle] = []
    part: list[Trade] = []
    bounds = (to_datetime(start_us), to_datetime(end_us))
    async for row in connection.cursor(_TRADES_FROM, ticker, *bounds, prefetch=_FETCH_ROWS):
        part.append(_trade(row))
        if len(part) == _FETCH_ROWS:
            _extend(candles, fold(part))
            part = []
    _extend(candles, fold(part))
    return candles


def _extend(candles: list[Candle], more: list[Candle]) -> None:
    if candles and more and more[0].start_us < candles[-1].start_us + MINUTE_US:
        candles[-1] = merge(candles[-1], more.pop(0))
    candles.extend(more)


def _trade(row: asyncpg.Record) -> Trade:
    side = 1 if row[4] == "yes" else -1
    return Trade(to_microseconds(row[0]), row[1].bytes, row[2], row[3], side, row[5])


def _checkpoint(row: asyncpg.Record) -> Checkpoint:
    oldest = None
    if row["oldest_time"] is not None:
        oldest = (to_microseconds(row["oldest_time"]), row["oldest_trade_id"].bytes)
    return Checkpoint(
        ticker=row["ticker"],
        series_ticker=row["series_ticker"],
        event_date=row["event_date"],
        state=row["state"],
        tier=Tier(row["tier"]) if row["tier"] else None,
        cursor=row["cursor"],
        walk=row["walk"],
        confirming=row["confirming"],
        settled_first=row["settled_first"],
        oldest=oldest,
        newest_us=None if row["newest_time"] is None else to_microseconds(row["newest_time"]),
        since_us=None if row["since_time"] is None else to_microseconds(row["since_time"]),
        pages=row["pages"],
        trades_stored=row["trades_stored"],
        contracts_stored=row["contracts"],
        exchange_volume=row["volume"],
        verdict=row["verdict"],
        error=row["error"],
    )
