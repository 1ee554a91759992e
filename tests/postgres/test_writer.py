"""Rows and the checkpoint that vouches for them: together or not at all, whatever the database says."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from kalshi_ingest.domain.candles import roll_up
from kalshi_ingest.domain.checkpoint import Checkpoint
from kalshi_ingest.domain.model import Trade
from kalshi_ingest.domain.walk import Step
from kalshi_ingest.errors import BadPayload, IngestError, OutOfReach, Unusable
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.writer import Outdated, Writer
from tests.support import postgres
from tests.support.backfills import fetch
from tests.support.candles import candles_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
START = 1_700_000_100_000_000
ONE = Checkpoint("ONE", "KXHIGHCHI", date(2025, 7, 1))
TWO = replace(ONE, ticker="TWO")


def trade(number: int, *, price: int = 500_000, size: int = 100, block: bool = False) -> Trade:
    return Trade(START + number * 7_000_000, number.to_bytes(16), price, size, 1, block)


def step(before: Checkpoint, trades: list[Trade], *, fresh: bool = True) -> Step:
    """One page that is not the last."""
    candles = candles_of(trades) if fresh else []

    following = replace(before, tier=None, pages=before.pages + 1)
    return Step(before.ticker, trades, fresh, candles, roll_up(candles, 5), frozenset(), None, following, last=False)


@asynccontextmanager
async def writing(url: str, *, patience: float = 5, run_ids: Iterable[int] = (1,) * 20) -> AsyncIterator[Writer]:
    """A writer at work; its own failure is raised at the end of the block."""
    await fetch(
        url if "postgres@" in url else url.replace("writer@", "postgres@"),
        "insert into series values ('KXHIGHCHI', 'chicago', '', '', '', null, '{}', now()) on conflict do nothing",
    )
    ids = iter(run_ids)
    database = Database(url, patience=patience)
    await database.open()
    await database.fence()
    writer = Writer(database, lambda: UUID(int=next(ids)), lambda: NOW, queued=3)
    running = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        await writer.finish()
        try:
            await running
        finally:
            await database.close()


async def _counts(url: str) -> tuple[int, ...]:
    query = "select (select count(*) from trades), (select count(*) from candles), (select count(*) from checkpoints)"
    return tuple((await fetch(url, query))[0])


async def test_steps_of_several_markets_at_once(database_url: str) -> None:
    async with writing(database_url) as writer:
        one, two = await asyncio.gather(
            writer.write(None, step(ONE, [trade(1), trade(2)])), writer.write(None, step(TWO, [trade(3)]))
        )
    assert (one.trades, one.checkpoint.trades_stored, two.checkpoint.contracts_stored) == (2, 2, 100)
    assert await _counts(database_url) == (3, 4, 2)


async def test_a_fault_of_the_program_concerns_the_market_that_brought_it_alone(database_url: str) -> None:
    """What cannot even be encoded: a mistake, and not the database's refusal."""
    async with writing(database_url) as writer:
        wrong = trade(1)._replace(created_us=2**80)  # is encoded in 64 bits
        failed, written = await asyncio.gather(
            writer.write(None, replace(step(ONE, [trade(1)]), trades=[wrong])),
            writer.write(None, step(TWO, [trade(3)])),
            return_exceptions=True,
        )
    assert isinstance(failed, Exception)
    assert not isinstance(failed, IngestError)
    assert not isinstance(written, BaseException)
    assert await _counts(database_url) == (1, 2, 1)


async def test_a_commit_carries_the_run_of_its_own_moment(database_url: str) -> None:
    """At midnight another run begins, whose id the very next commit has to carry."""
    async with writing(database_url, run_ids=(7, 8)) as writer:
        await writer.write(None, step(ONE, [trade(1)]))
        await writer.write(None, step(TWO, [trade(2)]))
    rows = await fetch(database_url, "select ticker, run_id from checkpoints order by ticker")
    assert [tuple(row) for row in rows] == [("ONE", UUID(int=7)), ("TWO", UUID(int=8))]


async def test_rows_that_are_there_already_concern_their_market_alone(database_url: str) -> None:
    async with writing(database_url) as writer:
        known = (await writer.write(None, step(ONE, [trade(1)]))).checkpoint
        failed, written = await asyncio.gather(
            writer.write(known, step(known, [trade(2), trade(1)])),
            writer.write(None, step(TWO, [trade(3)])),
            return_exceptions=True,
        )
    assert isinstance(failed, Outdated)
    assert not isinstance(written, BaseException)
    assert await _counts(database_url) == (2, 4, 2)


