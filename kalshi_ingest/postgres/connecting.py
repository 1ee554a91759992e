"""How a session of PostgreSQL is opened: its settings, and what can be wrong with an address.

Each side has to notice soon that the other one has vanished: with TCP's default keepalive a server would keep the
locks of a dead session for two hours.
"""

import asyncio
import io
import secrets
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import asyncpg

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from kalshi_ingest.postgres import libpq, moments
from kalshi_ingest.postgres.address import place_of, require_user, split_schema
from kalshi_ingest.postgres.sqlstate import POOLED, Kind, first_line, kind_of, translated

_TIMEOUT = 10.0
"""Seconds that one attempt to connect may take."""

_IDLE, _INTERVAL, _COUNT = 10, 5, 3
LOCK_SECONDS = 60.0
"""Seconds that a statement usually waits for a locked table or row."""

DEAD_AFTER = float(_IDLE + _COUNT * _INTERVAL)
"""Seconds after which a server has ended the session of a vanished client."""

# TCP's user timeout also ends a live peer that does not read for so long. A server does not read rows while it waits
# for a lock, so a client is more patient with it; a client always reads, but for the export, which says so.
_CLIENT_PATIENCE = 2 * LOCK_SECONDS

READING = {"timezone": "UTC", "jit": "off"}
"""Settings of every session: they change what rows contain and how long a query takes."""

# A role may have limits of its own, which would cut the loading of a city, the refresh of the grid or a pause between
# two questions. They come first in the statement that sets all, so that they cannot cut that either.
UNLIMITED = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}
"""Limits of the role or database that are lifted in every session, before its own are set."""

# A worker resumes from a commit as soon as it hears of it, so no server may report it before it is safe.
_SETTINGS = {**UNLIMITED, **READING, "synchronous_commit": "on"}
_ALIVE = {
    "tcp_keepalives_idle": str(_IDLE),
    "tcp_keepalives_interval": str(_INTERVAL),
    "tcp_keepalives_count": str(_COUNT),
    "tcp_user_timeout": f"{DEAD_AFTER:.0f}s",
}
_SINCE = {"idle_session_timeout": 14, "transaction_timeout": 17}
"""The server versions that introduced a setting."""

_CLIENT_OPTIONS = {
    "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _INTERVAL,
    "TCP_KEEPCNT": _COUNT,
    "TCP_USER_TIMEOUT": int(_CLIENT_PATIENCE * 1000),
}

_END_SESSIONS = """
select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
where application_name = any($1::text[]) and datname = current_database() and usename = current_user
  and pid <> pg_backend_pid()
"""

_PROBES = 3

SESSIONS = 6
"""The most sessions of one command: `follow` with the weather, its page and a probe."""

_given_up: dict[str, set[str]] = {}
"""Address → names of sessions that were given up here without the server's knowledge."""


FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when something is wrong with a session or a statement. The last two: a session that ended between
two reads, or a server that is not PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to try to connect, in seconds."""

    silent: float
    """While there is no answer."""
    answered: float
    """While a server answers that it is starting, stopping or has no free connection."""
    random: Random


async def connected_in_time(
    url: str, lock_seconds: float, waiting: Waiting, *, first: bool
) -> tuple[asyncpg.Connection, str]:
    """A session with this program's settings, and its name, after ending those that were given up (see `give_up`).

    `lock_seconds`: how long a statement waits for a locked table or row. `first`: check whether the address is a pooler
    of the wrong mode. Raises `DatabaseUnusable` for what a person has to change, `DatabaseAway` for what passes.
    """
    loop = asyncio.get_running_loop()
    began, delay = loop.time(), 0.05
    while True:
        name = f"kalshi_ingest {secrets.token_hex(6)}"
        try:
            return await _connected(url, name, lock_seconds, first=first), name
        except FAILURES as error:
            kind = _kind_of_refusal(error)
            if kind is Kind.FULL:
                raise translated(error) from None
            if kind is Kind.REFUSED:
                raise DatabaseUnusable(f"cannot use the database at {place_of(url)}: {_reason(error)}") from None
            answered = isinstance(error, asyncpg.PostgresError) and not isinstance(
                error, asyncpg.PostgresConnectionError
            )
            if loop.time() + delay > began + (waiting.answered if answered else waiting.silent):
                raise DatabaseAway(f"the database at {place_of(url)} is out of reach: {_reason(error)}") from None
            await asyncio.sleep(waiting.random.uniform(delay / 2, delay))
            delay = min(delay * 2, 2.0)


async def _connected(url: str, name: str, lock_seconds: float, *, first: bool) -> asyncpg.Connection:
    require_user(url)
    settings = _SETTINGS | {"application_name": name, "lock_timeout": f"{lock_seconds * 1000:.0f}"}
    try:
        connection = await open_session(url, settings, _TIMEOUT, first=first)
    except OverflowError:
        raise DatabaseUnusable("the database's address names a port that does not exist: 1 to 65535") from None
    except (asyncpg.ClientConfigurationError, ssl.SSLError):  # values that are wrong too, to Python
        raise
    except ValueError:  # its text may quote the password
        raise DatabaseUnusable(
            "the database's address cannot be read: write :, /, @ and [ inside a name or password as %3A, %2F, %40 and"
            " %5B"
        ) from None
    with _terminated_on_failure(connection):
        await _end_given_up(connection, url)
    return connection


async def open_session(
    url: str, settings: Mapping[str, str], seconds: float, *, first: bool = False
) -> asyncpg.Connection:
    """A session with some settings, within so many seconds, that notices a vanished peer. Fails as asyncpg does.

    The settings are statements, in one round trip: poolers refuse unknown start-up parameters. Only the tables' schema
    is searched, whatever the role has. `first`: check before whether the address is a pooler that gives each
    transaction another session, where the settings would stay in sessions that other programs use. Raises
    `DatabaseUnusable` for such a pooler, and for a database whose encoding cannot hold every text.
    """
    address, schema = split_schema(url)
    connection = await libpq.connect(address, seconds)
    with _terminated_on_failure(connection):
        encoding = connection.get_settings().server_encoding
        if encoding not in ("UTF8", "SQL_ASCII"):
            raise DatabaseUnusable(f"the database at {place_of(url)} must be UTF8, not {encoding}: create another one")
        _notice_a_vanished_server(connection)
        if first:
            await _require_sessions(connection, address)
        version = connection.get_server_version().major
        every = {**settings, **_ALIVE, "search_path": schema}
        wanted = {key: value for key, value in every.items() if version >= _SINCE.get(key, 0)}
        await connection.execute("; ".join(f"set {key} = '{value}'" for key, value in wanted.items()), timeout=seconds)
        await moments.teach(connection)
    return connection


@contextmanager
def _terminated_on_failure(connection: asyncpg.Connection) -> Iterator[None]:
    try:
        yield
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        connection.terminate()  # it ended under the first statement, which leaves asyncpg confused
        raise asyncpg.ConnectionDoesNotExistError(first_line(error)) from error
    except BaseException:
        connection.terminate()
        raise


def give_up(connection: asyncpg.Connection, url: str, name: str) -> None:
    """Drop a connection whose server may not notice; the next session opened here ends that session first.

    Its locks, and what its transaction has locked, would otherwise block this program.
    """
    connection.terminate()
    _given_up.setdefault(url, set()).add(name)


def _kind_of_refusal(error: Exception) -> Kind:
    if isinstance(error, asyncpg.PostgresError):
        kind = kind_of(error)
        return Kind.REFUSED if kind is Kind.FAULT else kind
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Kind.MOVED  # no primary among these hosts: a failover
    if isinstance(error, ssl.SSLCertVerificationError):
        return Kind.REFUSED
    return Kind.LOST if isinstance(error, OSError | TimeoutError) else Kind.REFUSED


async def _require_sessions(connection: asyncpg.Connection, url: str) -> None:
    """Raise `DatabaseUnusable` when the address is a pooler that gives each transaction another session.

    The server's own session number reveals a pooler; two connections on one session, or one on two, reveal its mode.
    """
    if connection.get_server_pid() == await _pid(connection):
        return
    other = None
    try:
        other = await libpq.connect(url, _TIMEOUT)
        seen = [(await _pid(connection), await _pid(other)) for _ in range(_PROBES)]
    except TimeoutError as error:
        raise DatabaseAway(
            f"the pooler at {place_of(url)} gives no second session ({_reason(error)}): kalshi-ingest needs "
            f"{SESSIONS}; raise the pool's size (default_pool_size of PgBouncer), or end what uses it"
        ) from None
    finally:
        if other is not None:
            other.terminate()
    if len(set(seen)) != 1 or seen[0][0] == seen[0][1]:
        raise DatabaseUnusable(f"the address {place_of(url)} {POOLED}")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {_TIMEOUT:.0f} s"
    said = first_line(error)
    if "startup parameter" in said:
        said += "; drop it from the address, or add it to ignore_startup_parameters of the pooler"
    if "unrecognized configuration parameter" in said or "cannot be changed" in said:
        said += "; drop it from the address"
    if "command-line argument" in said:
        said += "; drop options from the address"
    return said


async def _pid(connection: asyncpg.Connection) -> int:
    """The server's number for the session, by a COPY: a query would leave a prepared statement behind in it."""
    number = io.BytesIO()
    await connection.copy_from_query("select pg_backend_pid()", output=number, timeout=_TIMEOUT)
    return int(number.getvalue())


async def _end_given_up(connection: asyncpg.Connection, url: str) -> None:
    names = _given_up.pop(url, None)
    if not names:
        return
    try:
        await connection.fetchval(_END_SESSIONS, list(names), timeout=_TIMEOUT)
    except asyncpg.InsufficientPrivilegeError:
        return  # its server ends them by itself
    except BaseException:
        _given_up.setdefault(url, set()).update(names)
        raise


def _notice_a_vanished_server(connection: asyncpg.Connection) -> None:
    transport = getattr(connection, "_transport", None)  # asyncpg has no public way to its socket
    opened = None if transport is None else transport.get_extra_info("socket")
    if opened is None or opened.family == socket.AF_UNIX:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _CLIENT_OPTIONS.items():
        if hasattr(socket, option):  # not every system has all of them
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
