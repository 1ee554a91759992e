"""A service in a network namespace of its own, whose network to the database is cut: run as a program there.

    follow URL SECONDS …   follow; cut the network for so long, one outage after the other; say how long each healed
    die URL                follow; once it is up to date cut the network for good and be killed
    again URL              follow; say how long it took to be up to date
    backfill URL           the same of a backfill

It says what it saw as JSON, a line each.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from kalshi_ingest.clocks import steady
from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.service import Asked, FollowService
from kalshi_ingest.follow.state import FollowState, SeriesState
from kalshi_ingest.ingest.resources import Exchange, migrate_schema
from kalshi_ingest.web.app import serving as endpoints
from tests.follow.following import TICKER, Following, LivingWorld, after, serving
from tests.support.backfills import CHICAGO, Run, trade_row
from tests.support.namespaces import cut, mend

_LONGEST = 180.0
"""Seconds after which nothing more is expected to happen."""


@asynccontextmanager
async def _following(world: LivingWorld, url: str) -> AsyncIterator[Following]:
    """The service at its ordinary pace, with what asks the database whether it is there."""
    state = FollowState({each.series_ticker: SeriesState(each) for each in CHICAGO}, datetime.now(UTC))
    async with serving(world) as simulator, endpoints(state, url, "127.0.0.1", 0):
        exchange = Exchange(simulator.url, requests_per_second=50)
        service = FollowService(Asked(CHICAGO, None, None, "follow in a test"), exchange, url, state, PollIntervals())
        stop = asyncio.Event()
        at_work = Following(state, asyncio.create_task(service.run(stop)), stop)
        try:
            yield at_work
        finally:
            at_work.task.cancel()
            await asyncio.wait([at_work.task])


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def _ready(service: Following) -> float:
    """Seconds until it is ready."""
    began = steady()
    await service.until(lambda: not service.state.not_ready(), _LONGEST)
    return round(steady() - began, 1)


async def _follow(url: str, outages: Sequence[float]) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-50), 1))
    async with _following(world, url) as service:
        await _ready(service)
        for number, seconds in enumerate(outages, start=2):
            cut()
            began = steady()
            world.add(trade_row(TICKER, after(-50 + number), number))
            await service.until(service.state.not_ready, _LONGEST)
            unready = round(steady() - began, 1)
            while steady() < began + seconds:
                await asyncio.sleep(0.2)
                assert not service.task.done(), "nothing ends it"
            seen = str(service.state.phase)
            mend()
            healed = await _ready(service)
            _say(outage=seconds, unready_after=unready, phase=seen, ready_after=healed, losses=service.state.losses)
        await service.end()


async def _die(url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-50), 1))
    async with _following(world, url) as service:
        await _ready(service)
        cut()
        _say(cut=True)
        os.kill(os.getpid(), signal.SIGKILL)


async def _again(url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-50), 1), trade_row(TICKER, after(-40), 2))
    async with _following(world, url) as service:
        _say(ready_after=await _ready(service))
        await service.end()


async def _backfill(url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-50), 1), trade_row(TICKER, after(-40), 2))
    async with serving(world) as simulator:
        began = steady()
        await migrate_schema(url)
        await Run(simulator.url, url)()
        _say(done_after=round(steady() - began, 1))


def main(words: Sequence[str]) -> None:
    what, url, *rest = words
    if what == "follow":
        asyncio.run(_follow(url, [float(each) for each in rest]))
    else:
        asyncio.run({"die": _die, "again": _again, "backfill": _backfill}[what](url))


if __name__ == "__main__":
    main(sys.argv[1:])
