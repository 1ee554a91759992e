"""Sessions that end while `coverage` reads: the snapshot is read again from its beginning."""

import asyncio

import pytest

from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.simulator import Simulator
from kalshi_ingest.store.evidence import read
from tests.jobs.harness import Run, fetch, varied_world

_END_ONE = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name like 'kalshi_ingest %' and datname = current_database() and state <> 'idle' limit 1
"""


async def test_the_evidence_is_whole_after_a_loss(database_url: str) -> None:
    async with Simulator(varied_world()) as simulator:
        await Run(simulator.url, database_url)()
    expected = await read(database_url)
    reading, ended = asyncio.create_task(read(database_url)), 0
    while ended < 2 and not reading.done():
        ended += len(await fetch(database_url, _END_ONE))
    assert ended
    assert await reading == expected


async def test_it_ends_with_its_patience(database_url: str) -> None:
    reading = asyncio.create_task(read(database_url, patience=0.2))

    async def end_all() -> None:
        while not reading.done():
            await fetch(database_url, _END_ONE.replace("and state <> 'idle' limit 1", ""))

    async with asyncio.timeout(30):
        with pytest.raises(DatabaseAway):
            await asyncio.gather(reading, end_all())
