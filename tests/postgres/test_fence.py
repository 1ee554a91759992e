"""Whether the database still holds what a connection committed: known after every loss, and never kept quiet."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseWentBack
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from tests.support import postgres
from tests.support.backfills import fetch
from tests.support.dropping import cut_at_commits

_ROW = "select ctid, xmin, moved_at > now() - interval '1 minute' from commit_fences"


@asynccontextmanager
async def fenced(url: str) -> AsyncIterator[Database]:
    database = Database(url, patience=5)
    await database.open()
    await database.fence()
    try:
        yield database
    finally:
        await database.close()


async def one(connection: asyncpg.Connection) -> None:
    await connection.execute("insert into counted values (1)")


async def _pid(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("select pg_backend_pid()"))


async def _rows(url: str, table: str) -> int:
    return int((await fetch(url, f"select count(*) from {table}"))[0][0])


async def test_a_commit_whose_reply_was_lost_is_neither_repeated_nor_forgotten(database_url: str) -> None:
    await postgres.execute(database_url, "create table counted (one integer)")
    async with cut_at_commits(database_url, Random(1), 0.5) as (cut_url, wire), fenced(cut_url) as database:
        for _ in range(30):
            await database.run(one)
    assert wire.cut >= 10
    assert await _rows(database_url, "counted") == 30


async def test_the_result_of_a_commit_whose_reply_was_lost_is_that_of_its_work(database_url: str) -> None:
    calls: list[int] = []

    async def work(_: asyncpg.Connection) -> int:
        calls.append(1)
        return len(calls)

    async with cut_at_commits(database_url, Random(4), 0.7) as (cut_url, wire), fenced(cut_url) as database:
        for number in range(1, 10):
            assert await database.run(work) == number
    assert wire.cut >= 3


async def test_a_commit_that_was_cancelled_is_no_riddle_for_the_next(database_url: str) -> None:
    await postgres.execute(database_url, "create table counted (one integer)")
    random = Random(2)
    async with fenced(database_url) as database:
        for _ in range(30):
            running = asyncio.create_task(database.run(one))
            await asyncio.sleep(random.uniform(0, 0.004))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        before = await _rows(database_url, "counted")
        await database.run(one)
    assert await _rows(database_url, "counted") == before + 1


@pytest.mark.parametrize(
    "earlier",
    ["update commit_fences set commits = commits - 1", "delete from commit_fences"],
    ids=["older", "gone"],
)
async def test_a_database_that_went_back_says_so_until_all_is_begun_anew(earlier: str, database_url: str) -> None:
    await postgres.execute(database_url, "create table counted (one integer)")
    async with fenced(database_url) as database:
        await database.run(one)
        await postgres.execute(database_url, earlier)
        assert await postgres.end_sessions(database_url) == 1
        for _ in range(2):
            with pytest.raises(DatabaseWentBack, match="went back to an earlier state"):
                await database.run(one)
            with pytest.raises(DatabaseWentBack):
                await database.verify()
        assert await _rows(database_url, "counted") == 1
        await database.fence()
        await database.run(one)
        await database.verify()


async def test_a_connection_that_lives_is_held_to_its_row_too(database_url: str) -> None:
    async with fenced(database_url) as database:
        await postgres.execute(database_url, "delete from commit_fences")
        for _ in range(2):
            with pytest.raises(DatabaseWentBack):
                await database.verify()


async def test_a_check_writes_nothing_that_nobody_needs(database_url: str) -> None:
    """A service without work would otherwise have the disk synced all day long."""
    async with fenced(database_url) as database:
        await database.run(_pid)
        row = await fetch(database_url, _ROW)
        await database.verify()
        assert await fetch(database_url, _ROW) == row
        await postgres.execute(database_url, "update commit_fences set moved_at = now() - interval '6 days'")
        await database.verify()
        assert (await fetch(database_url, _ROW))[0][2]


async def test_a_check_does_not_rest_on_a_server_that_became_read_only(database_url: str) -> None:
    async with fenced(database_url) as database:
        before = await database.run(_pid)
        await database.alone(lambda connection: connection.execute("set default_transaction_read_only = on"))
        await database.verify()
        assert await database.run(_pid) != before


async def test_rows_are_deleted_at_the_end_and_those_of_killed_runs_a_week_later(database_url: str) -> None:
    await postgres.execute(
        database_url,
        "insert into commit_fences values (gen_random_uuid(), 3, now() - interval '8 days'),"
        " (gen_random_uuid(), 4, now() - interval '6 days')",
    )
    async with fenced(database_url):
        assert await _rows(database_url, "commit_fences") == 2
    rows = await fetch(database_url, "select commits from commit_fences")
    assert [row[0] for row in rows] == [4]


async def test_a_role_that_may_write_checkpoints_may_move_its_fence(empty_database_url: str, tmp_path: Path) -> None:
    """It was given its rights before the upgrade, by an owner who need not know of it."""
    for migration in migrations_dir().iterdir():
        if migration.name < "0006":
            shutil.copy(migration, tmp_path)
    role = f"fence_writer_{os.getpid()}"
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(f"create role {role} login")
    try:
        await migrate(connection, tmp_path)
        await connection.execute(f"grant select, insert, update, delete on all tables in schema public to {role}")
        await migrate(connection, migrations_dir())
        name = urlsplit(empty_database_url).path[1:]
        async with fenced(postgres.with_database(empty_database_url, name, role)) as database:
            await database.verify()
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.close()
