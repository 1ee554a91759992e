"""A market of any size passes through the same memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_simulator import Simulator
from tests.support import postgres, processes
from tests.support.backfills import fetch, varied_world

_REPOSITORY = Path(__file__).resolve().parents[2]
_BACKFILL = """
import asyncio, json, resource, sys
from tests.support.backfills import Run
asyncio.run(Run(sys.argv[1], sys.argv[2])())
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


async def _peak_megabytes(giant: int, admin_url: str, template: str) -> float:
    world = varied_world(giant=giant)
    async with Simulator(world) as simulator, postgres.fresh_database(admin_url, template) as url:
        process = await processes.start(
            sys.executable,
            *("-c", _BACKFILL, simulator.url, url),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        stored = await fetch(url, "select trades_stored from checkpoints where ticker = $1", world.giant_market)
        assert stored[0][0] == giant
        return float(json.loads(out.splitlines()[-1])) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("many", [80_000, pytest.param(200_000, marks=pytest.mark.long)])
async def test_many_trades_take_no_more_than_5_000(many: int, postgres_url: str, template_database: str) -> None:
    small = await _peak_megabytes(5_000, postgres_url, template_database)
    large = await _peak_megabytes(many, postgres_url, template_database)
    assert large - small < 15
