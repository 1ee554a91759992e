"""Tasks that work together, and which of the errors that end them together is reported."""

from asyncio import TaskGroup
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kalshi_ingest.errors import IngestError


@asynccontextmanager
async def together() -> AsyncIterator[TaskGroup]:
    """A task group that raises, in place of the group of everything that failed, the one error that ended it.

    That is one written for the user before any other.
    """
    try:
        async with TaskGroup() as group:
            yield group
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
