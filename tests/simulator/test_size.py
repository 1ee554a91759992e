"""A world of the full size is cheap to make, cheap to serve, and a giant market costs no memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import orjson
import pytest

from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.tapes import Tape
from tests.simulator.support import served, small_world


def full_size() -> SyntheticWorld:
    return SyntheticWorld(
        WorldConfig(
            start=date(2024, 1, 1),
            end=date(2025, 11, 14),
            now=datetime(2026, 1, 20, tzinfo=UTC),
            trades_per_market=270,
        )
    )


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The best of some runs, which a busy machine disturbs least."""
    best = float("inf")
    for _ in range(times):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def tape_of(world: SyntheticWorld, ticker: str) -> Tape:
    tape = world.tape(ticker)
    assert tape is not None
    return tape


def _repeatedly(work: Callable[[], object]) -> None:
    for _ in range(20):
        work()


@pytest.mark.long
def test_a_full_size_world_is_made_faster_than_its_market_list_is_written() -> None:
    world = full_size()
    tickers = world.market_tickers()
    assert len(tickers) > 18_000
    assert 4_500_000 < sum(map(world.trade_count, tickers)) < 5_500_000
    construct = seconds(full_size, times=2)
    listing = seconds(lambda: [orjson.dumps(world.market(ticker)) for ticker in tickers], times=1)
    assert construct < 2 * listing


@pytest.mark.long
def test_a_page_costs_less_than_reading_it() -> None:
    """The server must not hold its client back: filling a page is cheaper than parsing its JSON."""
    world = full_size()
    tape = tape_of(world, max(world.market_tickers(), key=world.trade_count))
    for size in (300, 1000):
        page = b"[" + tape.rows(0, size) + b"]"
        assert len(orjson.loads(page)) == size
        fill = seconds(partial(_repeatedly, partial(tape.rows, 0, size)))
        parse = seconds(partial(_repeatedly, partial(orjson.loads, page)))
        assert fill < parse


def giant_world(count: int, day: date) -> SyntheticWorld:
    return small_world(start=day, end=day, now=datetime(2025, 12, 1, tzinfo=UTC), giant=count)


@pytest.mark.parametrize("day", [date(2025, 3, 1), date(2025, 11, 1)])
@pytest.mark.parametrize("count", [1, 99, 100, 2_345, 12_000])
def test_a_giant_market_has_exactly_its_trades(count: int, day: date) -> None:
    world = giant_world(count, day)
    ticker = world.giant_market
    assert ticker is not None
    trades = world.trades(ticker)
    assert len(trades) == world.trade_count(ticker) == count
    keys = [(datetime.fromisoformat(row["created_time"]), row["trade_id"]) for row in trades]
    assert keys == sorted(keys, reverse=True)
    assert len({row["trade_id"] for row in trades}) == count
    market = world.market(ticker)
    volume = sum((Decimal(row["count_fp"]) for row in trades), Decimal(0))
    assert Decimal(market["volume_fp"]) - volume == (38 if ticker in world.short_markets else 0)
    opens, closes = (datetime.fromisoformat(market[name]) for name in ("open_time", "close_time"))
    assert all(opens <= moment < closes for moment, _ in keys)
    assert all(Decimal(row["yes_price_dollars"]) + Decimal(row["no_price_dollars"]) == 1 for row in trades)


async def test_a_giant_market_is_walked_like_any_other() -> None:
    world = giant_world(5_500, date(2025, 11, 1))
    ticker = world.giant_market
    assert ticker is not None
    async with served(Simulator(world)) as api:
        for limit in (333, 1000):
            rows = await api.walk("/markets/trades", "trades", ticker=ticker, limit=limit)
            rows += await api.walk("/historical/trades", "trades", ticker=ticker, limit=limit)
            assert rows == world.trades(ticker)


def test_the_end_of_five_million_trades_costs_what_the_beginning_costs() -> None:
    world = giant_world(5_000_000, date(2025, 11, 1))
    ticker = world.giant_market
    assert ticker is not None
    tape = tape_of(world, ticker)
    assert len(tape) == 5_000_000
    tracemalloc.start()
    for start in range(0, 5_000_000, 500_000):
        assert tape.after(tape.key(start)) == start + 1
        assert tape.rows(start, start + 1000).count(b"trade_id") == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000  # less than a byte per trade
    first = seconds(lambda: [tape.rows(tape.after(tape.key(9)), 1010) for _ in range(10)])
    last = seconds(lambda: [tape.rows(tape.after(tape.key(4_998_989)), 4_999_990) for _ in range(10)])
    assert last < 3 * first
    assert first < 3 * last
