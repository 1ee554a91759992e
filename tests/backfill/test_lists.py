"""What the lists say: rows of other series, rows that cannot be read, no rows at all."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kalshi_ingest.domain.model import Tier, Unit
from kalshi_ingest.domain.plausible import cleaned
from kalshi_ingest.errors import Rejected
from kalshi_ingest.exchange.api import Api, TradePage
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.status.held import Status, status
from kalshi_simulator import Simulator, SyntheticWorld
from tests.support.backfills import Run, assert_holds_all, checkpoint_of, fetch, log_statuses, small_world

WORLD = small_world()
TICKER = WORLD.market_tickers()[0]


@pytest.fixture
def also_listed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Rows that come with each page of the live list besides those that were asked for."""
    more: list[dict[str, Any]] = []
    markets = Api.markets

    async def with_more(self: Api, series: str, tier: Tier, tally: Tally) -> AsyncIterator[list[Any]]:
        async for page in markets(self, series, tier, tally):
            yield page + (more if tier is Tier.LIVE else [])

    monkeypatch.setattr(Api, "markets", with_more)
    return more


async def test_this_machines_clock_does_not_judge_event_dates(database_url: str) -> None:
    """The bug: at a clock of 1970 every event lay in the future and was left out, and the exchange was blamed."""
    async with Simulator(WORLD) as simulator:
        job = await Run(simulator.url, database_url, clock=lambda: datetime(1970, 1, 1, tzinfo=UTC))()
    assert not job.progress["KXHIGHCHI"].failed
    assert not any("impossible" in warning for warning in job.progress["KXHIGHCHI"].warnings)
    await assert_holds_all(database_url, WORLD)


@pytest.mark.parametrize("series", ["KXHIGHNY", "KXHIGHCHIX"])
async def test_a_row_of_another_series_touches_nothing(
    series: str, also_listed: list[dict[str, Any]], database_url: str
) -> None:
    """Not even when the other series' name begins with this one's, nor when its market is proved already."""
    stranger = f"{series}-25JUL01-B70.5"
    also_listed.append(WORLD.market(TICKER) | {"ticker": stranger, "event_ticker": f"{series}-25JUL01"})
    await fetch(database_url, "insert into series values ($1, null, '', '', '', null, '{}', now())", series)
    await fetch(
        database_url,
        "insert into checkpoints (ticker, series_ticker, event_date, state, settled_first, trades_stored, verdict, "
        "run_id, updated_at) values ($1, $2, '2025-07-01', 'complete', true, 7, 'exact', gen_random_uuid(), now())",
        stranger,
        series,
    )
    before = await checkpoint_of(database_url, stranger)
    async with Simulator(WORLD) as simulator:
        job = await Run(simulator.url, database_url)()
    assert list(job.progress["KXHIGHCHI"].failed) == [stranger]
    assert "another series" in job.progress["KXHIGHCHI"].failed[stranger]
    assert await fetch(database_url, "select 1 from markets where ticker = $1", stranger) == []
    assert await checkpoint_of(database_url, stranger) == before


@pytest.mark.parametrize("ticker", [None, 7, ["a list"], {"an": "object"}])
async def test_a_row_whose_ticker_is_no_text_fails_alone(
    ticker: object, also_listed: list[dict[str, Any]], database_url: str
) -> None:
    also_listed.append(WORLD.market(TICKER) | {"ticker": ticker})
    async with Simulator(WORLD) as simulator:
        job = await Run(simulator.url, database_url)()
    assert list(job.progress["KXHIGHCHI"].failed) == [str(ticker)]
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 6}


