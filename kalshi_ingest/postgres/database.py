"""One connection to PostgreSQL that is restored after a loss, and what its failures mean to the user."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar, TypeVarTuple

import asyncpg

from kalshi_ingest.errors import DatabaseAway
from kalshi_ingest.postgres import migrate, rights
from kalshi_ingest.postgres.address import place_of, split_schema
from kalshi_ingest.postgres.cancelling import at_once, cancellable, ended_after
from kalshi_ingest.postgres.fence import Fence
from kalshi_ingest.postgres.locks import SeriesLocks
from kalshi_ingest.postgres.relations import made_by
from kalshi_ingest.postgres.session import Session, kind_on
from kalshi_ingest.postgres.sqlstate import Kind, first_line, translated

PATIENCE = 60.0
"""Seconds that a command waits for a database that was there before and went away, is read-only or locked."""

_LONGEST = 600.0
"""Seconds that one piece of work may take unless its caller states more; the longest ordinary one takes a few."""

LONG = 6 * 3600.0
"""Seconds for work on a whole city or the whole database: millions of rows on a slow disk."""

Connection = asyncpg.Connection
"""For rooms that pass a connection on and send nothing themselves."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Database:
    """A connection that one task uses at a time. Work given to `run` is one transaction and is repeated after a loss.

    The advisory locks of a run live on this connection. Acquiring them again after a loss proves that the server has
    ended the old session, so a transaction that was under way is either committed or gone for good.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE, random: Random | None = None) -> None:
        """`patience`: seconds to wait for a database that was there before and went away."""
        self.locks = SeriesLocks(self.repeat)
        self.place = place_of(url)
        """Where the database is, without user and password."""
        self.schema = split_schema(url)[1]
        """Of the tables."""
        self._session = Session(url, patience, random or Random(), self.locks)
        self._turn = asyncio.Lock()
        self._fence: Fence | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection is there, as far as can be known without asking."""
        connection = self._session.connection
        return connection is not None and not connection.is_closed()

    async def open(self, patience: float = 3.0) -> None:
        """Connect; `Unusable` when address or rights are wrong, `OutOfReach` when there is no answer."""
        await self._session.open(patience)

    async def close(self) -> None:
        """Close the connection, which releases its locks."""
        await self._session.close(self._fence, busy=self._turn.locked())

    def abort(self) -> None:
        """Give up a connection that hangs, for good: what is under way fails at once and is undone by the server."""
        self._session.abort()

    async def require_current(self, need: rights.Need = rights.LOOK) -> None:
        """Raise `DatabaseUnusable` unless the schema is this program's own, now and after each loss.

        The database may be migrated by another program, or restored to an older state, at any time. `need`: the rights
        that must be there now.
        """
        migrations = await asyncio.to_thread(migrate.read, migrate.migrations_dir())
        made = made_by((each.sql for each in migrations), self.schema)
        await self.repeat(rights.require, need, made)
        await self.repeat(migrate.require, migrations, self.schema)
        self._session.migrations = migrations

    async def fence(self) -> None:
        """From here on every transaction proves that those before it are still there; see `Fence`.

        Without it, a run that meets a late standby would continue as if its rows were there. A second call starts a
        new proof, which does not cover earlier transactions: its caller has to read again all that it knows of them.
        """
        fence, self._fence = Fence(), None
        await self.run(fence.open)
        self._fence = fence

    async def verify(self) -> None:
        """Raises `DatabaseWentBack` unless all that was committed here is in the database that answers now."""
        if self._fence is not None:
            await self.repeat(self._fence.check)

    async def run(
        self, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args, longest: float = _LONGEST
    ) -> T:
        """Do `work(connection, *args)` in a transaction, and again after a loss.

        After `longest` seconds the connection is given up as lost and the work is done again, unless the fence shows
        that it was committed. Raises `DatabaseWentBack` when what was committed before is gone.
        """
        done: list[T] = []  # by a transaction whose COMMIT may have been lost

        async def fenced(connection: asyncpg.Connection) -> T:
            if self._fence is not None:
                await self._fence.move(connection)
            return await work(connection, *args)

        async def once(connection: asyncpg.Connection) -> T:
            if self._fence is not None and await self._fence.prove(connection) and done:
                return done[0]
            done.clear()
            async with connection.transaction():
                done.append(await at_once(connection, fenced(connection)))
            if self._fence is not None:
                self._fence.moved()
            return done[0]

        return await self._until_done(once, longest)

    async def repeat(
        self, work: Callable[[asyncpg.Connection, *Args], Awaitable[T]], *args: *Args, longest: float = _LONGEST
    ) -> T:
        """Do `work(connection, *args)` outside a transaction, from its beginning after a loss: it may have been done.

        What it does to the session, such as a lock, is there on the session that it has ended on.
        """
        return await self._until_done(lambda connection: cancellable(connection, work(connection, *args)), longest)

    async def _until_done(self, once: Callable[[asyncpg.Connection], Awaitable[T]], longest: float) -> T:
        async with self._turn:
            since: float | None = None
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    connection = await self._session.usable()
                    with ended_after(connection, longest):
                        return await once(connection)
                except BaseException as error:
                    since = await self._session.recover(error, since, began)

    async def alone(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do `work(connection)` outside a transaction, once."""
        async with self._turn:
            connection = self._session.connection
            if connection is None:
                raise DatabaseAway("the database connection is closed")
            try:
                return await cancellable(connection, work(connection))
            except Exception as error:
                if await kind_on(connection, error) is Kind.LOST:
                    raise DatabaseAway(f"lost the database at {self.place}: {first_line(error)}") from None
                meaning = translated(error)
                raise meaning from (None if meaning is error else error)
