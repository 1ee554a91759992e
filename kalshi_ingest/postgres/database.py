"""One connection to PostgreSQL that comes back by itself, and what its failures mean to the user."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TypeVar, TypeVarTuple

import asyncpg

from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.postgres import migrate, rights
from kalshi_ingest.postgres.address import place_of, split_schema
from kalshi_ingest.postgres.cancelling import at_once, cancellable, ended_after, is_cancelled
from kalshi_ingest.postgres.connecting import FAILURES, LOCK_SECONDS, Waiting, connected_in_time, give_up
from kalshi_ingest.postgres.diagnosis import in_vain, kind_on
from kalshi_ingest.postgres.fence import Fence
from kalshi_ingest.postgres.locks import SeriesLocks, release
from kalshi_ingest.postgres.relations import made_by
from kalshi_ingest.postgres.sqlstate import Kind, first_line, translated

PATIENCE = 60.0
"""Seconds that a command waits for a database that was there before and went away, is read-only or locked."""

_LONGEST = 600.0
"""Seconds that one piece of work may take unless its caller knows better; the longest ordinary one takes a few."""

LONG = 6 * 3600.0
"""Seconds for what is about a whole city or the whole database: millions of rows on a slow disk."""

Connection = asyncpg.Connection
"""For rooms that pass a connection on and send nothing themselves."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


@dataclass(slots=True)
class _Trouble:
    """What has gone wrong so far with a piece of work."""

    since: float | None = None


