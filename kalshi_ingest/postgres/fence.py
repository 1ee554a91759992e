"""Whether the database still holds everything that one connection has committed.

A standby that took over, or a server that was restored, may lack the last commits. Every transaction of a fenced
connection updates a row of its own; after a reconnect that row shows whether the last transaction was committed.
"""

from uuid import uuid4

import asyncpg

from kalshi_ingest.errors import DatabaseWentBack

_FORGET = "delete from commit_fences where moved_at < now() - interval '7 days'"
_OPEN = "insert into commit_fences (session, commits, moved_at) values ($1, 0, now()) on conflict do nothing"
_MOVE = "update commit_fences set commits = commits + 1, moved_at = now() where session = $1 and commits = $2"
# It writes once a day, so that the row is not taken for that of a killed run, but a server that has become read-only
# refuses it at any time.
_CHECK = """
with kept as (update commit_fences set moved_at = now() where session = $1 and moved_at < now() - interval '1 day')
select commits from commit_fences where session = $1
"""
# The lost session may still be at work on its COMMIT: its lock on the row is waited for.
_FOUND = "select commits from commit_fences where session = $1 for update"
_CLOSE = "delete from commit_fences where session = $1"

_WENT_BACK = (
    "the database went back to an earlier state, by a failover or a restore: it lacks what this run stored last; "
    "run the same command again"
)


class Fence:
    """The row of one connection, kept over reconnects.

    Once something is missing, every use raises: a handler that swallows the exception hides nothing.
    """

    def __init__(self) -> None:
        self._session = uuid4()
        self._commits = 0
        self._proved_on: asyncpg.Connection | None = None

    async def open(self, connection: asyncpg.Connection) -> None:
        """Make the row, and delete those of runs that were killed, in the caller's transaction."""
        await connection.execute(_FORGET)
        await connection.execute(_OPEN, self._session)

    async def prove(self, connection: asyncpg.Connection) -> bool:
        """Before the first transaction on a connection: whether one whose outcome was unknown has been committed.

        Raises `DatabaseWentBack` when something that was committed is not there.
        """
        if connection is self._proved_on:
            return False
        found = await connection.fetchval(_FOUND, self._session)
        if found not in (self._commits, self._commits + 1):
            raise DatabaseWentBack(_WENT_BACK)
        committed = bool(found > self._commits)
        self._commits, self._proved_on = found, connection
        return committed

    async def move(self, connection: asyncpg.Connection) -> None:
        """First of all in a transaction. Raises `DatabaseWentBack` when the row is not as it was left."""
        if await connection.execute(_MOVE, self._session, self._commits) != "UPDATE 1":
            self._proved_on = None
            raise DatabaseWentBack(_WENT_BACK)

    async def check(self, connection: asyncpg.Connection) -> None:
        """Outside a transaction. Raises `DatabaseWentBack` when the row is not as it was left."""
        await self.prove(connection)
        if await connection.fetchval(_CHECK, self._session) != self._commits:
            self._proved_on = None
            raise DatabaseWentBack(_WENT_BACK)

    def moved(self) -> None:
        self._commits += 1

    async def close(self, connection: asyncpg.Connection) -> None:
        await connection.execute(_CLOSE, self._session)
