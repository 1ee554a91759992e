"""Work that a stop may cut short."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from kalshi_ingest.errors import IngestError

T = TypeVar("T")

LOG_SECONDS = 2.0
"""For what a run that is stopped or has failed still writes into the ingestion log."""

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


async def logged(writing: Coroutine[Any, Any, None], *, hurried: bool, stop: asyncio.Event | None = None) -> None:
    """Write how a run ended. What cannot be written does not matter: the next run corrects the log.

    A run that did all it was asked for waits as long as the database takes, lest it be logged as interrupted. One that
    ends early, `hurried`, or that `stop` meets here has `LOG_SECONDS`.
    """
    with suppress(IngestError, TimeoutError):
        async with asyncio.timeout(LOG_SECONDS if hurried else None):
            await unless_stopped(stop or asyncio.Event(), writing, grace=LOG_SECONDS)


async def _cut_short(stop: asyncio.Event, limit: asyncio.Timeout, grace: float) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time() + grace)
