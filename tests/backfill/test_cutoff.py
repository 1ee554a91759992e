"""The border between the tiers moves while the backfill runs and between two runs: every trade once, all the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from kalshi_ingest.domain.model import Cutoff
from kalshi_ingest.errors import ServerFailed
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.ingest import worker
from kalshi_simulator import Limits, Simulator, SyntheticWorld
from tests.support.backfills import Run, assert_holds_all, fetch, varied_world
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests

_FIRST = datetime(2024, 10, 21, tzinfo=UTC)
_LAST = datetime(2024, 10, 28, tzinfo=UTC)

sizes = pytest.mark.parametrize("trades", [150.0, pytest.param(600.0, marks=pytest.mark.long)])


def _world(cutoff: datetime, trades: float) -> SyntheticWorld:
    return varied_world(cutoff=cutoff, trades_per_market=trades)


async def _assert_as_on_a_still_day(world: SyntheticWorld, trades: float, url: str, clean: Clean) -> None:
    """Once the lists have been read again, everything is as if the cutoff had been there from the start."""
    await assert_holds_all(url, world)
    verdicts = await fetch(url, "select verdict, count(*) from checkpoints group by 1 order by 1")
    assert [tuple(row) for row in verdicts] == [("exact", 23), ("short", 1)]
    async with Simulator(world) as simulator:
        await Run(simulator.url, url)()
        assert simulator.stats.trade_pages.total() == 0
    assert await digests(url, checkpoints=PROOF) == await clean(_world(_LAST, trades))


@pytest.mark.parametrize("asked_anew", [True, False], ids=["cutoff-known", "cutoff-stale"])
@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(hours=9)], ids=["apart", "overlapping"])
@pytest.mark.parametrize("hours", [5, 30])
@sizes
async def test_it_moves_during_the_walks(
    *,
    trades: float,
    hours: int,
    overlap: timedelta,
    asked_anew: bool,
    database_url: str,
    clean: Clean,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if asked_anew:
        monkeypatch.setattr(worker, "_CUTOFF_SECONDS", 0.002)
    world = _world(_FIRST, trades)

    def move(route: str, _: str | None) -> None:
        if route.endswith("trades"):
            world.cutoff = min(world.cutoff + timedelta(hours=hours), _LAST)

    async with Simulator(world, Limits(overlap=overlap)) as simulator:
        simulator.on_request = move
        job = await Run(simulator.url, database_url)()
    assert job.progress["KXHIGHCHI"].failed == {}
    world.cutoff = _LAST
    await _assert_as_on_a_still_day(world, trades, database_url, clean)


@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(hours=9)], ids=["apart", "overlapping"])
@pytest.mark.parametrize("pages", [3, 11])
@sizes
async def test_it_moves_between_two_runs(
    trades: float, pages: int, overlap: timedelta, database_url: str, clean: Clean
) -> None:
    world, asked = _world(_FIRST, trades), 0
    async with Simulator(world, Limits(overlap=overlap)) as simulator:
        for cutoff in (_FIRST, datetime(2024, 10, 23, 18, tzinfo=UTC), datetime(2024, 10, 24, 20, tzinfo=UTC), _LAST):
            world.cutoff, asked = cutoff, 0
            run = Run(simulator.url, database_url)

            def stop_at(route: str, _: str | None, run: Run = run) -> None:
                nonlocal asked
                asked += route.endswith("trades")
                if asked == pages and world.cutoff != _LAST:
                    run.stop.set()

            simulator.on_request = stop_at
            await run()
    await _assert_as_on_a_still_day(world, trades, database_url, clean)


async def test_it_moves_between_the_two_lists(database_url: str) -> None:
    """The live list is read first, so what moves to the historical tier meanwhile is in at least one of them."""
    world = _world(_FIRST, 20.0)

    def move(route: str, _: str | None) -> None:
        if route.endswith("markets"):
            world.cutoff = _LAST

    async with Simulator(world, Limits(overlap=timedelta(0))) as simulator:
        simulator.on_answered = move
        job = await Run(simulator.url, database_url)()
    assert job.progress["KXHIGHCHI"].failed == {}
    await assert_holds_all(database_url, world)


async def test_nobody_waits_for_a_cutoff_that_does_not_come(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that endpoint is ill, through all its retries: the walks take both tiers, and everything is there."""
    monkeypatch.setattr(worker, "_FIRST_SECONDS", 0.05)
    world = varied_world(cutoff=_LAST)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def never(route: str, _: str | None) -> None:
        if "cutoff" in route:
            asked.set()
            await answered.wait()

    async with Simulator(world) as simulator:
        simulator.on_request = never
        await Run(simulator.url, database_url)()
        assert asked.is_set()
        assert simulator.stats.by_route["trades"] > 0
        assert simulator.stats.by_route["historical_trades"] > 0
        answered.set()
    await assert_holds_all(database_url, world)


async def test_a_cutoff_that_is_known_is_used_while_it_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, known = 0, Cutoff(_FIRST, _FIRST)

    async def stalling(_: Api) -> Cutoff:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ServerFailed("no complete answer within the time allowed")
        if asked == 3:
            await asyncio.Event().wait()
        return known

    monkeypatch.setattr(worker, "_CUTOFF_SECONDS", 0.0)
    monkeypatch.setattr(Api, "cutoff", stalling)
    async with aiohttp.ClientSession() as session:
        cutoffs = worker.CutoffCache(Api(Client(session, "http://127.0.0.1:9", Pacer(100))))
        running = asyncio.create_task(cutoffs.run())
        while asked < 3:
            await asyncio.sleep(0)
        assert [await cutoffs.cutoff() for _ in range(8)] == [known] * 8
        running.cancel()
        await asyncio.wait([running])
