"""The weather: the one-minute grid over years of observations, and what a seed window costs the services."""

import time
from collections.abc import Sequence
from datetime import date, timedelta

import asyncpg

from benchmarks.bench_exchange import END, World, exchange
from benchmarks.bench_server import Server, database, fetch_rows
from benchmarks.children import ran
from benchmarks.report import Row, tell
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_ingest.weather.grid.queries import GridRefreshed, refresh

_DAYS, _QUICK_DAYS = 684, 40
"""2024-01-01 to 2025-11-14 is the full seed window."""
_REFRESH_SECONDS = 60.0
_NEW_DAY_SECONDS = 5.0
_REQUESTS = 60
_COMPLETE, _INCOMPLETE = 0, 1

# Five-minute observations of whole days of UTC: like the real ones a few in a hundred are missing, and temperatures
# wander.
_OBSERVE = """
insert into wx.minute_obs (loc_id, ts_utc, temp_f, dew_f, humidity, windspeed_mph, windgust_mph, winddir_deg,
    pressure_mb, precip_in, cloudcover, stations, source)
select loc_id, $2::date::timestamp at time zone 'UTC' + slot * interval '5 minutes', 40 + slot % 45,
       30 + slot % 20, 50 + slot % 40, slot % 25, null, (slot * 10) % 360, 1000 + slot % 30, 0, slot % 100, loc_id,
       'IEM_1MIN'
from unnest($1::text[]) as loc_id cross join generate_series(0, 288 * $3::int - 1) as slot
where abs(hashtext(loc_id || slot)::bigint) % 100 >= 3
order by loc_id, slot
"""

_NEW_MINUTES = """
select count(*) as minutes, count(temp_f) as observed
from wx.minute_obs_1m_live where loc_id = any($1::text[]) and ts_utc >= $2::date::timestamp at time zone 'UTC'
"""


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """The grid, then both commands that fetch."""
    days = _QUICK_DAYS if quick else _DAYS
    async with database(server) as url:
        grid = await _grid(url, days)
    return [*grid, *await _fetching(server, days)]


async def _grid(url: str, days: int) -> list[Row]:
    tell(f"weather: the grid over {days} days of six stations")
    stations = [city.station.loc_id for city in CITIES if not city.retired]
    connection = await asyncpg.connect(url)
    opened = Database(url)
    try:
        await migrate(connection, migrations_dir())
        await opened.open()
        first_day = END - timedelta(days=days - 1)
        await connection.execute(_OBSERVE, stations, first_day, days)
        await connection.execute("vacuum analyze wx.minute_obs")
        first = await refresh(opened)
        live = await _new_day(connection, stations, END + timedelta(days=1))
        again = await refresh(opened)
    finally:
        await opened.close()
        await connection.close()
    return [
        _refreshed(f"grid, {len(stations)} stations, {days} days: first refresh", first),
        _refreshed("grid: refreshed with one more day, while it is read", again),
        Row(
            "grid: one new day, from its insert to being read live",
            f"{live:.2f} s",
            f"<= {_NEW_DAY_SECONDS:g} s",
            live <= _NEW_DAY_SECONDS,
        ),
    ]


async def _new_day(connection: asyncpg.Connection, stations: Sequence[str], day: date) -> float:
    """Seconds from the first row of a new day to the grid's answer about it, without a refresh."""
    started = time.perf_counter()
    await connection.execute(_OBSERVE, stations, day, 1)
    found = await connection.fetchrow(_NEW_MINUTES, stations, day)
    seconds = time.perf_counter() - started
    least = len(stations) * 1400
    if found is None or found["observed"] < least:
        raise RuntimeError(f"of a new day {found} minutes are there to be read, not {least} and more")
    return seconds


def _refreshed(what: str, done: GridRefreshed) -> Row:
    return Row(
        what,
        f"{done.seconds:.1f} s ({done.rows:,} minutes)",
        f"<= {_REFRESH_SECONDS:g} s",
        done.seconds <= _REFRESH_SECONDS,
    )


async def _fetching(server: Server, days: int) -> list[Row]:
    """Both commands as a user runs them, at their own pace, against services that refuse a faster one."""
    # Trades play no part; oddities do: they leave gaps for which another service is asked.
    async with exchange(World(days, 1.0, plain=False)) as source, database(server) as url:
        words = ["--start", str(source.world.start), "--end", str(END), *source.weather]
        fine = (_COMPLETE, _INCOMPLETE)  # days that no service has stay missing
        tell(f"weather: settlements of {days} days")
        settlement = await ran(["weather", "settlement", *words], url, fine=fine)
        tell(f"weather: minutes of {days} days")
        minutes = await ran(["weather", "minutes", "--source", "iem", *words], url, fine=fine)
        seen = await source.weather_stats()
        settled = (await fetch_rows(url, "select count(*) from wx.settlement where tmax_final_f is not null"))[0][0]
        stored = (await fetch_rows(url, "select count(*) from wx.minute_obs"))[0][0]
    asked = sum(seen["by_service"].values()) - seen["settlement_requests"]
    refused = sum(counts.get("429", 0) for counts in seen["by_status"].values())
    return [
        Row(
            f"settlements, six cities, {days} days: requests",
            f"{seen['settlement_requests']} (in {settlement.seconds:.0f} s; {settled:,} maxima)",
            f"<= {_REQUESTS}",
            seen["settlement_requests"] <= _REQUESTS,
        ),
        Row(
            f"minutes, six cities, {days} days: requests",
            f"{asked} (in {minutes.seconds:.0f} s; {stored:,} observations)",
        ),
        Row("minutes: own CPU, peak memory", f"{minutes.cpu_seconds:.1f} s, {minutes.peak_megabytes:.0f} MB"),
        Row("weather requests refused as too fast", str(refused), "0", refused == 0),
    ]
