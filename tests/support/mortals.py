"""The two that get killed: `follow` as a process of its own, and a PostgreSQL server on a directory of its own."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

import kalshi_ingest.cli.follow as warm
from kalshi_ingest import cli
from kalshi_ingest.postgres.embedded import server as embedded
from tests.support import postgres
from tests.support.killable import KillableRun, Order, killable

_WARM = warm.follow
"""Loaded by the warm parent once, not in each of its children."""

_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")

# The log of changes survives the death of the server's processes without being synced; only a power cut needs that.
_OPTIONS = {"fsync": "off", "autovacuum": "off", "shared_buffers": "64MB"}


class Service:
    """`kalshi-ingest` with some words and settings, started again and again by a process that is warm."""

    def __init__(self, commands: KillableRun, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._commands = commands
        self._order = {"words": list(words), "environment": dict(environment), "log": str(log)}
        self.pid = 0
        self._logged = 0
        """How long its log was when it was started last."""
        self._ended: asyncio.Task[int] | None = None

    async def start(self) -> None:
        """Start it; what ran before has ended."""
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        self.pid = await self._commands.start(self._order)
        self._ended = asyncio.create_task(self._commands.wait())

    async def is_up(self) -> None:
        """Wait until it has caught up: what a killed one left in the log is put right by then."""
        while not self.has_ended and b'"caught_up"' not in self.log.read_bytes()[self._logged :]:
            await asyncio.sleep(0.02)

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself or was killed."""
        return self._ended is None or self._ended.done()

    def send(self, which: signal.Signals) -> None:
        """A signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, which)

    async def ended(self) -> int:
        """Its exit code, once it has ended; minus the signal that killed it."""
        assert self._ended is not None
        return await self._ended

    def said(self, characters: int = 3_000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""


@contextlib.asynccontextmanager
async def service(words: Sequence[str], environment: Mapping[str, str], log: Path) -> AsyncIterator[Service]:
    """A service for a `with` block, not started yet; killed at the block's end if it still runs."""
    async with killable("tests.support.mortals:run_command") as commands:
        forked = Service(commands, words, environment, log)
        try:
            yield forked
        finally:
            if not forked.has_ended:
                forked.send(signal.SIGKILL)
                await forked.ended()


def run_command(order: Order) -> int:
    """The real command line, its output in a file, as a killable run."""
    output = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    for name in [name for name in os.environ if name.startswith("KALSHI_INGEST_")]:
        del os.environ[name]
    os.environ.update(order["environment"])
    return cli.main(order["words"])


class DatabaseServer:
    """A server that dies the hard way and comes back with the same data at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        """Its data directory."""
        self._dying: list[psutil.Process] = []
        # Held as long as this object lives, so that no other test session takes the server for a leftover.
        self._hold = embedded.acquire(home, options=_OPTIONS)
        self.url = postgres.with_database(self._hold.server.url, "postgres")

    async def database(self, name: str) -> str:
        """A new, empty database; it goes with the server. Its URL."""
        await postgres.execute(self.url, f"create database {name}")
        return postgres.with_database(self.url, name)

    def stop_immediately(self) -> None:
        """What `pg_ctl stop -m immediate` does: SIGQUIT to the postmaster, no checkpoint, no goodbye."""
        os.kill(self._postmaster(), signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL to the postmaster and to every process of its."""
        postmaster = psutil.Process(self._postmaster())
        self._dying = [postmaster, *postmaster.children(recursive=True)]
        for process in self._dying:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        """Nobody needs the server any more."""
        embedded.release(self._hold)

    async def start_again(self) -> None:
        """Recover and accept connections."""
        # A process that is not gone yet still holds the socket open.
        while postgres.postgres_processes(self.home) or any(_runs(process) for process in self._dying):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(embedded.start, self.home, options=_OPTIONS)

    def _postmaster(self) -> int:
        return int((self.home / "postgresql-18" / "postmaster.pid").read_text().split()[0])


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def database_server() -> Iterator[DatabaseServer]:
    """A server for a `with` block."""
    with postgres.scratch_dir(_MEMORY) as place:
        server = DatabaseServer(place / "data")
        try:
            yield server
        finally:
            server.close()
