"""The lists of a series that is followed: broken off, denied, empty, or read while a worker proves."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import aiohttp
import asyncpg
from aiohttp import web

from kalshi_ingest.domain.checkpoint import Task
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.follow.periodic_jobs import Weather
from kalshi_ingest.follow.state import Phase
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.ingest.discovery import Dates, SeriesDiscovery
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Simulator, SyntheticWorld
from tests.follow.following import QUICK, SERIES, TICKER, TICKERS, LivingWorld, days_of_chicago, following, serving
from tests.support.backfills import CHICAGO, Run, fetch, trade_row
from tests.support.patience import COMES

BOTH = [Wanted("KXHIGHCHI", "chicago"), Wanted("KXHIGHMIA", "miami")]
FINE = replace(QUICK, listings=0.5, deep=1.0)


async def test_a_first_reading_that_broke_off_leaves_no_hole(database_url: str) -> None:
    """Lists come newest first and are stored page by page: what is held then begins after the gap."""
    world = days_of_chicago(datetime(2025, 7, 4, 20, tzinfo=UTC), last=date(2025, 8, 6), trades_per_market=4.0)
    async with serving(world) as simulator:
        await Run(simulator.url, database_url, dates=Dates(date(2025, 7, 1), date(2025, 7, 2)))()
        world.now = datetime(2025, 8, 4, 20, tzinfo=UTC)
        broken, pages = True, 0

        def hook(route: str, _: str | None) -> None:
            nonlocal pages
            pages += route == "markets"
            if route == "markets" and pages > 1 and broken:
                raise web.HTTPInternalServerError

        simulator.on_request = hook
        async with following(simulator.url, database_url, intervals=FINE) as service:
            await service.until(lambda: service.chicago.failed)
            broken = False
            await service.up_to_date()
    days = [row[0] for row in await fetch(database_url, "select distinct event_date from markets order by 1")]
    assert days == [date(2025, 7, 1) + timedelta(days=number) for number in range(36)]


async def test_a_killed_first_reading_leaves_no_hole(database_url: str) -> None:
    world = days_of_chicago(datetime(2025, 7, 4, 20, tzinfo=UTC), last=date(2025, 8, 6), trades_per_market=4.0)
    async with serving(world) as simulator:
        await Run(simulator.url, database_url, dates=Dates(date(2025, 7, 1), date(2025, 7, 2)))()
        world.now = datetime(2025, 8, 4, 20, tzinfo=UTC)
        reached = asyncio.Event()
        pages = 0

        async def hook(route: str, _: str | None) -> None:
            nonlocal pages
            pages += route == "markets"
            if pages > 1:
                reached.set()
                await asyncio.Event().wait()

        simulator.on_request = hook
        async with following(simulator.url, database_url, intervals=FINE) as service:
            await asyncio.wait_for(reached.wait(), COMES)
            service.task.cancel()
            await asyncio.wait([service.task])
            assert (await fetch(database_url, "select count(*) from markets"))[0][0] > 12
            simulator.on_request = None
            service.stop.set()
            service.task = asyncio.create_task(asyncio.sleep(0))
        async with following(simulator.url, database_url, intervals=FINE) as service:
            await service.up_to_date()
    days = [row[0] for row in await fetch(database_url, "select distinct event_date from markets order by 1")]
    assert days == [date(2025, 7, 1) + timedelta(days=number) for number in range(36)]


async def test_a_series_that_the_exchange_denies_later_stops_nobody_else(database_url: str) -> None:
    now = datetime(2025, 6, 30, 16, tzinfo=UTC)
    world = days_of_chicago(now, cities=("KXHIGHCHI", "KXHIGHMIA"))
    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=FINE, wanted=BOTH) as service,
    ):
        await service.up_to_date()

        def hook(route: str, ticker: str | None) -> None:
            if route == "series" and ticker == "KXHIGHMIA":
                raise web.HTTPNotFound

        simulator.on_request = hook
        await service.until(lambda: service.state.series["KXHIGHMIA"].failed)
        world.now = now + timedelta(hours=7)
        wanted = sum(world.trade_count(ticker) for ticker in world.market_tickers() if "CHI" in ticker)
        query = f"select count(*)::int from trades where ticker like '{SERIES}%'"
        await service.until_rows(database_url, query, [(wanted,)])
        assert service.state.losses.total() == 0
        assert service.state.phase is Phase.FOLLOWING
        assert "knows no series" in service.state.series["KXHIGHMIA"].failed["KXHIGHMIA"]


async def test_a_series_with_nothing_listed_is_vouched_for_as_long_as_its_lists_are_read(database_url: str) -> None:
    world = days_of_chicago(datetime(2025, 9, 1, tzinfo=UTC))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.until(lambda: service.chicago.failed)
        assert "lists no market" in service.chicago.failed[SERIES]
        await service.until(lambda: service.chicago.fresh_at is not None)


async def test_a_series_that_does_not_trade_is_vouched_for_by_looks_not_by_time_that_passes(database_url: str) -> None:
    world = days_of_chicago(datetime(2025, 6, 30, 10, tzinfo=UTC))
    async with serving(world) as simulator, following(simulator.url, database_url, intervals=FINE) as service:
        await service.up_to_date()
        await service.until(lambda: service.chicago.unsettled_markets == 6)
        assert service.chicago.open_markets == 0
        before = service.chicago.fresh_at or 0
        await service.until(lambda: (service.chicago.fresh_at or 0) > before)
        failed = 0

        def hook(route: str, _: str | None) -> None:
            nonlocal failed
            if route == "markets":
                failed += 1
                raise web.HTTPInternalServerError

        simulator.on_request = hook
        await service.until(lambda: failed > 4)
        told = service.chicago.fresh_at
        await service.until(lambda: failed > 12)
        assert service.chicago.fresh_at == told


def nobody(_: str, __: Iterable[Task]) -> None:
    """Takes markets from a plan and does nothing with them; another one proved them meanwhile."""


@asynccontextmanager
async def plan_of(simulator: Simulator, database_url: str) -> AsyncIterator[SeriesDiscovery]:
    database = Database(database_url)
    await database.open()
    try:
        async with aiohttp.ClientSession() as http:
            api = Api(Client(http, simulator.url, Pacer(1000)))
            context = RunContext(api, database, database, lambda: datetime.now(UTC), 1)
            dates = Dates(date(2025, 6, 1), date(2025, 8, 1))
            progress = SeriesProgress(CHICAGO[0])
            yield SeriesDiscovery(context, progress, dates, run_id=uuid4(), turn=asyncio.Semaphore(1))
    finally:
        await database.close()


async def test_an_unreadable_row_does_not_undo_a_proof_made_meanwhile(database_url: str) -> None:
    """A plan reads the checkpoints when it begins; what it read is old when it comes to store that a market failed."""
    opens = datetime(2025, 6, 30, 15, tzinfo=UTC)
    world = LivingWorld(opens + timedelta(hours=1))
    world.add(*(trade_row(TICKER, opens, number) for number in range(2)))
    async with serving(world) as simulator:
        await Run(simulator.url, database_url)()
        world.add(*(trade_row(TICKER, opens + timedelta(minutes=1), 10 + number) for number in range(10)))
        world.settle()
        proving = True

        async def hook(route: str, _: str | None) -> None:
            nonlocal proving
            if route == "markets" and proving:
                proving = False
                await Run(simulator.url, database_url)()
                world.change(TICKER, last_price_dollars="1.5")

        async with plan_of(simulator, database_url) as plan:
            simulator.on_request = hook
            await plan.run(nobody, recent=True)
        simulator.on_request = None
    query = "select state, verdict, trades_stored::int from checkpoints where ticker = $1"
    assert [tuple(row) for row in await fetch(database_url, query, TICKER)] == [("complete", "exact", 12)]


async def test_an_errand_that_breaks_leaves_the_markets_alone(database_url: str) -> None:
    """Whatever goes wrong with the weather: here somebody took the table away."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("alter table wx.settlement_poll rename to elsewhere")
    await connection.close()
    world = LivingWorld(datetime(2025, 6, 30, 16, tzinfo=UTC))
    cities = [city for city in CITIES if city.key == "chicago"]
    async with serving(world) as simulator:
        weather = Weather(cities, simulator.weather_urls.iem, simulator.weather_urls.ncei)
        async with following(simulator.url, database_url, weather=weather) as service:
            periodic_jobs = service.state.periodic_jobs
            await service.until(lambda: "settlement" in periodic_jobs and periodic_jobs["settlement"].error)
            await service.up_to_date()
            assert service.state.losses.total() == 0
            assert len(TICKERS) == service.chicago.open_markets


def test_the_worlds_are_what_the_tests_think() -> None:
    world = days_of_chicago(datetime(2025, 8, 4, 20, tzinfo=UTC), last=date(2025, 8, 6))
    assert isinstance(world, SyntheticWorld)
    assert len(world.market_tickers()) > 100, "more than a first page"
