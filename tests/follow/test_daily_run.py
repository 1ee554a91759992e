"""The service's rows in the ingestion log: a run a day, with what it did, whatever became of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kalshi_ingest.follow.daily_run import DailyRun
from kalshi_ingest.follow.state import FollowState, SeriesState
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.status import run_history
from tests.follow.following import TICKER, TICKERS, LivingWorld, after, following, serving
from tests.support.backfills import CHICAGO, fetch, trade_row
from tests.support.patience import COMES, ENDS

TWO = (*CHICAGO, Wanted("KXHIGHMIA", "miami"))
EVENING = datetime(2025, 7, 1, 23, 59, 30, tzinfo=UTC)
FIRST = date(2025, 6, 30)

_LOG = """
select series_ticker, status, trades_fetched, candles_1m, candles_5m, requests, markets_fetched, error_message
from ingestion_log order by started_at, series_ticker
"""


@dataclass
class Clock:
    now: datetime = EVENING

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


def record() -> tuple[DailyRun, FollowState]:
    state = FollowState({each.series_ticker: SeriesState(each) for each in TWO}, EVENING)
    return DailyRun(TWO, "follow in a test", state), state


def work(kept: DailyRun, ticker: str = "KXHIGHCHI") -> None:
    """Some work is done."""
    progress = kept.progress[ticker]
    progress.stats.trades += 10
    progress.stats.candles_1m += 5
    progress.stats.candles_5m += 2
    progress.stats.tally.requests += 3
    progress.stats.tally.retries += 1
    progress.ended.add(f"{ticker}-{len(progress.ended)}")
    progress.stats.proved["exact"] += 1


@asynccontextmanager
async def kept_current(kept: DailyRun, database: Database, clock: Clock) -> AsyncIterator[None]:
    keeping = asyncio.create_task(kept.keep(database, clock, 0.01))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def rows(url: str, query: str = _LOG) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await fetch(url, query)]


async def until(url: str, expected: list[tuple[Any, ...]], query: str = _LOG) -> None:
    async with asyncio.timeout(COMES):
        while await rows(url, query) != expected:
            await asyncio.sleep(0.01)


MIAMI = ("KXHIGHMIA", "running", 0, 0, 0, 0, 0, None)


async def test_the_rows_show_what_was_done_so_far(database_url: str, database: Database) -> None:
    kept, state = record()
    clock = Clock()
    await kept.begin(database, clock, FIRST)
    assert await rows(database_url) == [("KXHIGHCHI", "running", 0, 0, 0, 0, 0, None), MIAMI]
    dates = await rows(database_url, "select distinct min_event_date, max_event_date, started_at from ingestion_log")
    assert dates == [(FIRST, date(2025, 7, 1), EVENING)]
    async with kept_current(kept, database, clock):
        work(kept)
        await until(database_url, [("KXHIGHCHI", "running", 10, 5, 2, 3, 1, None), MIAMI])
    chicago = state.series["KXHIGHCHI"].stats
    assert (chicago.trades, chicago.candles_1m, chicago.candles_5m, chicago.tally.requests) == (10, 5, 2, 3)
    assert (chicago.tally.retries, chicago.proved) == (1, {"exact": 1})


async def test_a_run_for_each_day_of_the_exchange_and_counters_that_go_on(
    database_url: str, database: Database
) -> None:
    kept, state = record()
    clock = Clock()
    await kept.begin(database, clock, FIRST)
    first = kept.run_id
    async with kept_current(kept, database, clock):
        work(kept)
        work(kept)
        clock.now += timedelta(minutes=1)
        await until(
            database_url,
            [
                ("KXHIGHCHI", "success", 20, 10, 4, 6, 2, None),
                ("KXHIGHMIA", "success", 0, 0, 0, 0, 0, None),
                ("KXHIGHCHI", "running", 0, 0, 0, 0, 0, None),
                MIAMI,
            ],
        )
        assert kept.run_id != first
        work(kept)
    chicago = state.series["KXHIGHCHI"].stats
    assert (chicago.trades, chicago.candles_1m, chicago.candles_5m) == (30, 15, 6), "since the process started"
    assert (chicago.tally.requests, chicago.tally.retries, chicago.proved) == (9, 3, {"exact": 3})
    await kept.close(None)
    assert (await rows(database_url))[2] == ("KXHIGHCHI", "success", 10, 5, 2, 3, 1, None)
    assert state.series["KXHIGHCHI"].stats.trades == 30
    durations = await rows(database_url, "select duration_seconds::int from ingestion_log order by started_at limit 1")
    assert durations == [(60,)]


async def test_a_session_that_was_lost_goes_on_in_the_run_of_the_day(database_url: str, database: Database) -> None:
    kept, state = record()
    clock = Clock()
    await kept.begin(database, clock, FIRST)
    first = kept.run_id
    work(kept)
    await kept.close("the exchange is out of reach")
    assert [row[1] for row in await rows(database_url)] == ["interrupted", "interrupted"]
    assert (await rows(database_url))[0][-1] == "the exchange is out of reach"
    await kept.begin(database, clock, FIRST)
    assert kept.run_id == first
    async with kept_current(kept, database, clock):
        work(kept)
        await until(database_url, [("KXHIGHCHI", "running", 20, 10, 4, 6, 2, None), MIAMI])
    assert state.series["KXHIGHCHI"].stats.trades == 20, "nothing is counted twice"
    await kept.close("lost again")
    clock.now += timedelta(days=2)
    await kept.begin(database, clock, FIRST)
    assert kept.run_id != first
    assert len(await rows(database_url)) == 4
    assert state.series["KXHIGHCHI"].stats.trades == 20


async def test_what_fails_at_the_end_of_a_day_makes_its_run_partial(database_url: str, database: Database) -> None:
    kept, state = record()
    clock = Clock()
    await kept.begin(database, clock, FIRST)
    kept.progress["KXHIGHCHI"].failed["M1"] = "a page breaks its contract"
    state.series["KXHIGHMIA"].failed_listings["KXHIGHMIA"] = "the list is incomplete"
    kept.progress["KXHIGHMIA"].warnings.append("M2 is short")
    assert state.series["KXHIGHCHI"].failed == {"M1": "a page breaks its contract"}
    assert state.series["KXHIGHMIA"].failed == {"KXHIGHMIA": "the list is incomplete"}
    async with kept_current(kept, database, clock):
        clock.now += timedelta(minutes=1)
        query = "select status, error_message, details ->> 'warnings' from ingestion_log order by 1, series_ticker"
        await until(
            database_url,
            [
                ("partial", "1 failing; the first: M1: a page breaks its contract", "[]"),
                ("partial", "1 failing; the first: KXHIGHMIA: the list is incomplete", '["M2 is short"]'),
                ("running", None, None),
                ("running", None, None),
            ],
            query,
        )
        assert state.series["KXHIGHCHI"].failed == {"M1": "a page breaks its contract"}, "it fails still"
        del kept.progress["KXHIGHCHI"].failed["M1"]
        state.series["KXHIGHMIA"].failed_listings.clear()
    await kept.close(None)
    assert [row[1] for row in await rows(database_url)] == ["partial", "partial", "success", "success"]


async def test_a_database_that_is_away_does_not_keep_the_service_from_ending(database_url: str) -> None:
    opened = Database(database_url, patience=3_600)
    await opened.open()
    kept, _ = record()
    await kept.begin(opened, Clock(), FIRST)
    opened.abort()
    async with asyncio.timeout(ENDS):
        await kept.close(None)
    await opened.close()


async def test_rows_of_a_service_that_was_killed_are_corrected_by_the_next(database_url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(world.market_tickers()[0], after(-5), 1))
    async with serving(world) as simulator:
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
        run = "insert into ingestion_log (run_id, command, series_ticker, status, started_at, asked_by) "
        killed = f"values (gen_random_uuid(), 'follow', 'KXHIGHCHI', 'running', '{after(-60)}', 'somebody')"
        await fetch(database_url, run + killed)
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
    statuses = "select status, error_message from ingestion_log order by 1, started_at"
    assert await rows(database_url, statuses) == [
        ("interrupted", "the process ended without recording a result"),
        ("success", None),
        ("success", None),
    ]


async def test_a_market_that_is_walked_again_and_again_counts_once(database_url: str) -> None:
    world = LivingWorld(after())
    world.add(*(trade_row(ticker, after(-5), number) for number, ticker in enumerate(TICKERS)))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        for number in range(4):
            world.add(trade_row(TICKER, after(seconds=number), 100 + number))
            await service.until_rows(database_url, "select count(*) from trades", [(7 + number,)])
        assert sum(simulator.stats.trade_pages.values()) > len(TICKERS), "one of them was walked more than once"
        world.clock.now = after(10)
        await service.until_rows(database_url, "select count(*) from candles", [(14,)])
    assert await rows(database_url, "select markets_fetched from ingestion_log") == [(len(TICKERS),)]
    pages = sum(simulator.stats.trade_pages.values())
    assert await rows(database_url, "select sum(pages)::int from checkpoints") == [(pages,)], "candles are no pages"
    opened = Database(database_url)
    await opened.open()
    try:
        told = (await run_history.newest_runs(opened))[0]
    finally:
        await opened.close()
    assert told.markets_fetched == len(TICKERS)
