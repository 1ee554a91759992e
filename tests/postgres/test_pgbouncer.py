"""A pooler between the program and the server: a real PgBouncer with the settings it comes with."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from kalshi_ingest.postgres import connecting
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.embedded.accounts import account_for
from kalshi_simulator import Simulator, SyntheticWorld
from tests.cli.test_cli import NOWHERE, one_line, run
from tests.postgres.test_sessions import setting
from tests.support import postgres, programs, tour
from tests.support.backfills import Run, assert_holds_all, fetch, varied_world

PROGRAM = programs.find("pgbouncer")
# PgBouncer sets the name of the application itself.
_STATE = """
select name, setting from pg_settings where source = 'session' and name <> 'application_name'
union all select 'prepared', statement from pg_prepared_statements where statement not like '%pg_settings%'
order by 1
"""
pytestmark = programs.needs("pgbouncer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def pooler(url: str, mode: str, size: int = 20) -> AsyncIterator[str]:
    """The address of a PgBouncer before the server, for a `with` block; `size`: sessions that it opens there."""
    parts = urlsplit(url)
    folder = Path(parse_qs(parts.query)["host"][0])
    with postgres.scratch_dir() as place:
        for _ in range(5):  # somebody else may take the port first
            port = _free_port()
            process = await _started(place, port, folder, f"pool_mode = {mode}\ndefault_pool_size = {size}\n")
            if process.returncode is None:
                break
        else:
            pytest.fail((place / "pgbouncer.log").read_text())
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _started(place: Path, port: int, folder: Path, more: str) -> asyncio.subprocess.Process:
    """A PgBouncer that listens before the server whose socket is in `folder`, or one that has ended."""
    settings = place / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={folder} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{more}"
    )
    settings.chmod(0o644)
    assert PROGRAM is not None
    account = account_for(folder)  # the server's socket is for its own account alone
    with (place / "pgbouncer.log").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, str(settings), user=account.uid if os.geteuid() == 0 else None, stdout=said, stderr=said
        )
    listens = b"process up"
    while process.returncode is None and listens not in (place / "pgbouncer.log").read_bytes():
        await asyncio.sleep(0.02)
    return process


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


async def test_in_session_mode_every_command_works(database_url: str, tmp_path: Path) -> None:
    async with tour.exchange() as (simulator, settings), pooler(database_url, "session") as url:
        settings["DATABASE_URL"] = url
        await tour.everything(settings, tmp_path / "archive")
        assert isinstance(simulator.world, SyntheticWorld)
        await assert_holds_all(database_url, simulator.world)


@pytest.mark.parametrize("words", [tour.BACKFILL, tour.FOLLOW, tour.COVERAGE, ("migrate",)], ids=lambda words: words[0])
async def test_in_transaction_mode_a_command_says_which_address_to_use(
    words: tuple[str, ...], database_url: str
) -> None:
    async with pooler(database_url, "transaction") as url:
        result = await run(*words, DATABASE_URL=url, HTTP_PORT="0", API_URL=NOWHERE)
        one_line(result, code=2, saying="use the direct address of the server, or the pooler's session mode")
    locks = "select count(*) from pg_locks where locktype = 'advisory'"
    assert (await fetch(database_url, locks))[0][0] == 0


async def test_a_refusal_leaves_nothing_in_the_sessions_of_others(database_url: str) -> None:
    """A pooler in transaction mode hands the session to the next program as it was left."""
    async with pooler(database_url, "transaction", size=1) as url:
        other = await asyncpg.connect(url, statement_cache_size=0)
        try:
            before = await other.fetch(_STATE)
            with pytest.raises(DatabaseUnusable, match="is a pooler in transaction mode"):
                await Database(url).open()
            assert await other.fetch(_STATE) == before
        finally:
            other.terminate()


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


async def test_a_pooler_with_too_few_sessions(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_TIMEOUT", 1.0)
    async with pooler(database_url, "session", size=1) as url:
        with pytest.raises(DatabaseAway, match=r"gives no second session .* raise the pool's size"):
            await Database(url).open()


async def test_a_parameter_that_the_pooler_does_not_know(database_url: str) -> None:
    async with pooler(database_url, "session") as url:
        saying = "unsupported startup parameter: statement_timeout; drop it from the address"
        with pytest.raises(DatabaseUnusable, match=saying):
            await Database(f"{url}?statement_timeout=5000").open()
