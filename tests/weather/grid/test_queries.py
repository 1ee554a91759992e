"""The one-minute grid: the last observation carried forward, its age shown and limited, nothing invented."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.grid import queries
from tests.support.backfills import fetch
from tests.support.patience import COMES

NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


async def observe(url: str, temperatures: dict[datetime, int | None], *, ffilled: bool = False) -> None:
    """Rows of Chicago's station by hand."""
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "insert into wx.minute_obs (loc_id, ts_utc, temp_f, dew_f, ffilled, stations, source) "
            "values ('KMDW', $1, $2, 41.5, $3, 'KMDW', 'VC')",
            [(moment, temperature, ffilled) for moment, temperature in temperatures.items()],
        )
    finally:
        await connection.close()


async def shown(url: str, view: str = "minute_obs_1m") -> dict[datetime, tuple[object, ...]]:
    """(temperature, observed at, age, filled) of every minute."""
    rows = await fetch(url, f"select ts_utc, temp_f, obs_ts_utc, age_seconds, ffilled from wx.{view} order by ts_utc")
    found = {row[0]: tuple(row)[1:] for row in rows}
    assert len(found) == len(rows)
    return found


async def test_the_last_observation_is_carried_and_ends_the_grid(database: Database, database_url: str) -> None:
    last = NOON + 7 * MINUTE
    await observe(database_url, {NOON: 80, last: 81})
    refreshed = await queries.refresh(database)
    carried = {NOON + n * MINUTE: (80, NOON, 60 * n, n >= 5) for n in range(7)}
    assert await shown(database_url) == carried | {last: (81, last, 0, False)}
    assert (refreshed.rows, refreshed.concurrently) == (8, False)
    row = (await fetch(database_url, "select * from wx.minute_obs_1m where ts_utc = $1", NOON + MINUTE))[0]
    assert (row["loc_id"], row["dew_f"], row["stations"], row["source"]) == ("KMDW", Decimal("41.50"), "KMDW", "VC")


async def test_an_outage_of_three_days_is_empty_after_thirty_minutes(database: Database, database_url: str) -> None:
    again = NOON + timedelta(days=3)
    await observe(database_url, {NOON: 80, again: 60})
    await queries.refresh(database)
    minutes = await shown(database_url)
    assert len(minutes) == 3 * 1440 + 1
    assert minutes[NOON + 30 * MINUTE] == (80, NOON, 1800, True)
    assert minutes[again] == (60, again, 0, False)
    hole = {values for moment, values in minutes.items() if NOON + 30 * MINUTE < moment < again}
    assert hole == {(None, None, None, None)}
    empty = await fetch(database_url, "select * from wx.minute_obs_1m where ts_utc = $1", NOON + 31 * MINUTE)
    assert [value for name, value in empty[0].items() if name not in ("loc_id", "ts_utc")] == [None] * 15


async def test_a_filled_slot_does_not_make_an_observation_younger(database: Database, database_url: str) -> None:
    """The outage again, as a table with filled slots holds it: the age counts from the observation."""
    again = NOON + 120 * MINUTE
    await observe(database_url, {NOON: 80, again: 60})
    await observe(database_url, {NOON + n * MINUTE: 80 for n in range(5, 120, 5)}, ffilled=True)
    await queries.refresh(database)
    minutes = await shown(database_url)
    assert minutes[NOON + 7 * MINUTE] == (80, NOON, 420, True)
    assert minutes[NOON + 30 * MINUTE] == (80, NOON, 1800, True)
    assert minutes[NOON + 31 * MINUTE] == (None, None, None, None)


async def test_observations_off_the_minute_are_not_lost(database: Database, database_url: str) -> None:
    """Each shows from the next whole minute on, the latest of a minute wins, and none shows before its time."""
    first, second, third = NOON + 20 * SECOND, NOON + 130 * SECOND, NOON + 170 * SECOND
    await observe(database_url, {first: 80, second: 81, third: 82, NOON + 4 * MINUTE + 59 * SECOND: 83})
    await queries.refresh(database)
    assert await shown(database_url) == {
        NOON + 1 * MINUTE: (80, first, 40, False),
        NOON + 2 * MINUTE: (80, first, 100, False),
        NOON + 3 * MINUTE: (82, third, 10, False),
        NOON + 4 * MINUTE: (82, third, 70, False),
    }


