"""Advisory locks of series, and who holds a lock that this program waits for."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

import asyncpg
import structlog

from kalshi_ingest.errors import DatabaseAway, SeriesTaken
from kalshi_ingest.postgres.connecting import DEAD_AFTER

LOCK_CLASS = 0x4B414C53
"""First key of the advisory locks ("KALS"); the second is `lock_key` of the series that a run works on."""

_QUIET_SECONDS = 2.0
"""A session that has done something within this time is alive."""

_PATIENCE = 3.0
"""Seconds to wait for a lock: the server needs a moment to notice that the process of a killed run is gone."""

_DEAD_LOOK = 0.5
"""Seconds between two looks at a session that may be dead."""

_AGAIN_LOOK = 0.1
"""Seconds between two tries to lock again what a lost session held."""

_SESSION = """
activity.pid, activity.application_name, activity.usename, host(activity.client_addr) as host,
to_char(activity.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as since,
extract(epoch from clock_timestamp() - activity.state_change)::float8 as quiet,
activity.state like 'idle%' or activity.wait_event = 'ClientRead' as waits_for_client
"""

_HOLDER = f"""
select {_SESSION}
from pg_locks join pg_stat_activity as activity using (pid)
where locktype = 'advisory' and granted and classid = $1::int8::oid and objid = $2::int8::oid and objsubid = 2
  and database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()
"""  # noqa: S608

# Whoever keeps a table from being written to, else whoever has held rows of one for longest.
_BLOCKERS = f"""
select relation::regclass::text as name, {_SESSION}
from pg_locks join pg_stat_activity as activity using (pid) join pg_class on pg_class.oid = relation
where locktype = 'relation' and granted and pid <> pg_backend_pid()
  and database = (select oid from pg_database where datname = current_database())
  and relkind in ('r', 'p', 'm')
  and relnamespace in (select oid from pg_namespace where nspname in (current_schema(), 'wx'))
  and mode <> 'AccessShareLock' and mode <> 'RowShareLock'
order by mode = 'RowExclusiveLock', activity.xact_start, 1 limit 1
"""  # noqa: S608

T = TypeVar("T")
Args = TypeVarTuple("Args")

log = structlog.get_logger()


class Repeat(Protocol):
    """Does some work on a session."""

    async def __call__(self, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args) -> T:
        """What the work gives."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The other session."""

    said: str
    quiet_seconds: float | None
    """Since its last activity; None when that is hidden, or when its client is on the same machine."""

    @property
    def may_be_dead(self) -> bool:
        """Whether the server may not have noticed yet that its client has vanished."""
        quiet = self.quiet_seconds
        return quiet is not None and _QUIET_SECONDS < quiet < DEAD_AFTER + 10


class SeriesLocks:
    """The series that one run has locked, over all the sessions that it needs one after another.

    A session counts how often it has locked something, so that nothing is locked twice here.
    """

    def __init__(self, repeat: Repeat) -> None:
        """`repeat` does some work on the run's session, and again after a loss.

        Not in a transaction: of one that was committed on a session now lost, only the rows are there.
        """
        self._repeat = repeat
        self._held: list[str] = []

    async def take_series(
        self, series_tickers: Iterable[str], then: str = "wait for it to end, or ask for other cities"
    ) -> None:
        """Lock each series, as `take` does."""
        await self.take({ticker: f"working on {ticker}" for ticker in series_tickers}, then)

    async def take(self, purposes: Mapping[str, str], then: str = "wait for it to end") -> None:
        """Lock each series, or other name; `purposes` says, for the user, what a run that holds it is doing.

        Raises `SeriesTaken`, with the advice `then`, when another living session holds one. A session that may be dead
        is waited for until its server would have ended it.
        """
        loop = asyncio.get_running_loop()
        deadline, shown = loop.time() + _PATIENCE, ""
        for series_ticker, purpose in sorted(purposes.items()):
            while not await self._repeat(self._take_one, series_ticker):
                await asyncio.sleep(0.05)
                if loop.time() > deadline and (holder := await self._repeat(holder_of, series_ticker)) is not None:
                    if not holder.may_be_dead:
                        raise SeriesTaken(f"another run is {purpose} in this database ({holder.said}): {then}")
                    if holder.said != shown:
                        shown = holder.said
                        log.info("series_lock_waiting", series=series_ticker, holder=shown)
                    await asyncio.sleep(_DEAD_LOOK)

    async def _take_one(self, connection: asyncpg.Connection, series_ticker: str) -> bool:
        """Lock a series on the run's session unless the run has it; False: another session has it."""
        if series_ticker not in self._held:
            if not await _try_lock(connection, series_ticker):
                return False
            self._held.append(series_ticker)
        return True

    async def release(self, series_tickers: Iterable[str]) -> None:
        """Unlock those of these series that are held."""
        released = set(series_tickers).intersection(self._held)
        self._held = [each for each in self._held if each not in released]
        await self._repeat(_unlock, released)

    async def take_again(self, connection: asyncpg.Connection, deadline: float) -> None:
        """Lock them all on a new session, which proves that the server has buried the old one.

        Raises `DatabaseAway` when another session still holds one at `deadline`, of the event loop's clock.
        """
        for series_ticker in self._held:
            while not await _try_lock(connection, series_ticker):
                if asyncio.get_running_loop().time() > deadline:
                    holder = await holder_of(connection, series_ticker)
                    by = f" ({holder.said})" if holder is not None else ""
                    raise DatabaseAway(f"lost the database, and another program now works on {series_ticker}{by}")
                await asyncio.sleep(_AGAIN_LOOK)


def lock_key(series_ticker: str) -> int:
    """The second key of a series' advisory lock, a signed 32-bit number."""
    key = zlib.crc32(series_ticker.encode())
    return key - 2**32 if key >= 2**31 else key


async def _unlock(connection: asyncpg.Connection, series_tickers: Iterable[str]) -> None:
    for series_ticker in series_tickers:
        await connection.execute("select pg_advisory_unlock($1, $2)", LOCK_CLASS, lock_key(series_ticker))


async def holder_of(connection: asyncpg.Connection, series_ticker: str) -> Holder | None:
    """Who has locked a series; None when it was unlocked meanwhile."""
    row = await connection.fetchrow(_HOLDER, LOCK_CLASS, lock_key(series_ticker) % 2**32)
    if row is None:
        return None
    # A Unix socket ends with its client: only a network can swallow that.
    unsure = row["host"] is not None and row["waits_for_client"]
    return Holder(_said(row), row["quiet"] if unsure else None)


async def blocker(connection: asyncpg.Connection) -> str:
    """Which table is locked by whom, in words for the user; empty when nobody holds anything any more."""
    row = await connection.fetchrow(_BLOCKERS)
    return "" if row is None else f"the table {row['name']} is locked by {_said(row)}"


async def _try_lock(connection: asyncpg.Connection, series_ticker: str) -> bool:
    query = "select pg_try_advisory_lock($1, $2)"
    return bool(await connection.fetchval(query, LOCK_CLASS, lock_key(series_ticker)))


def _said(row: asyncpg.Record) -> str:
    origin = f" from {row['host']}" if row["host"] is not None else ""
    application = row["application_name"] or "without a name"
    return f"process {row['pid']} ({application}, user {row['usename']}{origin}, since {row['since']} UTC)"
