"""Minute observations in the table: every value as it was, a day replaced whole."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg
import pytest

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.minutes import VISUAL_CROSSING, Observation, minutes_of
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.minutes.queries import fail_days, write_days
from tests.support.backfills import fetch

CHICAGO = find_city("chicago")
DAY = date(2025, 1, 20)
NOW = datetime(2025, 2, 1, tzinfo=UTC)
START = int(climate_day_utc(CHICAGO, DAY)[0].timestamp())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


async def write(
    database: Database,
    observations: Sequence[Observation],
    day: date = DAY,
    *,
    again: bool = False,
    state: str = "complete",
) -> int:
    minutes = minutes_of(CHICAGO, day, [(VISUAL_CROSSING, observations)], NOW)

    async def work(connection: asyncpg.Connection) -> int:
        return await write_days(connection, [(minutes, state)], NOW, again=again)

    return await database.run(work)


async def test_every_value_as_it_was(database: Database, database_url: str) -> None:
    full = Observation(
        START, -12_34, "KMDW", VISUAL_CROSSING, -20_05, 64_00, 5, 123_40, 359_9, 1013_25, 12, "snow,ice", 100_0
    )
    zeros = Observation(START + 301, 0, "KMDW", VISUAL_CROSSING, 0, 0, 0, 0, 0, 850_00, 0, None, 0)
    bare = Observation(START + 600, 45_00, "KMDW", VISUAL_CROSSING)
    await write(database, [full, zeros, bare])
    rows = await fetch(database_url, "select * from wx.minute_obs where not ffilled order by ts_utc")
    zero = Decimal(0)
    assert [tuple(row) for row in rows] == [
        (
            "KMDW",
            datetime(2025, 1, 20, 6, tzinfo=UTC),
            Decimal("-12.34"),
            Decimal("-20.05"),
            Decimal("64.00"),
            Decimal("0.05"),
            Decimal("123.40"),
            Decimal("359.9"),
            Decimal("1013.25"),
            Decimal("0.012"),
            "snow,ice",
            Decimal("100.0"),
            False,
            "KMDW",
            "VC",
        ),
        (
            "KMDW",
            datetime(2025, 1, 20, 6, 5, 1, tzinfo=UTC),
            *[zero] * 6,
            Decimal(850),
            zero,
            None,
            zero,
            False,
            "KMDW",
            "VC",
        ),
        ("KMDW", datetime(2025, 1, 20, 6, 10, tzinfo=UTC), Decimal(45), *[None] * 9, False, "KMDW", "VC"),
    ]
    copies = await fetch(database_url, "select ts_utc, temp_f from wx.minute_obs where ffilled order by ts_utc")
    assert [row["temp_f"] for row in copies] == [Decimal(45)] * 12
    assert copies[0]["ts_utc"] == datetime(2025, 1, 20, 6, 15, tzinfo=UTC)


async def test_a_day_is_replaced_and_its_neighbours_are_not(database: Database, database_url: str) -> None:
    every = [Observation(START + n * 300, 50_00, "KMDW", VISUAL_CROSSING) for n in range(-288, 576)]
    for number in (19, 20, 21):
        await write(database, every, date(2025, 1, number))
    warmer = [each._replace(temp=51_00, second=each.second + 60) for each in every]
    assert await write(database, warmer) == 0
    rows = await fetch(database_url, "select temp_f, count(*), min(ts_utc) from wx.minute_obs group by 1 order by 1")
    assert [tuple(row) for row in rows] == [
        (50, 2 * 288, datetime(2025, 1, 19, 6, tzinfo=UTC)),
        (51, 288, datetime(2025, 1, 20, 6, 1, tzinfo=UTC)),
    ]


async def test_fewer_observed_slots_are_worse(database: Database, database_url: str) -> None:
    """Even when as many slots hold something, through copies."""
    every = [Observation(START + n * 300, 50_00, "KMDW", VISUAL_CROSSING) for n in range(288)]
    await write(database, every)
    assert await write(database, every[:-1]) == 1
    assert await write(database, every[:-1], again=True) == 0
    assert tuple((await fetch(database_url, "select slots_observed, slots_filled from wx.minute_day"))[0]) == (287, 1)
    assert await write(database, every) == 0


async def test_a_failure_keeps_what_is_stored_and_takes_no_proof_away(database: Database, database_url: str) -> None:
    proved, unproved, unknown = (date(2025, 1, number) for number in (20, 21, 22))
    every = [Observation(START + n * 300, 50_00, "KMDW", VISUAL_CROSSING) for n in range(576)]
    await write(database, every, proved)
    await write(database, every, unproved, state="open")
    await database.run(fail_days, "KMDW", [proved, unproved, unknown], VISUAL_CROSSING, "it is down", NOW)
    rows = await fetch(
        database_url, "select date_local, state, error, slots_observed from wx.minute_day order by date_local"
    )
    assert [tuple(row) for row in rows] == [
        (proved, "complete", None, 288),
        (unproved, "failed", "it is down", 288),
        (unknown, "failed", "it is down", 0),
    ]
    assert [row[0] for row in await fetch(database_url, "select count(*) from wx.minute_obs")] == [576]
