"""Tables that change under a walk, as by a restore of some of them: what is written is what is there in the end."""

from kalshi_ingest.simulator import Simulator
from tests import postgres
from tests.jobs.conftest import Clean
from tests.jobs.dumps import PROOF, digests
from tests.jobs.harness import Run, checkpoint_of, fetch, varied_world

_TABLES = ("trades", "candles", "checkpoints")
_KEEP = "begin isolation level repeatable read; " + "; ".join(
    [*(f"create table kept_{table} as table {table}" for table in _TABLES), "commit"]
)
# Nobody may be between reading a checkpoint and writing rows beside it.
_RESTORE = "begin; lock table checkpoints in access exclusive mode; " + "; ".join(
    [*(f"delete from {table}; insert into {table} select * from kept_{table}" for table in _TABLES), "commit"]
)


async def test_the_walk_reads_again_what_is_stored(clean: Clean, database_url: str) -> None:
    world = varied_world(giant=6_500, trades_per_market=20.0)
    expected = await clean(world)
    assert world.giant_market is not None
    waiting = [(2, _KEEP), (4, _RESTORE)]

    async def change(_: str, ticker: str | None) -> None:
        """The walk waits for the answer, so that it cannot end before this."""
        query = "select from checkpoints where ticker = $1 and pages >= $2"
        if ticker == world.giant_market and waiting and await fetch(database_url, query, ticker, waiting[0][0]):
            await postgres.execute(database_url, waiting.pop(0)[1])

    async with Simulator(world) as simulator:
        simulator.on_request = change
        job = await Run(simulator.url, database_url)()
        assert waiting == []
        assert not job.progress["KXHIGHCHI"].failed
        assert (await checkpoint_of(database_url, world.giant_market))["state"] == "complete"
        await Run(simulator.url, database_url)()  # markets that were complete before the change
    assert await digests(database_url, checkpoints=PROOF) == expected


async def test_a_trade_that_is_held_an_hour_off_is_found_by_the_sum(clean: Clean, database_url: str) -> None:
    """A page is compared with what is held around it only; the whole market with its volume."""
    world = varied_world(giant=1_500, trades_per_market=20.0)
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
        market = "(select ticker from checkpoints where verdict = 'exact' and pages > 1)"
        await postgres.execute(
            database_url,
            f"update trades set created_time = created_time - interval '1 hour' where trade_id in "
            f"(select trade_id from trades where ticker in {market} order by created_time desc limit 1); "
            f"delete from checkpoints where ticker in {market}",
        )
        job = await Run(simulator.url, database_url)()
    assert any("walked anew" in warning for warning in job.progress["KXHIGHCHI"].warnings)
    assert await digests(database_url, checkpoints=PROOF) == await clean(world)
