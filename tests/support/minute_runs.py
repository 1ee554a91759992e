"""A run of `weather minutes` in a few lines, over a simulated world's weather."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import asyncpg

from kalshi_ingest.domain.cities import City, find_city
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.minutes.job import MinuteRun, MinutesRequest, plan
from kalshi_ingest.weather.minutes.report import MinutesReport, report
from kalshi_ingest.weather.minutes.sources import Iem, Source, Timelines
from kalshi_ingest.weather.sources.asos import Asos
from kalshi_ingest.weather.sources.client import Service
from kalshi_ingest.weather.sources.visual_crossing import VisualCrossing
from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from kalshi_simulator.weather.server import WeatherUrls
from tests.support.killable import Order

NOW = datetime(2025, 7, 20, 12, tzinfo=UTC)
FIRST, LAST = date(2025, 7, 1), date(2025, 7, 6)
CHICAGO, MIAMI, LA = find_city("chicago"), find_city("miami"), find_city("la")
KEY = "simulated-key"
QUICK = RetryPolicy(attempts=2, first_delay=0.01, longest_delay=0.02)


def weather_of(**config: Any) -> Simulator:
    """Six cities, six days of July, long past; by default nothing odd and no throttle."""
    world = SyntheticWorld(WorldConfig(start=FIRST, end=LAST, now=NOW, trades_per_market=1.0, oddities=False))
    settings: dict[str, Any] = {"plain": True, "throttle_seconds": None, "seeded_outage": False}
    return Simulator(world, weather=WeatherConfig(**(settings | config)))


@asynccontextmanager
async def source_at(urls: WeatherUrls, kind: str = "iem", key: str = KEY) -> AsyncIterator[Source]:
    """A source that does not wait for anybody."""
    async with aiohttp.ClientSession() as http:
        if kind == "iem":
            yield Iem(Asos(Service(http, address_of("IEM", urls.iem), requests_per_second=10_000, retry=QUICK)))
        else:
            yield Timelines(VisualCrossing(http, urls.visual_crossing, key, retry=QUICK, crowded_seconds=0.01))


async def fetched(
    urls: WeatherUrls,
    database_url: str,
    cities: Sequence[City] = (CHICAGO,),
    *,
    kind: str = "iem",
    first: date = FIRST,
    last: date = LAST,
    now: datetime = NOW,
    again: bool = False,
    key: str = KEY,
) -> MinutesReport:
    """One run, with its own connections."""
    database = Database(database_url)
    await database.open()
    began = asyncio.get_running_loop().time()
    try:
        async with source_at(urls, kind, key) as source:
            planned = await plan(database, source, MinutesRequest(cities, first, last, again), now)
            progress = await MinuteRun(database, source, planned, lambda: now, "weather minutes in a test").run()
            return await report(database, planned, progress, source, asyncio.get_running_loop().time() - began)
    finally:
        await database.close()


def fetch_minutes(order: Order) -> int:
    """A run as a killable one."""
    work = fetched(
        WeatherUrls.below(order["root"]),
        order["database_url"],
        [find_city(name) for name in order["cities"]],
        kind=order["kind"],
        first=date.fromisoformat(order["first"]),
    )
    return asyncio.run(work).exit_code


async def digest(url: str) -> str:
    """What both tables hold, byte for byte, without when it was fetched."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    summed = hashlib.sha256()

    async def take(chunk: bytes) -> None:
        summed.update(chunk)

    try:
        answers = [
            await connection.copy_from_query(f"select {columns} from {table} order by 1, 2", output=take)
            for columns, table in (
                ("*", "wx.minute_obs"),
                (
                    "loc_id, date_local, source, state, slots_observed, slots_filled, slots_missing, rows_rejected, "
                    "error",
                    "wx.minute_day",
                ),
            )
        ]
    finally:
        await connection.close()
    return f"{answers} {summed.hexdigest()}"
