"""A market's life seen in several runs: traded, settled, changed after the fact, failed and healed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalshi_simulator import RowsWorld, Simulator
from tests.support.backfills import (
    Run,
    assert_holds_all,
    checkpoint_of,
    fetch,
    small_world,
    trade_row,
    varied_world,
    world_of,
)
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests

TICKER = max(small_world().market_tickers(), key=small_world().trade_count)
OPENED = datetime(2025, 6, 30, 14, tzinfo=UTC)


async def _states(url: str) -> dict[str, int]:
    return {row[0]: row[1] for row in await fetch(url, "select state, count(*) from checkpoints group by 1")}


async def test_from_the_first_trade_to_the_settlement(database_url: str, clean: Clean) -> None:
    late = datetime(2024, 10, 28, tzinfo=UTC)
    world = varied_world(now=late, cutoff=datetime(2024, 10, 20, tzinfo=UTC), giant=0)
    wanted = await clean(world)
    world.clock.speed = 0  # what is compared after a run must not have traded since
    seen = []
    async with Simulator(world) as simulator:
        for hours in (20, 31, 37.5, 38.5, 45, 60, 61, 75, 100, 130):
            world.now = datetime(2024, 10, 21, tzinfo=UTC) + timedelta(hours=hours)
            await Run(simulator.url, database_url)()
            await assert_holds_all(database_url, world)
            seen.append(await _states(database_url))
        world.now = late
        await Run(simulator.url, database_url)()
    assert seen[0].keys() == {"open"}
    assert {"open", "complete"} in [state.keys() for state in seen]
    assert await _states(database_url) == {"complete": 24}
    assert await digests(database_url, checkpoints=PROOF) == wanted


@pytest.mark.parametrize("pages", [1, 2, 3])
async def test_settled_while_the_backfill_lay_killed(pages: int, database_url: str, clean: Clean) -> None:
    """The walk began before the settlement, so it proves nothing and starts again over what it had stored."""
    world = _world(_edge_trades())
    open_world = _world(_edge_trades(), status="active", result="", settlement_ts=None)
    await _stop_after(pages, open_world, database_url)
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
    known = await checkpoint_of(database_url, TICKER)
    assert (known["state"], known["settled_first"], known["verdict"]) == ("complete", True, "exact")
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)


async def test_a_changed_volume_is_looked_into(database_url: str, clean: Clean) -> None:
    rows = _edge_trades()
    fewer, all_of_them = _world(rows[3:]), _world(rows)
    async with Simulator(fewer) as simulator:
        await Run(simulator.url, database_url)()
    async with Simulator(all_of_them) as simulator:
        await Run(simulator.url, database_url)()
        assert set(simulator.stats.trade_pages) == {TICKER}
    await assert_holds_all(database_url, all_of_them)
    assert await digests(database_url, checkpoints=PROOF) == await clean(all_of_them)


def _refuse(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"count_fp": "0.00"}


@pytest.mark.parametrize("broken", [1_100, 2_100])
async def test_failed_on_a_later_page_and_healed(broken: int, database_url: str, clean: Clean) -> None:
    rows = _edge_trades()
    wrong = [_refuse(row) if index == broken else row for index, row in enumerate(rows)]
    async with Simulator(_world(wrong)) as simulator:
        job = await Run(simulator.url, database_url)()
    assert "count_fp: is 0" in job.progress["KXHIGHCHI"].failed[TICKER]
    stored = (await fetch(database_url, "select count(*) from trades"))[0][0]
    assert stored == broken // 1_000 * 1_000
    async with Simulator(_world(rows)) as simulator:
        await Run(simulator.url, database_url)()
    assert await digests(database_url, checkpoints=PROOF) == await clean(_world(rows))


async def test_a_stored_cursor_that_is_no_longer_taken(database_url: str, clean: Clean) -> None:
    world = _world(_edge_trades())
    await _stop_after(2, world, database_url)
    connection_query = "update checkpoints set cursor = 'bm9wZQ' where cursor is not null returning ticker"
    assert len(await fetch(database_url, connection_query)) == 1
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
        assert simulator.stats.by_status[400] == 1
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)


@pytest.mark.parametrize("lost", ["all", "newest page"])
async def test_rows_that_no_checkpoint_knows_of(lost: str, database_url: str, clean: Clean) -> None:
    world = _world(_edge_trades())
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
        await fetch(database_url, "delete from checkpoints")
        if lost != "all":
            newest = "select created_time from trades order by created_time desc, trade_id desc offset 999 limit 1"
            await fetch(database_url, f"delete from trades where created_time >= ({newest})")
            await fetch(database_url, "delete from candles")
        job = await Run(simulator.url, database_url)()
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 6}
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)


def _edge_trades() -> list[dict[str, Any]]:
    """Newest first, 2,500 trades, ten a bucket of five minutes: every page ends where a bucket begins."""
    moments = [OPENED + timedelta(minutes=5 * (number // 10), seconds=20 * (number % 10)) for number in range(2_500)]
    rows = [trade_row(TICKER, moment, number, number % 90 + 5) for number, moment in enumerate(moments)]
    return rows[::-1]


def _world(rows: list[dict[str, Any]], **changes: Any) -> RowsWorld:
    return world_of({TICKER: rows}, **changes)


async def _stop_after(pages: int, world: RowsWorld, url: str) -> None:
    asked = 0
    async with Simulator(world) as simulator:
        run = Run(simulator.url, url)

        def count(route: str, ticker: str | None) -> None:
            nonlocal asked
            asked += ticker == TICKER
            if asked > pages:
                run.stop.set()

        simulator.on_request = count
        await run()
    known = await checkpoint_of(url, TICKER)
    assert known["pages"] in (pages, pages + 1)
