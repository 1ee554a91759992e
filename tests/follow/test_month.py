"""Days with kills of everything, at 30,000 times their speed: the tables are those of a fresh backfill.

The month with 100 kills of the process and 20 of the database is `python -m benchmarks follow_month`.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from kalshi_simulator import SyntheticWorld
from tests.follow.living import Course, Life, exchange_of
from tests.follow.same import backfill, difference, same
from tests.support.backfills import assert_holds_all, log_statuses
from tests.support.mortals import database_server, service

_WEEK = Course(
    series=("KXHIGHCHI", "KXHIGHLAX"),
    start=date(2025, 10, 27),
    days=7,
    speed=30_000,
    kills=8,
    database_kills=2,
    exchange_outages=1,
    archive_age=timedelta(days=3),
    trades_per_market=600,
)


_FOUR_DAYS = replace(_WEEK, days=4, kills=4, database_kills=1)
"""With the window of maintenance on Thursday in it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "course", [_FOUR_DAYS, pytest.param(_WEEK, marks=pytest.mark.long)], ids=lambda each: each.days
)
async def test_days_of_kills_and_outages(course: Course, tmp_path: Path) -> None:
    with database_server() as server:
        followed, fresh = await server.database("followed"), await server.database("fresh")
        async with (
            exchange_of(course) as simulator,
            service(course.words(), course.environment(simulator.url, followed), tmp_path / "follow.log") as forked,
        ):
            life = Life(course, simulator, server, followed, forked)
            await life.run()
            assert await life.stop() == 0
            assert life.told["kills"] == course.kills
            assert life.told["kills of the database"] == course.database_kills
            assert life.told["outages of the exchange"] == course.exchange_outages
            assert life.time.windows >= 1, "on a slow machine the time runs past the last day, into the next window"
            assert simulator.stats.throttled == 0

            world = simulator.world
            assert isinstance(world, SyntheticWorld)
            await backfill(course, world, fresh)
            found = await same(followed, fresh, course.last)
            for table in [table for table, agrees in found.items() if not agrees]:
                pytest.fail(await difference(followed, fresh, table, course.last))
            await assert_holds_all(followed, world)
            assert set(await log_statuses(followed)) <= {"interrupted", "partial", "success"}
