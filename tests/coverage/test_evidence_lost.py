"""Sessions that end while `coverage` reads: the snapshot is read again from its beginning."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from kalshi_ingest.coverage.queries.evidence import read
from kalshi_ingest.coverage.rules.evidence import Evidence
from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.backfills import Run, fetch, varied_world
from tests.support.patience import COMES

_BLOCKED = """
select pid from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0 and datname = current_database()
order by backend_start
"""


@asynccontextmanager
async def held_up(url: str) -> AsyncIterator[tuple["asyncio.Task[Evidence]", list[asyncpg.Record]]]:
    """A reading, and its two sessions, which wait for a table until the block ends."""
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("lock table markets, wx.minute_obs")
            reading = asyncio.create_task(read(url))
            while len(waiting := await fetch(url, _BLOCKED)) < 2:
                assert not reading.done()
            yield reading, waiting
    finally:
        await other.close()


@pytest.mark.parametrize("which", [0, 1], ids=["the leading session", "the other"])
async def test_the_evidence_is_whole_after_a_loss(which: int, database_url: str) -> None:
    """Both sessions wait for a table when one of them is ended."""
    async with Simulator(varied_world()) as simulator:
        await Run(simulator.url, database_url)()
    expected = await read(database_url)
    async with held_up(database_url) as (reading, waiting):
        await fetch(database_url, f"select pg_terminate_backend({waiting[which][0]})")
        while await fetch(database_url, _BLOCKED) == waiting:
            assert not reading.done()
    assert await reading == expected


async def test_a_database_that_takes_long_is_read_to_its_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than any other transaction may take: a huge one is not a lost one."""
    loop, usual = asyncio.get_running_loop(), 0.2
    monkeypatch.setitem(Database.run.__kwdefaults__ or {}, "longest", usual)
    async with held_up(database_url) as (reading, waiting):
        began = loop.time()
        while loop.time() < began + 2 * usual:
            assert await fetch(database_url, _BLOCKED) == waiting
    await reading


async def test_it_ends_with_its_patience(database_url: str) -> None:
    reading = asyncio.create_task(read(database_url, patience=0.2))
    async with asyncio.timeout(COMES):
        while not reading.done():
            await fetch(database_url, postgres.END_SESSIONS)
    with pytest.raises(DatabaseAway):
        await reading
