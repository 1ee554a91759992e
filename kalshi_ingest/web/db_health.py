"""The watch over the database: whether it answers, asked every two seconds on a session of its own."""

import asyncio

import structlog

from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.web import queries
from kalshi_ingest.web.db_connection import Away, Link
from kalshi_ingest.web.pace import RecentPace

_EVERY_SECONDS = 2.0
_PATIENCE_SECONDS = 3.0
_LOG_SECONDS = 60.0
"""The same fault is logged this often at most, and counted each time."""

log = structlog.get_logger(__name__)


async def watch(state: FollowState, database_url: str, pace: RecentPace) -> None:
    """Record each answer in `state.database_seen_at` and the requests sent in `pace`, until cancelled.

    Other queries do not slow this down: the session is its own. An outage is logged by the job, not here.
    """
    link = Link(database_url, "watch", _PATIENCE_SECONDS)
    logged, logged_at = "", float("-inf")
    try:
        while True:
            pace.note(state.clock(), state.traffic.sent)
            try:
                await link.ask(queries.answers)
                state.database_seen_at = state.clock()
                logged = ""
            except Away:
                pass
            except Exception as error:  # nothing would start this task again
                state.faults += 1
                if repr(error) != logged or state.clock() - logged_at >= _LOG_SECONDS:
                    logged, logged_at = repr(error), state.clock()
                    log.exception("database_watch_failed")
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        link.close()
