"""The four queries that users check a database with run as they stand, and answer rightly.

They are copied from the users' own notes; not a character of them may change for the schema's sake.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from kalshi_ingest.cli.demo_steps import settled_dates
from kalshi_ingest.cli.weather import Options, asked_days
from kalshi_ingest.domain.calendar import SLOT, SLOTS_A_DAY, climate_day_utc
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from tests.support.backfills import Run, fetch, small_world
from tests.support.settlement_runs import Settle

CANDLES_PER_PERIOD = """
select period_minutes, count(*) as candle_count, count(distinct ticker) as unique_markets
from candles group by period_minutes;
"""

DATES_WITHOUT_SETTLEMENT = """
select m.series_ticker, date(m.close_time at time zone 'America/Chicago') as market_date,
       count(m.ticker) as markets, count(s.tmax_final_f) as settlements
from markets m
left join wx.settlement s on s.date_local = date(m.close_time at time zone 'America/Chicago')
where m.status = 'settled'
group by m.series_ticker, market_date
having count(s.tmax_final_f) = 0;
"""

SETTLED_AND_CANDLES = """
select ticker, status,
       (select count(*) from candles c where c.ticker = m.ticker and c.period_minutes = 1) as candles_1m
from markets m
where status = 'settled' and ticker in (select ticker from markets limit 10);
"""

FEW_MINUTES = """
select s.loc_id, s.date_local, count(distinct vo.ts_utc) as vc_minutes, s.tmax_final_f
from wx.settlement s
left join wx.minute_obs vo
  on vo.loc_id = s.loc_id and date(vo.ts_utc at time zone 'America/Chicago') = s.date_local
where s.loc_id in ('KAUS','KMDW','KLAX','KMIA','KDEN','KPHL')
  and s.date_local between '2024-01-01' and '2025-11-14'
group by s.loc_id, s.date_local, s.tmax_final_f
having count(distinct vo.ts_utc) < 200;
"""

DAY = date(2025, 7, 1)
CHICAGO = find_city("chicago")


async def settle(url: str, day: date, maximum: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "insert into wx.settlement (loc_id, date_local, tmax_final_f, source, is_preliminary, tmax_cli_f, "
            "tmax_cli_first_f, n_sources, updated_at) values ($1, $2, $3, 'CLI', false, $3, $3, 1, $4)",
            CHICAGO.station.loc_id,
            day,
            maximum,
            datetime(2025, 7, 10, tzinfo=UTC),
        )
    finally:
        await connection.close()


async def observe(url: str, moments: list[datetime]) -> None:
    connection = await asyncpg.connect(url)
    try:
        rows = [(CHICAGO.station.loc_id, moment, Decimal("80.5"), "VC") for moment in moments]
        await connection.copy_records_to_table(
            "minute_obs", schema_name="wx", columns=["loc_id", "ts_utc", "temp_f", "source"], records=rows
        )
    finally:
        await connection.close()


async def test_the_market_queries(database_url: str) -> None:
    world = small_world()
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url)()
    traded = [ticker for ticker in world.market_tickers() if world.trade_count(ticker)]
    periods = {row["period_minutes"]: row for row in await fetch(database_url, CANDLES_PER_PERIOD)}
    assert {minutes: row["unique_markets"] for minutes, row in periods.items()} == {1: len(traded), 5: len(traded)}
    stamps = {(row["ticker"], row["created_time"][:16]) for ticker in traded for row in world.trades(ticker)}
    assert periods[1]["candle_count"] == len(stamps)

    rows = await fetch(database_url, SETTLED_AND_CANDLES)
    assert {row["ticker"]: (row["status"], row["candles_1m"]) for row in rows} == {
        ticker: ("settled", sum(stamp[0] == ticker for stamp in stamps)) for ticker in world.market_tickers()
    }

    missing = await fetch(database_url, DATES_WITHOUT_SETTLEMENT)
    assert [tuple(row) for row in missing] == [("KXHIGHCHI", DAY, 6, 0)]
    await settle(database_url, DAY, 90)
    assert await fetch(database_url, DATES_WITHOUT_SETTLEMENT) == []


def demo_range(dates: Dates, _: datetime) -> tuple[date, date]:
    return settled_dates(dates)


def range_of_the_command(dates: Dates, now: datetime) -> tuple[date, date]:
    """Without --start and --end."""
    return asked_days(Options(), dates.start, now)


@pytest.mark.parametrize("asked", [demo_range, range_of_the_command])
async def test_the_day_after_the_last_event_is_held_as_soon_as_it_is_final(
    database_url: str, asked: Callable[[Dates, datetime], tuple[date, date]]
) -> None:
    """Markets close on the next date of Chicago's clock, always in the west; else the second query lists them."""
    dates = Dates(date(2026, 7, 1), date(2026, 7, 2))
    now = datetime(2026, 7, 4, 20, tzinfo=UTC)
    series = ("KXHIGHLAX", "KXHIGHMIA")
    config = WorldConfig(
        start=dates.start, end=dates.end, now=now, cities=series, trades_per_market=1.0, oddities=False
    )
    weather = WeatherConfig(plain=True, throttle_seconds=None)
    async with Simulator(SyntheticWorld(config), weather=weather) as simulator:
        wanted = [Wanted("KXHIGHLAX", "la"), Wanted("KXHIGHMIA", "miami")]
        await Run(simulator.url, database_url, wanted)()
        cities = [find_city("la"), find_city("miami")]
        await Settle(simulator.weather_urls, database_url, dates.start, dates.end, now, cities=cities)()
        assert {row["series_ticker"] for row in await fetch(database_url, DATES_WITHOUT_SETTLEMENT)} >= {"KXHIGHLAX"}
        await Settle(simulator.weather_urls, database_url, *asked(dates, now), now, cities=cities)()
        assert await fetch(database_url, DATES_WITHOUT_SETTLEMENT) == []


def _slots(day: date, number: int) -> list[datetime]:
    start, _ = climate_day_utc(CHICAGO, day)
    return [start + place * SLOT for place in range(number)]


async def test_the_minutes_query(database_url: str) -> None:
    """A full day passes, a day of a hundred slots is listed with its count and maximum; so is one without any."""
    full, thin, none = DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)
    for day, maximum in ((full, 90), (thin, 91), (none, 92)):
        await settle(database_url, day, maximum)
    # In summer the last hour of a climate day falls on the next date of the clock: twelve slots more for the thin day.
    await observe(database_url, _slots(full, SLOTS_A_DAY) + _slots(thin, 100))
    rows = await fetch(database_url, FEW_MINUTES)
    assert sorted(tuple(row) for row in rows) == [("KMDW", thin, 112, 91), ("KMDW", none, 0, 92)]
