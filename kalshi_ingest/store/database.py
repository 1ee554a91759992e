"""One connection to PostgreSQL that comes back by itself, and what its failures mean to the user."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from random import Random
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable
from kalshi_ingest.store.sqlstate import Kind, first_line, kind_of, translated

LOCK_CLASS = 0x4B414C53
"""First key of the advisory locks ("KALS"); the second is `lock_key` of the series that a run works on."""

_LOCK_PATIENCE = 3.0
"""Seconds to wait for a lock: the server needs a moment to notice that the process of a killed run is gone."""

_LONGEST = 600.0
"""Seconds that one transaction may take unless its caller knows better; the longest ordinary one takes a few."""

# A worker goes on from a commit as soon as it is told of it, so no server may tell of it before it is safe.
# A role may have a schema of its own, which PostgreSQL would look into first.
_SESSION = {
    "application_name": "kalshi_ingest",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    "search_path": "public",
}

T = TypeVar("T")


def lock_key(series_ticker: str) -> int:
    """The second key of a series' advisory lock, a signed 32-bit number."""
    key = zlib.crc32(series_ticker.encode())
    return key - 2**32 if key >= 2**31 else key


class Database:
    """A connection with a lock around it. Work given to `run` is one transaction and is repeated after a loss.

    The advisory locks of a run live on this connection. Getting them back after a loss proves that the server
    has buried the old session, so a transaction that was under way is either committed or gone for good.
    """

    def __init__(self, url: str, *, patience: float = 60.0, random: Random | None = None) -> None:
        """`patience`: seconds to wait for a database that was there before and went away."""
        self._url = url
        self._patience = patience
        self._random = random or Random()
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._locked: list[str] = []
        self._aborted = False

    async def open(self, patience: float = 3.0) -> None:
        """Connect; `Unusable` when address or rights are wrong, `OutOfReach` when nobody answers."""
        self._connection = await self._connect(patience)

    async def close(self) -> None:
        """Close the connection, which gives its locks back."""
        if self._connection is not None:
            if self._turn.locked():
                self._connection.terminate()
            else:
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self._connection.close(timeout=1)
            self._connection = None

    def abort(self) -> None:
        """Give up a connection that hangs, for good: what is under way fails at once and is undone by the server."""
        self._aborted = True
        if self._connection is not None:
            self._connection.terminate()

    async def lock_series(self, series_tickers: Iterable[str]) -> str | None:
        """Lock each series for this session; returns the first that another session holds, else None."""
        deadline = asyncio.get_running_loop().time() + _LOCK_PATIENCE
        for series_ticker in sorted(series_tickers):

            async def lock(connection: asyncpg.Connection, _: bool, wanted: str = series_ticker) -> bool:
                return await _try_lock(connection, wanted)

            while not await self.run(lock):
                if asyncio.get_running_loop().time() > deadline:
                    return series_ticker
                await asyncio.sleep(0.05)
            self._locked.append(series_ticker)
        return None

    async def run(self, work: Callable[[asyncpg.Connection, bool], Awaitable[T]], *, longest: float = _LONGEST) -> T:
        """Do `work(connection, again)` in a transaction; `again` is true when an earlier try may have committed.

        After `longest` seconds the connection is given up as lost and the work is done again.
        """
        async with self._turn:
            lost_at: float | None = None
            while True:
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._reconnect()
                    # A server whose machine vanished says nothing, not even that it is gone.
                    waited_for = asyncio.get_running_loop().call_later(longest, self._connection.terminate)
                    try:
                        async with self._connection.transaction():
                            return await work(self._connection, lost_at is not None)
                    finally:
                        waited_for.cancel()
                except asyncio.CancelledError:
                    self._give_up()
                    raise
                except Exception as error:
                    if _is_cancelled():  # the loss came while a cancelled statement was undone
                        self._give_up()
                        raise asyncio.CancelledError from error
                    if self._aborted:
                        raise DatabaseAway("the database did not answer in time") from error
                    if not self._lost(error):
                        meaning = translated(error)
                        raise meaning from (None if meaning is error else error)
                    if self._connection is not None:
                        self._connection.terminate()
                        self._connection = None
                    lost_at = await self._breathe(lost_at, error)

    async def alone(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do `work(connection)` outside a transaction, once."""
        async with self._turn:
            if self._connection is None:
                raise DatabaseAway("the database connection is closed")
            try:
                return await work(self._connection)
            except Exception as error:
                if self._lost(error):
                    raise DatabaseAway(f"lost the database at {self.place}: {first_line(error)}") from None
                raise

    def _give_up(self) -> None:
        """End a connection on which a transaction was cancelled.

        asyncpg takes one whose BEGIN was cancelled for a transaction that goes on: what comes after would be a part of
        it, and never be committed.
        """
        if self._connection is not None:
            self._connection.terminate()

    async def _breathe(self, lost_at: float | None, error: Exception) -> float:
        """After a loss: at once once more, then a little later each time, up to the patience. When it began."""
        now = asyncio.get_running_loop().time()
        if lost_at is None:
            return now
        if now - lost_at > self._patience:
            raise DatabaseAway(f"the database at {self.place} breaks off every attempt: {first_line(error)}") from None
        await asyncio.sleep(self._random.uniform(0, min(1.0, (now - lost_at) / 2)))
        return lost_at

    def _lost(self, error: Exception) -> bool:
        # A session that ends while nobody is reading leaves asyncpg confused about what it was doing, hence the
        # last two: on a connection that one task at a time uses they can have no other cause.
        if isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError):
            return True
        if not isinstance(error, asyncpg.PostgresError):
            return False
        closed = self._connection is None or self._connection.is_closed()
        return closed or kind_of(error) in (Kind.LOST, Kind.AGAIN, Kind.MOVED)

    async def _reconnect(self) -> asyncpg.Connection:
        deadline = asyncio.get_running_loop().time() + self._patience
        self._connection = await self._connect(self._patience)
        for series_ticker in self._locked:
            while not await _try_lock(self._connection, series_ticker):
                if asyncio.get_running_loop().time() > deadline:
                    raise DatabaseAway(f"lost the database, and another program now works on {series_ticker}")
                await asyncio.sleep(0.1)
        return self._connection

    async def _connect(self, patience: float) -> asyncpg.Connection:
        deadline = asyncio.get_running_loop().time() + patience
        delay = 0.05
        while True:
            try:
                return await asyncpg.connect(
                    self._url,
                    timeout=10,
                    server_settings=_SESSION,
                )
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                if isinstance(error, asyncpg.PostgresError) and kind_of(error) is Kind.FULL:
                    raise translated(error) from None
                if isinstance(error, asyncpg.PostgresError) and kind_of(error) in (Kind.REFUSED, Kind.FAULT):
                    raise DatabaseUnusable(f"cannot use the database at {self.place}: {first_line(error)}") from None
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise DatabaseAway(f"the database at {self.place} is out of reach: {first_line(error)}") from None
                await asyncio.sleep(self._random.uniform(delay / 2, delay))
                delay = min(delay * 2, 2.0)
            except asyncpg.InterfaceError as error:
                raise DatabaseUnusable(f"cannot use the database at {self.place}: {first_line(error)}") from None
            except ValueError:  # its text may quote the password
                raise DatabaseUnusable(
                    "the database's address cannot be read: write :, / and @ inside a password as %3A, %2F and %40"
                ) from None

    @property
    def place(self) -> str:
        """Where the database is, without user and password."""
        try:
            parts = urlsplit(self._url)
            if "@" in parts.path:  # a password with a slash in it
                return "an unreadable address"
            return f"{parts.hostname or 'a local socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"
        except ValueError:
            return "an unreadable address"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _try_lock(connection: asyncpg.Connection, series_ticker: str) -> bool:
    query = "select pg_try_advisory_lock($1, $2)"
    return bool(await connection.fetchval(query, LOCK_CLASS, lock_key(series_ticker)))
