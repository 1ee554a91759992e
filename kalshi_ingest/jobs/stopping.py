"""Work that a stop may cut short."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger()


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, grace: float = 0.0) -> T | None:
    """What `work` gives; None when `stop` came first, and `work` was cancelled.

    Work that heeds `stop` itself has `grace` seconds for that. It runs in the caller's own task: cancelling the caller
    cancels it, and what it opened is closed by the task that opened it.
    """
    if stop.is_set() and not grace:
        work.close()
        return None
    limit = asyncio.timeout(None)
    try:
        async with limit:
            watching = asyncio.create_task(_cut_short(stop, limit, grace))
            try:
                return await work
            finally:
                watching.cancel()
    except Exception as error:
        if not limit.expired():
            raise
        if not isinstance(error, TimeoutError):
            log.debug("gave up", reason=str(error))
        return None


async def _cut_short(stop: asyncio.Event, limit: asyncio.Timeout, grace: float) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time() + grace)
