"""An exchange, or what stands before it, that shows less than it has: the service must not call itself up to date."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from kalshi_ingest.jobs.follow.rhythm import Rhythm
from kalshi_ingest.simulator import Simulator
from tests.jobs.follow.following import TICKERS, Following, LivingWorld, after, following, serving
from tests.jobs.harness import assert_holds_all, trade_row

FASTER = 20
RHYTHM = Rhythm(poll=1.0, quiet=2.0, lists_pause=1.0, log=0.1, away=0.1)
"""For a clock that runs twenty times as fast."""

Row = dict[str, Any]


@dataclass
class Relay:
    """Stands between the service and the exchange, and passes on what `lie` makes of an answer."""

    behind: str
    url: str = ""
    lie: Callable[[str, Any], Any] | None = None
    lies: int = 0
    volumes: dict[str, str] = field(default_factory=dict)
    """As they stood when they were frozen."""

    async def answer(self, request: web.Request) -> web.Response:
        async with aiohttp.ClientSession() as session, session.get(f"{self.behind}{request.path_qs}") as response:
            body, status, date = await response.read(), response.status, response.headers["Date"]
        if self.lie is not None and status == 200:
            told = orjson.loads(body)
            changed = self.lie(request.path, told)
            self.lies += changed is not told
            body = orjson.dumps(changed)
        return web.Response(status=status, body=body, headers={"Date": date}, content_type="application/json")

    def empty_pages(self, path: str, told: Row) -> Row:
        """A replica that holds no trades."""
        return {"trades": [], "cursor": ""} if path.endswith("/trades") else told

    def nothing_newer(self, path: str, told: Row) -> Row:
        """A replica that does not get new trades any more."""
        if not path.endswith("/trades"):
            return told
        return told | {"trades": [row for row in told["trades"] if row["created_time"] < "2025-06-30T16:00:30"]}

    def frozen_volumes(self, path: str, told: Row) -> Row:
        """A cache of which nothing tells."""
        if not path.endswith("/markets"):
            return told
        rows = [
            row | {"volume_fp": self.volumes.setdefault(row["ticker"], row["volume_fp"])} for row in told["markets"]
        ]
        return told | {"markets": rows}


@asynccontextmanager
async def relay(behind: str) -> AsyncIterator[Relay]:
    standing = Relay(behind.removesuffix("/trade-api/v2"))
    app = web.Application()
    app.router.add_get("/{rest:.*}", standing.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    standing.url = f"http://127.0.0.1:{runner.addresses[0][1]}/trade-api/v2"
    try:
        yield standing
    finally:
        await runner.cleanup()


def doubts(service: Following) -> list[str]:
    """Why its data must not be taken for current; nobody watches the database here."""
    return [reason for reason in service.state.not_ready() if reason.startswith("chicago: ")]


async def ready(service: Following) -> None:
    """Wait until there is no reason."""
    await service.until(lambda: doubts(service) == [], 30)


@asynccontextmanager
async def followed(database_url: str) -> AsyncIterator[tuple[LivingWorld, Relay, Simulator, Following]]:
    """A world, what stands before it, and a service that is ready."""
    world = LivingWorld(after(1))
    world.add(*(trade_row(ticker, after(0, 10), 100 + number) for number, ticker in enumerate(TICKERS)))
    async with (
        serving(world) as simulator,
        relay(simulator.url) as between,
        following(between.url, database_url, rhythm=RHYTHM, faster=FASTER) as service,
    ):
        await service.up_to_date()
        await ready(service)
        yield world, between, simulator, service


async def test_pages_that_are_empty_or_end_too_early_never_count_as_all_there_is(database_url: str) -> None:
    """The bug: after a few looks the whole difference was taken for the exchange's own, and the service was ready."""
    async with followed(database_url) as (world, between, simulator, service):
        chicago = service.chicago
        for number, lie in enumerate((between.empty_pages, between.nothing_newer)):
            between.lie = lie
            world.add(trade_row(TICKERS[number], after(0, 40), number))
            await service.until(lambda: chicago.missing, 20)
            await service.until(lambda: doubts(service), 20)
            lies = between.lies
            while between.lies < lies + 8:
                assert doubts(service) != []
                await service.looked_again(simulator, 1)
            reason = doubts(service)[0]
            assert f"contracts of {TICKERS[number]}'s volume are not among its trades" in reason
            between.lie = None
            await ready(service)
            assert chicago.missing == {}
        await assert_holds_all(database_url, world.rows)


async def test_volumes_that_stand_still_are_found_out_and_trades_are_believed_instead(database_url: str) -> None:
    async with followed(database_url) as (world, between, simulator, service):
        state = service.state
        between.lie = between.frozen_volumes
        await service.looked_again(simulator, 2)
        world.add(*(trade_row(ticker, after(0, 40), 200 + number) for number, ticker in enumerate(TICKERS[:2])))
        await service.until(lambda: state.volumes_doubted, 20)
        stored = "select count(*) from trades"
        await service.until_rows(database_url, stored, [(8,)])
        await ready(service)
        assert state.volumes_doubted, "by its trades alone"
        world.add(trade_row(TICKERS[4], after(0, 50), 300))
        await service.until_rows(database_url, stored, [(9,)])
        between.lie = None
        await service.until(lambda: not state.volumes_doubted, 20)
        await ready(service)
        await assert_holds_all(database_url, world.rows)
