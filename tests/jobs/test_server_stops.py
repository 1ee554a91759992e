"""PostgreSQL stopped without mercy (`pg_ctl -m immediate`) under a backfill, and started again."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import asyncpg
import pytest

from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.simulator import Simulator
from kalshi_ingest.store import embedded
from kalshi_ingest.store.migrate import migrate, migrations_dir
from tests import postgres
from tests.jobs.dumps import digests
from tests.jobs.harness import Run, assert_holds_all, varied_world

_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")

# The log of changes survives the death of the server's processes without being synced; only a power cut needs that.
_OPTIONS = {"fsync": "off", "autovacuum": "off", "shared_buffers": "32MB"}


class _Server:
    """A server that can be stopped the hard way. Stops and starts block."""

    def __init__(self, home: Path, random: Random) -> None:
        self.home = home
        self.random = random
        self.stops = 0

    def stop_immediately(self) -> None:
        """What `pg_ctl stop -m immediate` does: SIGQUIT to the postmaster, no checkpoint, no goodbye."""
        pid = int((self.home / "postgresql-18" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.stops += 1

    async def start_again(self) -> None:
        while postgres.postgres_processes(self.home):
            await asyncio.sleep(0.01)
        await asyncio.sleep(self.random.uniform(0, 0.3))
        await asyncio.to_thread(embedded.start, self.home, options=_OPTIONS)


@pytest.fixture
def server() -> Iterator[tuple[_Server, str]]:
    """A server of the test's own: the URL of its superuser."""
    with postgres.scratch_dir(_MEMORY) as place:
        home = place / "data"
        started = embedded.start(home, options=_OPTIONS)
        yield _Server(home, Random(5)), postgres.with_database(started.url, "postgres")


async def _run_with_stops(server: _Server, simulator: Simulator, url: str, stops: int, patience: float) -> bool:
    """A backfill under which the server stops at some pages: whether it went on by itself to the end."""
    pages = sorted(server.random.sample(range(1, 40), stops))
    restarts: list[asyncio.Task[None]] = []
    asked = 0

    def requested(route: str, _: str | None) -> None:
        nonlocal asked
        asked += route.endswith("trades")
        if pages and asked >= pages[0] and all(restart.done() for restart in restarts):
            pages.pop(0)
            server.stop_immediately()
            restarts.append(asyncio.ensure_future(server.start_again()))

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
async def test_20_immediate_stops(server: tuple[_Server, str]) -> None:
    machine, admin_url = server
    world = varied_world()
    template = postgres.with_database(admin_url, "template")
    await postgres.execute(admin_url, "CREATE DATABASE template")
    connection = await asyncpg.connect(template)
    await migrate(connection, migrations_dir())
    await connection.close()
    finished: list[bool] = []
    async with Simulator(world) as simulator:
        async with postgres.fresh_database(admin_url, "template") as url:
            await Run(simulator.url, url)()
            unbroken = await digests(url)
        while machine.stops < 20:
            patience = 0.05 if len(finished) % 3 == 2 else 30
            async with postgres.fresh_database(admin_url, "template") as url:
                finished.append(await _run_with_stops(machine, simulator, url, 3, patience))
                if not finished[-1]:
                    await Run(simulator.url, url)()
                assert await digests(url) == unbroken
                await assert_holds_all(url, world)
    assert finished == [number % 3 != 2 for number in range(len(finished))]
