"""Real PostgreSQL servers for tests: made for one test session, gone after it, and too fast to fake."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.postgres.embedded.files import packaged_bin_dir
from tests.support.embedded import running as running_server

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
}
"""Settings for data that nobody misses: what a power cut would destroy is thrown away anyway."""

_PREFIX = "kalshi-pg-"
_IN_USE = "in-use"
"""The file in a scratch directory that is locked as long as its test runs: by the kernel, also for a killed test."""
_MEMORY = Path("/dev/shm")
END_SESSIONS = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
where application_name like 'kalshi_ingest %' and datname = current_database()
"""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Installed:
    """A PostgreSQL that can be started here; `bin_dir` is None for the wheel's."""

    version: int
    bin_dir: Path | None

    def __str__(self) -> str:
        return f"pg{self.version}"


def installed() -> list[Installed]:
    """Every supported PostgreSQL at hand, newest first: the wheel's, then those of the system."""
    found: dict[int, Installed] = {}
    for version in (18, 16):
        try:
            packaged_bin_dir(version)
        except Unusable:
            continue
        found[version] = Installed(version, None)
    for postgres in Path("/usr/lib/postgresql").glob("*/bin/postgres"):
        version = int(postgres.parents[1].name)
        if version >= 15:
            found.setdefault(version, Installed(version, postgres.parent))
    return [found[version] for version in sorted(found, reverse=True)]


@contextmanager
def scratch_dir(parent: Path = Path("/tmp")) -> Iterator[Path]:
    """An empty directory with a short path that the server's account can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with (path / _IN_USE).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.geteuid() == 0:
            path.chmod(0o711)
        try:
            yield path
        finally:
            _remove(path)


@contextmanager
def fast_server(which: Installed) -> Iterator[str]:
    """Run a server for a `with` block; yields the URL of its superuser and database `postgres`."""
    with (
        scratch_dir(fastest_place()) as path,
        running_server(path, version=which.version, bin_dir=which.bin_dir, options=FAST) as server,
    ):
        yield with_database(server.url, "postgres")


@asynccontextmanager
async def fresh_database(admin_url: str, template: str = "template1") -> AsyncIterator[str]:
    """A new database like `template` for an `async with` block; yields its URL.

    Copying files instead of logging their contents takes 8 ms instead of 75, since nothing is synced.
    """
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await execute(admin_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield with_database(admin_url, name)
    finally:
        await execute(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


async def execute(url: str, *statements: str) -> None:
    """Run statements on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def end_sessions(url: str) -> int:
    """End this program's sessions on a database, as its superuser; returns how many there were."""
    connection = await asyncpg.connect(with_database(url, urlsplit(url).path[1:], "postgres"))
    try:
        ended = [row[0] for row in await connection.fetch(END_SESSIONS)]
        while await connection.fetchval("select count(*) from pg_stat_activity where pid = any($1)", ended):
            pass
        return len(ended)
    finally:
        await connection.close()


def with_database(url: str, name: str, user: str | None = None) -> str:
    """The same server's URL for another database, and as another user."""
    parts = urlsplit(url)
    account = f"{user}@" if user else parts.netloc
    return f"{parts.scheme}://{account}/{name}?{parts.query}"


def remove_leftovers() -> None:
    """Stop the servers of test sessions that were killed before they could: those that nobody uses.

    Other sessions may run at the same time, make directories and remove their own and these ones.
    """
    for path in itertools.chain.from_iterable(place.glob(f"{_PREFIX}*") for place in (Path("/tmp"), _MEMORY)):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_uid == os.geteuid() and time.time() - found.st_mtime > 60:
            _remove_unless_used(path)


def _remove_unless_used(path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError), _locked_directory(path) as is_ours:
        if is_ours and not any(_is_locked(file) for file in _files(path, _IN_USE, "postgresql-[0-9][0-9].users")):
            _remove(path)


@contextmanager
def _locked_directory(path: Path) -> Iterator[bool]:
    """Whether this process is the only one that is about to remove it, as long as the block runs."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _is_free(descriptor)
    finally:
        os.close(descriptor)


def _files(path: Path, *patterns: str) -> list[Path]:
    """The files below with such names; what vanishes meanwhile is passed over, which `Path.glob` does not do."""
    return [
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if any(fnmatch(name, pattern) for pattern in patterns)
    ]


def postgres_processes(data_dir: Path) -> list[str]:
    """The command lines of PostgreSQL servers that run on `data_dir`."""
    shown = subprocess.run(["ps", "-ewwo", "stat=,command="], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if f"-D {data_dir}/" in line and line[0] != "Z"]


def fastest_place() -> Path:
    """A file system in memory where there is a roomy one: there a clone takes a tenth of the time."""
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2_000_000_000
    return _MEMORY if roomy else Path("/tmp")


def _remove(path: Path) -> None:
    for pgdata in (file.parent for file in _files(path, "postmaster.pid")):
        embedded.stop(pgdata.parent, version=int(pgdata.name.rpartition("-")[2]))
    shutil.rmtree(path, ignore_errors=True)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            return not _is_free(file.fileno())
    except FileNotFoundError:
        return False


def _is_free(descriptor: int) -> bool:
    """Whether nobody has locked this file; from now on this process has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
