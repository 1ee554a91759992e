"""Work on a connection that is cancelled or takes too long: a dead connection is never waited for."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg

_UNDO_SECONDS = 1.0
"""Seconds for cancelled work outside `run` to undo its transaction."""

T = TypeVar("T")


async def at_once(connection: asyncpg.Connection, work: Awaitable[T]) -> T:
    """Await `work`; when it is cancelled, do not undo anything over a connection whose other end may be gone."""
    try:
        return await work
    except asyncio.CancelledError:
        connection.terminate()
        raise


async def cancellable(connection: asyncpg.Connection, work: Awaitable[T]) -> T:
    """Await `work`, which may hold transactions; when it is cancelled, it has `_UNDO_SECONDS` to undo them."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([working])
    except asyncio.CancelledError:
        working.cancel()
        asyncio.get_running_loop().call_later(_UNDO_SECONDS, connection.terminate)
        await asyncio.gather(working, return_exceptions=True)  # undoing fails where the connection is dead
        raise
    return working.result()


@contextmanager
def ended_after(connection: asyncpg.Connection, seconds: float) -> Iterator[None]:
    """End the connection when the block takes longer: a vanished server sends no sign."""
    ending = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        ending.cancel()


def is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
