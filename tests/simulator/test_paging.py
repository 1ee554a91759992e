"""Keyset paging over HTTP equals the world's truth: nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import cache

import pytest

from kalshi_simulator import RowsWorld, Simulator, SyntheticWorld
from tests.simulator.support import Api, Row, served, small_world

ALL_LIVE = datetime(2020, 1, 1, tzinfo=UTC)
TRADES = "/markets/trades"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served(Simulator(live_world())) as api:
        yield api


@cache
def live_world() -> SyntheticWorld:
    """A world without a historical tier, made once."""
    return small_world(cutoff=ALL_LIVE)


@cache
def busiest() -> list[str]:
    world = live_world()
    return sorted(world.market_tickers(), key=world.trade_count, reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 1000])
async def test_walks_of_any_page_size_give_the_whole_tape(api: Api, limit: int) -> None:
    world = live_world()
    ranked = busiest()
    for ticker in (ranked[0], ranked[len(ranked) // 2], ranked[-1]):
        pages = await api.pages(TRADES, "trades", ticker=ticker, limit=limit)
        assert [row for page in pages for row in page] == world.trades(ticker)
        assert all(len(page) == limit for page in pages[:-1])


async def test_default_page_is_100_and_zero_counts_as_left_out(api: Api) -> None:
    ticker = busiest()[0]
    assert len((await api.get(TRADES, ticker=ticker))["trades"]) == 100
    assert len((await api.get(TRADES, ticker=ticker, limit=0))["trades"]) == 100


async def test_an_exact_page_is_followed_by_an_empty_one(api: Api) -> None:
    world = live_world()
    ticker = next(ticker for ticker in world.market_tickers() if world.trade_count(ticker) == 30)
    pages = await api.pages(TRADES, "trades", ticker=ticker, limit=15)
    assert [len(page) for page in pages] == [15, 15, 0]


async def test_a_cursor_carries_no_filter(api: Api) -> None:
    world = live_world()
    traded = [ticker for ticker in world.market_tickers() if world.trade_count(ticker) > 10]
    first, second = traded[0], traded[-1]
    cursor = (await api.get(TRADES, ticker=first, limit=5))["cursor"]
    assert "=" not in cursor
    other = await api.get(TRADES, ticker=second, limit=5, cursor=cursor)
    assert {row["ticker"] for row in other["trades"]} == {second}


async def test_time_bounds_include_the_first_second_and_leave_out_the_last(api: Api) -> None:
    world = live_world()
    ticker = busiest()[0]
    truth = world.trades(ticker)
    low, high = (int(datetime.fromisoformat(truth[place]["created_time"]).timestamp()) for place in (60, 20))
    rows = await api.walk(TRADES, "trades", ticker=ticker, min_ts=low, max_ts=high, limit=10)
    wanted = [row for row in truth if low <= datetime.fromisoformat(row["created_time"]).timestamp() < high]
    assert rows == wanted
    assert rows


async def test_the_whole_exchange_is_one_tape(api: Api) -> None:
    world = live_world()
    bounds = {"min_ts": int(world.now.timestamp()) - 1800}
    pages = await api.pages(TRADES, "trades", limit=40, **bounds)
    rows = [row for page in pages for row in page]
    everything = [row for ticker in world.market_tickers() for row in world.trades(ticker)]
    floor = datetime.fromtimestamp(bounds["min_ts"], UTC)
    wanted = [row for row in everything if datetime.fromisoformat(row["created_time"]) >= floor]
    wanted.sort(key=lambda row: (datetime.fromisoformat(row["created_time"]), row["trade_id"]), reverse=True)
    assert len(wanted) > 80
    assert rows == wanted


async def test_block_trades_are_told_apart() -> None:
    def trade(number: int, *, block: bool) -> Row:
        return {
            "count_fp": "1.00",
            "created_time": f"2025-11-01T12:00:{number:02d}Z",
            "is_block_trade": block,
            "ticker": "A",
            "trade_id": f"00000000-0000-0000-0000-{number:012d}",
        }

    rows = [trade(number, block=number % 5 == 0) for number in range(20)]
    async with served(Simulator(RowsWorld(trades={"A": rows}))) as api:
        for block, limit in ((True, 2), (True, 4), (False, 3), (False, 16)):
            found = await api.walk(TRADES, "trades", ticker="A", is_block_trade=str(block).lower(), limit=limit)
            assert found == [row for row in reversed(rows) if row["is_block_trade"] == block]
        merged = await api.walk(TRADES, "trades", is_block_trade="true", limit=3)
        assert merged == []  # no market row, so the exchange-wide tape does not know ticker A
        assert (await api.ask(TRADES, ticker="A", is_block_trade="maybe"))[0] == 400


async def test_an_unknown_ticker_has_an_empty_tape(api: Api) -> None:
    assert await api.get(TRADES, ticker="NOPE") == {"cursor": "", "trades": []}


@pytest.mark.parametrize("limit", [7, 60, 1000])
async def test_market_lists_give_every_market_newest_created_first(api: Api, limit: int) -> None:
    world = live_world()
    rows = await api.walk("/markets", "markets", series_ticker="KXHIGHDEN", limit=limit)
    wanted = [ticker for ticker in world.market_tickers() if ticker.startswith("KXHIGHDEN")]
    assert [row["ticker"] for row in rows] == wanted
    keys = [(datetime.fromisoformat(row["created_time"]), row["ticker"]) for row in rows]
    assert keys == sorted(keys, reverse=True)


async def test_all_markets_of_the_exchange(api: Api) -> None:
    world = live_world()
    pages = await api.pages("/markets", "markets", limit=100)
    assert [row for page in pages for row in page] == [world.market(t) for t in world.market_tickers()]


async def test_now_and_then_a_full_last_page_is_followed_by_an_empty_one(api: Api) -> None:
    world = live_world()
    endings = set()
    for event in world.events(None):
        if event.markets:
            pages = await api.pages("/markets", "markets", event_ticker=event.ticker, limit=len(event.markets))
            assert len(pages[0]) == len(event.markets)
            endings.add(len(pages))
        if endings == {1, 2}:
            break
    assert endings == {1, 2}


@pytest.mark.parametrize("limit", [5, 200])
async def test_event_lists(api: Api, limit: int) -> None:
    world = live_world()
    rows = await api.walk("/events", "events", series_ticker="KXHIGHCHI", limit=limit)
    assert [row["event_ticker"] for row in rows] == [event.ticker for event in world.events("KXHIGHCHI")]
    assert any(row["event_ticker"].startswith("test_") for row in rows)


@pytest.mark.parametrize("cursor", ["!!!", "abc", "AAAA", "EhIK", "CgwI"])
@pytest.mark.parametrize("path", ["/markets", "/events", "/markets/trades", "/historical/trades"])
async def test_a_damaged_cursor_is_refused(api: Api, path: str, cursor: str) -> None:
    status, body = await api.ask(path, cursor=cursor, ticker=busiest()[0])
    assert status == 400
    assert body["error"]["details"] == "invalid cursor"


async def test_recorded_cursors_are_understood(api: Api) -> None:
    """Cursors copied from real answers: the simulator writes the same binary form."""
    body = await api.get("/markets", cursor="CgwI8qDq1AYQqP6KqwESF0tYSElHSExBWC0yNlNFUDA1LUI3NS41", limit=1)
    assert body["markets"]
    trades = await api.get(
        TRADES, ticker=busiest()[0], cursor="EhIKEAch1qJsoZRwe5ExpK18vYcaDAia3ezUBhCwhq6BAw", limit=1
    )
    assert trades["trades"]
