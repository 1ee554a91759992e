"""Connections to the database that break: nothing is lost, nothing is doubled, whatever the server had done by then."""

import asyncio
from random import Random

import asyncpg
import pytest

from kalshi_simulator import Limits, Simulator
from tests.support import postgres
from tests.support.backfills import Run, assert_holds_all, fetch, log_statuses, pages_of_all, varied_world
from tests.support.dropping import cut_at_commits
from tests.support.dumps import digests

_WRITTEN = "select coalesce(sum(pages), 0)::int from checkpoints"


async def _unbroken(admin_url: str, template: str, simulator: Simulator) -> dict[str, str]:
    async with postgres.fresh_database(admin_url, template) as url:
        await Run(simulator.url, url)()
        return await digests(url)


@pytest.mark.parametrize("runs", [1, pytest.param(10, marks=pytest.mark.long)])
async def test_commits_whose_outcome_is_unknown(runs: int, postgres_url: str, template_database: str) -> None:
    world, cut = varied_world(), 0
    async with Simulator(world) as simulator:
        unbroken = await _unbroken(postgres_url, template_database, simulator)
        for seed in range(runs):
            async with (
                postgres.fresh_database(postgres_url, template_database) as url,
                cut_at_commits(url, Random(seed), 0.5) as (cut_url, wire),
            ):
                simulator.stats.reset()
                job = await Run(simulator.url, cut_url)()
                assert await digests(url) == unbroken
                assert await log_statuses(url) == ["success"]
                assert job.progress["KXHIGHCHI"].stats.trades == (await fetch(url, "select count(*) from trades"))[0][0]
                assert simulator.stats.trade_pages.total() == pages_of_all(world)
                cut += wire.cut
    assert cut >= 7 * runs


@pytest.mark.parametrize("runs", [2, pytest.param(10, marks=pytest.mark.long)])
async def test_sessions_ended_by_the_server(runs: int, postgres_url: str, template_database: str) -> None:
    random, ended = Random(3), 0
    async with Simulator(varied_world(), Limits(latency=0.01)) as simulator:
        unbroken = await _unbroken(postgres_url, template_database, simulator)
        for _ in range(runs):
            async with postgres.fresh_database(postgres_url, template_database) as url:
                connection = await asyncpg.connect(url)
                running = asyncio.create_task(Run(simulator.url, url)())
                pause, written = 1.0, 0
                while not running.done():
                    # A busy machine gets more time, until something is written between two losses.
                    await asyncio.sleep(random.uniform(0, 0.06) * pause)
                    ended += len(await connection.fetch(postgres.END_SESSIONS))
                    before, written = written, await connection.fetchval(_WRITTEN)
                    pause = 1.0 if written > before else pause * 1.3
                await running
                await connection.close()
                assert await digests(url) == unbroken
                assert await log_statuses(url) == ["success"]
                await assert_holds_all(url, varied_world())
    assert ended >= 12.5 * runs
