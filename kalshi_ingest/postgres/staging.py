"""Writing where rows may exist already: through a staging table, with candles rebuilt from what is stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import asyncpg

from kalshi_ingest.domain.candles import MINUTE_US, roll_up
from kalshi_ingest.domain.model import Trade, to_datetime, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US, Step, closed
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.postgres.checkpoints import stored_candles
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, copy_in, staging

_CREATE = staging("trades", TRADE_COLUMNS, "staged_trades")
_CHANGED = """
select staged.trade_id from staged_trades staged join trades held using (ticker, created_time, trade_id)
where ticker = $1 and (staged.yes_price, staged.count, staged.taker_side, staged.is_block_trade)
   is distinct from (held.yes_price, held.count, held.taker_side, held.is_block_trade)
limit 1
"""
_MERGE = f"""
insert into trades ({", ".join(TRADE_COLUMNS)})
select {", ".join(TRADE_COLUMNS)} from staged_trades where ticker = $1
on conflict do nothing returning created_time, (count * 100)::bigint, trade_id
"""  # noqa: S608
# No index leads with the id, so it is looked for around the page only: the time that a page takes must not grow with
# its market. A trade that moved further is stored twice, which the sum over the market tells once it has settled.
_MOVED = """
select trade_id from trades
where ticker = $1 and created_time between $2 and $3 and trade_id = any($4::uuid[])
group by trade_id having count(*) > 1
limit 1
"""
_MOVED_BY_US = 10 * MINUTE_US
_WITH_CANDLES = """
select period_start from candles where ticker = $1 and period_minutes = 5 and period_start = any($2::timestamptz[])
"""
_CLEAR = ("delete from trades where ticker = $1", "delete from candles where ticker = $1")
_REPLACE = "delete from candles where ticker = $1 and period_start >= $2 and period_start < $3"


class Contradiction(BadPayload):
    """The exchange shows a trade that is stored with other values: the market has to be walked from the start."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a step added; contracts in hundredths."""

    trades: int
    contracts: int
    candles_1m: int
    candles_5m: int


async def merge_step(connection: asyncpg.Connection, encoder: Encoder, ticker: str, step: Step) -> Merged:
    """Add the step's trades that are not there yet and rebuild the candles of every bucket they fall into.

    A bucket that holds trades but no candles, left by a walk that failed or started over, gets them too. Candles that
    end after the step's `closed_us` are left out: more trades may come. Raises `Contradiction` when a trade is there
    already with other values; the caller's transaction is then void.
    """
    added = await _add(connection, encoder, ticker, step.trades) if step.trades else []
    touched = {_bucket(to_microseconds(row[0])) for row in added} | step.unwritten
    seen = {_bucket(trade.created_us) for trade in step.trades} - touched
    if seen:
        with_candles = await connection.fetch(_WITH_CANDLES, ticker, [to_datetime(start) for start in seen])
        touched |= seen - {to_microseconds(row[0]) for row in with_candles}
    if step.closed_us is not None:
        touched = {start for start in touched if start + MINUTE_US <= step.closed_us}
    minutes = fives = 0
    for start, end in _ranges(touched):
        made = await stored_candles(connection, ticker, start, end)
        candles, longer = closed(made, 1, step.closed_us), closed(roll_up(made, 5), 5, step.closed_us)
        await connection.execute(_REPLACE, ticker, to_datetime(start), to_datetime(end))
        rows = encoder.candles(ticker, 1, candles) + encoder.candles(ticker, 5, longer)
        await copy_in(connection, "candles", CANDLE_COLUMNS, rows)
        minutes += len(candles)
        fives += len(longer)
    return Merged(len(added), sum(row[1] for row in added), minutes, fives)


async def clear(connection: asyncpg.Connection, ticker: str) -> None:
    """Delete the trades and candles of a market, in the transaction that writes what takes their place."""
    for statement in _CLEAR:
        await connection.execute(statement, ticker)


async def _add(
    connection: asyncpg.Connection, encoder: Encoder, ticker: str, trades: list[Trade]
) -> list[asyncpg.Record]:
    """Insert what is not there yet: (created_time, contracts in hundredths, trade_id) of each row that was new."""
    await connection.execute(_CREATE)
    await copy_in(connection, "staged_trades", TRADE_COLUMNS, encoder.trades(ticker, trades))
    conflict = await connection.fetchval(_CHANGED, ticker)
    added = await connection.fetch(_MERGE, ticker) if conflict is None else []
    if added:
        first, last = trades[0].created_us - _MOVED_BY_US, trades[-1].created_us + _MOVED_BY_US
        ids = [row[2] for row in added]
        conflict = await connection.fetchval(_MOVED, ticker, to_datetime(first), to_datetime(last), ids)
    if conflict is not None:
        raise Contradiction(f"{ticker}: trade {conflict} is stored already, with other values")
    await connection.execute("delete from staged_trades where ticker = $1", ticker)
    return list(added)


def _bucket(moment_us: int) -> int:
    return moment_us - moment_us % BUCKET_US


def _ranges(buckets: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring buckets joined into [start, end) ranges."""
    start: int | None = None
    end = 0
    for bucket in sorted(buckets):
        if start is not None and bucket != end:
            yield start, end
            start = None
        start = bucket if start is None else start
        end = bucket + BUCKET_US
    if start is not None:
        yield start, end
