"""A service behind the exchange's shared cache: it claims no more than the copies prove, and asks for none twice."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from kalshi_ingest.clocks import steady
from kalshi_simulator import Limits
from tests.follow.following import OPENS, QUICK, TICKERS, LivingWorld, after, following, serving
from tests.support.backfills import assert_holds_all, fetch, trade_row

CACHE_SECONDS = 2.0
_TRADES = "select count(*) from trades"


async def test_behind_a_cache_nothing_is_claimed_that_a_copy_cannot_prove(database_url: str) -> None:
    """The bug: a copy counted as of the moment it was asked for, so what was made since seemed to be held."""
    world = LivingWorld(after(1))
    world.add(*(trade_row(ticker, after(0, 10), 100 + number) for number, ticker in enumerate(TICKERS)))
    intervals = replace(QUICK, listings=1_000.0)
    listed: list[float] = []
    async with serving(world, limits=Limits(cache_seconds=CACHE_SECONDS)) as simulator, AsyncExitStack() as stack:
        simulator.on_request = lambda route, _: listed.append(steady()) if route == "events" else None
        service = await stack.enter_async_context(following(simulator.url, database_url, intervals=intervals))
        await service.up_to_date()
        assert service.chicago.listed_at is not None
        assert service.chicago.listed_at <= listed[-1] - 1, "its copy may be so old"
        for number in range(4):
            world.add(trade_row(TICKERS[number], after(0, 20 + number), number))
            made = steady()
            while True:
                claimed = service.chicago.fresh_at
                held = (await fetch(database_url, _TRADES))[0][0] == 7 + number
                assert held or claimed is None or claimed <= made, "a trade made before the moment claimed is not held"
                if held and claimed is not None and claimed > made:
                    break
                assert not service.task.done()
                await asyncio.sleep(0.02)
        stats = simulator.stats
        assert service.state.cache_seconds == CACHE_SECONDS
        assert service.state.stale_seconds == 15 + CACHE_SECONDS
        assert stats.cache_hits < 40, "a look before the cache forgets is wasted"
        await assert_holds_all(database_url, world.rows)


async def test_behind_a_cache_no_candle_is_closed_by_an_older_copy(database_url: str) -> None:
    world = LivingWorld(OPENS + timedelta(hours=2, seconds=50))
    world.add(trade_row(TICKERS[0], after(0, 10), 1))
    world.clock.speed = 1.0
    async with (
        serving(world, limits=Limits(cache_seconds=CACHE_SECONDS)) as simulator,
        following(simulator.url, database_url) as service,
    ):
        await service.up_to_date()
        period = "select min(period_end) from candles where period_minutes = 1"
        while (ended := (await fetch(database_url, period))[0][0]) is None:
            assert not service.task.done()
            await asyncio.sleep(0.02)
        assert ended == after(1)
        assert world.clock.now >= after(1, 2), "two seconds are left for late trades"
