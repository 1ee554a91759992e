"""A database that cannot do its work at present is waited for; a fault of the program is not."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.postgres.database import Database
from tests.postgres.test_sessions import opened
from tests.support import postgres

_READ_ONLY = "alter database {name} set default_transaction_read_only = {value}"


async def _read_only(url: str, value: str) -> None:
    """As a standby is, and a server that was one until a moment ago."""
    name = urlsplit(url).path[1:]
    await postgres.execute(postgres.with_database(url, "postgres"), _READ_ONLY.format(name=name, value=value))


async def _write(connection: asyncpg.Connection) -> str:
    return await connection.execute("create table kept ()")


async def test_a_read_only_database_is_waited_for(database_url: str) -> None:
    await _read_only(database_url, "on")
    async with opened(database_url, patience=30) as database:
        writing = asyncio.create_task(database.run(_write))
        done, _ = await asyncio.wait([writing], timeout=0.3)
        assert not done
        await _read_only(database_url, "off")
        assert await writing == "CREATE TABLE"


async def test_a_database_that_stays_read_only(database_url: str) -> None:
    await _read_only(database_url, "on")
    async with opened(database_url, patience=0.3) as database:
        with pytest.raises(
            DatabaseAway, match=r"the database is read-only .* point KALSHI_INGEST_DATABASE_URL at the pri"
        ):
            await database.run(_write)


async def test_the_schema_is_brought_up_to_date_through_a_loss(empty_database_url: str) -> None:
    await _read_only(empty_database_url, "on")
    bringing = asyncio.create_task(migrate_schema(empty_database_url))
    done, _ = await asyncio.wait([bringing], timeout=0.3)
    assert not done
    await _read_only(empty_database_url, "off")
    assert "0001_market_data.sql" in await bringing


async def test_a_server_that_answers_is_waited_for_longer_than_one_that_is_silent(database_url: str) -> None:
    """As in recovery, or here without a connection free: whoever says so is there and will have one."""
    name = urlsplit(database_url).path[1:]
    user = f"one_of_{name}"
    await postgres.execute(database_url, f"create role {user} login connection limit 1")
    try:
        url = postgres.with_database(database_url, name, user)
        only = await asyncpg.connect(url)
        opening = asyncio.create_task(_open_and_close(Database(url, patience=30), patience=0.1))
        done, _ = await asyncio.wait([opening], timeout=0.6)
        assert not done
        await only.close()
        await opening
    finally:
        await postgres.execute(database_url, f"drop role {user}")


async def _open_and_close(database: Database, patience: float) -> None:
    await database.open(patience)
    await database.close()


async def test_a_newer_schema_is_seen_at_the_next_loss(database_url: str) -> None:
    database = await open_database(database_url)
    try:
        await postgres.execute(
            database_url,
            "insert into schema_migrations select max(version) + 1, '9999_newer.sql', 'x' from schema_migrations",
        )
        assert await database.run(lambda connection: connection.fetchval("select 1")) == 1
        assert await postgres.end_sessions(database_url) == 1
        for _ in range(2):
            with pytest.raises(DatabaseUnusable, match=r"schema is newer than this program: upgrade .*9999_newer\.sql"):
                await database.run(lambda connection: connection.fetchval("select 1"))
            assert not database.connected
    finally:
        await database.close()


def _a_file_that_is_not_there() -> bytes:
    return Path("/nowhere/file").read_bytes()


_FAULTS: dict[type[Exception], Any] = {
    asyncpg.PostgresSyntaxError: lambda connection: connection.fetch("selec 1"),
    asyncpg.UndefinedFunctionError: lambda connection: connection.fetch("select no_such_function()"),
    asyncpg.InterfaceError: lambda connection: connection.fetch("select $1::int"),
    AttributeError: lambda connection: connection.no_such_method(),
    FileNotFoundError: lambda connection: asyncio.to_thread(_a_file_that_is_not_there),
}


@pytest.mark.parametrize("kind", list(_FAULTS))
async def test_a_fault_of_the_program_is_no_outage(kind: type[Exception], database_url: str) -> None:
    calls = []

    async def work(connection: asyncpg.Connection) -> object:
        calls.append(1)
        return await _FAULTS[kind](connection)

    async with opened(database_url, patience=30) as database:
        with pytest.raises(kind):
            await database.run(work)
        with pytest.raises(kind):
            await database.alone(work)
        assert len(calls) == 2, "it was done again"
        assert await database.run(lambda connection: connection.fetchval("select 1")) == 1
