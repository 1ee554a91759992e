"""Killed with SIGKILL anywhere, `weather settlement` that is started again ends with the tables of an unbroken run."""

import asyncio
import hashlib
import os
import signal
from datetime import UTC, date, datetime
from random import Random

import asyncpg
import pytest

from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.weather.config import WeatherConfig
from tests.support import postgres
from tests.support.backfills import fetch
from tests.support.killable import KillableRun, killable
from tests.support.settlement_runs import Settle

_START, _END, _NOW = date(2025, 3, 1), date(2025, 3, 14), datetime(2025, 6, 1, tzinfo=UTC)
_REQUESTS = 25
_TABLES = {
    "wx.settlement_obs": "loc_id, date_local, source, product_id, payload_sha256",
    "wx.settlement": "loc_id, date_local",
    "wx.settlement_poll": "loc_id, date_local, source",
}


class _Killer:
    """Starts runs and kills each at a request or at an answer, or a few milliseconds later."""

    def __init__(self, work: KillableRun, simulator: Simulator) -> None:
        self._work = work
        self._simulator = simulator
        self._pid: int | None = None
        self._left = 0
        self._delay = 0.0

    async def run(self, database_url: str, random: Random | None) -> int:
        """The exit code of one run, or minus the signal that killed it; None of `random` lets it live."""
        self._left = 0 if random is None else random.randint(1, _REQUESTS)
        self._delay = 0.0 if random is None else random.uniform(0, 0.02)
        at_answer = random is not None and random.random() < 0.7
        weather = self._simulator.weather
        weather.on_request, weather.on_answered = (None, self._count) if at_answer else (self._count, None)
        urls = self._simulator.weather_urls
        order = {"iem": urls.iem, "ncei": urls.ncei, "database_url": database_url}
        order |= {"start": str(_START), "end": str(_END), "now": _NOW.isoformat()}
        self._pid = await self._work.start(order)
        code = await self._work.wait()
        self._pid = None
        return code

    def _count(self, _: str) -> None:
        self._left -= 1
        if self._left == 0:
            asyncio.get_running_loop().call_later(self._delay, self._kill, self._pid)

    def _kill(self, pid: int | None) -> None:
        if pid is not None and pid == self._pid:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.long)])
async def test_killed_often(kills: int, postgres_url: str, template_database: str) -> None:
    world = SyntheticWorld(WorldConfig(start=_START, end=_END, now=_NOW, trades_per_market=1.0))
    random, done = Random(7), 0
    async with (
        Simulator(world, weather=WeatherConfig(throttle_seconds=None)) as simulator,
        killable("tests.support.settlement_runs:settle") as work,
    ):
        killer = _Killer(work, simulator)
        async with postgres.fresh_database(postgres_url, template_database) as url:
            await Settle(simulator.weather_urls, url, _START, _END, _NOW)()
            assert simulator.weather.stats.settlement_requests == _REQUESTS
            unbroken = await _digests(url)
        while done < kills:
            async with postgres.fresh_database(postgres_url, template_database) as url:
                killed = 0
                while killed < min(5, kills - done) and await killer.run(url, random) == -signal.SIGKILL:
                    killed += 1
                    await _assert_every_poll_has_its_rows(url)
                assert await killer.run(url, None) in (0, 1)
                assert await _digests(url) == unbroken
                statuses = {row[0] for row in await fetch(url, "select distinct status from ingestion_log")}
                assert statuses <= {"interrupted", "success"}
                done += killed


async def _assert_every_poll_has_its_rows(url: str) -> None:
    """A poll that vouches for a report is there with it, and every report is settled: never one without the other."""
    rows = await fetch(
        url,
        """
        select count(*) from wx.settlement_poll p where state = 'answered' and not exists (
            select from wx.settlement_obs o join wx.settlement s using (loc_id, date_local)
            where (o.loc_id, o.date_local, o.source) = (p.loc_id, p.date_local, p.source))
        """,
    )
    assert rows[0][0] == 0


async def _digests(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        return {table: await _digest(connection, table, order) for table, order in _TABLES.items()}
    finally:
        await connection.close()


async def _digest(connection: asyncpg.Connection, table: str, order: str) -> str:
    summed = hashlib.sha256()

    async def take(chunk: bytes) -> None:
        summed.update(chunk)

    answer = await connection.copy_from_query(f"select * from {table} order by {order}", output=take)
    return f"{answer} {summed.hexdigest()}"