async def test_the_age_limit_holds_off_the_minute(database: Database, database_url: str) -> None:
    await observe(database_url, {NOON + SECOND: 80, NOON + 40 * MINUTE: 81})
    await queries.refresh(database)
    minutes = await shown(database_url)
    assert minutes[NOON + 30 * MINUTE] == (80, NOON + SECOND, 1799, True)
    assert minutes[NOON + 31 * MINUTE] == (None, None, None, None)


async def test_a_row_without_a_temperature_hides_none(database: Database, database_url: str) -> None:
    await observe(database_url, {NOON: 80, NOON + 5 * MINUTE: None, NOON + 10 * MINUTE: 82})
    await queries.refresh(database)
    assert (await shown(database_url))[NOON + 6 * MINUTE] == (80, NOON, 360, True)


async def test_readers_go_on_while_the_grid_is_refreshed(database: Database, database_url: str) -> None:
    """A reader inside a transaction would stop an ordinary refresh, and an ordinary refresh would stop a reader."""
    await observe(database_url, {NOON: 80, NOON + 5 * MINUTE: 81})
    await queries.refresh(database)
    await observe(database_url, {NOON + 10 * MINUTE: 82})
    reader = await asyncpg.connect(database_url)
    try:
        async with reader.transaction(isolation="repeatable_read"):
            assert await reader.fetchval("select count(*) from wx.minute_obs_1m") == 6
            async with asyncio.timeout(COMES):
                refreshed = await queries.refresh(database)
            assert await reader.fetchval("select count(*) from wx.minute_obs_1m") == 6
        assert await reader.fetchval("select count(*) from wx.minute_obs_1m") == 11
    finally:
        await reader.close()
    assert (refreshed.rows, refreshed.concurrently) == (11, True)


async def test_new_observations_show_live_without_a_refresh(database: Database, database_url: str) -> None:
    """The live view is what the stored grid becomes with the next refresh: nothing doubled at the seam."""
    await observe(database_url, {NOON: 80, NOON + 5 * MINUTE + 30 * SECOND: 81})
    assert await shown(database_url, "minute_obs_1m_live") != {}
    await queries.refresh(database)
    await observe(database_url, {NOON + 12 * MINUTE: 82, NOON + 60 * MINUTE: 83, NOON + 61 * MINUTE: 84})
    live = await shown(database_url, "minute_obs_1m_live")
    assert max(await shown(database_url)) == NOON + 5 * MINUTE
    await queries.refresh(database)
    assert live == await shown(database_url) == await shown(database_url, "minute_obs_1m_live")
    assert (min(live), max(live)) == (NOON, NOON + 61 * MINUTE)


async def test_the_locations_are_the_catalogue(database_url: str) -> None:
    """Network and office are for readers of the table: the program has no use for them."""
    of_readers = {
        "austin": ("TX_ASOS", "EWX"),
        "chicago": ("IL_ASOS", "LOT"),
        "denver": ("CO_ASOS", "BOU"),
        "la": ("CA_ASOS", "LOX"),
        "miami": ("FL_ASOS", "MFL"),
        "nyc": ("NY_ASOS", "OKX"),
        "philadelphia": ("PA_ASOS", "PHI"),
    }
    rows = await fetch(database_url, "select * from wx.location order by city")
    assert [dict(row) for row in rows] == [
        {
            "loc_id": city.station.loc_id,
            "city": city.key,
            "name": city.name,
            "iem_id": city.station.iem_id,
            "iem_network": of_readers[city.key][0],
            "cli_pil": city.station.cli_pil,
            "cli_office": of_readers[city.key][1],
            "ghcnd_id": city.station.ghcnd_id,
            "visual_crossing_id": city.station.visual_crossing_id,
            "tz": city.time_zone,
            "standard_offset_hours": city.standard_offset_hours,
            "first_event_date": city.first_event_date,
            "retired": city.retired,
        }
        for city in sorted(CITIES, key=lambda city: city.key)
    ]