@pytest.mark.parametrize(
    "changes",
    [
        {"ticker": "KXHIGHMIA-25JUL01-B80.5"},
        {"ticker": "KXHIGHCHI-25JUL02-B80.5"},
        {"event_ticker": "KXHIGHMIA-25JUL01"},
        {"event_ticker": "KXHIGHCHI-98JUL01"},
        {"event_ticker": "no date at all"},
        {"ticker": "../../../etc/passwd"},
        {"ticker": "\x1b[2J"},
        {"ticker": " "},
    ],
    ids=str,
)
async def test_a_row_whose_tickers_disagree_fails_alone(
    changes: dict[str, str], also_listed: list[dict[str, Any]], database_url: str
) -> None:
    """In the list of Chicago, while Miami is listed beside it: neither loses anything but that row."""
    both = (Wanted("KXHIGHCHI", "chicago"), Wanted("KXHIGHMIA", "miami"))
    world = SyntheticWorld(replace(WORLD.config, cities=("KXHIGHCHI", "KXHIGHMIA")))
    also_listed.append(WORLD.market(TICKER) | {"ticker": "KXHIGHCHI-25JUL01-B99.5"} | changes)
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url, both)()
    named = cleaned(changes.get("ticker", "KXHIGHCHI-25JUL01-B99.5"))
    assert named in {**job.progress["KXHIGHCHI"].failed, **job.progress["KXHIGHMIA"].failed}
    trades = await fetch(database_url, "select count(*) from trades")
    assert trades[0][0] == sum(map(world.trade_count, world.market_tickers()))
    exact = await fetch(database_url, "select count(*) from checkpoints where verdict = 'exact'")
    assert exact[0][0] == len(world.market_tickers())
    async with Simulator(world) as simulator:
        also_listed.clear()
        job = await Run(simulator.url, database_url, both)()
    assert [progress.failed for progress in job.progress.values()] == [{}, {}]
    assert await fetch(database_url, "select 1 from checkpoints where state = 'failed'") == []


async def test_a_market_whose_row_cannot_be_read_is_left_in_the_status(
    also_listed: list[dict[str, Any]], database_url: str
) -> None:
    """Trades of it are held, of a restore without checkpoints: they are counted, so that no walk believes them."""
    also_listed.append(WORLD.market(TICKER) | {"ticker": "KXHIGHCHI-25JUL01-B99.5", "status": "asleep"})
    await fetch(
        database_url,
        "insert into trades (ticker, created_time, trade_id, yes_price, count, taker_side, is_block_trade) "
        "values ('KXHIGHCHI-25JUL01-B99.5', '2025-07-01 15:00Z', gen_random_uuid(), 0.5, 3, 'yes', false)",
    )
    async with Simulator(WORLD) as simulator:
        await Run(simulator.url, database_url)()
    known = await checkpoint_of(database_url, "KXHIGHCHI-25JUL01-B99.5")
    assert (known["state"], known["trades_stored"], known["contracts_stored"]) == ("failed", 1, 3)
    found = await _status(database_url)
    assert (found.holdings[0].markets, found.holdings[0].failed, found.holdings[0].left) == (7, 1, 1)
    assert "1 markets are left to prove complete." in found.as_text()


async def test_the_status_after_a_run_that_broke_off_promises_nothing(database_url: str) -> None:
    async with Simulator(WORLD) as simulator:
        await Run(simulator.url, database_url)()
    assert "Every market is proved complete." in (await _status(database_url)).as_text()
    await fetch(database_url, "update ingestion_log set status = 'running'")
    text = (await _status(database_url)).as_text()
    assert "there may be more: the last run did not end with success for chicago." in text


async def test_no_market_at_all_is_not_complete(database_url: str) -> None:
    async with Simulator(WORLD) as simulator:
        job = await Run(simulator.url, database_url, dates=Dates(date(2025, 7, 2), date(2025, 7, 3)))()
    failed = job.progress["KXHIGHCHI"].failed
    told = "the exchange lists no market with an event date from 2025-07-02 to 2025-07-03"
    assert failed == {"KXHIGHCHI": f"{told}; it lists 2025-07-01 to 2025-07-01"}
    assert await log_statuses(database_url) == ["partial"]


@pytest.mark.parametrize("holder", [Tier.LIVE, Tier.HISTORICAL])
async def test_a_tier_that_knows_no_such_market(
    holder: Tier, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 404 from one tier leaves the market to the other one, and its verdict to the sum."""
    trades = Api.trades

    async def of_one_tier(self: Api, unit: Unit, tier: Tier, cursor: str | None, tally: Tally, _: None) -> TradePage:
        if tier is not holder:
            raise Rejected("not found", 404)
        page = await trades(self, unit, Tier.LIVE, cursor, tally)
        # One trade less than the volume says, so that the second walk asks both tiers.
        return TradePage(page.trades[1:], page.cursor)

    monkeypatch.setattr(Api, "trades", of_one_tier)
    async with Simulator(WORLD) as simulator:
        job = await Run(simulator.url, database_url)()
    assert job.progress["KXHIGHCHI"].failed == {}
    assert job.progress["KXHIGHCHI"].verdicts["short"] == job.progress["KXHIGHCHI"].markets == 6


async def _status(url: str) -> Status:
    database = Database(url)
    await database.open()
    try:
        return await status(database)
    finally:
        await database.close()
