"""The one-minute grid of weather, refreshed from the observations while it stays readable."""

from dataclasses import dataclass
from time import monotonic

import asyncpg

from kalshi_ingest.postgres.database import LONG, Database

# Default memory spills the join of six million minutes to disk in small pieces, which doubles its time.
_ROOM = "set local work_mem = '128MB'; set local maintenance_work_mem = '128MB'"

_POPULATED = "select relispopulated from pg_class where oid = 'wx.minute_obs_1m'::regclass"
_HOLDS_A_ROW = "select exists (select from wx.minute_obs_1m)"
_CONCURRENTLY = "refresh materialized view concurrently wx.minute_obs_1m"
_AT_ONCE = "refresh materialized view wx.minute_obs_1m"
_COUNT = "select count(*) from wx.minute_obs_1m"


@dataclass(frozen=True, slots=True)
class GridRefreshed:
    rows: int
    """One per location and minute, empty minutes inside an outage included."""
    seconds: float
    concurrently: bool
    """False for the first refresh: readers waited, since there was nothing to read."""


async def refresh(database: Database) -> GridRefreshed:
    """Refresh `wx.minute_obs_1m` from `wx.minute_obs`, in one transaction.

    Readers see the old grid until the commit and wait only for the first refresh. Raises `Unusable` when the database
    user does not own the view, `OutOfReach` when the database is gone.
    """
    began = monotonic()

    async def work(connection: asyncpg.Connection) -> tuple[int, bool]:
        await connection.execute(_ROOM)
        populated = await connection.fetchval(_POPULATED)
        concurrently = bool(populated and await connection.fetchval(_HOLDS_A_ROW))
        await connection.execute(_CONCURRENTLY if concurrently else _AT_ONCE)
        # The next comparison of old and new rows is planned from these counts.
        await connection.execute("analyze wx.minute_obs_1m")
        return await connection.fetchval(_COUNT), concurrently

    rows, concurrently = await database.run(work, longest=LONG)
    return GridRefreshed(rows, monotonic() - began, concurrently)
