"""Checkpoints in and out of the database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from uuid import UUID

import asyncpg

from kalshi_ingest.domain.candles import append, fold
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict
from kalshi_ingest.domain.model import Candle, Tier, Trade, to_datetime, to_microseconds

_FETCH_ROWS = 5_000

PROVED = f"state = '{State.COMPLETE}'"
"""The condition, behind the table's name and a dot, that a market's trades are proved complete."""

_STATED = {
    "ticker": "text",
    "series_ticker": "text",
    "event_date": "date",
    "state": "text",
    "tier": "text",
    "cursor": "text",
    "walk": "smallint",
    "confirming": "boolean",
    "settled_first": "boolean",
    "oldest_time": "timestamptz",
    "oldest_trade_id": "uuid",
    "newest_time": "timestamptz",
    "since_time": "timestamptz",
    "pages": "integer",
    "trades_stored": "bigint",
    "contracts_stored": "bigint",
    "exchange_volume": "bigint",
    "verdict": "text",
    "error": "text",
}
"""Column → the type in which it is sent. Columns have the names of fields, except those in `_CONVERTED`."""
_CONVERTED: dict[str, Callable[[Checkpoint], object]] = {
    "confirming": lambda known: known.rewalk,
    "oldest_time": lambda known: _moment(known.oldest and known.oldest[0]),
    "oldest_trade_id": lambda known: known.oldest and UUID(bytes=known.oldest[1]),
    "newest_time": lambda known: _moment(known.newest_us),
    "since_time": lambda known: _moment(known.since_us),
}
_HUNDREDTHS = frozenset({"contracts_stored", "exchange_volume"})
"""Contracts in the table, hundredths of one in the program."""

COLUMNS = (*_STATED, "run_id", "updated_at", "completed_at")
"""Every column: one that a statement leaves out would keep an older checkpoint's value."""

UPSERT = "on conflict (ticker) do update set " + ", ".join(
    f"{name} = excluded.{name}" for name in COLUMNS if name != "ticker"
)

_LOAD = "select " + ", ".join(f"({name} * 100)::bigint as {name}" if name in _HUNDREDTHS else name for name in _STATED)
_LOAD += " from checkpoints "

_STORE = f"""
insert into checkpoints as known ({", ".join(COLUMNS)})
select {", ".join(f"{name} / 100.0" if name in _HUNDREDTHS else name for name in _STATED)},
       ${len(_STATED) + 1}::uuid, ${len(_STATED) + 2}::timestamptz,
       case when {PROVED} then ${len(_STATED) + 2}::timestamptz end
from unnest({", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_STATED.values(), 1))})
     as new ({", ".join(_STATED)})
{UPSERT}
"""  # noqa: S608

_WITHOUT = """
select ticker, count(*), (sum(count) * 100)::bigint from trades
where ticker = any($1::text[]) and not exists (select from checkpoints where checkpoints.ticker = trades.ticker)
group by ticker
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
    values = [_CONVERTED.get(name, attrgetter(name)) for name in _STATED]
    columns = [[value(known) for known in checkpoints] for value in values]
    await connection.execute(_STORE, *columns, run_id, now)


async def outdated(connection: asyncpg.Connection, believed: Mapping[str, Checkpoint | None]) -> set[str]:
    """Of some markets, those whose checkpoint differs from the believed one; None: there is none.

    Asked in the transaction that writes: what was learnt from a checkpoint holds only while the database has that one.
    """
    known = await of_tickers(connection, list(believed)) if believed else {}
    return {ticker for ticker, checkpoint in believed.items() if known.get(ticker) != checkpoint}


async def without(connection: asyncpg.Connection, tickers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Of some markets those that hold trades but no checkpoint: how many, and their contracts in hundredths."""
    return {row[0]: (row[1], row[2]) for row in await connection.fetch(_WITHOUT, list(tickers))} if tickers else {}


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
            append(candles, fold(part))
            part = []
    append(candles, fold(part))
    return candles


def _trade(row: asyncpg.Record) -> Trade:
    side = 1 if row[4] == "yes" else -1
    return Trade(to_microseconds(row[0]), row[1].bytes, row[2], row[3], side, row[5])


def _checkpoint(row: asyncpg.Record) -> Checkpoint:
    fields = {name: value for name, value in row.items() if name not in _CONVERTED}
    fields["rewalk"] = row["confirming"]
    fields["state"] = State(row["state"])
    fields["tier"] = row["tier"] and Tier(row["tier"])
    fields["verdict"] = row["verdict"] and Verdict(row["verdict"])
    fields["oldest"] = row["oldest_time"] and (to_microseconds(row["oldest_time"]), row["oldest_trade_id"].bytes)
    fields["newest_us"] = row["newest_time"] and to_microseconds(row["newest_time"])
    fields["since_us"] = row["since_time"] and to_microseconds(row["since_time"])
    return Checkpoint(**fields)


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_datetime(microseconds)