@pytest.mark.parametrize(
    "other",
    [
        "update checkpoints set pages = pages + 1 where ticker = 'ONE'",
        "update checkpoints set trades_stored = 0, contracts_stored = 0 where ticker = 'ONE'",
        "update checkpoints set state = 'open', newest_time = now() where ticker = 'ONE'",
        "update checkpoints set cursor = 'another', tier = 'live' where ticker = 'ONE'",
        "delete from checkpoints where ticker = 'ONE'",
    ],
    ids=["pages", "counts", "state", "cursor", "gone"],
)
@pytest.mark.parametrize("fresh", [True, False])
async def test_a_checkpoint_moves_only_from_the_state_that_the_step_started_from(
    other: str, fresh: bool, database_url: str
) -> None:
    async with writing(database_url) as writer:
        known = (await writer.write(None, step(ONE, [trade(1)]))).checkpoint
        await postgres.execute(database_url, other)
        failed, written = await asyncio.gather(
            writer.write(known, step(known, [trade(2)], fresh=fresh)),
            writer.write(None, step(TWO, [trade(3)], fresh=fresh)),
            return_exceptions=True,
        )
        assert isinstance(failed, Outdated)
        assert not isinstance(written, BaseException)
        with pytest.raises(Outdated):
            await writer.write(known, known.failed("why"))
    rows = await fetch(database_url, "select ticker, created_time from trades order by 1, 2")
    assert [row[0] for row in rows] == ["ONE", "TWO"], (
        "of the outdated step nothing is stored, the others' goes through"
    )
    states = await fetch(database_url, "select state, trades_stored from checkpoints where ticker = 'TWO'")
    assert [tuple(row) for row in states] == [("walking", 1)]


async def test_a_checkpoint_that_should_not_be_there(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as other:
        await one.write(None, step(ONE, [trade(1)]))
        with pytest.raises(Outdated, match="not the one this walk began with"):
            await other.write(None, step(ONE, [trade(2)]))
    assert (await _counts(database_url))[0] == 1


async def test_staging_adds_what_is_new_and_replays_to_nothing(database_url: str) -> None:
    trades = [trade(number) for number in range(40)]
    async with writing(database_url) as writer:
        known = (await writer.write(None, step(ONE, trades[5:20]))).checkpoint
        merged = await writer.write(known, step(known, trades, fresh=False))
        assert (merged.trades, merged.checkpoint.trades_stored, merged.checkpoint.contracts_stored) == (25, 40, 4000)
        again = await writer.write(merged.checkpoint, step(merged.checkpoint, trades, fresh=False))
        assert (again.trades, again.candles_1m, again.checkpoint.trades_stored) == (0, 0, 40)
    rows = await fetch(database_url, "select period_minutes, sum(num_trades), sum(volume) from candles group by 1")
    assert sorted((row[0], row[1], row[2]) for row in rows) == [(1, 40, 40), (5, 40, 40)]


async def test_staging_makes_candles_where_there_are_trades_without(database_url: str) -> None:
    trades = [trade(number) for number in range(40)]
    async with writing(database_url) as writer:
        known = (await writer.write(None, step(ONE, trades))).checkpoint
        await fetch(database_url, "delete from candles")
        await writer.write(known, step(known, trades, fresh=False))
    rows = await fetch(database_url, "select sum(num_trades) from candles group by period_minutes")
    assert [row[0] for row in rows] == [40, 40]


@pytest.mark.parametrize(
    "other",
    [
        trade(1, price=510_000),
        trade(1, size=101),
        trade(1)._replace(side=-1),
        trade(1, block=True),
        trade(1)._replace(created_us=trade(1).created_us + 1),
        trade(1)._replace(created_us=trade(1).created_us - 9 * 60 * 1_000_000),
    ],
    ids=["price", "count", "side", "block", "time", "minutes before"],
)
async def test_one_id_with_two_values_fails_its_market_alone(other: Trade, database_url: str) -> None:
    async with writing(database_url) as writer:
        known = (await writer.write(None, step(ONE, [trade(1)]))).checkpoint
        failed, written = await asyncio.gather(
            writer.write(known, step(known, [other, trade(4)], fresh=False)),
            writer.write(None, step(TWO, [trade(3)], fresh=False)),
            return_exceptions=True,
        )
        assert isinstance(failed, BadPayload)
        assert f"trade {UUID(int=1)} is stored already, with other values" in str(failed)
        assert not isinstance(written, BaseException)
    assert await _counts(database_url) == (2, 4, 2)


async def test_values_that_do_not_fit_fail_their_market_alone(database_url: str) -> None:
    async with writing(database_url) as writer:
        failed, written = await asyncio.gather(
            writer.write(None, step(ONE, [trade(1, size=10**17)])),
            writer.write(None, step(TWO, [trade(3)])),
            return_exceptions=True,
        )
    assert isinstance(failed, BadPayload)
    assert not isinstance(written, BaseException)
    assert await _counts(database_url) == (1, 2, 1)


async def _write_one(url: str) -> None:
    """Hand over one step; what it meets reaches both the worker and whoever waits for the writer."""
    async with writing(url) as writer:
        with pytest.raises((OutOfReach, Unusable)):
            await writer.write(None, step(ONE, [trade(1)]))


async def test_a_full_disk_ends_the_run_with_nothing_half_written(database_url: str) -> None:
    await postgres.execute(
        database_url,
        "create function full_disk() returns trigger language plpgsql as $$ begin "
        "raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;"
        "create trigger full_disk before insert on checkpoints for each row execute function full_disk()",
    )
    with pytest.raises(OutOfReach, match=r"can take no more data: could not extend file.*; free some room"):
        await _write_one(database_url)
    assert await _counts(database_url) == (0, 0, 0)


async def test_a_missing_right_ends_the_run(database_url: str) -> None:
    role = "create role writer login; grant select on all tables in schema public to writer"
    await postgres.execute(database_url, role)
    try:
        url = postgres.with_database(database_url, urlsplit(database_url).path[1:], "writer")
        with pytest.raises(Unusable, match="the database user lacks a right"):
            await _write_one(url)
    finally:
        await postgres.execute(database_url, "drop owned by writer; drop role writer")
