"""Where a service that was away begins: the first date that is not complete, the candles that wait."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import asyncpg
import pytest

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict
from kalshi_ingest.domain.model import Trade, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US
from kalshi_ingest.follow.queries import first_dates, unwritten_buckets
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, copy_in
from tests.support.candles import candles_of

CHICAGO, MIAMI, DENVER = "KXHIGHCHI", "KXHIGHMIA", "KXHIGHDEN"
NOW = datetime(2025, 7, 20, tzinfo=UTC)
START = to_microseconds(datetime(2025, 7, 1, 16, tzinfo=UTC))

_SERIES = "insert into series values ($1, null, '', '', '', null, '{}', now())"
_MARKET = """
insert into markets (ticker, event_ticker, series_ticker, event_date, title, strike_source, open_time, close_time,
    status, api_status, settlement_authority, rules_primary, raw, fetched_at)
values ($1, $1, $2, $3, '', 'wire', $4, $4, 'open', 'active', 'National Weather Service', '', '{}', $4)
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    for ticker in (CHICAGO, MIAMI, DENVER):
        await connection.execute(_SERIES, ticker)
    try:
        yield connection
    finally:
        await connection.close()


async def market(connection: asyncpg.Connection, series: str, day: int) -> str:
    """A market's row, without a checkpoint."""
    ticker = f"{series}-25JUL{day:02}-B80.5"
    await connection.execute(_MARKET, ticker, series, date(2025, 7, day), NOW)
    return ticker


async def known(connection: asyncpg.Connection, series: str, day: int, state: State) -> str:
    """A checkpoint, without a market's row."""
    ticker = f"{series}-25JUL{day:02}-B80.5"
    checkpoint = Checkpoint(ticker, series, date(2025, 7, day), state=state)
    if state is State.COMPLETE:
        checkpoint = replace(checkpoint, verdict=Verdict.EXACT, settled_first=True)
    if state is State.FAILED:
        checkpoint = checkpoint.failed("why")
    await checkpoints.store(connection, [checkpoint], UUID(int=1), NOW)
    return ticker


async def test_nothing_is_held_of_a_new_series(connection: asyncpg.Connection) -> None:
    assert await first_dates(connection, [CHICAGO]) == {}


@pytest.mark.parametrize("state", [State.WALKING, State.OPEN, State.FAILED])
async def test_the_first_date_with_a_market_that_is_not_complete(state: State, connection: asyncpg.Connection) -> None:
    for day in (1, 2, 4, 6):
        await known(connection, CHICAGO, day, State.COMPLETE)
    for day in (3, 5):
        await known(connection, CHICAGO, day, state)
    await known(connection, DENVER, 1, state)
    assert await first_dates(connection, [CHICAGO, MIAMI]) == {CHICAGO: date(2025, 7, 3)}


async def test_a_market_that_nobody_began_is_unfinished_too(connection: asyncpg.Connection) -> None:
    for day in (1, 3):
        await known(connection, CHICAGO, day, State.COMPLETE)
    await market(connection, CHICAGO, 1)
    await market(connection, CHICAGO, 2)
    assert await first_dates(connection, [CHICAGO]) == {CHICAGO: date(2025, 7, 2)}


async def test_where_everything_is_complete_the_newest_date_is_the_beginning(connection: asyncpg.Connection) -> None:
    for day in (1, 3, 2):
        await known(connection, CHICAGO, day, State.COMPLETE)
    await known(connection, MIAMI, 9, State.OPEN)
    assert await first_dates(connection, [CHICAGO, MIAMI]) == {CHICAGO: date(2025, 7, 3), MIAMI: date(2025, 7, 9)}


async def store(connection: asyncpg.Connection, ticker: str, *minutes: float, candles: int = 0) -> None:
    """Trades at these minutes, and the candles that ended so many minutes after the start."""
    trades = [
        Trade(START + round(minute * MINUTE_US), index.to_bytes(16), 500_000, 100, 1, False)
        for index, minute in enumerate(sorted(minutes))
    ]
    encoder = Encoder()
    await copy_in(connection, "trades", TRADE_COLUMNS, encoder.trades(ticker, trades))
    for length in (1, 5):
        ended = [
            each
            for each in candles_of(trades, length)
            if each.start_us + length * MINUTE_US <= START + candles * MINUTE_US
        ]
        await copy_in(connection, "candles", CANDLE_COLUMNS, encoder.candles(ticker, length, ended))


@pytest.mark.parametrize(
    ("candles", "buckets"),
    [(0, {0, 1, 3}), (4, {0, 1, 3}), (5, {1, 3}), (9, {1, 3}), (10, {3}), (19, {3}), (20, set())],
)
async def test_buckets_with_trades_but_without_their_candle_wait(
    candles: int, buckets: set[int], connection: asyncpg.Connection
) -> None:
    ticker = await known(connection, CHICAGO, 1, State.OPEN)
    await store(connection, ticker, 0, 0.5, 3, 7, 9.99, 15, candles=candles)
    expected = {ticker: {START + number * BUCKET_US for number in buckets}} if buckets else {}
    assert await unwritten_buckets(connection, [CHICAGO]) == expected


async def test_only_markets_that_are_not_complete_and_were_asked_for_count(connection: asyncpg.Connection) -> None:
    failed = await known(connection, CHICAGO, 1, State.FAILED)
    complete = await known(connection, CHICAGO, 2, State.COMPLETE)
    other = await known(connection, DENVER, 1, State.OPEN)
    for ticker in (failed, complete, other):
        await store(connection, ticker, 1)
    assert await unwritten_buckets(connection, [CHICAGO, MIAMI]) == {failed: {START}}


async def test_what_was_asked_for_and_never_listed_counts(database_url: str) -> None:
    """A first reading that broke off leaves the newest markets; the log knows what was asked for."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "insert into series values ('KXHIGHCHI', 'chicago', '', '', '', null, '{}', now());"
            "insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date,"
            " max_event_date, asked_by) values"
            " (gen_random_uuid(), 'follow', 'KXHIGHCHI', 'interrupted', now(), '2025-07-01', '2025-07-20', 'a'),"
            " (gen_random_uuid(), 'weather settlement', 'KXHIGHCHI', 'success', now(), '2020-01-01', '2025-07-20',"
            " 'a')"
        )
        assert await first_dates(connection, ["KXHIGHCHI"]) == {"KXHIGHCHI": date(2025, 7, 1)}
        listed = "insert into listings values ('KXHIGHCHI', $1, 1, 6, gen_random_uuid(), now())"
        await connection.execute(listed, date(2025, 7, 10))
        assert await first_dates(connection, ["KXHIGHCHI"]) == {"KXHIGHCHI": date(2025, 7, 1)}
        await connection.execute(listed, date(2025, 7, 1))
        assert await first_dates(connection, ["KXHIGHCHI"]) == {"KXHIGHCHI": date(2025, 7, 10)}
    finally:
        await connection.close()
