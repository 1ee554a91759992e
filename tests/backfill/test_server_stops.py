"""PostgreSQL stopped without mercy (`pg_ctl -m immediate`) under a backfill, and started again."""

import asyncio
from random import Random

import asyncpg
import pytest

from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.backfills import Run, assert_holds_all, varied_world
from tests.support.dumps import digests
from tests.support.mortals import DatabaseServer, database_server


async def _run_with_stops(
    server: DatabaseServer, simulator: Simulator, url: str, random: Random, patience: float
) -> bool:
    """A backfill under which the server stops at three pages: whether it went on by itself to the end."""
    pages = sorted(random.sample(range(1, 40), 3))
    restarts: list[asyncio.Task[None]] = []
    asked = 0

    async def start_again() -> None:
        await asyncio.sleep(random.uniform(0, 0.3))
        await server.start_again()

    def requested(route: str, _: str | None) -> None:
        nonlocal asked
        asked += route.endswith("trades")
        if pages and asked >= pages[0] and all(restart.done() for restart in restarts):
            pages.pop(0)
            server.stop_immediately()
            restarts.append(asyncio.ensure_future(start_again()))

    simulator.on_request = requested
    try:
        await Run(simulator.url, url, patience=patience)()
        finished = True
    except OutOfReach as error:
        finished = "database" not in str(error)
    simulator.on_request = None
    await asyncio.gather(*restarts)
    return finished


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_immediate_stops(runs: int) -> None:
    world, random = varied_world(), Random(5)
    with database_server() as server:
        template = await server.database("template")
        connection = await asyncpg.connect(template)
        await migrate(connection, migrations_dir())
        await connection.close()
        finished: list[bool] = []
        async with Simulator(world) as simulator:
            async with postgres.fresh_database(server.url, "template") as url:
                await Run(simulator.url, url)()
                unbroken = await digests(url)
            for number in range(runs):
                patience = 0.05 if number % 3 == 2 else 600
                async with postgres.fresh_database(server.url, "template") as url:
                    finished.append(await _run_with_stops(server, simulator, url, random, patience))
                    if not finished[-1]:
                        await Run(simulator.url, url)()
                    assert await digests(url) == unbroken
                    await assert_holds_all(url, world)
        assert finished == [number % 3 != 2 for number in range(runs)]
