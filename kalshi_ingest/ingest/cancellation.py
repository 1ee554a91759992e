"""Tasks that work together: the error that ends them, what a stop cancels, and the writer's last commit."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, TypeVar

import structlog

from kalshi_ingest.errors import IngestError
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.writer import Writer

T = TypeVar("T")

_STOP_SECONDS = 4.0
"""How long what is under way may take to end after a stop; together with the log, below ten seconds."""

log = structlog.get_logger()


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, grace: float = 0.0) -> T | None:
    """What `work` gives; None when `stop` came first, and `work` was cancelled.

    Work that watches `stop` itself has `grace` seconds to end. It runs in the caller's own task: cancelling the caller
    cancels it, and the task that opened something closes it.
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
            log.debug("work_abandoned", reason=str(error))
        return None


async def _cut_short(stop: asyncio.Event, limit: asyncio.Timeout, grace: float) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time() + grace)


async def wind_down(
    group: asyncio.TaskGroup,
    jobs: Sequence["asyncio.Task[None]"],
    writer: Writer,
    writing: "asyncio.Task[None]",
    databases: Sequence[Database],
) -> bool:
    """Cancel those of `jobs` that are still at work, and let the writer commit what it was handed.

    Whether there were any; then it takes `_STOP_SECONDS` at most, after which the databases are aborted.
    """
    stopped = [job for job in jobs if not job.done()]
    for job in stopped:
        job.cancel()
    # A cancelled job hands over nothing more. A writer that is stuck does not even begin to finish.
    ending = [*jobs, writing, group.create_task(writer.finish())]
    _, stuck = await asyncio.wait(ending, timeout=_STOP_SECONDS if stopped else None)
    if stuck:
        for database in databases:
            database.abort()
    writing.cancel()
    return bool(stopped)


class _Group(asyncio.TaskGroup):
    """A task group whose block does not end before its tasks.

    Python 3.11 and 3.12 leave the caller marked as cancelled when a task fails after the end of the block; whoever
    asks `Task.cancelling` then takes any later trouble for a cancellation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._created: list[asyncio.Task[Any]] = []

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        task = super().create_task(coro, name=name, context=context)
        self._created.append(task)
        return task

    async def all_done(self) -> None:
        while at_work := [task for task in self._created if not task.done()]:
            await asyncio.wait(at_work)


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises, in place of the group of everything that failed, the one error that ended it.

    That is one written for the user before any other.
    """
    try:
        async with _Group() as group:
            yield group
            await group.all_done()
    except BaseExceptionGroup as failures:
        raise _first_of(failures) from failures


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, IngestError)), leaves[0])
