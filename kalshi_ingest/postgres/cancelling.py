"""Work on a connection that is cancelled or takes too long: nobody waits for a connection that is dead."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg

_UNDO_SECONDS = 1.0
"""What a cancelled piece of work outside `run` may take to undo its transaction."""

T = TypeVar("T")


async def at_once(connection: asyncpg.Connection, work: Awaitable[T]) -> T:
    """What `work` gives; when it is cancelled, nothing is undone over a connection whose other end may be gone."""
    try:
        return await work
    except asyncio.CancelledError:
        connection.terminate()
        raise


async def cancellable(connection: asyncpg.Connection, work: Awaitable[T]) -> T:
    """What `work`, which may hold transactions of its own, gives; when it is cancelled, it has a moment to undo them.

    Over a connection whose other end is gone the undoing would be waited for without an end.
    """
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
    """End the connection when the block takes longer: a server whose machine vanished does not say that it is gone."""
    ending = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        ending.cancel()


def is_cancelled() -> bool:
    """Whether somebody asked the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
