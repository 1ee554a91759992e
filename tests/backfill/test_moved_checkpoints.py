"""Tables that change under a walk, as by a restore of some of them: what is written is what is there in the end."""

from typing import Any

import pytest

from kalshi_ingest.domain.checkpoint import Checkpoint
from kalshi_ingest.domain.model import Unit
from kalshi_ingest.domain.walk import Step
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.api import Api, TradePage
from kalshi_ingest.postgres.writer import Writer, Written
from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.backfills import Run, checkpoint_of, fetch, small_world, varied_world
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests

_TABLES = ("trades", "candles", "checkpoints")
_KEEP = "begin isolation level repeatable read; " + "; ".join(
    [*(f"create table kept_{table} as table {table}" for table in _TABLES), "commit"]
)
# Nobody may be between reading a checkpoint and writing rows beside it.
_RESTORE = "begin; lock table checkpoints in access exclusive mode; " + "; ".join(
    [*(f"delete from {table}; insert into {table} select * from kept_{table}" for table in _TABLES), "commit"]
)

_BEGUN = """
insert into checkpoints (ticker, series_ticker, event_date, state, settled_first, trades_stored, run_id, updated_at)
values ($1, 'KXHIGHCHI', '2025-07-01', 'walking', true, 0, gen_random_uuid(), now())
"""
_MOVED = "update checkpoints set pages = pages + 1 where ticker = $1"


async def test_the_walk_reads_again_what_is_stored(clean: Clean, database_url: str) -> None:
    world = varied_world(giant=6_500, trades_per_market=20.0)
    expected = await clean(world)
    assert world.giant_market is not None
    waiting = [(2, _KEEP), (4, _RESTORE)]

    async def change(_: str, ticker: str | None) -> None:
        """The walk waits for the answer, so that it cannot end before this."""
        query = "select from checkpoints where ticker = $1 and pages >= $2"
        if ticker == world.giant_market and waiting and await fetch(database_url, query, ticker, waiting[0][0]):
            await postgres.execute(database_url, waiting.pop(0)[1])

    async with Simulator(world) as simulator:
        simulator.on_request = change
        job = await Run(simulator.url, database_url)()
        assert waiting == []
        assert not job.progress["KXHIGHCHI"].failed
        assert (await checkpoint_of(database_url, world.giant_market))["state"] == "complete"
        await Run(simulator.url, database_url)()  # markets that were complete before the change
    assert await digests(database_url, checkpoints=PROOF) == expected


async def test_a_checkpoint_that_moves_while_a_failure_is_noted_ends_no_run(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug: the second time that the note was refused ended the run with all its markets."""
    world = small_world()
    ticker, *others = world.market_tickers()
    trades, write, moves = Api.trades, Writer.write, [_BEGUN, _MOVED]

    async def unreadable(self: Api, unit: Unit, *arguments: Any) -> TradePage:
        if unit.ticker == ticker:
            raise BadPayload("a page that cannot be read")
        return await trades(self, unit, *arguments)

    async def moved_before(self: Writer, held: Checkpoint | None, step: Step | Checkpoint) -> Written:
        if step.ticker == ticker and moves:
            await fetch(database_url, moves.pop(0), ticker)
        return await write(self, held, step)

    monkeypatch.setattr(Api, "trades", unreadable)
    monkeypatch.setattr(Writer, "write", moved_before)
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url)()
    assert moves == []
    assert list(job.progress["KXHIGHCHI"].failed) == [ticker]
    rows = await fetch(database_url, "select ticker, state from checkpoints")
    assert {row["ticker"]: row["state"] for row in rows} == {ticker: "failed"} | dict.fromkeys(others, "complete")


async def test_a_trade_that_is_held_an_hour_off_is_found_by_the_sum(clean: Clean, database_url: str) -> None:
    """A page is compared with what is held around it only; the whole market with its volume."""
    world = varied_world(giant=1_500, trades_per_market=20.0)
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
        market = "(select ticker from checkpoints where verdict = 'exact' and pages > 1)"
        await postgres.execute(
            database_url,
            f"update trades set created_time = created_time - interval '1 hour' where trade_id in "
            f"(select trade_id from trades where ticker in {market} order by created_time desc limit 1); "
            f"delete from checkpoints where ticker in {market}",
        )
        job = await Run(simulator.url, database_url)()
    assert any("walked again" in warning for warning in job.progress["KXHIGHCHI"].warnings)
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)
