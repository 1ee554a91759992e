"""What goes wrong with a database, and what the user is told: never the password."""

import asyncio
import time
from random import Random
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseAway, IngestError, OutOfReach, SeriesTaken, Unusable
from kalshi_ingest.postgres.address import place_of
from kalshi_ingest.postgres.connecting import connected_in_time
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.locks import lock_key
from tests.support import postgres
from tests.support.dropping import cut_at_commits
from tests.support.patience import ENDS

SECRET = "s3cr3t"
_HELD = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"


async def _refusal(url: str, kind: type[Exception], patience: float = 0.3) -> str:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await Database(url).open(patience)
    assert time.monotonic() - began < ENDS
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_nobody_answers() -> None:
    with postgres.scratch_dir() as place:
        text = await _refusal(f"postgresql://me:{SECRET}@/d?host={place}", OutOfReach)
    assert "is out of reach" in text
    assert "127.0.0.1:1/d is out of reach" in await _refusal(f"postgresql://me:{SECRET}@127.0.0.1:1/d", OutOfReach)


async def test_it_waits_as_long_as_its_patience_and_no_longer() -> None:
    began = time.monotonic()
    await _refusal("postgresql://me@127.0.0.1:1/d", OutOfReach, patience=0.5)
    assert time.monotonic() - began > 0.2


async def test_a_database_or_user_that_does_not_exist(postgres_url: str) -> None:
    assert "nowhere" in await _refusal(postgres.with_database(postgres_url, "nowhere"), Unusable)
    assert "nobody" in await _refusal(postgres.with_database(postgres_url, "postgres", f"nobody:{SECRET}"), Unusable)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}/x@127.0.0.1:1/d",
        f"postgresql://me:12/{SECRET}@127.0.0.1:1/d",
        f"postgresql://me:{SECRET}@127.0.0.1:port/d",
        f"postgresql://me:{SECRET}@[::1/d",
        f"postgresql://me:{SECRET}@127.0.0.1:1/d?sslmode=perhaps",
        f"mysql://me:{SECRET}@127.0.0.1/d",
    ],
)
async def test_an_address_that_cannot_be_read(url: str) -> None:
    await _refusal(url, IngestError)


async def test_a_right_that_is_missing(database_url: str) -> None:
    await postgres.execute(database_url, "drop role if exists powerless")
    await postgres.execute(database_url, "create role powerless login")
    try:
        database = Database(postgres.with_database(database_url, urlsplit(database_url).path[1:], "powerless"))
        await database.open()
        with pytest.raises(Unusable, match="the database user lacks a right: permission denied for table trades"):
            await database.run(lambda connection: connection.fetch("select * from trades"))
        await database.close()
    finally:
        await postgres.execute(database_url, "drop role powerless")


