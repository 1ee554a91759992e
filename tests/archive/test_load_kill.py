"""Killed with SIGKILL anywhere, a load has written a city wholly or not at all, and is completed by another one."""

import signal
from pathlib import Path
from random import Random

import pytest

from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.archives import exported
from tests.support.backfills import Run, varied_world
from tests.support.killable import killable, undisturbed
from tests.support.loads import counts, held


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.long)])
async def test_killed_often(kills: int, postgres_url: str, template_database: str, tmp_path: Path) -> None:
    async with (
        Simulator(varied_world(giant=2_500, trades_per_market=300.0)) as simulator,
        postgres.fresh_database(postgres_url, template_database) as source,
    ):
        await Run(simulator.url, source)()
        await exported(source, tmp_path)
        whole = await held(source)
        rows = await counts(source)
    random = Random(3)
    killed = 0
    async with killable("tests.support.loads:load_folder") as load:
        order = {"folder": str(tmp_path)}
        loaded, longest = await undisturbed(load, order, held, postgres_url, template_database)
        assert loaded == whole
        while killed < kills:
            async with postgres.fresh_database(postgres_url, template_database) as url:
                order["database_url"] = url
                code = await load.run(order, random.uniform(0, longest))
                if code == 0:  # it was faster than its killer
                    continue
                assert code == -signal.SIGKILL
                killed += 1
                assert (await counts(url))["trades"] in (0, rows["trades"])
                assert await load.run(order) == 0
                assert await held(url) == whole
