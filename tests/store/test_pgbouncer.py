"""A pooler between the program and the server: a real PgBouncer with the settings it comes with."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.simulator import Simulator
from kalshi_ingest.store.accounts import account_for
from kalshi_ingest.store.database import Database
from tests import postgres
from tests.jobs.harness import Run, assert_holds_all, fetch, varied_world
from tests.store.test_sessions import setting

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def pooler(url: str, mode: str) -> AsyncIterator[str]:
    """The address of a PgBouncer before the server, for a `with` block."""
    parts, port = urlsplit(url), _free_port()
    folder = Path(parse_qs(parts.query)["host"][0])
    account = account_for(folder)  # the server's socket is for its own account alone
    with postgres.scratch_dir() as place:
        settings = place / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={folder} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
        )
        settings.chmod(0o644)
        assert PROGRAM is not None
        log = place / "pgbouncer.log"
        with log.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                PROGRAM, str(settings), user=account.uid if os.geteuid() == 0 else None, stdout=said, stderr=said
            )
        try:
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
            else:
                pytest.fail(f"PgBouncer ended with {process.returncode}: {log.read_text()}")
            yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def test_in_session_mode_it_works_as_it_comes(database_url: str) -> None:
    """It refuses most parameters at the start of a session: settings are statements."""
    world = varied_world()
    async with Simulator(world) as simulator, pooler(database_url, "session") as url:
        await Run(simulator.url, url)()
        database = Database(url)
        await database.open()
        for name, value in {"jit": "off", "synchronous_commit": "on", "search_path": "public"}.items():
            assert await setting(database, name) == value
        await database.close()
    await assert_holds_all(database_url, world)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_in_other_modes_it_is_refused(mode: str, database_url: str) -> None:
    async with pooler(database_url, mode) as url:
        for _ in range(3):
            with pytest.raises(DatabaseUnusable, match=r"is a pooler in transaction mode, .* use the direct address"):
                await Database(url).open()
    locks = "select count(*) from pg_locks where locktype = 'advisory'"
    assert (await fetch(database_url, locks))[0][0] == 0


async def test_in_transaction_mode_it_is_refused_while_others_use_it(database_url: str) -> None:
    async with pooler(database_url, "transaction") as url:
        others = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(3)]
        busy = [asyncio.create_task(_use(each)) for each in others]
        try:
            for _ in range(3):
                with pytest.raises(DatabaseUnusable, match="is a pooler in transaction mode"):
                    await Database(url).open()
        finally:
            for each in busy:
                each.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
            for other in others:
                other.terminate()


async def _use(connection: asyncpg.Connection) -> None:
    while True:
        await connection.execute("select pg_sleep(0.005)")
        await asyncio.sleep(0.002)
