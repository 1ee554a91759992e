"""Times between Python and PostgreSQL: every one that is read is aware, and none that is written is infinite.

PostgreSQL has two infinite times and years beyond 9999. asyncpg reads them as naive first and last times of Python's
calendar, which compare with no aware time, and writes those as infinite.
"""

from datetime import UTC, datetime, timedelta

import asyncpg

from kalshi_ingest.domain.model import to_microseconds

FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""What is read for a time that lies beyond: a day may be added to it or subtracted."""

EVER_US = (to_microseconds(FIRST), to_microseconds(LAST))
"""All time, microseconds since 1970."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US, _LAST_US = ((moment - _EPOCH) // _MICROSECOND for moment in (FIRST, LAST))


async def teach(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("timestamptz", schema="pg_catalog", encoder=_written, decoder=_read, format="tuple")


def _written(moment: datetime) -> tuple[int]:
    """Raises TypeError for a moment without a time zone."""
    return ((moment - _EPOCH) // _MICROSECOND,)


def _read(wire: tuple[int]) -> datetime:
    return _EPOCH + timedelta(microseconds=min(max(wire[0], _FIRST_US), _LAST_US))
