"""Killed with SIGKILL anywhere, `weather minutes` goes on where it was and ends with the same tables."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import postgres
from tests.jobs.harness import fetch, log_statuses
from tests.jobs.minute_runs import digest, weather_of

_REPOSITORY = Path(__file__).resolve().parents[2]
_KILLS = 10

ORDERS = {
    # Several pieces each: two windows of a city, and four cities one by one.
    "iem": {"cities": ["chicago"], "first": "2025-04-01"},
    "visualcrossing": {"cities": ["chicago", "miami", "la", "denver"], "first": "2025-06-25"},
}


class Runs:
    """Runs in processes of their own."""

    def __init__(self, process: asyncio.subprocess.Process, order: dict[str, Any]) -> None:
        self._process = process
        self._order = order

    async def run(self, database_url: str, kill_after: float | None = None) -> int:
        """One run; its exit code, or minus the signal that killed it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._order | {"database_url": database_url}).encode() + b"\n")
        await self._process.stdin.drain()
        pid = await self._number()
        timer = None
        if kill_after is not None:
            timer = asyncio.get_running_loop().call_later(kill_after, os.kill, pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(await self._number())
        if timer is not None:
            timer.cancel()
        return code

    async def _number(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.wait_for(self._process.stdout.readline(), 60))


@asynccontextmanager
async def runs_of(order: dict[str, Any]) -> AsyncIterator[Runs]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.jobs.minute_forker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
    )
    try:
        yield Runs(process, order)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ORDERS)
async def test_killed_ten_times(kind: str, postgres_url: str, template_database: str) -> None:
    """Between two kills of a database nothing is undone; every day is stored with its claim or not at all."""
    random = Random(5)
    async with weather_of(plain=False, seeded_outage=True) as simulator:
        order = ORDERS[kind] | {"kind": kind, "root": simulator.url.removesuffix("/trade-api/v2")}
        async with runs_of(order) as runs:
            whole, longest = await _undisturbed(runs, postgres_url, template_database)
            killed = partly = 0
            while killed < _KILLS:
                async with postgres.fresh_database(postgres_url, template_database) as url:
                    code = await runs.run(url, random.uniform(0, longest))
                    if code == 0:  # it was faster than its killer
                        continue
                    assert code == -signal.SIGKILL
                    killed += 1
                    partly += await _claimed(url) > 0
                    assert await runs.run(url) == 0
                    assert await digest(url) == whole
                    assert set(await log_statuses(url)) <= {"interrupted", "success"}
    assert partly


async def _undisturbed(runs: Runs, admin_url: str, template: str) -> tuple[str, float]:
    """What the tables hold after a run, and how long one takes here, seconds, when everything is warm."""
    held, took = "", 0.0
    for _ in range(2):
        async with postgres.fresh_database(admin_url, template) as url:
            began = time.monotonic()
            assert await runs.run(url) == 0
            took = time.monotonic() - began
            held = await digest(url)
    return held, took


async def _claimed(url: str) -> int:
    """Days claimed; each of them, and only they, have rows."""
    unclaimed = await fetch(
        url,
        "select from wx.minute_obs o join wx.location l using (loc_id) where not exists (select from wx.minute_day d "
        "where d.loc_id = o.loc_id and d.date_local = ((o.ts_utc at time zone 'UTC') "
        "+ make_interval(hours => l.standard_offset_hours))::date)",
    )
    assert unclaimed == []
    wrong = await fetch(
        url,
        "select from wx.minute_day d join wx.location l using (loc_id) where slots_observed <> "
        "(select count(distinct date_bin('5 minutes', o.ts_utc, 'epoch')) from wx.minute_obs o "
        "where o.loc_id = d.loc_id and not o.ffilled "
        "and o.ts_utc >= (date_local::timestamp - make_interval(hours => standard_offset_hours)) at time zone 'UTC' "
        "and o.ts_utc < (date_local::timestamp + interval '1 day' - make_interval(hours => standard_offset_hours)) "
        "at time zone 'UTC')",
    )
    assert wrong == []
    return int((await fetch(url, "select count(*) from wx.minute_day"))[0][0])
