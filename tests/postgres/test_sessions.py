"""How a session is set up, and what is said about an address or a database that cannot be used."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from kalshi_ingest.postgres.connecting import LOCK_SECONDS
from kalshi_ingest.postgres.database import Database
from tests.follow.test_black_hole import wire_to
from tests.support import postgres

_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")


@asynccontextmanager
async def opened(url: str, patience: float = 5.0) -> AsyncIterator[Database]:
    database = Database(url, patience=patience)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def role(url: str, *settings: str) -> AsyncIterator[str]:
    """The address with a role of its own, which has these settings."""
    name = urlsplit(url).path[1:]
    user = f"limited_{name}"
    await postgres.execute(url, f"create role {user} login superuser")
    try:
        for setting in settings:
            await postgres.execute(url, f"alter role {user} set {setting}")
        yield postgres.with_database(url, name, user)
    finally:
        await postgres.execute(url, f"reassign owned by {user} to postgres; drop owned by {user}; drop role {user}")


async def _slowly(connection: asyncpg.Connection) -> int:
    """Longer than any limit of the role: a statement, a pause within the transaction, another statement."""
    await connection.execute("select pg_sleep(0.15)")
    await asyncio.sleep(0.15)
    return int(await connection.fetchval("select 42"))


async def test_limits_of_the_role_do_not_cut_the_work(database_url: str) -> None:
    async with (
        role(database_url, *(f"{name} = '50ms'" for name in (*_LIMITS, "transaction_timeout"))) as url,
        opened(url) as database,
    ):
        pid = await database.run(lambda connection: connection.fetchval("select pg_backend_pid()"))
        assert await database.run(_slowly) == 42
        await asyncio.sleep(0.15)
        assert await database.run(_slowly) == 42
        assert pid == await database.run(lambda connection: connection.fetchval("select pg_backend_pid()"))


async def test_what_every_session_asks_of_the_server(database_url: str) -> None:
    asked = {
        "jit": "off",
        "synchronous_commit": "on",
        "search_path": "public",
        "TimeZone": "UTC",
        "lock_timeout": "5s",
        "statement_timeout": "0",
    }
    async with opened(database_url) as database:
        for name, value in asked.items():
            assert await setting(database, name) == value, name
        assert (await setting(database, "application_name")).startswith("kalshi_ingest ")


async def setting(database: Database, name: str) -> str:
    async def read(connection: asyncpg.Connection) -> str:
        return str(await connection.fetchval("select current_setting($1)", name))

    return await database.alone(read)


async def test_either_side_notices_that_the_other_has_vanished(database_url: str) -> None:
    """The server is asked to, which a Unix socket heeds in silence; of the network it is a long test that tells."""
    asked = "select array_agg(name order by name) from pg_settings where source = 'session' and name like 'tcp%'"
    async with wire_to(database_url) as wire, opened(wire.url) as database:
        expected = ["tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_user_timeout"]
        assert await database.alone(lambda connection: connection.fetchval(asked)) == expected

        async def of_the_client(connection: asyncpg.Connection) -> list[int]:
            transport = getattr(connection, "_transport", None)
            assert transport is not None
            own = transport.get_extra_info("socket")
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            on = own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            return [on, *(own.getsockopt(socket.IPPROTO_TCP, getattr(socket, each)) for each in names)]

        *keepalive, unacknowledged = await database.alone(of_the_client)
        assert keepalive == [1, 10, 5, 3]
        assert unacknowledged > LOCK_SECONDS * 1000, "a server that waits for a lock takes no rows meanwhile"


async def test_a_table_that_is_locked_is_waited_for(database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    async with opened(database_url) as database:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("lock table trades")
        writing = asyncio.create_task(database.run(lambda connection: connection.execute("delete from trades")))
        while not await other.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        await transaction.rollback()
        assert await writing == "DELETE 0"
    await other.close()


async def test_who_locks_a_table_is_said(database_url: str) -> None:
    other = await asyncpg.connect(database_url, server_settings={"application_name": "somebody's psql"})
    pid = other.get_server_pid()
    async with opened(database_url, patience=0.3) as database, other.transaction():
        await other.execute("lock table trades")
        expected = rf"the table trades is locked by process {pid} \(somebody's psql, user postgres, since 20.* UTC\)"
        with pytest.raises(DatabaseAway, match=expected):
            await database.run(lambda connection: connection.execute("delete from trades"))
    await other.close()


async def test_who_locks_a_row_is_said(database_url: str) -> None:
    await postgres.execute(database_url, "create table kept as select 1 as number")
    other = await asyncpg.connect(database_url, server_settings={"application_name": "somebody's psql"})
    async with opened(database_url, patience=0.3) as database, other.transaction():
        await other.execute("update kept set number = 2")
        with pytest.raises(DatabaseAway, match=r"the table kept is locked by process \d+ \(somebody's psql"):
            await database.run(lambda connection: connection.execute("update kept set number = 3"))
    await other.close()


async def test_a_database_of_another_encoding(postgres_url: str) -> None:
    name = f"latin_{os.getpid()}"
    await postgres.execute(postgres_url, f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        with pytest.raises(DatabaseUnusable, match=f"the database at .*{name} must be UTF8, not LATIN1"):
            await Database(postgres.with_database(postgres_url, name)).open()
    finally:
        await postgres.execute(postgres_url, f"drop database {name} with (force)")


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:99999/d", "postgresql://me@/d?host=127.0.0.1&port=99999"])
async def test_a_port_that_does_not_exist(url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="names a port that does not exist: 1 to 65535"):
        await Database(url).open()


async def test_a_certificate_file_that_is_not_there() -> None:
    with pytest.raises(DatabaseUnusable, match="No such file"):
        await Database("postgresql://me@127.0.0.1:1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem").open()


_WITHOUT_A_NAME = """
import os, sys
from kalshi_ingest import cli
import kalshi_ingest.cli.database, kalshi_ingest.cli.status, kalshi_ingest.cli.app
os.setgroups([])
os.setgid(0)
os.setuid(1000660000)
sys.exit(cli.main(["status", "--database-url", "postgresql://127.0.0.1:1/base"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be an account without a name")
def test_an_account_without_a_name_and_an_address_without_a_user() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_A_NAME],
        cwd="/",  # any account may enter it, unlike the repository
        capture_output=True,
        text=True,
        env={},
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "names no user, and this account (number 1000660000) has no name" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
