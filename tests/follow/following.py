"""A service that follows, in a few lines: a world that a test changes, and what it waits for."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

from kalshi_ingest.clocks import steady
from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.periodic_jobs import Weather
from kalshi_ingest.follow.service import Asked, FollowService, Revive
from kalshi_ingest.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange
from kalshi_simulator import RowsWorld, SimulatedClock, Simulator, SyntheticWorld, WorldConfig
from tests.support.backfills import CHICAGO, fetch, small_world
from tests.support.patience import COMES, ENDS

NEVER = math.inf
QUICK = PollIntervals(
    poll=0.05,
    quiet=0.1,
    cross_check=NEVER,
    listings_pause=0.05,
    listings_retry=0.3,
    log=0.1,
    job_pause=0.1,
    away=0.1,
)
RETRY = RetryPolicy(attempts=2, first_delay=0.01, longest_delay=0.05, read_timeout=5, total_timeout=10)
SERIES = "KXHIGHCHI"
OPENS = datetime(2025, 6, 30, 14, tzinfo=UTC)
CLOSES = datetime(2025, 7, 2, 4, 59, tzinfo=UTC)
SETTLES = datetime(2025, 7, 2, 13, 42, 26, tzinfo=UTC)

Row = dict[str, Any]
Condition = Callable[[], object]


@cache
def _frame() -> tuple[Sequence[Row], Sequence[Row], Sequence[Row]]:
    world = small_world()
    tickers = sorted(world.market_tickers())
    return (
        list(world.series_rows()),
        [event.row() for event in world.events(None)],
        [world.market(each) for each in tickers],
    )


TICKERS = tuple(row["ticker"] for row in _frame()[2])
"""The six markets of a `LivingWorld`."""
TICKER = TICKERS[2]

_TRADING = {"status": "active", "result": "", "settlement_ts": None, "expiration_value": ""}


class LivingWorld:
    """One day of Chicago that trades, with trades that a test adds; nothing happens by itself."""

    def __init__(self, now: datetime) -> None:
        self.clock = SimulatedClock(now)
        self.cutoff = datetime(2025, 1, 1, tzinfo=UTC)
        self._trades: dict[str, list[Row]] = {ticker: [] for ticker in TICKERS}
        self._changes: dict[str, Row] = {ticker: dict(_TRADING) for ticker in TICKERS}
        self._rows = self._made()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    @property
    def rows(self) -> RowsWorld:
        """What is served at present."""
        return self._rows

    def add(self, *trades: Row) -> None:
        """These were made."""
        for row in trades:
            self._trades[row["ticker"]].append(row)
        self._rows = self._made()

    def forget(self) -> None:
        """No trade was ever made."""
        self._trades = {ticker: [] for ticker in TICKERS}
        self._rows = self._made()

    def change(self, *tickers: str, **changes: Any) -> None:
        """Change the rows of some markets; the volume is the sum of the trades unless it is stated here."""
        for ticker in tickers:
            self._changes[ticker] |= changes
        self._rows = self._made()

    def settle(self) -> None:
        """Every market is finalized."""
        self._changes = {ticker: {} for ticker in TICKERS}
        self._rows = self._made()

    def _made(self) -> RowsWorld:
        series, events, markets = _frame()
        shown = []
        for row in markets:
            ticker = row["ticker"]
            volume = sum((Decimal(trade["count_fp"]) for trade in self._trades[ticker]), Decimal(0))
            shown.append(row | {"volume_fp": f"{volume:.2f}"} | self._changes[ticker])
        return RowsWorld(series=series, events=events, markets=shown, trades=self._trades)


def serving(world: LivingWorld | SyntheticWorld, **options: Any) -> Simulator:
    """A simulator of it, not started yet."""
    return Simulator(cast(RowsWorld, world), **options)


def days_of_chicago(now: datetime, last: date = date(2025, 7, 2), **changes: Any) -> SyntheticWorld:
    """From the first of July on, a few trades a market."""
    settings: dict[str, Any] = {
        "start": date(2025, 7, 1),
        "end": last,
        "now": now,
        "seed": 21,
        "cities": (SERIES,),
        "trades_per_market": 60.0,
        "oddities": False,
    }
    return SyntheticWorld(WorldConfig(**(settings | changes)))


@dataclass
class Following:
    """A service at work."""

    state: FollowState
    task: "asyncio.Task[None]"
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def chicago(self) -> SeriesState:
        return self.state.series[SERIES]

    async def until(self, condition: Condition, seconds: float = COMES) -> None:
        """Wait for it while the service works; its own end is an error."""
        end = steady() + seconds
        while not condition():
            if self.task.done():
                self.task.result()
                raise AssertionError("the service has ended")
            assert steady() < end, f"not within {seconds} s; {self.state.phase}, {self.state.reason}, {self.chicago}"
            await asyncio.sleep(0.01)

    async def until_rows(
        self, url: str, query: str, expected: Sequence[tuple[Any, ...]], seconds: float = COMES
    ) -> None:
        """Wait until a query gives these rows."""
        end = steady() + seconds
        while [tuple(row) for row in await fetch(url, query)] != list(expected):
            if self.task.done():
                self.task.result()
            found = [tuple(row) for row in await fetch(url, query)]
            assert steady() < end, f"{found} is not {expected}; {self.state.phase}, {self.chicago}"
            await asyncio.sleep(0.02)

    async def up_to_date(self) -> None:
        """Wait until it has caught up."""
        await self.until(lambda: self.state.phase is Phase.FOLLOWING)

    async def looked_again(self, simulator: Simulator, times: int = 3) -> None:
        """Wait until it has asked for the volumes some times more."""
        before = simulator.stats.by_route["markets"]
        await self.until(lambda: simulator.stats.by_route["markets"] >= before + times)

    async def end(self) -> None:
        """Stop it in order."""
        self.stop.set()
        await asyncio.wait_for(self.task, ENDS)


@asynccontextmanager
async def following(
    api_url: str,
    database_url: str,
    *,
    wanted: Sequence[Wanted] = CHICAGO,
    start: date | None = None,
    intervals: PollIntervals = QUICK,
    weather: Weather | None = None,
    faster: float = 1.0,
    revive: Revive | None = None,
    key_path: Path | None = None,
) -> AsyncIterator[Following]:
    """A service for a `with` block; `faster`: its steady clock runs so many times as fast as the real one."""
    state = FollowState(
        {each.series_ticker: SeriesState(each) for each in wanted},
        started_at=datetime.now(UTC),
        clock=lambda: steady() * faster,
    )
    key_id = None if key_path is None else "key"
    exchange = Exchange(api_url, key_id, key_path, requests_per_second=2_000, workers=4, retry=RETRY)
    asked = Asked(wanted, start, weather, "follow in a test")
    service = FollowService(asked, exchange, database_url, state, intervals, revive=revive)
    stop = asyncio.Event()
    at_work = Following(state, asyncio.create_task(service.run(stop)), stop)
    try:
        yield at_work
        await at_work.end()
    finally:
        at_work.task.cancel()
        await asyncio.wait([at_work.task])


def after(minutes: float = 0, seconds: float = 0) -> datetime:
    """So long after noon of the first day of trading."""
    return OPENS + timedelta(hours=2, minutes=minutes, seconds=seconds)


def sums(rows: Sequence[Mapping[str, Any]]) -> Decimal:
    """The contracts of some trades on the wire."""
    return sum((Decimal(row["count_fp"]) for row in rows), Decimal(0))
