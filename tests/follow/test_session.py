"""A session against the simulated exchange: each market through its life, asked for no more than has changed."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.state import Phase
from kalshi_simulator import Faults
from tests.follow.following import (
    NEVER,
    QUICK,
    SERIES,
    SETTLES,
    TICKER,
    TICKERS,
    LivingWorld,
    after,
    days_of_chicago,
    following,
    serving,
)
from tests.follow.same import same
from tests.support import postgres
from tests.support.backfills import Run, assert_holds_all, fetch, trade_row
from tests.support.clean import Clean
from tests.support.dumps import PROOF, TABLES, digests

PATIENT = PollIntervals(poll=1.0, quiet=2.0, cross_check=NEVER, listings_pause=1.0, log=0.1, away=0.1)
"""For a clock that runs twenty times as fast."""

_STATES = "select state, count(*) from checkpoints group by 1 order by 1"
_STATUSES = "select status, count(*) from markets group by 1 order by 1"
_CANDLES = """
select period_minutes, to_char(period_start at time zone 'UTC', 'HH24:MI'), num_trades::int
from candles order by 1, period_start
"""
_TRADES = "select count(*) from trades"


async def test_a_market_from_its_first_trade_to_its_verdict_and_then_left_alone(
    database_url: str, postgres_url: str, template_database: str
) -> None:
    world = days_of_chicago(datetime(2025, 6, 30, 16, tzinfo=UTC))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        await assert_holds_all(database_url, world)
        assert [tuple(row) for row in await fetch(database_url, _STATUSES)] == [("open", 6)]
        world.now = datetime(2025, 6, 30, 20, tzinfo=UTC)
        count = sum(world.trade_count(ticker) for ticker in world.market_tickers())
        await service.until_rows(database_url, _TRADES, [(count,)])
        await assert_holds_all(database_url, world)
        world.now = datetime(2025, 7, 1, 9, 40, tzinfo=UTC)
        await service.until_rows(database_url, _STATUSES, [("open", 6), ("unopened", 6)])
        assert len(world.market_tickers()) == 12, "a new event was listed"
        world.now = datetime(2025, 7, 2, 6, tzinfo=UTC)
        await service.until_rows(database_url, _STATUSES, [("closed", 6), ("open", 6)])
        world.now = SETTLES + timedelta(minutes=1)
        await service.until_rows(database_url, _STATES, [("complete", 6), ("open", 6)])
        await service.until(lambda: service.chicago.stats.proved == {"exact": 6})
        results = await fetch(database_url, "select result, count(*) from markets where status = 'settled' group by 1")
        assert sorted(tuple(row) for row in results) == [("no", 5), ("yes", 1)]

        await service.until(lambda: service.chicago.backlog == 0)
        simulator.stats.trade_pages.clear()
        world.now = datetime(2025, 7, 2, 20, tzinfo=UTC)
        count = sum(world.trade_count(ticker) for ticker in world.market_tickers())
        await service.until_rows(database_url, _TRADES, [(count,)])
        assert not any("25JUL01" in ticker for ticker in simulator.stats.trade_pages), "what is proved is left alone"

        world.now = datetime(2025, 7, 4, tzinfo=UTC)
        await service.until_rows(database_url, _STATES, [("complete", 12)])
        await service.until_rows(database_url, _STATUSES, [("settled", 12)])
        simulator.stats.reset()
        await service.until(lambda: service.chicago.unsettled_markets == 0)
        assert service.state.phase is Phase.FOLLOWING
        assert simulator.stats.by_route["trades"] == 0
    await assert_holds_all(database_url, world)
    async with serving(world) as simulator, postgres.fresh_database(postgres_url, template_database) as url:
        await Run(simulator.url, url)()
        equal = await same(database_url, url, date(2025, 7, 2))
    del equal["listings"]  # a backfill of all years says of more days that they had no event
    assert equal == dict.fromkeys(TABLES.keys() - {"listings"}, True)


async def test_trades_are_asked_for_only_where_the_volume_moved(database_url: str) -> None:
    world = LivingWorld(after())
    world.add(*(trade_row(ticker, after(-5), number) for number, ticker in enumerate(TICKERS)))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        assert simulator.stats.trade_pages.keys() == set(TICKERS)
        simulator.stats.trade_pages.clear()
        await service.looked_again(simulator)
        assert simulator.stats.trade_pages == {}
        world.add(trade_row(TICKER, after(0), 100))
        await service.until_rows(database_url, _TRADES, [(7,)])
        await service.looked_again(simulator, 5)
        assert simulator.stats.trade_pages == {TICKER: 1}
        await service.until(lambda: service.chicago.stats.trades == 7)
        assert sum(service.chicago.lag.counts) == 1, "only what came while following is measured"
        assert service.chicago.last_trade_at == after(0)
        assert service.chicago.open_markets == service.chicago.unsettled_markets == 6


async def test_a_market_whose_life_went_on_is_read_at_once(database_url: str) -> None:
    """Long before the lists are due again."""
    world = LivingWorld(after())
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        await service.looked_again(simulator)  # the first look cannot tell what changed
        world.change(TICKER, status="closed")
        await service.until_rows(database_url, _STATUSES, [("closed", 1), ("open", 5)])
        world.settle()
        await service.until_rows(database_url, _STATES, [("complete", 6)])


async def test_candles_of_periods_that_ended_and_of_no_other(database_url: str) -> None:
    world = LivingWorld(after(0, 40))
    world.add(
        trade_row(TICKER, after(-1, 10), 1), trade_row(TICKER, after(0, 5), 2), trade_row(TICKER, after(0, 30), 3)
    )
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        shown: list[tuple[Any, ...]] = [(1, "15:59", 1), (5, "15:55", 1)]
        await service.until_rows(database_url, _CANDLES, shown)
        simulator.stats.trade_pages.clear()
        world.clock.now = after(1, 10)
        shown.insert(1, (1, "16:00", 2))
        await service.until_rows(database_url, _CANDLES, shown)
        world.add(trade_row(TICKER, after(1, 5), 4))
        await service.until_rows(database_url, _TRADES, [(4,)])
        assert [tuple(row) for row in await fetch(database_url, _CANDLES)] == shown
        world.clock.now = after(5, 10)
        await service.until_rows(
            database_url,
            _CANDLES,
            [(1, "15:59", 1), (1, "16:00", 2), (1, "16:01", 1), (5, "15:55", 1), (5, "16:00", 3)],
        )
        assert simulator.stats.trade_pages == {TICKER: 1}, "candles cost no requests"
        await service.until(lambda: service.chicago.stats.candles_1m >= 3 and service.chicago.stats.candles_5m == 2)


async def test_a_late_trade_corrects_its_candle(database_url: str) -> None:
    """One is found by the next look at what is new, the other, much later, by a look at everything."""
    world = LivingWorld(after(20))
    world.add(trade_row(TICKER, after(0, 10), 1), trade_row(TICKER, after(10, 10), 2))
    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=PATIENT, faster=20) as service,
    ):
        await service.up_to_date()
        world.add(trade_row(TICKER, after(9, 50), 3), trade_row(TICKER, after(10, 5), 4))
        await service.until_rows(
            database_url,
            _CANDLES,
            [(1, "16:00", 1), (1, "16:09", 1), (1, "16:10", 2), (5, "16:00", 1), (5, "16:05", 1), (5, "16:10", 2)],
        )
        simulator.stats.trade_pages.clear()
        world.add(trade_row(TICKER, after(0, 20), 5))
        await service.until_rows(
            database_url,
            _CANDLES,
            [(1, "16:00", 2), (1, "16:09", 1), (1, "16:10", 2), (5, "16:00", 2), (5, "16:05", 1), (5, "16:10", 2)],
        )
        assert 3 <= simulator.stats.trade_pages[TICKER] <= 5, "a few looks at what is new, then one at everything"
        await service.until(lambda: service.chicago.backlog == 0)


async def test_a_volume_that_its_trades_do_not_make_is_accepted_after_a_look_at_everything(database_url: str) -> None:
    world = LivingWorld(after(20))
    world.add(trade_row(TICKER, after(0, 10), 1))
    world.change(TICKER, volume_fp="39.00")
    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=PATIENT, faster=20) as service,
    ):
        await service.up_to_date()
        asked = simulator.stats.trade_pages[TICKER]
        assert asked <= 6
        await service.looked_again(simulator, 2)
        assert simulator.stats.trade_pages[TICKER] == asked


async def test_a_new_session_goes_on_from_the_checkpoints(database_url: str) -> None:
    world = LivingWorld(after(2, 30))
    world.add(trade_row(TICKER, after(0, 10), 1), trade_row(TICKER, after(2, 20), 2))
    async with serving(world) as simulator:
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
        assert (await fetch(database_url, _CANDLES))[0][:2] == (1, "16:00")
        simulator.stats.trade_pages.clear()
        world.clock.now = after(30)
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
            await service.until_rows(database_url, _CANDLES, [(1, "16:00", 1), (1, "16:02", 1), (5, "16:00", 2)])
        assert simulator.stats.trade_pages == {}, "what is proved is not asked for"
        world.add(trade_row(TICKER, after(25), 3))
        world.clock.now = after(60)
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
            assert service.chicago.stats.trades <= 1
            assert sum(service.chicago.lag.counts) == 0, "what was made while nobody was there is not late"
        assert simulator.stats.trade_pages == {TICKER: 1}
        await assert_holds_all(database_url, world.rows)
    log = await fetch(database_url, "select status, trades_fetched from ingestion_log")
    assert sorted(tuple(row) for row in log) == [("success", 0), ("success", 1), ("success", 2)]


async def test_what_went_to_the_historical_tier_meanwhile_is_proved_all_the_same(database_url: str) -> None:
    world = LivingWorld(after(2, 30))
    world.add(*(trade_row(ticker, after(2), number) for number, ticker in enumerate(TICKERS)))
    async with serving(world) as simulator:
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
        world.add(*(trade_row(ticker, after(60), 50 + number) for number, ticker in enumerate(TICKERS)))
        world.settle()
        world.clock.now = datetime(2025, 9, 20, tzinfo=UTC)
        world.cutoff = datetime(2025, 7, 20, tzinfo=UTC)
        async with following(simulator.url, database_url) as service:
            await service.until_rows(database_url, _STATES, [("complete", 6)])
            await service.up_to_date()
            await service.until(lambda: service.chicago.stats.proved == {"exact": 6})
        assert simulator.stats.by_route["historical_trades"] == 6
    await assert_holds_all(database_url, world.rows)


async def test_a_market_that_is_proved_while_the_lists_are_read_is_not_walked_again(database_url: str) -> None:
    """The reading began when the market was not proved yet, and hands it over once more."""
    world = LivingWorld(after(2, 30))
    world.add(*(trade_row(ticker, after(2), number) for number, ticker in enumerate(TICKERS)))
    walking = listing = False
    handed_over, proved = asyncio.Event(), asyncio.Event()

    async def hook(route: str, _: str | None) -> None:
        nonlocal walking, listing
        if route == "trades":
            walking = True
            await handed_over.wait()
        elif route == "series":
            listing = walking
        elif route == "markets" and listing:
            handed_over.set()
            await proved.wait()

    async with (
        serving(world) as simulator,
        following(simulator.url, database_url, intervals=replace(QUICK, listings=0.3)) as service,
    ):
        await service.up_to_date()
        simulator.on_request = hook
        world.settle()
        await service.until(lambda: service.chicago.stats.proved == {"exact": 6})
        simulator.stats.reset()
        proved.set()
        await service.until(lambda: simulator.stats.by_route["series"] >= 2)
        assert simulator.stats.trade_pages == {}
    assert [tuple(row) for row in await fetch(database_url, _STATES)] == [("complete", 6)]


async def test_a_market_that_breaks_its_contract_fails_alone(database_url: str) -> None:
    world = LivingWorld(after(2, 30))
    world.add(*(trade_row(ticker, after(2), number) for number, ticker in enumerate(TICKERS)))
    broken = TICKERS[1]
    faults = Faults(targeted={broken: "zero_count"})
    async with serving(world, faults=faults) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        await service.until(lambda: service.chicago.failed)
        assert service.chicago.failed.keys() == {broken}
        assert "count_fp: is 0" in service.chicago.failed[broken]
        assert service.chicago.fresh_at is None
        assert any("count_fp: is 0" in reason for reason in service.state.not_ready())
        asked = simulator.stats.trade_pages[broken]
        await service.looked_again(simulator, 5)
        assert simulator.stats.trade_pages[broken] == asked == 1, "it is left alone for a while"
    assert [tuple(row) for row in await fetch(database_url, _STATES)] == [("failed", 1), ("open", 5)]
    log = await fetch(database_url, "select status, error_message from ingestion_log")
    assert log[0][0] == "partial"
    assert broken in log[0][1]


@pytest.mark.parametrize("pages", [2, 9])
async def test_what_was_acknowledged_before_a_stop_is_stored(pages: int, database_url: str, clean: Clean) -> None:
    late = datetime(2025, 7, 20, tzinfo=UTC)
    world = days_of_chicago(late, trades_per_market=700.0)
    async with serving(world) as simulator:
        async with following(simulator.url, database_url, start=date(2025, 7, 1)) as service:
            await service.until(lambda: simulator.stats.trade_pages.total() >= pages)
            await service.end()
        assert service.state.phase is Phase.STOPPING
        held = (await fetch(database_url, _TRADES))[0][0]
        claimed = await fetch(database_url, "select coalesce(sum(trades_stored), 0)::int from checkpoints")
        assert held == claimed[0][0] >= service.chicago.stats.trades
        async with following(simulator.url, database_url) as service:
            await service.up_to_date()
    await assert_holds_all(database_url, world)
    wanted, stored = await clean(world), await digests(database_url, checkpoints=PROOF)
    del wanted["listings"], stored["listings"]
    assert stored == wanted


async def test_a_second_service_waits_until_the_first_has_ended(database_url: str) -> None:
    world = LivingWorld(after(2, 30))
    world.add(trade_row(TICKER, after(1), 1))
    async with serving(world) as simulator, following(simulator.url, database_url) as service:
        await service.up_to_date()
        async with following(simulator.url, database_url) as standby:
            await standby.until(lambda: standby.state.phase is Phase.STANDBY)
            assert standby.state.losses == {"series": 1}
            assert f"another run is working on {SERIES}" in standby.state.not_ready()[0]
            await service.looked_again(simulator)
            assert standby.state.phase is Phase.STANDBY
            await service.end()
            world.add(trade_row(TICKER, after(2), 2))
            await standby.up_to_date()
            await standby.until_rows(database_url, "select count(*)::int from trades", [(2,)])
            assert not any("another run" in reason for reason in standby.state.not_ready())
