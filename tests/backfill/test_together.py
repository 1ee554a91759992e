"""Two backfills of one database at once, and backfills that are asked to stop."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import asyncpg
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.ingest.progress import Wanted
from kalshi_simulator import Limits, Simulator
from tests.support import postgres
from tests.support.backfills import CHICAGO, WORKERS, Run, fetch, log_statuses, pages_of_all, varied_world
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests
from tests.support.killable import killable
from tests.support.patience import ENDS

MIAMI = (Wanted("KXHIGHMIA", "miami"),)
BOTH = ("KXHIGHCHI", "KXHIGHMIA")


async def test_different_series_at_once(database_url: str, postgres_url: str, template_database: str) -> None:
    async with Simulator(varied_world(cities=BOTH), Limits(latency=0.01)) as simulator:
        await asyncio.gather(Run(simulator.url, database_url)(), Run(simulator.url, database_url, MIAMI)())
        assert await log_statuses(database_url) == ["success", "success"]
        async with postgres.fresh_database(postgres_url, template_database) as url:
            await Run(simulator.url, url, CHICAGO + MIAMI)()
            assert await digests(database_url) == await digests(url)


async def test_the_same_series_at_once_is_refused_by_name(database_url: str, clean: Clean) -> None:
    world = varied_world(cities=BOTH)
    running, refused = asyncio.Event(), asyncio.Event()

    async def hold(route: str, _: str | None) -> None:
        if route == "trades":
            running.set()
            await refused.wait()

    async with Simulator(world) as simulator:
        simulator.on_request = hold
        first = asyncio.create_task(Run(simulator.url, database_url)())
        await running.wait()
        asked = simulator.stats.total
        with pytest.raises(Unusable, match="another run is working on KXHIGHCHI in this database"):
            await Run(simulator.url, database_url, MIAMI + CHICAGO)()
        assert simulator.stats.total <= asked + WORKERS
        refused.set()
        await first
    assert await log_statuses(database_url) == ["success"]
    assert await digests(database_url, checkpoints=PROOF) == await clean(varied_world())


async def test_a_killed_run_leaves_no_lock(database_url: str) -> None:
    killed = asyncio.Event()

    async def hold(route: str, _: str | None) -> None:
        if route == "trades" and not killed.is_set():
            os.kill(pid, signal.SIGKILL)
            killed.set()

    async with Simulator(varied_world()) as simulator, killable("tests.support.backfills:backfill") as backfills:
        simulator.on_request = hold
        pid = await backfills.start({"api_url": simulator.url, "database_url": database_url, "workers": WORKERS})
        assert await backfills.wait() == -signal.SIGKILL
        await Run(simulator.url, database_url)()
    assert await log_statuses(database_url) == ["interrupted", "success"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8))])
async def test_an_orderly_stop_keeps_what_was_handed_over(seed: int, database_url: str, clean: Clean) -> None:
    world, random = varied_world(), Random(seed)
    stop_at, asked = random.randint(1, 36), 0
    async with Simulator(world, Limits(latency=0.005)) as simulator:
        run = Run(simulator.url, database_url)

        def count(route: str, _: str | None) -> None:
            nonlocal asked
            asked += route.endswith("trades")
            if asked == stop_at:
                asyncio.get_running_loop().call_later(random.uniform(0, 0.015), run.stop.set)

        simulator.on_request = count
        job = await run()
        assert job.interrupted
        assert await log_statuses(database_url) == ["interrupted"]
        kept = (await fetch(database_url, "select coalesce(sum(pages), 0) from checkpoints"))[0][0]
        assert simulator.stats.trade_pages.total() - kept <= WORKERS
        logged = (await fetch(database_url, "select trades_fetched, error_message from ingestion_log"))[0]
        assert logged["error_message"] == "stopped by the user"
        assert logged["trades_fetched"] <= (await fetch(database_url, "select count(*) from trades"))[0][0]
        await Run(simulator.url, database_url)()
        assert simulator.stats.trade_pages.total() - pages_of_all(world) <= WORKERS
    assert await log_statuses(database_url) == ["interrupted", "success"]
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)


async def test_a_stop_before_the_first_request(database_url: str) -> None:
    async with Simulator(varied_world()) as simulator:
        run = Run(simulator.url, database_url)
        run.stop.set()
        assert (await run()).interrupted
    assert await log_statuses(database_url) == ["interrupted"]


@asynccontextmanager
async def locked(connection: asyncpg.Connection, tables: str) -> AsyncIterator[None]:
    """Keep everybody from some tables for a `with` block."""
    while True:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"lock table {tables}")
            break
        except asyncpg.DeadlockDetectedError:  # the job may have one of them and wait for another
            await transaction.rollback()
    try:
        yield
    finally:
        await transaction.rollback()


async def test_a_stop_while_the_database_hangs_takes_less_than_ten_seconds(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with Simulator(varied_world()) as simulator:
            run = Run(simulator.url, database_url)
            running = asyncio.create_task(run())
            while not simulator.stats.trade_pages:
                await asyncio.sleep(0.005)
            async with locked(connection, "markets, trades, checkpoints, ingestion_log"):
                await asyncio.sleep(0.1)
                began = time.monotonic()
                run.stop.set()
                assert (await running).interrupted
                assert time.monotonic() - began < ENDS
            assert (await Run(simulator.url, database_url)()).progress["KXHIGHCHI"].complete == 24
        assert await log_statuses(database_url) == ["interrupted", "success"]
    finally:
        await connection.close()