class Database:
    """A connection with a lock around it. Work given to `run` is one transaction and is repeated after a loss.

    The advisory locks of a run live on this connection. Getting them back after a loss proves that the server
    has buried the old session, so a transaction that was under way is either committed or gone for good.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE, random: Random | None = None) -> None:
        """`patience`: seconds to wait for a database that was there before and went away."""
        self._url = url
        self._patience = patience
        self._random = random or Random()
        self._connection: asyncpg.Connection | None = None
        self._ready = False
        """Whether this connection has passed the checks, and holds the locks, of the one before it."""
        self._turn = asyncio.Lock()
        self._locks = SeriesLocks()
        self._migrations: Sequence[migrate.Migration] | None = None
        """What the schema has to be made of; None: nobody has asked yet."""
        self._ended = False
        """Whether it is closed or given up, so that work still under way must not connect again."""
        self._name = ""
        """Of the session, as the server knows it."""
        self._fence: Fence | None = None

    async def open(self, patience: float = 3.0) -> None:
        """Connect; `Unusable` when address or rights are wrong, `OutOfReach` when nobody answers."""
        self._connection = await self._connect(patience, first=True)
        self._ready, self._ended = True, False

    async def close(self) -> None:
        """Close the connection, which gives its locks back."""
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        closed = False
        try:
            if not self._turn.locked():
                with suppress(*FAILURES):
                    if self._fence is not None:
                        await asyncio.wait_for(self._fence.close(connection), 1)
                    await connection.close(timeout=1)
                    closed = True
        finally:
            if not closed:  # a cancelled close counts too: nobody else has this connection
                give_up(connection, self._url, self._name)

    async def require_current(self, need: rights.Need = rights.LOOK) -> None:
        """Raise `DatabaseUnusable` unless the schema is this program's own, now and after each loss.

        Another program may have migrated the database meanwhile, or somebody restored an old one. `need`: the rights
        that must be there now.
        """
        migrations = await asyncio.to_thread(migrate.read, migrate.migrations_dir())
        made = made_by((each.sql for each in migrations), self.schema)
        await self.repeat(rights.require, need, made)
        await self.repeat(migrate.require, migrations, self.schema)
        self._migrations = migrations

    def abort(self) -> None:
        """Give up a connection that hangs, for good: what is under way fails at once and is undone by the server."""
        self._ended = True
        if self._connection is not None:
            give_up(self._connection, self._url, self._name)

    async def lock_series(
        self, series_tickers: Iterable[str], then: str = "wait for it to end, or ask for other cities"
    ) -> None:
        """Lock each series for this session, as `lock` does."""
        await self.lock({ticker: f"working on {ticker}" for ticker in series_tickers}, then)

    async def lock(self, purposes: Mapping[str, str], then: str = "wait for it to end") -> None:
        """Take locks for this session; each names, for the user, what a run that has it is doing.

        Raises `SeriesTaken`, with the advice `then`, when another session has one. A session that may be dead is
        waited for until its server would have ended it.
        """
        await self._locks.take_all(self.repeat, purposes, then)

    async def unlock_series(self, series_tickers: Iterable[str]) -> None:
        """Give back what `lock_series` locked."""
        await self.repeat(release, self._locks.forget(series_tickers))

    async def fence(self) -> None:
        """From here on every transaction proves that those before it are still there; see `Fence`.

        Without it, a run that meets a late standby would continue as if its rows were there. A second call starts a
        new proof, which does not cover earlier transactions: its caller has to read again whatever it knows of them.
        """
        fence, self._fence = Fence(), None
        await self.run(fence.open)
        self._fence = fence

    async def verify(self) -> None:
        """Raises `DatabaseWentBack` unless all that was committed here is in the database that answers now."""
        await self.repeat(self._held)

    async def _held(self, connection: asyncpg.Connection) -> None:
        if self._fence is not None:
            await self._fence.check(connection)

    async def run(
        self, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args, longest: float = _LONGEST
    ) -> T:
        """Do `work(connection, *args)` in a transaction, and again after a loss.

        After `longest` seconds the connection is given up as lost and the work is done again, unless the fence shows
        that it was committed. Raises `DatabaseWentBack` when what was committed before is gone.
        """
        async with self._turn:
            trouble = _Trouble()
            done: list[T] = []  # by a transaction whose COMMIT may have been lost
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    connection = await self._usable()
                    with ended_after(connection, longest):
                        if self._fence is not None and await self._fence.prove(connection) and done:
                            return done[0]
                        done.clear()
                        async with connection.transaction():
                            done.append(await at_once(connection, self._fenced(connection, work, *args)))
                        if self._fence is not None:
                            self._fence.moved()
                        return done[0]
                except BaseException as error:
                    await self._recover(error, trouble, began)

    async def _fenced(
        self, connection: asyncpg.Connection, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args
    ) -> T:
        if self._fence is not None:
            await self._fence.move(connection)
        return await work(connection, *args)

    async def repeat(
        self, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args, longest: float = _LONGEST
    ) -> T:
        """Do `work(connection, *args)` outside a transaction, from its beginning after a loss: it may have been done.

        What it does to the session, such as a lock, is there on the session that it has ended on.
        """
        async with self._turn:
            trouble = _Trouble()
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    connection = await self._usable()
                    with ended_after(connection, longest):
                        return await cancellable(connection, work(connection, *args))
                except BaseException as error:
                    await self._recover(error, trouble, began)

    async def alone(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do `work(connection)` outside a transaction, once."""
        async with self._turn:
            if self._connection is None:
                raise DatabaseAway("the database connection is closed")
            try:
                return await cancellable(self._connection, work(self._connection))
            except Exception as error:
                if await kind_on(self._connection, error) is Kind.LOST:
                    raise DatabaseAway(f"lost the database at {self.place}: {first_line(error)}") from None
                meaning = translated(error)
                raise meaning from (None if meaning is error else error)

    async def _recover(self, error: BaseException, trouble: _Trouble, began: float) -> None:
        """Make ready for another try of what failed, or raise what it means that it failed."""
        if not isinstance(error, Exception):
            self._drop()
            raise error
        if is_cancelled():  # the loss came while a cancelled statement was undone
            self._drop()
            raise asyncio.CancelledError from error
        if self._ended:
            self._drop()
            raise DatabaseAway("the database did not answer in time") from error
        kind = await kind_on(self._connection, error)
        if not self._ready:
            self._drop()
        if kind in (Kind.FULL, Kind.REFUSED, Kind.FAULT):
            meaning = translated(error)
            raise meaning from (None if meaning is error else error)
        locked = isinstance(error, asyncpg.LockNotAvailableError)
        if kind is not Kind.AGAIN:
            self._drop(known=isinstance(error, asyncpg.OperatorInterventionError))
        now = asyncio.get_running_loop().time()
        if trouble.since is None and not locked:
            trouble.since = now
            return
        # A lock was waited for before it became an error.
        trouble.since = began if trouble.since is None else trouble.since
        if now - trouble.since >= self._patience:
            raise DatabaseAway(await in_vain(self._connection, error, kind, self.place)) from None
        await asyncio.sleep(self._random.uniform(0, min(1.0, (now - trouble.since) / 2)))

    def _drop(self, *, known: bool = False) -> None:
        """End a connection that is lost, or on which a transaction was cancelled; `known`: by the server itself.

        asyncpg takes one whose BEGIN was cancelled for a transaction that goes on: what comes after would be a part of
        it, and never be committed.
        """
        if self._connection is not None:
            if known:
                self._connection.terminate()
            else:
                give_up(self._connection, self._url, self._name)
            self._connection = None

    async def _usable(self) -> asyncpg.Connection:
        """The connection, or a new one that has passed the same checks and holds the same locks."""
        if self._ready and self._connection is not None and not self._connection.is_closed():
            return self._connection
        deadline = asyncio.get_running_loop().time() + self._patience
        self._ready = False
        connection = self._connection = await self._connect(self._patience)
        if self._ended:
            raise DatabaseAway("the database connection is closed")
        if self._migrations is not None:
            await migrate.require(connection, self._migrations, self.schema)
        await self._locks.take_again(connection, deadline)
        self._ready = True
        return connection

    async def _connect(self, patience: float, *, first: bool = False) -> asyncpg.Connection:
        lock_seconds = self._patience or LOCK_SECONDS
        longer = max(patience, self._patience)
        waited = Waiting(patience, longer, self._random)
        connection, self._name = await connected_in_time(self._url, lock_seconds, waited, first=first)
        return connection

    @property
    def connected(self) -> bool:
        """Whether the connection is there, as far as can be known without asking."""
        return self._connection is not None and not self._connection.is_closed()

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return split_schema(self._url)[1]

    @property
    def place(self) -> str:
        """Where the database is, without user and password."""
        return place_of(self._url)
