"""Killed with SIGKILL anywhere, a load has written a city wholly or not at all, and is completed by another one."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import pytest

from kalshi_ingest.simulator import Simulator
from tests import postgres
from tests.jobs.archives import exported
from tests.jobs.harness import Run, varied_world
from tests.jobs.loads import counts, held

_REPOSITORY = Path(__file__).resolve().parents[2]
_KILLS = 20


class _Loads:
    """Loads in processes of their own."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    async def run(self, database_url: str, kill_after: float | None = None) -> int:
        """One load; its exit code, or minus the signal that killed it."""
        assert self._process.stdin is not None
        order = {"database_url": database_url, "folder": str(self._folder)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
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


@pytest.mark.slow
async def test_killed_20_times(postgres_url: str, template_database: str, tmp_path: Path) -> None:
    async with (
        Simulator(varied_world(giant=2_500, trades_per_market=300.0)) as simulator,
        postgres.fresh_database(postgres_url, template_database) as source,
    ):
        await Run(simulator.url, source)()
        await exported(source, tmp_path)
        whole = await held(source)
        rows = await counts(source)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.jobs.load_forker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
    )
    loads = _Loads(process, tmp_path)
    random = Random(3)
    try:
        killed = 0
        longest = await _undisturbed(loads, postgres_url, template_database)
        while killed < _KILLS:
            async with postgres.fresh_database(postgres_url, template_database) as url:
                code = await loads.run(url, random.uniform(0, longest))
                if code == 0:  # it was faster than its killer
                    continue
                assert code == -signal.SIGKILL
                killed += 1
                assert (await counts(url))["trades"] in (0, rows["trades"])
                assert await loads.run(url) == 0
                assert await held(url) == whole
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 10)


async def _undisturbed(loads: _Loads, admin_url: str, template: str) -> float:
    """How long a load takes here, seconds; the second one, when everything is warm."""
    took = 0.0
    for _ in range(2):
        async with postgres.fresh_database(admin_url, template) as url:
            began = time.monotonic()
            assert await loads.run(url) == 0
            took = time.monotonic() - began
    return took
