"""The story of a run afterwards: who asked for what, how long, how many, what failed and why."""

import getpass

import orjson
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.ingestion_log import Outcome
from kalshi_ingest.status import run_history
from kalshi_simulator import Faults, Simulator
from tests.support.backfills import IMPATIENT, Run, fetch, of_size, small_world


async def test_a_run_tells_what_failed_and_why(database_url: str) -> None:
    world = small_world()
    target = of_size(world, 1_100, 3_000)[0]
    async with Simulator(world, faults=Faults(targeted={target: "html_200"})) as simulator:
        job = await Run(simulator.url, database_url, retry=IMPATIENT)()
    database = Database(database_url)
    await database.open()
    try:
        run = await run_history.one_run(database, str(job.run_id)[:10])
        text = run_history.run_text(run)
        assert f"run {job.run_id}" in text
        assert "command    backfill in a test" in text
        assert f"asked by   {getpass.getuser()}@" in text
        assert "partial" in text
        assert f"  {target}: " in text
        told = orjson.loads(run_history.as_json(run))[0]
        assert list(told["details"]["failed"]) == [target]
        assert told["details"]["failed_count"] == 1
        assert told["trades_fetched"] == job.progress["KXHIGHCHI"].stats.trades
        with pytest.raises(Unusable, match="no run's id begins with"):
            await run_history.one_run(database, "nothing")
    finally:
        await database.close()


async def test_the_newest_runs_a_line_each_and_a_killed_one_is_not_called_running(database_url: str) -> None:
    async with Simulator(small_world()) as simulator:
        first, second = [await Run(simulator.url, database_url)() for _ in range(2)]
    await fetch(database_url, "update ingestion_log set status = 'running' where run_id = $1", second.run_id)
    database = Database(database_url)
    await database.open()
    try:
        lines = run_history.runs_text(await run_history.newest_runs(database)).splitlines()
    finally:
        await database.close()
    assert [line[:8] for line in lines[2:4]] == [str(second.run_id)[:8], str(first.run_id)[:8]]
    assert "interrupted" in lines[2]
    assert "success" in lines[3]


def test_details_keep_the_first_hundred() -> None:
    many = Outcome("partial", failed={f"M{number}": "why" for number in range(250)})
    told = orjson.loads(many.details() or "")
    assert (len(told["failed"]), told["failed_count"]) == (100, 250)
    assert Outcome("success").details() is None