async def test_a_schema_that_is_missing(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await database.open()
    with pytest.raises(Unusable, match="run `kalshi-ingest migrate`"):
        await database.run(lambda connection: connection.fetch("select * from trades"))
    await database.close()


async def test_a_database_that_breaks_off_every_attempt(database_url: str) -> None:
    database = Database(database_url, patience=0.5)
    await database.open()
    tries = 0

    async def work(connection: asyncpg.Connection) -> None:
        nonlocal tries
        tries += 1
        await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    began = time.monotonic()
    with pytest.raises(OutOfReach, match="drops every connection attempt"):
        await database.run(work)
    assert time.monotonic() - began < ENDS
    assert tries > 1
    await database.close()


async def test_a_lock_survives_a_lost_connection_and_ends_with_the_run(database_url: str) -> None:
    mine, other = Database(database_url), Database(database_url)
    await mine.open()
    await other.open()
    await mine.locks.take_series(["KXB", "KXA"])
    await postgres.execute(
        database_url,
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' "
        "and database = (select oid from pg_database where datname = current_database())",
    )
    assert await mine.run(lambda connection: connection.fetchval("select 1")) == 1
    with pytest.raises(SeriesTaken, match="another run is working on KXB in this database"):
        await other.locks.take_series(["KXC", "KXB"])
    await mine.close()
    await other.locks.take_series(["KXA", "KXB"])
    await other.close()


async def test_a_lock_that_was_taken_is_held(database_url: str) -> None:
    """Also by a run that is fenced, and that cannot know whether the server has done what it asked for."""
    names = [f"KX{number}" for number in range(10)]
    async with cut_at_commits(database_url, Random(2), 0.5) as (url, _):
        database = Database(url, patience=5)
        await database.open()
        await database.fence()
        await database.locks.take_series(names)
        assert await database.alone(lambda connection: connection.fetchval(_HELD)) == len(names)
        await database.close()


async def test_a_lock_taken_twice_is_given_back_at_once(database_url: str) -> None:
    """A job that begins again takes its locks again."""
    database = Database(database_url)
    await database.open()
    try:
        for _ in range(2):
            await database.locks.take_series(["KXA", "KXB"])
        await database.locks.release(["KXA"])
        assert await database.alone(lambda connection: connection.fetchval(_HELD)) == 1
    finally:
        await database.close()


async def test_a_lock_is_waited_for_once_within_the_patience(database_url: str) -> None:
    """The server waits as long as the patience before it refuses: a second attempt would double it."""
    database, other = Database(database_url, patience=0.2), await asyncpg.connect(database_url)
    await database.open()
    attempts = []

    async def work(connection: asyncpg.Connection) -> None:
        attempts.append(1)
        await connection.execute("select from markets")

    try:
        async with other.transaction():
            await other.execute("lock table markets")
            with pytest.raises(DatabaseAway, match="run again when that has ended, nothing is lost"):
                await database.run(work)
    finally:
        await other.close()
        await database.close()
    assert attempts == [1]


async def test_a_failure_that_leaves_the_connection_alive_is_not_a_loss(database_url: str) -> None:
    """Such as that of a file: it is raised as it is, at once, and the session stays."""
    database = Database(database_url, patience=0.2)
    await database.open()
    attempts = []

    async def work(connection: asyncpg.Connection) -> None:
        attempts.append(connection.get_server_pid())
        raise OSError("no space left on device")

    try:
        with pytest.raises(OSError, match="no space left"):
            await database.run(work)
        pid = await database.run(lambda connection: connection.fetchval("select pg_backend_pid()"))
    finally:
        await database.close()
    assert attempts == [pid]


async def test_a_session_without_its_locks_is_not_used(database_url: str) -> None:
    mine, other = Database(database_url, patience=0.2), Database(database_url)
    await mine.open()
    await other.open()
    try:
        await mine.locks.take_series(["KXA", "KXB"])
        await postgres.end_sessions(database_url)
        await other.locks.take_series(["KXB"])
        for _ in range(2):
            with pytest.raises(DatabaseAway, match="another program now works on KXB"):
                await mine.run(lambda connection: connection.fetchval("select 1"))
        await other.locks.take_series(["KXA"])
    finally:
        await other.close()
        await mine.close()


async def test_a_cancelled_statement_stays_cancelled_when_the_connection_goes(database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    calls = []

    async def work(connection: asyncpg.Connection) -> None:
        calls.append(1)
        try:
            await asyncio.sleep(30)
        finally:
            connection.terminate()

    task = asyncio.create_task(database.run(work))
    while not calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == [1]
    await database.close()


@pytest.mark.parametrize("method", ["run", "repeat"])
async def test_work_under_way_at_a_close_does_not_connect_again(method: str, database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    begun = asyncio.Event()

    async def work(connection: asyncpg.Connection) -> None:
        begun.set()
        await connection.execute("select pg_sleep(60)")

    working = asyncio.create_task(getattr(database, method)(work))
    await begun.wait()
    await database.close()
    with pytest.raises(DatabaseAway):
        await working
    assert not database.connected


async def test_a_connection_that_was_opened_during_a_close_is_not_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    await database.open()
    await postgres.end_sessions(database_url)
    opened: list[asyncpg.Connection] = []

    async def connected_late(*arguments: Any, **options: Any) -> tuple[asyncpg.Connection, str]:
        connection, name = await connected_in_time(*arguments, **options)
        opened.append(connection)
        await database.close()
        return connection, name

    monkeypatch.setattr("kalshi_ingest.postgres.session.connected_in_time", connected_late)
    with pytest.raises(DatabaseAway):
        await database.run(lambda connection: connection.fetchval("select 1"))
    (connection,) = opened
    assert connection.is_closed()


async def test_a_close_that_is_cancelled_ends_the_session_all_the_same(database_url: str) -> None:
    async def itself(connection: asyncpg.Connection) -> asyncpg.Connection:
        return connection

    database = Database(database_url)
    await database.open()
    await database.fence()
    connection = await database.alone(itself)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("lock table commit_fences in access exclusive mode")  # the close deletes its row there
        closing = asyncio.create_task(database.close())
        while not await other.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert connection.is_closed()
    await other.close()


def test_lock_keys_are_signed_and_apart() -> None:
    keys = {lock_key(f"KXHIGH{number}") for number in range(1_000)}
    assert len(keys) == 1_000
    assert all(-(2**31) <= key < 2**31 for key in keys)


async def test_a_schema_of_the_users_own_is_not_in_the_way(empty_database_url: str) -> None:
    await postgres.execute(empty_database_url, "create schema authorization postgres")
    database = Database(empty_database_url)
    await database.open()
    try:
        await database.alone(lambda connection: connection.execute("create table made_here ()"))
        found = await database.alone(lambda connection: connection.fetchval("select to_regclass('public.made_here')"))
        assert found is not None
    finally:
        await database.close()


async def test_a_server_that_falls_silent_is_not_waited_for_for_ever(database_url: str) -> None:
    async def silent(connection: asyncpg.Connection) -> str:
        return await connection.execute("select pg_sleep(600)")

    database = Database(database_url, patience=0.2)
    await database.open()
    try:
        with pytest.raises(OutOfReach, match="drops every connection attempt"):
            await asyncio.wait_for(database.run(silent, longest=0.3), ENDS)
    finally:
        await database.close()


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_the_victim_of_a_deadlock_tries_again(error: type[asyncpg.PostgresError], database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    calls = []

    async def work(connection: asyncpg.Connection) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise error("deadlock detected")
        return int(await connection.fetchval("select 42"))

    try:
        assert await database.run(work) == 42
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@a:5432,b:5432/kalshi?target_session_attrs=read-write", "a:5432,b:5432/kalshi"),
        ("postgresql://u:p@one,two/kalshi", "one,two/kalshi"),
        ("postgresql://u:p@q@[::1]:5432/kalshi", "[::1]:5432/kalshi"),
        ("postgresql:///kalshi?host=10.0.0.5", "10.0.0.5/kalshi"),
        ("postgresql://u@/kalshi?host=a,b&port=1,2", "a:1,b:2/kalshi"),
        ("postgresql://u@/kalshi?host=a,b&port=1", "a:1,b:1/kalshi"),
        ("postgresql://u@/kalshi?host=/run/postgresql&port=5432", "a local socket/kalshi"),
        ("postgresql://%2Frun%2Fpostgresql/kalshi", "a local socket/kalshi"),
        ("postgresql:///kalshi", "a local socket/kalshi"),
    ],
)
def test_all_places_are_named(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:1/2@h/d",
        "postgresql://u:1?2@h/d",
        "postgresql://u:1?2=3@h/d",
        "postgresql://u:1#2@h/d",
        "postgresql://u:secret",
        "postgresql://u:65536,b",
    ],
)
def test_half_a_password_is_no_place(url: str) -> None:
    assert place_of(url) == "an unreadable address"
