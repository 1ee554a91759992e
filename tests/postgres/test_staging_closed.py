"""Candles of a market that trades: written once their period has ended, corrected by a late trade, never before."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import asyncpg
import pytest

from kalshi_ingest.coverage.queries.candle_faults import rows_of
from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict
from kalshi_ingest.domain.model import Trade, to_datetime, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US, Step, closing
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.pgcopy_rows import Encoder
from kalshi_ingest.postgres.staging import Merged, merge_step

TICKER = "KXHIGHCHI-25JUL01-B80.5"
START = to_microseconds(datetime(2025, 6, 30, 16, tzinfo=UTC))
KNOWN = Checkpoint(TICKER, "KXHIGHCHI", date(2025, 7, 1), state=State.OPEN)

RUN = UUID(int=1)

Candles = list[tuple[int, int, int]]


def trade(minute: float, number: int, price: int = 500_000) -> Trade:
    return Trade(START + round(minute * MINUTE_US), number.to_bytes(16), price, 100, 1, False)


TRADES = [trade(0.5, 1), trade(3.5, 2), trade(6.25, 3), trade(6.75, 4)]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("insert into series values ('KXHIGHCHI', 'chicago', '', '', '', null, '{}', now())")
    try:
        yield connection
    finally:
        await connection.close()


async def merge(
    connection: asyncpg.Connection, trades: list[Trade], closed: float | None, unwritten: Collection[int] = ()
) -> Merged:
    """Merge a page; `closed` in minutes after the start."""
    closed_us = None if closed is None else START + round(closed * MINUTE_US)
    step = Step(TICKER, trades, False, [], [], frozenset(unwritten), closed_us, KNOWN, last=False)
    async with connection.transaction():
        return await merge_step(connection, Encoder(), TICKER, step)


async def candles(connection: asyncpg.Connection) -> Candles:
    """(length, start in minutes after the beginning, trades) of every candle."""
    rows = await connection.fetch("select period_minutes, period_start, num_trades from candles order by 1, 2")
    return [(row[0], (to_microseconds(row[1]) - START) // MINUTE_US, row[2]) for row in rows]


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        (0.99, []),
        (1, [(1, 0, 1)]),
        (4.99, [(1, 0, 1), (1, 3, 1)]),
        (5, [(1, 0, 1), (1, 3, 1), (5, 0, 2)]),
        (7, [(1, 0, 1), (1, 3, 1), (1, 6, 2), (5, 0, 2)]),
        (None, [(1, 0, 1), (1, 3, 1), (1, 6, 2), (5, 0, 2), (5, 5, 2)]),
    ],
)
async def test_what_ended_is_written_and_nothing_else(
    closed: float | None, expected: Candles, connection: asyncpg.Connection
) -> None:
    merged = await merge(connection, TRADES, closed)
    assert await candles(connection) == expected
    assert (merged.trades, merged.contracts) == (4, 400)
    assert (merged.candles_1m, merged.candles_5m) == tuple(sum(each[0] == n for each in expected) for n in (1, 5))


async def test_a_closing_step_writes_what_was_held_back_and_only_that(connection: asyncpg.Connection) -> None:
    await merge(connection, TRADES, 0)
    assert await candles(connection) == []
    await merge(connection, [], 6.9, {START})
    assert await candles(connection) == [(1, 0, 1), (1, 3, 1), (5, 0, 2)]
    merged = await merge(connection, [], 7, {START + BUCKET_US})
    assert merged == Merged(0, 0, 1, 0)
    assert await candles(connection) == [(1, 0, 1), (1, 3, 1), (1, 6, 2), (5, 0, 2)]
    step = closing(KNOWN, {START + BUCKET_US}, START + 10 * MINUTE_US)
    async with connection.transaction():
        await merge_step(connection, Encoder(), TICKER, step)
    assert (await candles(connection))[-1] == (5, 5, 2)


async def test_a_late_trade_corrects_its_candles(connection: asyncpg.Connection) -> None:
    await merge(connection, TRADES, 10)
    await merge(connection, [trade(0.75, 9, 990_000)], 11)
    assert await candles(connection) == [(1, 0, 2), (1, 3, 1), (1, 6, 2), (5, 0, 3), (5, 5, 2)]
    highs = await connection.fetch("select high::text from candles where period_start = $1", to_datetime(START))
    assert [row[0] for row in highs] == ["0.990000", "0.990000"]


async def test_pages_over_what_is_held_write_nothing_of_an_open_period(connection: asyncpg.Connection) -> None:
    await merge(connection, TRADES, 6)
    before = await candles(connection)
    assert await merge(connection, TRADES, 6) == Merged(0, 0, 0, 0)
    assert await candles(connection) == before
    merged = await merge(connection, TRADES, 7.5)
    assert merged.candles_1m == 1, "a bucket without its five-minute candle is looked at again"
    assert (await candles(connection))[2] == (1, 6, 2)


# What coverage makes of it.


async def held_faults(
    connection: asyncpg.Connection, walked: float, state: State = State.OPEN
) -> tuple[int, str | None]:
    """Missing candles and the first fault, where the checkpoint was written so many minutes after the beginning."""
    known = replace(KNOWN, state=state, verdict=Verdict.EXACT if state is State.COMPLETE else None, settled_first=True)
    known = replace(known, trades_stored=4, contracts_stored=400, exchange_volume=400)
    await checkpoints.store(connection, [known], RUN, to_datetime(START + round(walked * MINUTE_US)))
    async with connection.transaction():
        rows = await rows_of(connection, TICKER)
    assert rows is not None
    return rows.missing_candles, rows.first_fault


@pytest.mark.parametrize(
    ("walked", "missing"),
    [(7.5, 0), (11.99, 0), (12, 1), (14.99, 1), (15, 2)],
)
async def test_only_candles_that_are_due_are_missed(
    walked: float, missing: int, connection: asyncpg.Connection
) -> None:
    """The minute that ends at 7 is due at 12, the five minutes that end at 10 at 15."""
    await merge(connection, TRADES, 6)
    assert (await held_faults(connection, walked))[0] == missing


async def test_of_a_market_that_does_not_trade_every_candle_is_due(connection: asyncpg.Connection) -> None:
    await merge(connection, TRADES, 6)
    assert await held_faults(connection, 7.5, State.COMPLETE) == (2, "5m 2025-06-30 16:05: no candle")


async def test_an_older_candle_is_missed_while_the_newest_are_not(connection: asyncpg.Connection) -> None:
    await merge(connection, TRADES, 6)
    await connection.execute("delete from candles where period_minutes = 1 and period_start = $1", to_datetime(START))
    assert await held_faults(connection, 7.5) == (1, "1m 2025-06-30 16:00: no candle")
