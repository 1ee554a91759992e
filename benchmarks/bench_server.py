"""A PostgreSQL server for one benchmark run: the embedded one, with its durable defaults, in a directory of its own."""

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from tests.support.embedded import running as running_server

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    version: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU used so far by the server and all its processes, those that ended included."""
        times = self.process.cpu_times()
        used = times.user + times.system + times.children_user + times.children_system
        for child in self.process.children():
            try:
                each = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += each.user + each.system
        return float(used)


@contextmanager
def server() -> Iterator[Server]:
    """Run a server for a `with` block."""
    # Short, because a socket's path may have 100 characters; open to pass, because root's server is another account's.
    place = Path(tempfile.mkdtemp(prefix="kalshi-bench-"))
    try:
        if os.geteuid() == 0:
            place.chmod(0o711)
        with running_server(place) as running:
            pgdata = place / f"postgresql-{running.version}"
            pid = int((pgdata / "postmaster.pid").read_text().split()[0])
            version = (pgdata / "PG_VERSION").read_text().strip()
            yield Server(running.url, version, psutil.Process(pid))
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def database(of: Server) -> AsyncIterator[str]:
    """A new, empty database; yields its URL. What earlier ones left to be written is written first."""
    async with _made(of, "") as url:
        yield url


@asynccontextmanager
async def copy_of(of: Server, url: str) -> AsyncIterator[str]:
    """A copy of a database to which nobody is connected; yields its URL."""
    async with _made(of, f"template {urlsplit(url).path.strip('/')}") as copy:
        yield copy


@asynccontextmanager
async def _made(of: Server, how: str) -> AsyncIterator[str]:
    name = f"bench_{next(_numbers)}"
    await _administer(of.url, f"create database {name} {how}", "checkpoint")
    try:
        parts = urlsplit(of.url)
        yield f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
    finally:
        await _administer(of.url, f"drop database {name} with (force)")


async def fetch_rows(url: str, query: str) -> list[asyncpg.Record]:
    """The rows of one query, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def vacuum(url: str) -> None:
    """Leave nothing to the autovacuum that would come later, so that sizes are final."""
    await _administer(url, "vacuum analyze")


async def full_version(of: Server) -> str:
    """The server's version as it states it."""
    return str((await fetch_rows(of.url, "show server_version"))[0][0])


async def _administer(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
