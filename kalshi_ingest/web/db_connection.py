"""A small connection to the database that comes back by itself and never keeps anybody waiting for long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.postgres.connecting import FAILURES
from kalshi_ingest.postgres.sqlstate import Kind, kind_of
from kalshi_ingest.web import queries

log = structlog.get_logger()

T = TypeVar("T")


class Away(Exception):
    """The database gave no answer; the text says why, in words for a person and without a secret."""


class Link:
    """One session, opened when it is first needed and again after every failure. One question at a time."""

    def __init__(self, url: str, purpose: str, seconds: float) -> None:
        """`seconds`: how long a question may take, with connecting and with waiting for the question before it."""
        self._url = url
        self._purpose = purpose
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None

    async def ask(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """What `question` gets from the database. Raises `Away` when that fails or takes too long."""
        try:
            async with asyncio.timeout(self._seconds), self._turn:
                return await self._answered(question)
        except FAILURES as error:
            if isinstance(error, asyncpg.PostgresError) and kind_of(error) is Kind.FAULT:
                log.error("program_fault", where="status page", exc_info=error)
            raise Away(_meaning(error)) from error
        except DatabaseUnusable as error:
            raise Away(str(error)) from error

    async def _answered(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        done = False
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._opened()
            answer = await question(self._connection)
            done = True
            return answer
        finally:
            if not done:  # whatever state the session is in, the next question gets a new one
                self.close()

    async def _opened(self) -> asyncpg.Connection:
        try:
            return await queries.connect(self._url, self._purpose, self._seconds)
        except ValueError:  # its text may quote the password
            raise Away("its address cannot be read") from None

    def close(self) -> None:
        """End the session at once; nothing is written in it, so nothing can be lost."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _meaning(error: Exception) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return "its schema is missing or old: run `kalshi-ingest migrate`"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "it refuses the user or the password"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "the user may not read its tables"
    if isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
        return "it did not answer in time"
    if isinstance(error, asyncpg.PostgresError) and kind_of(error) is Kind.FAULT:
        return "a query of this program is wrong: see the log"
    return "it does not answer"
