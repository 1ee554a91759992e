"""Work that is cancelled in the middle of a transaction leaves nothing behind that the next work could fall into."""

import asyncio

import asyncpg
import pytest

from kalshi_ingest.postgres.database import Database
from tests.support.backfills import fetch


@pytest.mark.parametrize("turns", range(1, 12))
async def test_what_follows_a_cancelled_transaction_is_committed(turns: int, database_url: str) -> None:
    """asyncpg takes a transaction whose BEGIN was cancelled for one that goes on, and what follows for a part of it."""
    await fetch(database_url, "create table kept (number int)")
    database = Database(database_url)
    await database.open()

    async def first(connection: asyncpg.Connection) -> None:
        await connection.execute("insert into kept values (1)")

    async def second(connection: asyncpg.Connection) -> None:
        await connection.execute("insert into kept values (2)")

    working = asyncio.ensure_future(database.run(first))
    for _ in range(turns):
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    await database.run(second)
    await database.close()
    kept = {row[0] for row in await fetch(database_url, "select number from kept")}
    assert 2 in kept
    assert working.cancelled() or 1 in kept
