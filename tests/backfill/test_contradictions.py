"""What the exchange contradicts is walked anew: once, in one step with the pages that take its place."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from kalshi_ingest.coverage.job import examine
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.status.held import status
from kalshi_simulator import RowsWorld, Simulator
from tests.follow.following import CLOSES, TICKER, LivingWorld, after, following, serving
from tests.support.archives import exported, tree
from tests.support.backfills import Run, checkpoint_of, fetch, of_size, small_world, trade_row, world_of
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests
from tests.support.postgres import execute

WORLD = small_world()
LARGE = of_size(WORLD, 1_100, 3_000)[0]
"""Two pages of trades."""

ONE = f"ticker = '{LARGE}' and trade_id = (select trade_id from trades where ticker = '{LARGE}' order by 1 limit 1)"
NEWEST = f"(select trade_id from trades where ticker = '{LARGE}' order by created_time desc, trade_id desc limit 1)"
NEW_ID = "'00000000-0000-0000-0000-000000000001'"
COLUMNS = "ticker, created_time, trade_id, yes_price, count, taker_side, is_block_trade"
COUNTED = f"(select count(*) as n, sum(count) as c from trades where ticker = '{LARGE}')"

DAMAGE = {
    "another price": f"update trades set yes_price = 0.123456 where {ONE}",
    "a second later": f"update trades set created_time = created_time + interval '1 second' where {ONE}",
    "the year 2099": f"update trades set created_time = '2099-01-01Z' where {ONE}",
    "infinity": f"update trades set created_time = 'infinity' where {ONE}",
    "another id": f"update trades set trade_id = {NEW_ID} where {ONE}",
    "one too many": f"insert into trades ({COLUMNS}) select ticker, created_time, {NEW_ID}, yes_price, count, "
    f"taker_side, is_block_trade from trades where {ONE}",
    "nothing but a moved one": f"delete from trades where ticker = '{LARGE}' and trade_id <> {NEWEST};"
    f"update trades set created_time = created_time - interval '1 second' where trade_id = {NEWEST}",
    "nothing but a wrong one": f"create temporary table one on commit drop as select * from trades where {ONE};"
    f"delete from trades where ticker = '{LARGE}'; insert into trades ({COLUMNS}) "
    f"select ticker, created_time, {NEW_ID}, yes_price, count, taker_side, is_block_trade from one",
}
RECOUNTED = f"trades_stored = n, contracts_stored = coalesce(c, 0) from {COUNTED} as held where ticker = '{LARGE}'"
UNPROVED = {
    "an archive that proves nothing": f"update checkpoints set verdict = 'unknown', pages = 0, "
    f"exchange_volume = null, {RECOUNTED}",
    "no checkpoint": f"delete from checkpoints where ticker = '{LARGE}'",
    "walked before it settled": f"update checkpoints set state = 'open', verdict = null, completed_at = null, "
    f"settled_first = false, newest_time = '2099-01-01Z', {RECOUNTED}",
    "failed": f"update checkpoints set state = 'failed', verdict = null, completed_at = null, error = 'x', {RECOUNTED}",
}


ARCHIVE = "an archive that proves nothing"
CASES = [*((damage, ARCHIVE) for damage in DAMAGE), *(("another price", unproved) for unproved in UNPROVED)]
CASES += [("one too many", "no checkpoint"), ("the year 2099", "walked before it settled")]


async def test_what_no_walk_has_proved_yields_to_the_exchange(filled: str, simulator: Simulator) -> None:
    whole = await digests(filled, checkpoints=PROOF)
    connection = await asyncpg.connect(filled)
    try:
        for damage, unproved in CASES:
            await connection.execute(f"{DAMAGE[damage]}; {UNPROVED[unproved]}")
            job = await Run(simulator.url, filled)()
            progress = job.progress["KXHIGHCHI"]
            assert progress.failed == {}, (damage, unproved)
            assert await digests(filled, checkpoints=PROOF) == whole, (damage, unproved)
            (warned,) = [each for each in progress.warnings if "walked again" in each]
            assert warned.startswith(f"{LARGE}: ")
    finally:
        await connection.close()
    again = (await Run(simulator.url, filled)()).progress["KXHIGHCHI"]
    assert (again.stats.trades, again.proved_before, again.warnings) == (0, 6, [])


@pytest.fixture
async def simulator() -> Any:
    async with Simulator(WORLD) as serving_it:
        yield serving_it


@pytest.fixture
async def filled(database_url: str, simulator: Simulator) -> str:
    await Run(simulator.url, database_url)()
    return database_url


def rows(count: int, price: int = 50) -> list[dict[str, Any]]:
    start = datetime(2025, 7, 1, 12, tzinfo=UTC)
    return [trade_row(LARGE, start + timedelta(seconds=30 * n), n + 1, price) for n in range(count)]


async def test_an_exchange_that_contradicts_itself_fails_that_market_by_name(
    filled: str, clean: Clean, simulator: Simulator
) -> None:
    """Each page of trades that is asked for has another price in it."""
    await fetch(filled, UNPROVED["an archive that proves nothing"])
    whole = await digests(filled, checkpoints=PROOF)
    asked = 0

    class Wavering(RowsWorld):
        def tape(self, ticker: str) -> Any:
            nonlocal asked
            asked += ticker == LARGE
            return world_of({LARGE: rows(3, 10 + asked)}).tape(ticker)

    wavering = Wavering(
        series=WORLD.series_rows(),
        events=[event.row() for event in WORLD.events(None)],
        markets=[WORLD.market(ticker) for ticker in WORLD.market_tickers()],
        trades={},
    )
    async with Simulator(wavering) as liar:
        job = await Run(liar.url, filled)()
    assert list(job.progress["KXHIGHCHI"].failed) == [LARGE]
    assert "with other values" in job.progress["KXHIGHCHI"].failed[LARGE]
    assert (await checkpoint_of(filled, LARGE))["state"] == "failed"
    assert 2 <= asked <= 6
    job = await Run(simulator.url, filled)()
    assert job.progress["KXHIGHCHI"].failed == {}
    assert await digests(filled, checkpoints=PROOF) != whole  # the claim was a lesser one
    held, wanted = await digests(filled, checkpoints=PROOF), await clean(WORLD)
    # The other exchange's clock was years ahead of this one's, so that it was asked about more days.
    assert held | {"listings": ""} == wanted | {"listings": ""}


ENDINGS = {"fails": "nothing but a moved one", "is stopped": "one too many"}


async def test_what_is_held_stays_in_doubt_until_other_rows_took_its_place(filled: str, simulator: Simulator) -> None:
    """The walk anew has begun, and ends before its first page is there."""
    whole = await digests(filled, checkpoints=PROOF)
    for ending, damage in ENDINGS.items():
        await execute(filled, DAMAGE[damage], UNPROVED[ARCHIVE])
        run = Run(simulator.url, filled)
        with capture_logs() as lines:

            def end(_: str, ticker: str | None, run: Run = run, ending: str = ending, lines: list[Any] = lines) -> None:
                if ticker == LARGE and any(line["event"] == "market_rewalked" for line in lines):
                    if ending == "is stopped":
                        run.stop.set()
                    raise RuntimeError("a bug on the server's side")

            simulator.on_request = end
            job = await run()
        simulator.on_request = None
        assert (job.interrupted, list(job.progress["KXHIGHCHI"].failed)) == (
            (True, []) if ending == "is stopped" else (False, [LARGE])
        )
        counted = await fetch(filled, "select count(*), sum(count) from trades where ticker = $1", LARGE)
        known = await checkpoint_of(filled, LARGE)
        assert (known["trades_stored"], known["contracts_stored"]) == tuple(counted[0])
        assert known["state"] != "complete", "more is held than the exchange shows"

        assert (await Run(simulator.url, filled)()).progress["KXHIGHCHI"].failed == {}
        assert await digests(filled, checkpoints=PROOF) == whole, (ending, damage)


async def test_nothing_is_deleted_for_an_exchange_that_shows_nothing(filled: str, simulator: Simulator) -> None:
    """It contradicts one trade on its first page, and has none when it is asked again."""
    await fetch(filled, UNPROVED["an archive that proves nothing"])
    held = await fetch(filled, "select count(*) from trades")
    (one,) = await fetch(filled, f"select trade_id, created_time from trades where {ONE}")
    first = trade_row(LARGE, one["created_time"], one["trade_id"].int, price=1)
    served = [[first]]

    class Vanishing(RowsWorld):
        def tape(self, ticker: str) -> Any:
            return world_of({LARGE: served.pop() if ticker == LARGE and served else []}).tape(ticker)

    vanishing = Vanishing(
        series=WORLD.series_rows(),
        events=[event.row() for event in WORLD.events(None)],
        markets=[WORLD.market(ticker) for ticker in WORLD.market_tickers()],
        trades={},
    )
    async with Simulator(vanishing) as liar:
        job = await Run(liar.url, filled)()
    assert "then shows no trade" in job.progress["KXHIGHCHI"].failed[LARGE]
    assert await fetch(filled, "select count(*) from trades") == held
    assert (await Run(simulator.url, filled)()).progress["KXHIGHCHI"].failed == {}


async def test_follow_and_status_survive_what_an_older_version_took_in(database_url: str, tmp_path: Path) -> None:
    """Infinite and far moments in trades, in a checkpoint and in the market's row; the market still trades."""
    world = LivingWorld(after(minutes=60))
    right = [trade_row(TICKER, after(seconds=each), each) for each in range(1, 4)]
    world.add(*right)
    async with serving(world) as simulator:
        await Run(simulator.url, database_url)()
        for statement in (
            "update trades set created_time = 'infinity' where trade_id::text like '%1'",
            "update trades set created_time = '2099-01-01Z' where trade_id::text like '%2'",
            f"update checkpoints set newest_time = 'infinity' where ticker = '{TICKER}'",
            "update markets set open_time = '-infinity', close_time = 'infinity'",
        ):
            await fetch(database_url, statement)
        database = Database(database_url)
        await database.open()
        assert (await status(database)).holdings[0].trades == 3
        await database.close()
        assert not (await examine(database_url, Scope(after(minutes=60), series=["KXHIGHCHI"]))).complete
        refused = (await exported(database_url, tmp_path)).failed["chicago"]
        assert re.search(r"column (open|close)_time.*`kalshi-ingest coverage --fix`", refused)
        assert tree(tmp_path) == {}
        async with following(simulator.url, database_url) as at_work:
            await at_work.up_to_date()
            world.add(trade_row(TICKER, after(minutes=58), 9))
            world.settle()
            world.clock.now = CLOSES + timedelta(hours=12)
            await at_work.until_rows(
                database_url,
                "select created_time from trades order by trade_id",
                [(after(seconds=1),), (after(seconds=2),), (after(seconds=3),), (after(minutes=58),)],
            )
            assert at_work.state.faults == 0


WRONG: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "price": lambda row: row | {"yes_price_dollars": "0.9900", "no_price_dollars": "0.0100"},
    "time": lambda row: row | {"created_time": "2025-07-01T13:00:00Z"},
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_follow_mends_a_wrong_trade_by_itself(wrong: str, database_url: str) -> None:
    world = LivingWorld(after(minutes=60))
    right = [trade_row(TICKER, after(seconds=each), each) for each in range(1, 4)]
    world.add(right[0], WRONG[wrong](right[1]), right[2])
    query = "select trade_id::text, yes_price::text from trades order by trade_id"
    async with serving(world) as simulator, following(simulator.url, database_url) as at_work:
        await at_work.up_to_date()
        world.forget()
        world.add(*right, trade_row(TICKER, after(minutes=59), 9))
        world.settle()
        world.clock.now = CLOSES + timedelta(hours=12)
        await at_work.until_rows(
            database_url, query, [(f"00000000-0000-0000-0000-{n:012d}", "0.500000") for n in (1, 2, 3, 9)]
        )
        await at_work.until(lambda: not at_work.chicago.failed)
