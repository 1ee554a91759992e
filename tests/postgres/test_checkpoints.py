"""Checkpoints come back as they were written, and the database refuses claims without proof."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict
from kalshi_ingest.domain.model import Tier, Trade, to_datetime
from kalshi_ingest.parquet.schema import CHECKPOINTS
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.pgcopy_rows import TRADE_COLUMNS, Encoder, copy_in
from tests.support.candles import candles_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUN = UUID(int=7)
NEW = Checkpoint("M", "KXHIGHCHI", date(2025, 7, 1))
SERIES = "insert into series values ('KXHIGHCHI', 'chicago', '', '', '', null, '{}', now())"

COMPLETE = replace(NEW, state=State.COMPLETE, settled_first=True)

KNOWN = (
    NEW,
    replace(NEW, tier=Tier.LIVE, cursor="abc", oldest=(1_700_000_000_123_456, bytes(range(16))), pages=3),
    replace(NEW, tier=Tier.HISTORICAL, walk=2, rewalk=True, settled_first=True, trades_stored=5),
    replace(
        NEW,
        state=State.COMPLETE,
        settled_first=True,
        contracts_stored=10**15 + 1,
        exchange_volume=None,
        verdict=Verdict.UNKNOWN,
    ),
    replace(
        NEW,
        state=State.COMPLETE,
        settled_first=True,
        contracts_stored=7,
        exchange_volume=10**15 + 3,
        verdict=Verdict.SHORT,
    ),
    replace(NEW, state=State.OPEN, exchange_volume=0),
    NEW.failed("count_fp: is 0"),
    replace(NEW, state=State.OPEN, newest_us=1_700_000_000_123_456),
    replace(NEW, tier=Tier.LIVE, newest_us=1_700_000_060_000_001, since_us=1_700_000_000_000_001),
    replace(NEW, newest_us=1_700_000_000_123_456).failed("count_fp: is 0"),
)


@pytest.mark.parametrize("known", KNOWN)
async def test_round_trip(known: Checkpoint, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(SERIES)
    for one in (NEW, known, known):
        await checkpoints.store(connection, [one, replace(one, ticker="OTHER")], RUN, NOW)
    assert await checkpoints.load(connection, ["KXHIGHCHI"]) == {"M": known, "OTHER": replace(known, ticker="OTHER")}
    assert await checkpoints.of_tickers(connection, ["M", "NONE"]) == {"M": known}
    assert await checkpoints.load(connection, ["KXHIGHMIA"]) == {}
    assert await checkpoints.outdated(connection, {"M": known, "OTHER": known, "NONE": None}) == {"OTHER"}
    assert await checkpoints.outdated(connection, {"M": None, "NONE": known}) == {"M", "NONE"}
    completed = await connection.fetchval("select completed_at from checkpoints where ticker = 'M'")
    assert completed == (NOW if known.state is State.COMPLETE else None)
    await connection.close()


@pytest.mark.parametrize(("constraint", "known"), [("state", State), ("verdict", Verdict)])
async def test_the_database_knows_the_programs_words_and_no_other(
    constraint: str, known: type[State] | type[Verdict], database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    text = await connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = $1", f"checkpoints_{constraint}_known"
    )
    await connection.close()
    assert sorted(re.findall(r"'(\w+)'", text)) == sorted(known)


async def test_every_column_is_stored_loaded_and_archived(database_url: str) -> None:
    """A column that one of the statements leaves out would keep the word of an older checkpoint."""
    connection = await asyncpg.connect(database_url)
    query = "select attname from pg_attribute where attrelid = 'checkpoints'::regclass and attnum > 0"
    rows = await connection.fetch(query)
    await connection.close()
    assert {row[0] for row in rows} == set(checkpoints.COLUMNS) == set(CHECKPOINTS.names)


@pytest.mark.parametrize(
    "claim",
    [
        replace(NEW, state=State.COMPLETE, settled_first=True),
        replace(NEW, state=State.COMPLETE, verdict=Verdict.EXACT),
        replace(NEW, verdict=Verdict.EXACT),
        replace(NEW, state=State.FAILED),
        replace(NEW, error="why"),
        replace(NEW, since_us=1_700_000_000_000_000),
    ],
)
async def test_a_claim_without_proof_is_refused(claim: Checkpoint, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(SERIES)
    with pytest.raises(asyncpg.CheckViolationError):
        await checkpoints.store(connection, [claim], RUN, NOW)
    await connection.close()


async def test_candles_of_what_is_stored(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several fetches, whose seams lie inside minutes and inside one instant."""
    monkeypatch.setattr(checkpoints, "_FETCH_ROWS", 7)
    start = 1_700_000_100_000_000
    trades = [
        Trade(
            start + number // 3 * 5_000_000, number.to_bytes(16), 400_000 + number * 37 % 900, 100 + number, side, False
        )
        for number, side in enumerate((1, 1, 1, -1, -1, -1) * 40)
    ]
    connection = await asyncpg.connect(database_url)
    rows = Encoder().trades("M", trades) + Encoder().trades("OTHER", trades)
    await copy_in(connection, "trades", TRADE_COLUMNS, rows)
    end = start + int(timedelta(minutes=5) / timedelta(microseconds=1))
    async with connection.transaction():
        held = await checkpoints.stored_candles(connection, "M", start, end)
    assert held == candles_of(trade for trade in trades if trade.created_us < end)
    assert to_datetime(held[-1].start_us) < to_datetime(end)
    assert await checkpoints.stored_trades(connection, "M") == (240, sum(trade.size for trade in trades))
    assert await checkpoints.stored_trades(connection, "NONE") == (0, 0)
    await connection.close()
