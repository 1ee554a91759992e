"""The whole service under half-open connections that come again and again, with 1,024 files and a lost database."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import psutil
import pytest

from kalshi_ingest.web.door import raise_file_limit
from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_follow import asked, following, settings, stopped, until_ready
from tests.support.backfills import fetch
from tests.web.test_door import Crowd

pytestmark = pytest.mark.long
NOON = datetime(2026, 6, 10, 18, tzinfo=UTC)


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    config = WorldConfig(start=date(2026, 6, 8), end=date(2026, 6, 11), now=NOON, cities=("KXHIGHCHI", "KXHIGHDEN"))
    world = SyntheticWorld(config)
    async with Simulator(world, Limits(requests_per_second=200)) as simulator:
        world.clock.speed = 60
        yield simulator


async def trades(database_url: str) -> int:
    return int((await fetch(database_url, "select count(*) from trades"))[0][0])


async def test_trades_go_on_and_health_checks_are_answered(exchange: Simulator, database_url: str) -> None:
    raise_file_limit()
    known = settings(exchange, database_url)
    async with following(known) as process:
        await until_ready(known)
        psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE, (1024, 1024))
        half_open = Crowd("127.0.0.1", int(known["HTTP_PORT"]))
        answered: list[float] = []
        try:
            for minute in range(6):
                await half_open.come(1100)
                before = await trades(database_url)
                await fetch(
                    database_url,
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()",
                )
                for _ in range(20):
                    began = time.monotonic()
                    assert await asked(known, "/livez") == (200, "ok\n")
                    answered.append(time.monotonic() - began)
                    await asyncio.sleep(0.25)
                await until_ready(known)
                assert await trades(database_url) > before, minute
        finally:
            await half_open.leave()
        result = await stopped(process)
    assert sorted(answered)[len(answered) * 9 // 10] < 1, max(answered)
    assert result.code == 0
    assert len(result.err) < 1_000_000
    assert "Traceback" not in result.err
