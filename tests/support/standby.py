"""A primary with a streaming standby behind one address, for tests of what a late standby does to those who write."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from kalshi_ingest.postgres.embedded.accounts import Account, account_for
from kalshi_ingest.postgres.embedded.files import reachable_bin_dir
from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from tests.support import postgres
from tests.support.embedded import running as running_server

_VERSION = 18
_SOCKET = ".s.PGSQL.5432"
_STREAMING = "select count(*) from pg_stat_replication where state = 'streaming' and replay_lsn >= $1::text::pg_lsn"


@dataclass
class Wire:
    """A socket that leads to a server; where it leads can change, and it can be cut."""

    place: Path
    target: Path | None = None
    commits: int = 0
    """Transactions that clients asked to commit."""
    _most: int | None = None
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    def hold_after(self, commits: int | None) -> None:
        """Let nothing more pass once clients have asked for so many commits; None: let all pass."""
        self._most = commits
        self._flowing.set()

    @property
    def held(self) -> bool:
        """Whether nothing passes any more."""
        return self._most is not None and self.commits >= self._most

    def cut(self) -> None:
        """End every connection, and refuse new ones until there is a target again."""
        self.target = None
        for end in self._ends:
            end.transport.abort()

    async def carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.target is None:
            to_client.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_unix_connection(str(self.target / _SOCKET))
        except OSError:
            to_client.transport.abort()
            return
        ends = {to_client, to_server}
        self._ends |= ends
        tasks = [
            asyncio.create_task(self._pump(client, to_server, counted=True)),
            asyncio.create_task(self._pump(server, to_client, counted=False)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the loop ends, and asyncio's streams would complain
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends -= ends
            for task in tasks:
                task.cancel()
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                while counted and self.held:
                    self._flowing.clear()
                    await self._flowing.wait()
                self.commits += counted and b"COMMIT;" in data
                sink.write(data)
                await sink.drain()


@dataclass(frozen=True)
class _Server:
    """One of the two."""

    pgdata: Path
    sockets: Path
    account: Account
    programs: Path

    def control(self, *words: str) -> None:
        done = self.account.run([self.programs / "pg_ctl", *words, "-D", self.pgdata])
        if done.returncode != 0:
            raise RuntimeError(f"pg_ctl {words}: {done.stderr}{(self.pgdata / 'log').read_text(errors='replace')}")

    def stop(self) -> None:
        """As if its machine lost power; one that does not run is left alone."""
        self.account.run([self.programs / "pg_ctl", "stop", "-m", "immediate", "-D", self.pgdata])

    def start(self, **settings: str) -> None:
        settings = postgres.FAST | {"unix_socket_directories": str(self.sockets), "listen_addresses": ""} | settings
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self.control("start", "-w", "-l", str(self.pgdata / "log"), "-o", options)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.sockets}&port=5432"


class Pair:
    """Both servers. Clients use `url`, which leads to the primary and, after `fail_over`, to the standby."""

    def __init__(self, primary: _Server, standby: _Server, clients: Wire, stream: Wire) -> None:
        self.url = primary.url("kept").replace(str(primary.sockets), str(clients.place))
        self.clients = clients
        self.standby_url = standby.url("kept")
        """Straight to it, whatever clients see."""
        self._primary = primary
        self._standby = standby
        self._stream = stream

    async def commits(self, number: int, meanwhile: asyncio.Future[Any]) -> None:
        """Let the clients commit so many transactions more, then hold them; or until `meanwhile` is done."""
        self.clients.hold_after(self.clients.commits + number)
        while not self.clients.held and not meanwhile.done():
            await asyncio.sleep(0.001)

    async def caught_up(self) -> None:
        """Wait until the standby holds all that the primary has now."""
        connection = await asyncpg.connect(self._primary.url())
        try:
            now = await connection.fetchval("select pg_current_wal_insert_lsn()::text")
            while not await connection.fetchval(_STREAMING, now):
                await asyncio.sleep(0.02)
        finally:
            await connection.close()

    def cut_stream(self) -> None:
        """From now on the standby gets nothing more."""
        self._stream.cut()

    async def fail_over(self, *, early: bool = False) -> None:
        """The primary dies and the standby takes its place. `early`: it is asked before it is the primary."""
        await asyncio.to_thread(self._primary.stop)
        self.clients.cut()
        self.clients.hold_after(None)
        if early:
            self.clients.target = self._standby.sockets
        await asyncio.to_thread(self._standby.control, "promote", "-w")
        self.clients.target = self._standby.sockets


@contextlib.contextmanager
def template() -> Iterator[Path]:
    """The data directory of a stopped server with a migrated database `kept`."""
    with postgres.scratch_dir(postgres.fastest_place()) as path:
        with running_server(path, version=_VERSION, options=postgres.FAST) as server:
            asyncio.run(_migrated(postgres.with_database(server.url, "postgres")))
        yield path / f"postgresql-{_VERSION}"


async def _migrated(url: str) -> None:
    await postgres.execute(url, "create database kept")
    connection = await asyncpg.connect(postgres.with_database(url, "kept"))
    try:
        await migrate(connection, migrations_dir())
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def pair(stopped: Path) -> AsyncIterator[Pair]:
    """Two servers that begin as copies of `stopped`, for a `with` block; the standby is streaming."""
    with postgres.scratch_dir(postgres.fastest_place()) as place, contextlib.ExitStack() as stack:
        account = account_for(stopped)
        programs = reachable_bin_dir(account, _VERSION, stopped.parent)
        made = [await asyncio.to_thread(_copied, stopped, place / name, account, programs) for name in "ab"]
        primary, standby = made
        clients, stream = (Wire(_folder(place / name, account)) for name in ("clients", "stream"))
        clients.target = stream.target = primary.sockets
        (standby.pgdata / "standby.signal").touch()
        async with (
            await asyncio.start_unix_server(clients.carry, str(clients.place / _SOCKET)),
            await asyncio.start_unix_server(stream.carry, str(stream.place / _SOCKET)),
        ):
            for wire in (clients, stream):
                (wire.place / _SOCKET).chmod(0o777)
            for server in made:
                stack.callback(
                    server.account.run, [programs / "pg_ctl", "stop", "-m", "immediate", "-D", server.pgdata]
                )
            await asyncio.to_thread(primary.start)
            where = f"host={stream.place} port=5432 user=postgres"
            await asyncio.to_thread(standby.start, primary_conninfo=where, wal_retrieve_retry_interval="10s")
            both = Pair(primary, standby, clients, stream)
            await both.caught_up()
            try:
                yield both
            finally:
                await asyncio.to_thread(stack.close)
                clients.cut()
                stream.cut()


def _copied(stopped: Path, place: Path, account: Account, programs: Path) -> _Server:
    place.mkdir()
    place.chmod(0o755)  # whatever the umask is
    pgdata = place / "pgdata"
    shutil.copytree(stopped, pgdata)
    pgdata.chmod(0o700)
    if account.switch:
        for path in (pgdata, *pgdata.rglob("*")):
            shutil.chown(path, account.uid, account.gid)
    return _Server(pgdata, _folder(place / "sockets", account), account, programs)


def _folder(path: Path, account: Account) -> Path:
    path.mkdir()
    path.chmod(0o755)
    if account.switch:
        shutil.chown(path, account.uid, account.gid)
    return path
