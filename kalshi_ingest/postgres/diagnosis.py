"""What an error means for the connection, which the error alone does not always show."""

from contextlib import suppress

import asyncpg

from kalshi_ingest.postgres.connecting import FAILURES
from kalshi_ingest.postgres.locks import blocker
from kalshi_ingest.postgres.sqlstate import Kind, first_line, kind_of, translated

_ANSWER_SECONDS = 5.0


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


async def in_vain(connection: asyncpg.Connection | None, error: Exception, kind: Kind, place: str) -> str:
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
