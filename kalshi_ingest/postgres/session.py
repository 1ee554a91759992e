"""The connection under a `Database`: reopened after a loss, with the checks and the locks of the one before."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import asyncpg

from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.postgres import migrate
from kalshi_ingest.postgres.address import place_of, split_schema
from kalshi_ingest.postgres.cancelling import is_cancelled
from kalshi_ingest.postgres.connecting import FAILURES, LOCK_SECONDS, Waiting, connected_in_time, give_up
from kalshi_ingest.postgres.fence import Fence
from kalshi_ingest.postgres.locks import SeriesLocks, blocker
from kalshi_ingest.postgres.sqlstate import Kind, first_line, kind_of, translated

_ANSWER_SECONDS = 5.0


class Session:
    """One connection at a time. Time is the event loop's."""

    def __init__(self, url: str, patience: float, random: Random, locks: SeriesLocks) -> None:
        """`patience`: seconds to wait for a database that was there before and went away."""
        self.connection: asyncpg.Connection | None = None
        self.migrations: Sequence[migrate.Migration] | None = None
        """The schema that each new connection has to find; None: not checked."""
        self._url = url
        self._patience = patience
        self._random = random
        self._locks = locks
        self._ready = False
        """This connection has passed the checks, and holds the locks, of the one before it."""
        self._ended = False
        """Closed or given up: work still under way must not connect again."""
        self._name = ""
        """Of the session, as the server knows it."""

    async def open(self, patience: float) -> None:
        """Connect; `Unusable` when address or rights are wrong, `OutOfReach` after `patience` seconds of silence."""
        await self._connect(patience, first=True)
        self._ready, self._ended = True, False

    async def close(self, fence: Fence | None, *, busy: bool) -> None:
        """Close the connection, which releases its locks; when it is `busy` or does not answer, give it up."""
        self._ended = True
        connection, self.connection = self.connection, None
        if connection is None:
            return
        closed = False
        try:
            if not busy:
                with suppress(*FAILURES):
                    if fence is not None:
                        await asyncio.wait_for(fence.close(connection), 1)
                    await connection.close(timeout=1)
                    closed = True
        finally:
            if not closed:  # also after a cancelled close: the connection is known here only
                give_up(connection, self._url, self._name)

    def abort(self) -> None:
        """Give up a connection that hangs, for good."""
        self._ended = True
        if self.connection is not None:
            give_up(self.connection, self._url, self._name)

    async def usable(self) -> asyncpg.Connection:
        """The connection, or a new one that has passed the same checks and holds the same locks."""
        if self._ready and self.connection is not None and not self.connection.is_closed():
            return self.connection
        deadline = asyncio.get_running_loop().time() + self._patience
        self._ready = False
        connection = await self._connect(self._patience)
        if self._ended:
            raise DatabaseAway("the database connection is closed")
        if self.migrations is not None:
            await migrate.require(connection, self.migrations, split_schema(self._url)[1])
        await self._locks.take_again(connection, deadline)
        self._ready = True
        return connection

    async def recover(self, error: BaseException, since: float | None, began: float) -> float | None:
        """Prepare for another attempt of what failed, or raise what the failure means.

        `since`: when the trouble began; None at the first failure, or while only locks were waited for. Returns it
        for the next failure. `began`: when this attempt did.
        """
        if not isinstance(error, Exception):
            self._drop()
            raise error
        if is_cancelled():  # the connection was lost while a cancelled statement was undone
            self._drop()
            raise asyncio.CancelledError from error
        if self._ended:
            self._drop()
            raise DatabaseAway("the database did not answer in time") from error
        kind = await kind_on(self.connection, error)
        if not self._ready:
            self._drop()
        if kind in (Kind.FULL, Kind.REFUSED, Kind.FAULT):
            meaning = translated(error)
            raise meaning from (None if meaning is error else error)
        locked = isinstance(error, asyncpg.LockNotAvailableError)
        if kind is not Kind.AGAIN:
            self._drop(known=isinstance(error, asyncpg.OperatorInterventionError))
        now = asyncio.get_running_loop().time()
        if since is None and not locked:
            return now
        since = began if since is None else since  # a lock was waited for before it became an error
        if now - since >= self._patience:
            raise DatabaseAway(await _in_vain(self.connection, error, kind, place_of(self._url))) from None
        await asyncio.sleep(self._random.uniform(0, min(1.0, (now - since) / 2)))
        return since

    def _drop(self, *, known: bool = False) -> None:
        """End a connection that is lost, or on which a transaction was cancelled; `known`: by the server itself.

        asyncpg takes a connection whose BEGIN was cancelled for one inside a transaction: later work would become a
        part of that and never be committed.
        """
        if self.connection is not None:
            if known:
                self.connection.terminate()
            else:
                give_up(self.connection, self._url, self._name)
            self.connection = None

    async def _connect(self, patience: float, *, first: bool = False) -> asyncpg.Connection:
        waiting = Waiting(patience, max(patience, self._patience), self._random)
        lock_seconds = self._patience or LOCK_SECONDS
        connection, self._name = await connected_in_time(self._url, lock_seconds, waiting, first=first)
        self.connection = connection
        return connection


async def kind_on(connection: asyncpg.Connection | None, error: Exception) -> Kind:
    """What to do about an error that came while `connection` was in use; None: there was none."""
    closed = connection is None or connection.is_closed()
    if isinstance(error, asyncpg.PostgresError):
        return Kind.LOST if closed else kind_of(error)
    if isinstance(error, asyncpg.InternalClientError):
        return Kind.LOST  # a session that ended between two reads leaves asyncpg confused
    if isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError):
        # A connection that still answers has nothing to do with it: a file that cannot be read, or a fault.
        return Kind.FAULT if await _answers(connection) else Kind.LOST
    return Kind.FAULT


async def _in_vain(connection: asyncpg.Connection | None, error: Exception, kind: Kind, place: str) -> str:
    """Why all tries within the patience failed, for the user."""
    if isinstance(error, asyncpg.LockNotAvailableError) and connection is not None:
        with suppress(*FAILURES):
            if by := await blocker(connection):
                return f"{by}: run again when that has ended, nothing is lost"
    if kind is Kind.LOST:
        return f"the database at {place} drops every connection attempt: {first_line(error)}"
    return str(translated(error))


async def _answers(connection: asyncpg.Connection | None) -> bool:
    if connection is None or connection.is_closed():
        return False
    try:
        await connection.execute("select 1", timeout=_ANSWER_SECONDS)
    except FAILURES:
        return False
    return True
