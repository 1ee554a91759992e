"""Columns that the owner of the database added are in nobody's way, whatever they demand."""

from datetime import date
from pathlib import Path

import pytest

from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from tests.support import minute_runs, postgres
from tests.support.archives import exported
from tests.support.backfills import Run, assert_holds_all, fetch, varied_world
from tests.support.loads import loaded
from tests.support.settlement_runs import Settle

_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables
where schemaname in ('public', 'wx') and tablename <> 'schema_migrations'
"""
_JULY = WorldConfig(
    start=date(2025, 7, 1), end=date(2025, 7, 3), now=minute_runs.NOW, trades_per_market=1.0, oddities=False
)
_WORLD = varied_world(giant=1_500, trades_per_market=60.0)


async def _add_columns(url: str) -> None:
    for (table,) in await fetch(url, _TABLES):
        await postgres.execute(
            url, f"alter table {table} add column owners text generated always as ('own') stored not null"
        )


@pytest.fixture
async def altered(database_url: str) -> str:
    """A database whose owner added a generated column that must not be NULL to every table."""
    await _add_columns(database_url)
    return database_url


async def test_a_backfill_straight_and_over_staging(altered: str) -> None:
    async with Simulator(_WORLD) as simulator:
        await Run(simulator.url, altered)()
        await postgres.execute(altered, "delete from checkpoints where ticker in (select ticker from trades)")
        job = await Run(simulator.url, altered)()
    assert not job.progress["KXHIGHCHI"].failed
    await assert_holds_all(altered, _WORLD)
    assert (await fetch(altered, "select count(*) from checkpoints where state <> 'complete'"))[0][0] == 0


async def test_an_archive_into_an_empty_database_and_over_what_is_held(altered: str, tmp_path: Path) -> None:
    async with Simulator(_WORLD) as simulator:
        await Run(simulator.url, altered)()
    await exported(altered, tmp_path)
    await postgres.execute(altered, "delete from trades where ticker in (select max(ticker) from trades)")
    await loaded(altered, tmp_path)
    await assert_holds_all(altered, _WORLD)
    await postgres.execute(altered, "truncate trades, candles, checkpoints")
    assert not (await loaded(altered, tmp_path)).failed
    await assert_holds_all(altered, _WORLD)


async def test_weather(altered: str) -> None:
    days, now = (date(2025, 7, 1), date(2025, 7, 3)), minute_runs.NOW
    weather = WeatherConfig(plain=True, throttle_seconds=None, seeded_outage=False)
    async with Simulator(SyntheticWorld(_JULY), weather=weather) as simulator:
        urls = simulator.weather_urls
        for _ in range(2):
            await Settle(urls, altered, *days, now, cities=[minute_runs.CHICAGO])()
            await minute_runs.fetched(urls, altered, first=days[0], last=days[1])
    rows = await fetch(altered, "select (select count(*) from wx.settlement), (select count(*) from wx.minute_obs)")
    assert tuple(rows[0]) == (3, 3 * 288)
