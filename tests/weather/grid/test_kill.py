"""Killed with SIGKILL anywhere in a refresh, the grid is the old one or the new one, and a rerun makes the new one."""

import asyncio
import random
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest

from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.grid import queries
from tests.support.backfills import fetch

START = datetime(2025, 7, 1, 6, tzinfo=UTC)

_REFRESH = """
import asyncio, sys
from kalshi_ingest.weather.grid import queries as grid
from kalshi_ingest.postgres.database import Database
async def main():
    database = Database(sys.argv[1])
    await database.open()
    print("ready", flush=True)
    sys.stdin.readline()
    await grid.refresh(database)
asyncio.run(main())
"""
_OBSERVE = """
insert into wx.minute_obs (loc_id, ts_utc, temp_f, ffilled, stations, source)
select loc_id, $1::timestamptz + n * interval '5 minutes', 60 + n % 30, false, loc_id, 'VC'
from wx.location cross join generate_series(0, $2::int) as n
on conflict do nothing
"""
_DIGEST = """
select count(*), md5(string_agg(grid::text, '|' order by loc_id, ts_utc)) from wx.minute_obs_1m as grid
"""


@pytest.mark.parametrize("kills", [1, pytest.param(30, marks=pytest.mark.long)])
async def test_a_killed_refresh_leaves_the_old_grid_or_the_new_one(kills: int, database_url: str) -> None:
    chance = random.Random(5)
    database = Database(database_url)
    await database.open()
    slots = 288
    await fetch(database_url, _OBSERVE, START, slots)
    took = (await queries.refresh(database)).seconds
    killed = 0
    try:
        while killed < kills:
            before = (await fetch(database_url, _DIGEST))[0]
            slots += 12
            await fetch(database_url, _OBSERVE, START, slots)
            killed += await _killed_after(database_url, chance.uniform(0, took))
            left = (await fetch(database_url, _DIGEST))[0]
            took = max(0.05, (await queries.refresh(database)).seconds)
            renewed = (await fetch(database_url, _DIGEST))[0]
            assert left in (before, renewed)
            assert renewed[0] > before[0]
    finally:
        await database.close()
    last = await fetch(database_url, "select max(ts_utc) from wx.minute_obs_1m")
    assert last[0][0] == START + timedelta(minutes=5 * slots)


async def _killed_after(url: str, seconds: float) -> bool:
    """Whether the kill met a process that was still alive."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _REFRESH, url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.write(b"\n")
    await process.stdin.drain()
    await asyncio.sleep(seconds)  # the instant is what is tested
    if process.returncode is None:
        process.kill()
    process.stdin.close()
    return await process.wait() == -signal.SIGKILL
