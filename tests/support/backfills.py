"""A backfill in a few lines: the world it reads, the database it fills, and what a test wants to know afterwards."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg

from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import RowsWorld, SyntheticWorld, WorldConfig
from kalshi_simulator.synthetic_entries import SyntheticMarket
from kalshi_simulator.templates import TemplateLibrary
from tests.support.killable import Order

WORKERS = 4
ALWAYS = Dates(date(2021, 1, 1), date(2035, 12, 31))
CHICAGO = (Wanted("KXHIGHCHI", "chicago"),)
IMPATIENT = RetryPolicy(attempts=4, first_delay=0.001, longest_delay=0.01)
"""Retries at once and gives up soon."""
STEADY = RetryPolicy(attempts=3, first_delay=0.01, longest_delay=0.1)
"""Retries at once, and less often."""
DOGGED = RetryPolicy(attempts=15, first_delay=0.001, longest_delay=0.01)
"""Outlasts faults that meet a share of all requests, whichever requests they meet."""


class Run:
    """One backfill with its own connections, as a process would have them."""

    def __init__(
        self,
        api_url: str,
        database_url: str,
        wanted: Sequence[Wanted] = CHICAGO,
        *,
        dates: Dates = ALWAYS,
        workers: int = WORKERS,
        retry: RetryPolicy = STEADY,
        patience: float = 20.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`clock`: this machine's."""
        self._clock = clock
        self.stop = asyncio.Event()
        self._api_url = api_url
        self._wanted = wanted
        self._dates = dates
        self._workers = workers
        self._retry = retry
        self._databases = [Database(database_url, patience=patience) for _ in range(2)]

    async def __call__(self) -> Backfill:
        """Run to the end, or until `stop`."""
        writing, planning = self._databases
        async with aiohttp.ClientSession() as session:
            api = Api(Client(session, self._api_url, Pacer(100_000), retry=self._retry))
            try:
                await writing.open()
                await planning.open()
                context = RunContext(api, writing, planning, self._clock, self._workers)
                job = Backfill(context, self._wanted, self._dates, "backfill in a test")
                await job.run(self.stop)
                return job
            finally:
                await writing.close()
                await planning.close()


def backfill(order: Order) -> int:
    """A backfill as a killable run."""
    asyncio.run(Run(order["api_url"], order["database_url"], workers=order["workers"])())
    return 0


def varied_world(**changes: Any) -> SyntheticWorld:
    """Four days of Chicago with everything that makes walks differ.

    Legacy and new tickers, a market of six pages, a cutoff inside two events' lives, one market without trades
    and one that stays short of its volume.
    """
    world = _living(_VARIED | changes)
    markets = sorted((plain(world, ticker) for ticker in world.market_tickers()), key=lambda market: market.ticker)
    ordinary = [market for market in markets if market.ticker != world.giant_market and not market.plan.wins]
    ordinary[0].plan.quiet, ordinary[0].plan.short = True, False
    ordinary[1].plan.quiet, ordinary[1].plan.short = False, True
    return world


_VARIED: dict[str, Any] = {
    "start": date(2024, 10, 22),
    "end": date(2024, 10, 25),
    "now": datetime(2024, 12, 1, tzinfo=UTC),
    "cutoff": datetime(2024, 10, 24, tzinfo=UTC),
    "cities": ("KXHIGHCHI",),
    "trades_per_market": 600.0,
    "giant": 5_500,
}


def plain(world: SyntheticWorld, ticker: str) -> SyntheticMarket:
    """A market of a synthetic world, with the plan behind it."""
    market = world.entry(ticker)
    assert isinstance(market, SyntheticMarket)
    return market


def all_that_shows(world: SyntheticWorld) -> str:
    """What two worlds of settled markets have to agree on to give a backfill the same; the time of day is not of it."""
    plans = [(ticker, plain(world, ticker).plan) for ticker in sorted(world.market_tickers())]
    told = [(ticker, plan.quiet, plan.short) for ticker, plan in plans]
    return repr((world.config, world.cutoff, world.now.date(), told))


def of_size(world: SyntheticWorld, low: int, high: int) -> list[str]:
    """Markets with `low` to `high` trades that add up to their volume, by ticker."""
    return sorted(
        ticker
        for ticker in world.market_tickers()
        if low <= world.trade_count(ticker) <= high and not plain(world, ticker).plan.short
    )


