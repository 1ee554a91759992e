"""Sessions whose client is gone without a goodbye: they do not stand in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import SeriesTaken
from kalshi_ingest.postgres.connecting import DEAD_AFTER
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.locks import Holder
from tests.support import postgres
from tests.support.backfills import fetch


@dataclass
class Network:
    """Carries connections, until it loses those there are: neither end hears of it. New ones work."""

    _carriers: list["asyncio.Task[None]"] = field(default_factory=list)
    _ends: list[asyncio.StreamWriter] = field(default_factory=list)

    def lose_all(self) -> None:
        for each in self._carriers:
            each.cancel()

    def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        async def forward() -> None:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
            sink.close()

        self._ends.append(sink)
        self._carriers.append(asyncio.create_task(forward()))

    async def end(self) -> None:
        self.lose_all()
        await asyncio.gather(*self._carriers, return_exceptions=True)
        for sink in self._ends:
            sink.transport.abort()


@asynccontextmanager
async def network(url: str) -> AsyncIterator[tuple[str, Network]]:
    """The URL of the same database over a network that can lose connections."""
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    carrying = Network()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(folder / ".s.PGSQL.5432"))
        carrying.carry(reader, to_server)
        carrying.carry(from_server, writer)

    with postgres.scratch_dir() as place:
        server = await asyncio.start_unix_server(connected, str(place / ".s.PGSQL.5432"))
        async with server:
            try:
                yield url.replace(str(folder), str(place)), carrying
            finally:
                await carrying.end()


_OURS = (
    "select pid from pg_stat_activity where application_name like 'kalshi_ingest %' and datname = current_database()"
)


async def _pid(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("select pg_backend_pid()"))


async def test_its_own_dead_session_is_ended_with_its_locks(database_url: str) -> None:
    async with network(database_url) as (url, wire):
        database = Database(url, patience=20)
        await database.open()
        await database.locks.take_series(["KXA"])
        dead = await database.run(_pid)
        wire.lose_all()
        alive = await database.run(_pid, longest=0.2)
        assert alive != dead
        assert [row[0] for row in await fetch(database_url, _OURS)] == [alive]
        await database.close()


@pytest.mark.parametrize("how", ["abort", "cancel", "close"])
async def test_a_session_given_up_in_any_way_leaves_no_lock_to_the_next(how: str, database_url: str) -> None:
    """In the middle of a transaction that has locked rows, too."""
    await postgres.execute(database_url, "create table kept as select 1 as number")
    async with network(database_url) as (url, wire):
        first, began = Database(url, patience=20), asyncio.Event()
        await first.open()
        await first.locks.take_series(["KXA"])

        async def hang(connection: asyncpg.Connection) -> None:
            await connection.execute("update kept set number = 2")
            wire.lose_all()
            began.set()
            await connection.execute("select 1")

        hanging = asyncio.create_task(first.run(hang))
        await began.wait()
        if how == "abort":
            first.abort()
        elif how == "cancel":
            hanging.cancel()
        else:
            await first.close()
            hanging.cancel()
        await asyncio.wait([hanging])
        second = Database(url, patience=20)
        await second.open()
        await second.locks.take_series(["KXA"])
        await second.run(lambda connection: connection.execute("update kept set number = 3"))
        await second.close()
        await first.close()


async def test_the_session_of_another_run_is_left_alone(database_url: str) -> None:
    async with network(database_url) as (url, wire):
        other, database = Database(database_url), Database(url, patience=20)
        await other.open()
        await database.open()
        await other.locks.take_series(["KXA"])
        pid = await other.run(_pid)
        wire.lose_all()
        await database.run(_pid, longest=0.2)
        with pytest.raises(SeriesTaken, match=rf"working on KXA in this database \(process {pid} \(kalshi_ingest "):
            await database.locks.take_series(["KXA"])
        assert pid == await other.run(_pid)
        await database.close()
        await other.close()


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [(None, False), (0.5, False), (5.0, True), (DEAD_AFTER, True), (DEAD_AFTER + 11, False)],
)
def test_a_holder_that_may_be_dead(quiet: float | None, expected: bool) -> None:
    """One that has just done something lives, and so does one that the server has asked meanwhile."""
    assert Holder("process 1", quiet).may_be_dead is expected
