"""Writing over ground that may hold rows already: through a staging table, candles made anew from what is stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import asyncpg

from kalshi_ingest.domain.candles import roll_up
from kalshi_ingest.domain.model import to_datetime, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US, Step
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.store.checkpoints import stored_candles
from kalshi_ingest.store.copy import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, binary_copy

_CREATE = """
create temporary table if not exists staged_trades (like public.trades) on commit delete rows
"""
_CONFLICT = """
select staged.trade_id from staged_trades staged join trades held on held.ticker = staged.ticker
   and held.trade_id = staged.trade_id
where staged.ticker = $1 and (staged.created_time, staged.yes_price, staged.count, staged.taker_side)
   is distinct from (held.created_time, held.yes_price, held.count, held.taker_side)
limit 1
"""
_MERGE = """
insert into trades select * from staged_trades where ticker = $1
on conflict do nothing returning created_time, (count * 100)::bigint
"""
_REPLACE = "delete from candles where ticker = $1 and period_start >= $2 and period_start < $3"


@dataclass(frozen=True, slots=True)
class Merged:
    """What a step added; contracts in hundredths."""

    trades: int
    contracts: int
    candles_1m: int
    candles_5m: int


async def merge_step(connection: asyncpg.Connection, encoder: Encoder, ticker: str, step: Step) -> Merged:
    """Add the step's trades that are not there yet and make the candles of every bucket they fall into anew.

    Raises `BadPayload` when a trade is there already with other values.
    """
    await connection.execute(_CREATE)
    rows = encoder.trades(ticker, step.trades)
    await connection.copy_to_table("staged_trades", source=binary_copy(rows), columns=TRADE_COLUMNS, format="binary")
    conflict = await connection.fetchval(_CONFLICT, ticker)
    if conflict is not None:
        await connection.execute("delete from staged_trades where ticker = $1", ticker)
        raise BadPayload(f"{ticker}: trade {conflict} is stored already, with other values")
    added = await connection.fetch(_MERGE, ticker)
    await connection.execute("delete from staged_trades where ticker = $1", ticker)
    touched = {moment - moment % BUCKET_US for moment in (to_microseconds(row[0]) for row in added)}
    if step.unwritten is not None:
        touched.add(step.unwritten)
    minutes = fives = 0
    for start, end in _ranges(touched):
        candles = await stored_candles(connection, ticker, start, end)
        longer = roll_up(candles, 5)
        await connection.execute(_REPLACE, ticker, to_datetime(start), to_datetime(end))
        rows = encoder.candles(ticker, 1, candles) + encoder.candles(ticker, 5, longer)
        await connection.copy_to_table("candles", source=binary_copy(rows), columns=CANDLE_COLUMNS, format="binary")
        minutes += len(candles)
        fives += len(longer)
    return Merged(len(added), sum(row[1] for row in added), minutes, fives)


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
