"""Killed with SIGKILL anywhere, a backfill that is started again ends with the very tables of an unbroken one."""

import signal
from random import Random

import asyncpg
import pytest

from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.backfills import WORKERS, Run, assert_holds_all, fetch, varied_world
from tests.support.dumps import digests
from tests.support.killable import killable
from tests.support.killing import Killer

_HIGHEST_ROUNDS = 60
_RUNS = "select status, trades_fetched from ingestion_log order by started_at"


async def _kill_often(admin_url: str, template: str, kills: int, random: Random) -> None:
    """Runs on fresh databases, each killed again and again until it is done, `kills` times in all."""
    world = varied_world()
    async with killable("tests.support.backfills:backfill") as backfills:
        async with Simulator(world) as simulator, postgres.fresh_database(admin_url, template) as url:
            await Run(simulator.url, url)()
            unbroken = await digests(url)
            await assert_holds_all(url, world)
        done = 0
        for _ in range(_HIGHEST_ROUNDS):
            async with postgres.fresh_database(admin_url, template) as url:
                killer = Killer(world, backfills, url, random)
                code = -signal.SIGKILL
                while code == -signal.SIGKILL:
                    code = await killer.run(kill=done + len(killer.wasted) < kills)
                assert code == 0
                assert await digests(url) == unbroken
                assert max(killer.wasted, default=0) <= WORKERS
                runs = [tuple(row) for row in await fetch(url, _RUNS)]
                assert len(runs) == len(killer.wasted) + 1
                assert {status for status, _ in runs} <= {"interrupted", "success"}
                assert runs[-1][0] == "success"
                # One that is killed between its last word and its exit did succeed: whatever follows finds it all done.
                first = next(at for at, (status, _) in enumerate(runs) if status == "success")
                assert {trades for _, trades in runs[first + 1 :]} <= {0}
                done += len(killer.wasted)
            if done == kills:
                return
        pytest.fail(f"only {done} runs of {_HIGHEST_ROUNDS} rounds were still alive when they should be killed")


@pytest.mark.long
async def test_killed_a_few_times_on_every_version(any_postgres: str) -> None:
    template = "kalshi_kill_template"
    await postgres.execute(any_postgres, f"CREATE DATABASE {template}")
    connection = await asyncpg.connect(postgres.with_database(any_postgres, template))
    await migrate(connection, migrations_dir())
    await connection.close()
    await _kill_often(any_postgres, template, 10, Random(2))
    await postgres.execute(any_postgres, f"DROP DATABASE {template}")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.long)])
async def test_killed_often(kills: int, postgres_url: str, template_database: str) -> None:
    await _kill_often(postgres_url, template_database, kills, Random(1))
