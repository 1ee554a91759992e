"""What is lost comes back by itself: the database, the exchange, its maintenance. What is wrong is said at once."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from kalshi_ingest.errors import OutOfReach, Unusable
from kalshi_ingest.follow.state import Phase
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.web.db_health import watch
from kalshi_ingest.web.pace import RecentPace
from kalshi_simulator import Faults, Maintenance
from tests.exchange.serving import PREFIX
from tests.exchange.serving import serving as before
from tests.follow.following import QUICK, TICKER, TICKERS, LivingWorld, after, days_of_chicago, following, serving
from tests.support.backfills import CHICAGO, assert_holds_all, fetch, trade_row
from tests.support.mortals import DatabaseServer, database_server

_TRADES = "select count(*) from trades"


@pytest.fixture
async def mortal() -> AsyncIterator[tuple[DatabaseServer, str]]:
    """A server that may be killed, and a database of it."""
    with database_server() as server:
        yield server, await server.database("followed")


@pytest.mark.slow
async def test_a_database_that_is_killed_and_comes_back(mortal: tuple[DatabaseServer, str]) -> None:
    server, url = mortal
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    intervals = replace(QUICK, database_silence=6)
    async with serving(world) as simulator, following(simulator.url, url, intervals=intervals) as service:
        watching = asyncio.create_task(watch(service.state, url, RecentPace()))
        await service.up_to_date()
        await service.until(lambda: service.state.not_ready() == [])
        server.kill()
        world.add(trade_row(TICKER, after(-4), 2))
        await service.until(lambda: service.state.phase is Phase.DATABASE_AWAY)
        assert service.state.losses == {"database": 1}
        assert "database" in service.state.reason
        await service.until(lambda: "the database does not answer" in service.state.not_ready())
        await server.start_again()
        await service.until(lambda: service.state.phase is Phase.FOLLOWING)
        await service.until_rows(url, _TRADES, [(2,)])
        await assert_holds_all(url, world.rows)
        assert service.state.reason == ""
        await service.until(lambda: service.state.not_ready() == [])
        watching.cancel()
        await asyncio.wait([watching])
    log = await fetch(url, "select status from ingestion_log order by status")
    assert [row[0] for row in log] == ["success"], "the run of the day goes on after the loss"


async def test_a_short_loss_of_the_database_is_not_even_a_loss(mortal: tuple[DatabaseServer, str]) -> None:
    server, url = mortal
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    async with serving(world) as simulator, following(simulator.url, url) as service:
        await service.up_to_date()
        server.stop_immediately()
        world.add(trade_row(TICKER, after(-4), 2))
        await server.start_again()
        await service.until_rows(url, _TRADES, [(2,)])
        await service.until_rows(url, "select trades_fetched from ingestion_log", [(2,)])
        assert service.state.losses == {}


async def test_an_exchange_that_goes_away_and_comes_back(database_url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    simulator = serving(world)
    url = await simulator.start()
    async with following(url, database_url) as service:
        await service.up_to_date()
        await simulator.stop()
        await service.until(lambda: service.state.phase is Phase.EXCHANGE_AWAY)
        before = service.chicago.fresh_at
        assert before is not None
        world.add(trade_row(TICKER, after(-4), 2))
        tried = service.state.traffic.sent
        await service.until(lambda: service.state.traffic.sent >= tried + 6)
        assert service.state.losses == {"exchange": 1}
        await simulator.start(port=urlsplit(url).port or 0)
        try:
            await service.up_to_date()
            await service.until_rows(database_url, _TRADES, [(2,)])
            await service.until(lambda: (service.chicago.fresh_at or 0) > before)
            assert service.state.losses == {"exchange": 1}, "one loss is one loss, however long it lasts"
            await service.end()
        finally:
            await simulator.stop()
    statuses = await fetch(database_url, "select status, error_message from ingestion_log")
    assert {row[0] for row in statuses} <= {"success", "interrupted"}


@pytest.mark.parametrize("status", [200, 503])
async def test_maintenance_is_waited_for(status: int, database_url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    closed = Maintenance(windows=((after(60), after(120)),), status=status)
    async with (
        serving(world, faults=Faults(maintenance=closed)) as simulator,
        following(simulator.url, database_url) as service,
    ):
        await service.up_to_date()
        world.clock.now = after(60)
        await service.until(lambda: service.state.phase is Phase.MAINTENANCE)
        assert service.state.losses["database"] == 0
        service.state.database_seen_at = math.inf  # nobody watches it here
        await service.until(lambda: service.state.not_ready() == [])  # nothing trades, nothing is missed
        service.state.stale_after = 0.0
        assert service.state.not_ready() == [], "however long it lasts"
        service.state.stale_after = None
        if status == 503:  # a late standby took over
            await fetch(database_url, "delete from commit_fences")
            await service.until(lambda: "chicago: not up to date yet" in service.state.not_ready())
            await service.until(lambda: service.state.phase is Phase.MAINTENANCE)
            assert "chicago: not up to date yet" in service.state.not_ready()
        world.add(trade_row(TICKER, after(121), 2))
        world.clock.now = after(122)
        await service.up_to_date()
        await service.until_rows(database_url, _TRADES, [(2,)])
        await service.until(lambda: service.chicago.failed == {})


async def test_a_service_that_starts_in_maintenance_waits_for_its_end(database_url: str) -> None:
    world = LivingWorld(after(60))
    closed = Maintenance(windows=((after(60), after(120)),))
    async with (
        serving(world, faults=Faults(maintenance=closed)) as simulator,
        following(simulator.url, database_url) as service,
    ):
        await service.until(lambda: service.state.phase is Phase.MAINTENANCE)
        assert "chicago: not up to date yet" in service.state.not_ready()
        assert simulator.stats.by_route.keys() == {"exchange_status"}
        world.clock.now = after(120)
        await service.up_to_date()


async def test_what_failed_in_passing_is_no_longer_reported_once_it_is_healed(database_url: str) -> None:
    world = LivingWorld(after())
    world.add(*(trade_row(ticker, after(-5), number) for number, ticker in enumerate(TICKERS)))
    faults = Faults(targeted={TICKERS[1]: "zero_count"}, times=1)
    async with (
        serving(world, faults=faults) as simulator,
        following(simulator.url, database_url, faster=20, intervals=replace(QUICK, poll=1.0, quiet=2.0)) as service,
    ):
        await service.until(lambda: service.chicago.failed)
        await service.until(lambda: not service.chicago.failed)
        await service.until_rows(database_url, _TRADES, [(6,)])
        await assert_holds_all(database_url, world.rows)


async def test_days_lost_are_made_up_for(database_url: str) -> None:
    """Markets closed, settled, and new ones began, while the exchange could not be reached."""
    world = days_of_chicago(datetime(2025, 6, 30, 16, tzinfo=UTC))
    simulator = serving(world)
    url = await simulator.start()
    async with following(url, database_url) as service:
        await service.up_to_date()
        await simulator.stop()
        await service.until(lambda: service.state.phase is Phase.EXCHANGE_AWAY)
        world.now = datetime(2025, 7, 2, 20, tzinfo=UTC)
        await simulator.start(port=urlsplit(url).port or 0)
        try:
            await service.up_to_date()
            states = "select state, count(*) from checkpoints group by 1 order by 1"
            await service.until_rows(database_url, states, [("complete", 6), ("open", 6)])
            await assert_holds_all(database_url, world)
            await service.end()
        finally:
            await simulator.stop()


async def test_an_unknown_series_is_said(database_url: str) -> None:
    unknown = Wanted("KXHIGHATLANTIS", None)
    async with serving(LivingWorld(after())) as simulator:
        with pytest.raises(Unusable, match="knows no series KXHIGHATLANTIS"):
            async with following(simulator.url, database_url, wanted=(*CHICAGO, unknown)) as service:
                await service.until(lambda: False)


async def test_what_stands_before_the_exchange_at_the_start_is_said_and_waited_out(database_url: str) -> None:
    """The bug: met at the start of the machine, each of these ended the service with exit code 2, which is for good."""
    refusals = {
        "redirects .* to https://portal.example/sign-in": (302, {"Location": "https://portal.example/sign-in"}),
        "redirects .* KALSHI_INGEST_API_URL": (307, {"Location": "/maintenance"}),
        "status 403": (403, {}),
        "status 404.* KALSHI_INGEST_API_URL": (404, {}),
        "status 401": (401, {}),
        "web page": (200, {"Content-Type": "text/html"}),
    }
    answered: tuple[int, dict[str, str]] | None = (503, {})

    async def answer(request: web.Request) -> web.StreamResponse:
        if answered is not None:
            return web.Response(status=answered[0], headers=answered[1], text="<html>")
        async with http.get(simulator.url.removesuffix(PREFIX) + request.path_qs) as found:
            return web.Response(status=found.status, body=await found.read(), headers={"Date": found.headers["Date"]})

    async with (
        serving(LivingWorld(after(1))) as simulator,
        aiohttp.ClientSession() as http,
        before(answer) as url,
        following(url, database_url) as service,
    ):
        for said, refusal in refusals.items():
            answered = refusal
            await service.until(partial(lambda said: re.search(said, service.state.not_ready()[-1]) is not None, said))
            assert service.state.phase is Phase.EXCHANGE_AWAY
        answered = None
        await service.up_to_date()
        answered = (308, {"Location": "https://new.example"})
        await service.until(lambda: service.state.phase is Phase.EXCHANGE_AWAY)
        answered = None
        await service.up_to_date()


async def test_a_citys_series_that_is_denied_at_the_start_is_asked_for_again(database_url: str) -> None:
    denied = True

    def hook(route: str, _: str | None) -> None:
        if route == "series" and denied:
            raise web.HTTPNotFound

    async with serving(LivingWorld(after(1))) as simulator:
        simulator.on_request = hook
        async with following(simulator.url, database_url) as service:
            await service.until(lambda: "knows no series" in str(service.chicago.failed))
            denied = False
            await service.up_to_date()


async def test_a_database_that_is_not_there_is_said() -> None:
    async with serving(LivingWorld(after())) as simulator:
        with pytest.raises(OutOfReach, match="database"):
            async with following(simulator.url, "postgresql://nobody@127.0.0.1:9/none") as service:
                await service.until(lambda: False)


async def test_the_exchange_tells_the_time_whatever_this_machine_says(database_url: str) -> None:
    """Its clock shows a day of 2025 here, and jumps: candles end, and runs begin, by it alone."""
    world = LivingWorld(after(11))
    world.add(trade_row(TICKER, after(9), 1))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        candles = "select count(*) from candles"
        await service.until_rows(database_url, candles, [(2,)])
        rows = await fetch(database_url, "select started_at, updated_at from ingestion_log, checkpoints limit 1")
        assert all(abs(moment - after(11)) < timedelta(minutes=1) for moment in rows[0])
        world.add(trade_row(TICKER, after(20), 2))
        world.clock.now = after(20, 1)
        await service.until_rows(database_url, _TRADES, [(2,)])
        assert [tuple(row) for row in await fetch(database_url, candles)] == [(2,)]
        world.clock.now = after(9)  # the exchange's clock, or this machine's, is put back
        await service.looked_again(simulator, 5)
        world.clock.now = after(26)
        await service.until_rows(database_url, candles, [(4,)])
