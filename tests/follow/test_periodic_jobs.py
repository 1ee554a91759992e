"""Settlements on a schedule of their own: they come by themselves, fail without harm, and come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import aiohttp
from aiohttp import web

from kalshi_ingest.clocks import steady
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.follow.faults import Faults
from kalshi_ingest.follow.periodic_jobs import PeriodicJobs, Weather
from kalshi_ingest.follow.state import FollowState, PeriodicJobState, Phase, SeriesState
from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig
from tests.follow.following import QUICK, SERIES, SETTLES, days_of_chicago, following, serving
from tests.support.backfills import CHICAGO, fetch
from tests.support.patience import ENDS, until

MORNING = SETTLES + timedelta(hours=4)
_SETTLED = "select loc_id, date_local, tmax_final_f from wx.settlement where tmax_final_f is not null order by 2"
_RUNS = "select status from ingestion_log where command like 'weather settlement%(follow)' order by started_at"

PLAIN = WeatherConfig(plain=True, seeded_outage=False, throttle_seconds=None)


def weather_of(simulator: Simulator, iem_url: str | None = None) -> Weather:
    urls = simulator.weather_urls
    return Weather([find_city("chicago")], iem_url or urls.iem, urls.ncei)


@dataclass
class Gateway:
    """Stands before a service, and refuses everything until it is told not to."""

    behind: str
    url: str = ""
    broken: bool = True
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if self.broken:
            self.refused += 1
            return web.Response(status=404, text="no such page")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.behind}{request.path_qs}") as response,
        ):
            return web.Response(status=response.status, body=await response.read())


@asynccontextmanager
async def gateway(behind: str) -> AsyncIterator[Gateway]:
    standing = Gateway(behind)
    app = web.Application()
    app.router.add_get("/{rest:.*}", standing.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    standing.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield standing
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(
    weather: Weather, database_url: str, world: SyntheticWorld, settlement: float = 3_600.0
) -> AsyncIterator[FollowState]:
    """Errands alone, by the world's clock."""
    state = FollowState({each.series_ticker: SeriesState(each) for each in CHICAGO}, MORNING)
    periodic_jobs = PeriodicJobs(weather, database_url, state, replace(QUICK, settlement=settlement), Faults(state))
    task = asyncio.create_task(periodic_jobs.run(lambda: world.now, asyncio.Event()))
    try:
        yield state
        assert not task.done(), "nothing ends the errands"
    finally:
        task.cancel()
        await asyncio.wait([task])


def settlement(state: FollowState) -> PeriodicJobState:
    return state.periodic_jobs.get("settlement", PeriodicJobState())


async def test_official_maxima_come_by_themselves_while_the_markets_are_followed(database_url: str) -> None:
    world = days_of_chicago(MORNING)
    async with (
        serving(world, weather=PLAIN) as simulator,
        following(simulator.url, database_url, weather=weather_of(simulator), start=date(2025, 7, 1)) as service,
    ):
        await service.up_to_date()
        await service.until(lambda: settlement(service.state).succeeded_at is not None)
        assert settlement(service.state).error is None
    rows = await fetch(database_url, _SETTLED)
    assert ("KMDW", date(2025, 7, 1)) in [tuple(row)[:2] for row in rows]
    paid = await fetch(database_url, "select expiration_value from markets where result = 'yes'")
    first = next(row for row in rows if row["date_local"] == date(2025, 7, 1))
    assert float(paid[0][0]) == first["tmax_final_f"]
    assert [row[0] for row in await fetch(database_url, _RUNS)] == ["success"]


async def test_they_come_again_when_the_exchanges_time_has_passed(database_url: str) -> None:
    world = days_of_chicago(MORNING)
    async with serving(world, weather=PLAIN) as simulator, running(weather_of(simulator), database_url, world) as state:
        await until(lambda: settlement(state).ran_at is not None)
        first = settlement(state).ran_at
        asked = simulator.weather.stats.settlement_requests
        assert asked > 0
        world.now = MORNING + timedelta(minutes=59)
        await until(lambda: state.clock() > (first or 0) + 1.5)
        assert settlement(state).ran_at == first, "not yet"
        world.now = MORNING + timedelta(hours=20)
        await until(lambda: simulator.weather.stats.settlement_requests > asked)


async def test_a_service_that_refuses_is_reported_and_asked_again_until_it_answers(database_url: str) -> None:
    world = days_of_chicago(MORNING)
    async with (
        serving(world, weather=PLAIN) as simulator,
        gateway(simulator.weather_urls.iem) as gate,
        running(weather_of(simulator, gate.url), database_url, world, settlement=0.1) as state,
    ):
        await until(lambda: settlement(state).error is not None)
        assert "404" in (settlement(state).error or "")
        assert settlement(state).succeeded_at is None
        gate.broken = False
        await until(lambda: settlement(state).error is None)
        assert settlement(state).succeeded_at is not None
    assert len(await fetch(database_url, _SETTLED)) > 0


async def test_an_errand_that_fails_does_not_disturb_the_markets(database_url: str) -> None:
    world = days_of_chicago(datetime(2025, 6, 30, 16, tzinfo=UTC))
    async with serving(world, weather=PLAIN) as simulator, gateway(simulator.weather_urls.iem) as gate:
        weather = weather_of(simulator, gate.url)
        async with following(simulator.url, database_url, weather=weather) as service:
            await service.up_to_date()
            await service.until(lambda: settlement(service.state).error is not None)
            world.now = datetime(2025, 6, 30, 20, tzinfo=UTC)
            count = sum(world.trade_count(ticker) for ticker in world.market_tickers())
            await service.until_rows(database_url, "select count(*) from trades", [(count,)])
            assert service.state.phase is Phase.FOLLOWING
            assert service.state.series[SERIES].failed == {}
            assert gate.refused > 0


async def test_a_database_that_is_away_is_no_end_of_the_errands(database_url: str) -> None:
    world = days_of_chicago(MORNING)
    began = steady()
    nowhere = "postgresql://nobody@127.0.0.1:9/none"
    async with serving(world, weather=PLAIN) as simulator, running(weather_of(simulator), nowhere, world) as state:
        await until(lambda: settlement(state).error is not None)
        assert "database" in (settlement(state).error or "")
    assert steady() - began < ENDS
