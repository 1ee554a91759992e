"""The migration runner on real databases: what it applies, and everything it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.migrate import LOCK_KEY, migrate, migrations_dir, require_current
from tests.support import postgres

ONE = "CREATE TABLE one (id int); INSERT INTO one VALUES (1);"
TWO = "CREATE TABLE two (id int);"


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(empty_database_url)
    yield opened
    await opened.close()


def folder(path: Path, **files: str) -> Path:
    """A migrations folder; `_0001_one="..."` becomes 0001_one.sql."""
    path.mkdir(exist_ok=True)
    for name, sql in files.items():
        (path / f"{name.removeprefix('_')}.sql").write_text(sql)
    return path / ""


async def tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows]


async def test_applies_in_order_and_only_once(connection: asyncpg.Connection, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_one=ONE)
    assert await migrate(connection, files) == ["0001_one.sql"]
    folder(files, _0002_two=TWO)
    assert await migrate(connection, files) == ["0002_two.sql"]
    assert await migrate(connection, files) == []
    assert await tables(connection) == ["one", "schema_migrations", "two"]
    rows = await connection.fetch("SELECT version, name, length(checksum) AS size FROM schema_migrations")
    assert [tuple(row) for row in rows] == [(1, "0001_one.sql", 64), (2, "0002_two.sql", 64)]
    await require_current(connection, files)


async def test_an_empty_folder_is_a_schema_of_nothing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await require_current(connection, tmp_path)
    assert await migrate(connection, tmp_path) == []
    await require_current(connection, tmp_path)


async def test_require_current_names_what_is_missing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_one=ONE)
    with pytest.raises(Unusable, match=r"lacks 0001_one.sql: run `kalshi-ingest migrate`"):
        await require_current(connection, files)
    await migrate(connection, files)
    folder(files, _0002_two=TWO)
    with pytest.raises(Unusable, match=r"lacks 0002_two.sql: run"):
        await require_current(connection, files)


async def test_an_applied_file_must_not_change(connection: asyncpg.Connection, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_one=ONE)
    await migrate(connection, files)
    folder(files, _0001_one=ONE + " ", _0002_two=TWO)
    for call in (migrate, require_current):
        with pytest.raises(Unusable, match=r"0001_one.sql was changed after"):
            await call(connection, files)
    assert "two" not in await tables(connection)


async def test_a_newer_schema_is_left_alone(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await migrate(connection, folder(tmp_path / "new", _0001_one=ONE, _0002_two=TWO))
    old = folder(tmp_path / "old", _0001_one=ONE)
    for call in (migrate, require_current):
        with pytest.raises(Unusable, match=r"schema is newer than this program: upgrade kalshi-ingest"):
            await call(connection, old)


async def test_a_row_removed_by_hand_is_noticed(connection: asyncpg.Connection, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_one=ONE, _0002_two=TWO)
    await migrate(connection, files)
    await connection.execute("DELETE FROM schema_migrations WHERE version = 1")
    with pytest.raises(Unusable, match=r"has 0002_two.sql but no number 0001"):
        await migrate(connection, files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"_0001_one": ONE, "_0003_two": TWO}, "number 0002 is missing before 0003_two.sql"),
        ({"_0002_two": TWO}, "number 0001 is missing"),
        ({"_0000_one": ONE}, "number 0001 is missing"),
        ({"_0001_one": ONE, "_0001_two": TWO}, "0001_one.sql and 0001_two.sql have the same number"),
        ({"_1_one": ONE}, "a migration is called NNNN_name.sql"),
        ({"_0001_one": "BEGIN;\nCREATE TABLE one (id int);\nCOMMIT;"}, "must not begin or end a transaction"),
    ],
)
async def test_files_that_cannot_be_a_history(
    connection: asyncpg.Connection, tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(Unusable, match=message):
        await migrate(connection, folder(tmp_path / "m", **files))
    assert await tables(connection) == []


async def test_no_folder(connection: asyncpg.Connection, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"no migrations found: .*absent"):
        await migrate(connection, tmp_path / "absent")


async def test_a_failing_file_leaves_nothing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    wrong = "CREATE TABLE two (id int);\nINSERT INTO two VALUES (1);\nINSERT INTO absent VALUES (1);\n"
    files = folder(tmp_path / "m", _0001_one=ONE, _0002_wrong=wrong, _0003_three="SELECT 1")
    with pytest.raises(Unusable, match=r'0002_wrong.sql, line 3 failed, and nothing .*"absent" does not exist'):
        await migrate(connection, files)
    assert await tables(connection) == ["one", "schema_migrations"]
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == 1
    folder(files, _0002_wrong=TWO)
    assert await migrate(connection, files) == ["0002_wrong.sql", "0003_three.sql"]


async def test_two_at_once(empty_database_url: str, tmp_path: Path) -> None:
    files = folder(tmp_path / "m", _0001_one=ONE, _0002_slow="SELECT pg_sleep(0.3)", _0003_two=TWO)
    names = ["0001_one.sql", "0002_slow.sql", "0003_two.sql"]

    async def run() -> list[str]:
        connection = await asyncpg.connect(empty_database_url)
        try:
            await connection.execute("SET statement_timeout = 100; SET lock_timeout = 100")
            applied = await migrate(connection, files)
            assert await connection.fetchval("SHOW statement_timeout") == "100ms"
            assert await connection.fetchval("SHOW lock_timeout") == "100ms"
            return applied
        finally:
            await connection.close()

    assert sorted(await asyncio.gather(run(), run())) == [[], names]


async def test_waits_for_the_documented_lock(
    connection: asyncpg.Connection, empty_database_url: str, tmp_path: Path
) -> None:
    holder = await asyncpg.connect(empty_database_url)
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    waiting = asyncio.create_task(migrate(connection, folder(tmp_path / "m", _0001_one=ONE)))
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while await holder.fetchval(waits) == 0:
        await asyncio.sleep(0.01)
    assert await tables(holder) == []
    await holder.close()
    assert await waiting == ["0001_one.sql"]
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_cancelling_leaves_the_lock_free_and_nothing_half_done(
    connection: asyncpg.Connection, empty_database_url: str, tmp_path: Path
) -> None:
    files = folder(tmp_path / "m", _0001_slow=f"{ONE} SELECT pg_sleep(60)")
    other = await asyncpg.connect(empty_database_url)
    running = asyncio.create_task(migrate(connection, files))
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    while await other.fetchval(sleeps) == 0:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    folder(files, _0001_slow=ONE)
    assert await migrate(other, files) == ["0001_slow.sql"]
    await other.close()


async def test_a_migration_under_which_the_session_ends_is_done_again(empty_database_url: str, tmp_path: Path) -> None:
    await postgres.execute(empty_database_url, "CREATE SEQUENCE tries")
    ends_twice = "SELECT pg_terminate_backend(pg_backend_pid()) WHERE nextval('tries') < 3"
    files = folder(tmp_path / "m", _0001_one=ONE, _0002_two=f"CREATE TABLE two (); {ends_twice}")
    database = Database(empty_database_url)
    await database.open()
    try:
        assert await database.repeat(lambda connection: migrate(connection, files)) == ["0002_two.sql"]
        await database.repeat(lambda connection: require_current(connection, files))
    finally:
        await database.close()


async def test_missing_rights_are_named(postgres_url: str, empty_database_url: str, tmp_path: Path) -> None:
    name = empty_database_url.partition("?")[0].rpartition("/")[2]
    user = f"reader_{name}"
    await postgres.execute(postgres_url, f"CREATE ROLE {user} LOGIN")
    weak = await asyncpg.connect(postgres.with_database(empty_database_url, name, user))
    try:
        files = folder(tmp_path / "m", _0001_one="CREATE SCHEMA extra")
        with pytest.raises(Unusable) as told:
            await migrate(weak, files)
        grants = (f"GRANT CREATE ON DATABASE {name} TO {user}", f"GRANT USAGE, CREATE ON SCHEMA public TO {user}")
        assert "lacks 2 rights" in str(told.value)
        for grant in grants:
            assert grant in str(told.value)
            await postgres.execute(empty_database_url, grant)
        assert await migrate(weak, files) == ["0001_one.sql"]
        await postgres.execute(empty_database_url, f"REVOKE ALL ON schema_migrations FROM {user}")
        with pytest.raises(Unusable, match="denied for table schema_migrations"):
            await require_current(weak, files)
    finally:
        await weak.close()
        await postgres.execute(empty_database_url, f"DROP OWNED BY {user}")
        await postgres.execute(postgres_url, f"DROP ROLE {user}")


async def test_every_postgres_at_hand(any_postgres: str, tmp_path: Path) -> None:
    async with postgres.fresh_database(any_postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            files = folder(tmp_path / "m", _0001_one=ONE, _0002_two=TWO)
            assert await migrate(connection, files) == ["0001_one.sql", "0002_two.sql"]
            assert await migrate(connection, files) == []
            await require_current(connection, files)
        finally:
            await connection.close()


async def test_the_real_schema_on_every_postgres_at_hand(any_postgres: str) -> None:
    async with postgres.fresh_database(any_postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            applied = await migrate(connection, migrations_dir())
            assert applied == sorted(path.name for path in migrations_dir().glob("*.sql"))
            await require_current(connection, migrations_dir())
        finally:
            await connection.close()


async def test_the_template_is_current(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await require_current(connection, migrations_dir())
    finally:
        await connection.close()