def fewest_pages(world: SyntheticWorld, ticker: str) -> int:
    """A page per tier that can hold trades and one per further 1,000; twice where the sum stays short."""
    market = plain(world, ticker)
    cutoff = world.cutoff.timestamp() * 1e6
    event = market.plan.event
    old = sum(row["created_time"] < f"{world.cutoff:%Y-%m-%dT%H:%M:%S}" for row in world.trades(ticker))
    live = 1 + (world.trade_count(ticker) - old) // 1_000
    historical = 1 + old // 1_000
    first = (live if event.closes >= cutoff else 0) + (historical if event.opens < cutoff else 0)
    return first + (live + historical if market.plan.short else 0)


def pages_of_all(world: SyntheticWorld) -> int:
    """How many pages of trades a backfill of the world asks for."""
    return sum(fewest_pages(world, ticker) for ticker in world.market_tickers() if world.trade_count(ticker))


async def fetch(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    """Rows of one query, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def log_statuses(url: str) -> list[str]:
    """The status of every logged run, oldest first."""
    return [row[0] for row in await fetch(url, "select status from ingestion_log order by started_at, series_ticker")]


async def assert_holds_all(url: str, world: SyntheticWorld | RowsWorld, tickers: Sequence[str] | None = None) -> None:
    """Every trade of the world is in the table once, with its exact values, and none besides."""
    wanted = world.market_tickers() if tickers is None else tickers
    truth = sorted(_as_stored(row) for ticker in wanted for row in world.trades(ticker))
    rows = await fetch(
        url,
        "select ticker, created_time, trade_id::text, yes_price, count, taker_side, is_block_trade from trades "
        "where ticker = any($1::text[])",
        wanted,
    )
    assert sorted(tuple(row) for row in rows) == truth


def _as_stored(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["ticker"],
        datetime.fromisoformat(row["created_time"]),
        row["trade_id"],
        Decimal(row["yes_price_dollars"]),
        Decimal(row["count_fp"]),
        row["taker_outcome_side"],
        row["is_block_trade"],
    )


def small_world(**changes: Any) -> SyntheticWorld:
    """One settled day of Chicago: six markets, one of more than a page, all in the live tier, none odd."""
    world = _living(_SMALL | changes)
    assert of_size(world, 1_100, 3_000)
    return world


def _living(config: dict[str, Any]) -> SyntheticWorld:
    """Its time passes: answers whose `Date` stands still are taken for copies of a cache, and asked for again."""
    world = SyntheticWorld(WorldConfig(**config))
    world._library = _library(world.config.seed, world.config.trades_per_market)
    world.clock.speed = 1.0
    return world


_library = lru_cache(maxsize=8)(TemplateLibrary)
"""Worlds that differ in their days have the same tapes, which never change and are half of what a world costs."""

_SMALL: dict[str, Any] = {
    "start": date(2025, 7, 1),
    "end": date(2025, 7, 1),
    "now": datetime(2025, 7, 20, tzinfo=UTC),
    "seed": 21,
    "cities": ("KXHIGHCHI",),
    "trades_per_market": 700.0,
    "oddities": False,
}


def trade_row(ticker: str, created: datetime, number: int, price: int = 50, count: str = "1.00") -> dict[str, Any]:
    """A trade on the wire; `price` in cents, `number` makes the id."""
    return {
        "count_fp": count,
        "created_time": created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "is_block_trade": False,
        "no_price_dollars": f"{1 - price / 100:.4f}",
        "taker_book_side": "bid",
        "taker_outcome_side": "yes",
        "taker_side": "yes",
        "ticker": ticker,
        "trade_id": str(UUID(int=number)),
        "yes_price_dollars": f"{price / 100:.4f}",
    }


def world_of(trades: Mapping[str, Sequence[dict[str, Any]]], **changes: Any) -> RowsWorld:
    """The small world's day, but with these trades of its markets and none besides; `changes` of the market rows."""
    frame = small_world()
    markets = []
    for ticker in frame.market_tickers():
        volume = sum((Decimal(row["count_fp"]) for row in trades.get(ticker, ())), Decimal(0))
        markets.append(frame.market(ticker) | {"volume_fp": f"{volume:.2f}"} | changes)
    return RowsWorld(
        series=frame.series_rows(),
        events=[event.row() for event in frame.events(None)],
        markets=markets,
        trades=trades,
    )


async def checkpoint_of(url: str, ticker: str) -> dict[str, Any]:
    """A market's checkpoint as its columns."""
    rows = await fetch(url, "select * from checkpoints where ticker = $1", ticker)
    return dict(rows[0])
