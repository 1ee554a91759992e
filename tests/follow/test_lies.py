"""An exchange, or what stands before it, that shows less than it has: the service must not call itself up to date."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_simulator import Simulator
from tests.follow.following import TICKERS, Following, LivingWorld, after, following, serving
from tests.support.backfills import assert_holds_all, trade_row
from tests.support.relay import relaying

FASTER = 10
INTERVALS = PollIntervals(poll=1.0, quiet=2.0, listings_pause=1.0, log=0.1, away=0.1)
"""For a clock that runs ten times as fast."""

Row = dict[str, Any]


@dataclass
class Lies:
    """What a relay makes of the exchange's answers: whatever `lie` says."""

    lie: Callable[[str, Row], Row] | None = None
    told: int = 0
    volumes: dict[str, str] = field(default_factory=dict)
    """As they stood when they were frozen."""

    def __call__(self, path: str, _: dict[str, str], body: bytes) -> bytes:
        if self.lie is None:
            return body
        true = orjson.loads(body)
        said = self.lie(path, true)
        self.told += said is not true
        return orjson.dumps(said)

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


def doubts(service: Following) -> list[str]:
    """Why its data must not be taken for current; nobody watches the database here."""
    return [reason for reason in service.state.not_ready() if reason.startswith("chicago: ")]


async def ready(service: Following) -> None:
    """Wait until there is no reason."""
    await service.until(lambda: doubts(service) == [])


@asynccontextmanager
async def followed(database_url: str) -> AsyncIterator[tuple[LivingWorld, Lies, Simulator, Following]]:
    """A world, what stands before it, and a service that is ready."""
    world = LivingWorld(after(1))
    world.add(*(trade_row(ticker, after(0, 10), 100 + number) for number, ticker in enumerate(TICKERS)))
    async with (
        serving(world) as simulator,
        relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url),
        following(f"{url}/trade-api/v2", database_url, intervals=INTERVALS, faster=FASTER) as service,
    ):
        relay.spoil = between = Lies()
        await service.up_to_date()
        await ready(service)
        yield world, between, simulator, service


@pytest.mark.slow
async def test_pages_that_are_empty_or_end_too_early_never_count_as_all_there_is(database_url: str) -> None:
    """The bug: after a few looks the whole difference was taken for the exchange's own, and the service was ready."""
    async with followed(database_url) as (world, between, simulator, service):
        chicago = service.chicago
        for number, lie in enumerate((between.empty_pages, between.nothing_newer)):
            between.lie = lie
            world.add(trade_row(TICKERS[number], after(0, 40), number))
            await service.until(lambda: chicago.missing)
            await service.until(lambda: doubts(service))
            told = between.told
            while between.told < told + 8:
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
        await service.until(lambda: state.volumes_doubted)
        stored = "select count(*) from trades"
        await service.until_rows(database_url, stored, [(8,)])
        await service.until(lambda: state.volumes_doubted and doubts(service) == [])  # by its trades alone
        world.add(trade_row(TICKERS[4], after(0, 50), 300))
        await service.until_rows(database_url, stored, [(9,)])
        between.lie = None
        await service.until(lambda: not state.volumes_doubted)
        await ready(service)
        await assert_holds_all(database_url, world.rows)
