"""What a job does when the database went back to an earlier state under it: restart from what it holds now."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from kalshi_ingest.errors import DatabaseWentBack
from kalshi_ingest.postgres.database import Database

_TIMES = 5
"""Restarts; an address behind which several servers take turns would cause them for ever."""

T = TypeVar("T")

log = structlog.get_logger()


async def with_restarts(
    databases: Sequence[Database], work: Callable[[], Awaitable[T]], again: Callable[[], None] = lambda: None
) -> T:
    """Fence the databases and do `work`; all of it once more, after `again`, when one of them went back meanwhile.

    Raises `DatabaseWentBack` when that happens time and again.
    """
    left = _TIMES
    while True:
        for database in databases:
            await database.fence()
        try:
            return await work()
        except DatabaseWentBack as error:
            if not left:
                raise
            log.warning("run_restarted", reason=str(error))
        left -= 1
        again()
