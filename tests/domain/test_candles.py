"""Candles: the exchange's own, reproduced, and the laws by which they may be made from parts."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.domain.candles import MINUTE_US, fold, merge, roll_up
from kalshi_ingest.domain.model import Candle, Trade
from kalshi_ingest.exchange.parse_trades import TradeParser
from tests.support import recorded
from tests.support.candles import candles_of

CENT = 10_000
"""Price units in a cent."""

TieKey = Callable[[Trade], Any]
"""What puts trades of one created_time into an order."""


def golden() -> dict[str, list[Trade]]:
    """The golden markets' trades, as the parser reads them from today's wire form."""
    rows: dict[str, list[recorded.Row]] = defaultdict(list)
    for row in recorded.golden_trades():
        rows[row["ticker"]].append(recorded.modern_trade(row))
    return {ticker: TradeParser().page(page, ticker) for ticker, page in rows.items()}


def truth() -> dict[tuple[str, int], tuple[int, ...]]:
    """(open, high, low, close, volume, mean) of each traded minute as the exchange says; cents and contracts."""
    return {
        (row["ticker"], (int(row["end_period_ts"]) - 60) * 1_000_000): (
            *(int(float(row[f"trade_{name}"])) for name in ("open", "high", "low", "close")),
            int(row["volume"]),
            int(float(row["trade_mean"])),
        )
        for row in recorded.golden_candles()
        if int(row["volume"]) > 0
    }


def price(key: int) -> int:
    return abs(key)


def in_cents(candle: Candle) -> tuple[int, ...]:
    mean = Decimal(candle.notional) / candle.volume / CENT
    prices = (price(candle.open_key), candle.high, candle.low, price(candle.close_key))
    return *(cents for cents, _ in (divmod(value, CENT) for value in prices)), candle.volume // 100, int(mean)


@recorded.needs_recorded
def test_the_golden_minutes_are_the_exchanges_own() -> None:
    ours = {
        (ticker, candle.start_us): in_cents(candle) for ticker, trades in golden().items() for candle in fold(trades)
    }
    assert len(ours) == 952
    assert ours == truth()


def recomputed(trades: Sequence[Trade], minutes: int, tie: TieKey) -> dict[int, tuple[int, ...]]:
    """Candles the slow and plain way: sort by execution order, take the first and the last of each bucket."""
    buckets: dict[int, list[Trade]] = defaultdict(list)
    for trade in sorted(trades, key=lambda trade: (trade.created_us, tie(trade))):
        buckets[trade.created_us // (minutes * MINUTE_US) * minutes * MINUTE_US].append(trade)
    return {
        start: (
            rows[0].price,
            max(row.price for row in rows),
            min(row.price for row in rows),
            rows[-1].price,
            sum(row.size for row in rows),
            sum(row.price * row.size for row in rows),
            len(rows),
        )
        for start, rows in buckets.items()
    }


def sweep(trade: Trade) -> tuple[int, ...]:
    return (trade.price if trade.side > 0 else -trade.price,)


def as_row(candle: Candle) -> tuple[int, ...]:
    return (
        price(candle.open_key),
        candle.high,
        candle.low,
        price(candle.close_key),
        candle.volume,
        candle.notional,
        candle.trades,
    )


@recorded.needs_recorded
@pytest.mark.parametrize("minutes", [1, 5, 60])
def test_golden_candles_of_any_length_equal_a_plain_recomputation(minutes: int) -> None:
    for trades in golden().values():
        ours = {candle.start_us: as_row(candle) for candle in fold(trades, minutes)}
        assert ours == recomputed(trades, minutes, sweep)


WRONG_ORDERS: dict[str, TieKey] = {
    "as the API lists them": lambda trade: tuple(-byte for byte in trade.trade_id),
    "trade_id ascending": lambda trade: trade.trade_id,
    "price ascending": lambda trade: trade.price,
    "sweep reversed": lambda trade: -trade.price * trade.side,
}


@recorded.needs_recorded
@pytest.mark.parametrize("name", WRONG_ORDERS)
def test_the_golden_minutes_tell_every_other_order_inside_a_tie_apart(name: str) -> None:
    expected = truth()
    wrong = sum(
        (row[0] // CENT, row[3] // CENT) != (expected[ticker, start][0], expected[ticker, start][3])
        for ticker, trades in golden().items()
        for start, row in recomputed(trades, 1, WRONG_ORDERS[name]).items()
    )
    assert wrong > 50


@recorded.needs_recorded
def test_every_recorded_minute_equals_a_plain_recomputation() -> None:
    for _, _, markets in recorded.trades():
        for ticker, rows in markets.items():
            trades = TradeParser().page([recorded.modern_trade(row) for row in rows], ticker)
            assert {candle.start_us: as_row(candle) for candle in fold(trades)} == recomputed(trades, 1, sweep)


MOMENTS = st.builds(
    lambda minute, offset: (1_700_000_100 + 60 * minute) * 1_000_000 + offset,
    st.integers(0, 12),
    st.sampled_from((0, 1, 30_000_000, MINUTE_US - 1)),
)
TRADES = st.lists(
    st.builds(
        Trade,
        MOMENTS,
        st.integers(0, 2**128 - 1).map(lambda number: number.to_bytes(16, "big")),
        st.integers(0, 1_000_000),
        st.integers(1, 10**9),
        st.sampled_from((1, -1)),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda trade: trade.trade_id,
)


@given(TRADES, st.sampled_from((1, 5, 60)))
def test_any_tape_equals_a_plain_recomputation(trades: list[Trade], minutes: int) -> None:
    ours = {candle.start_us: as_row(candle) for candle in candles_of(trades, minutes)}
    assert ours == recomputed(trades, minutes, sweep)


@given(TRADES, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(trades: list[Trade], random: Any) -> None:
    again = trades + [trade for trade in trades if random.random() < 0.3]
    random.shuffle(again)
    assert candles_of(again) == candles_of(trades) == fold(sorted(trades))


@given(TRADES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_candles_of_parts_merge_into_candles_of_the_whole(trades: list[Trade], parts: int, random: Any) -> None:
    split: list[list[Trade]] = [[] for _ in range(parts)]
    for trade in trades:
        random.choice(split).append(trade)
    by_start: dict[int, list[Candle]] = defaultdict(list)
    for part in split:
        for candle in candles_of(part):
            by_start[candle.start_us].append(candle)
    for pieces in by_start.values():
        random.shuffle(pieces)
    assert [reduce(merge, by_start[start]) for start in sorted(by_start)] == candles_of(trades)


@given(TRADES)
def test_minutes_roll_up_into_longer_candles(trades: list[Trade]) -> None:
    trades.sort()
    assert roll_up(fold(trades), 5) == fold(trades, 5)
    assert roll_up(roll_up(fold(trades), 5), 60) == fold(trades, 60)


@given(TRADES, st.sampled_from((1, 5)))
def test_buckets_are_aligned_ascending_and_hold_their_trades(trades: list[Trade], minutes: int) -> None:
    candles = candles_of(trades, minutes)
    starts = [candle.start_us for candle in candles]
    assert starts == sorted(set(starts))
    for candle in candles:
        assert candle.start_us % (minutes * MINUTE_US) == 0
        assert candle.start_us <= candle.open_us <= candle.close_us < candle.start_us + minutes * MINUTE_US
    assert sum(candle.trades for candle in candles) == len(trades)


def trade(created_us: int, cents: int, side: int = 1, size: int = 100) -> Trade:
    return Trade(created_us, bytes(15) + bytes([cents]), cents * CENT, size, side, False)


START = 1_700_000_100 * 1_000_000
"""A multiple of five minutes."""


def test_a_trade_exactly_on_a_boundary_belongs_to_the_candle_that_begins_there() -> None:
    trades = [trade(START - 1, 40), trade(START, 50), trade(START + MINUTE_US, 60)]
    assert [(candle.start_us, candle.high) for candle in fold(trades)] == [
        (START - MINUTE_US, 40 * CENT),
        (START, 50 * CENT),
        (START + MINUTE_US, 60 * CENT),
    ]
    assert [(candle.start_us, candle.trades) for candle in fold(trades, 5)] == [(START - 5 * MINUTE_US, 1), (START, 2)]


@pytest.mark.parametrize(("side", "first", "last"), [(1, 40, 60), (-1, 60, 40)])
def test_inside_one_time_a_taker_of_yes_eats_upwards_and_a_taker_of_no_downwards(
    side: int, first: int, last: int
) -> None:
    (candle,) = candles_of([trade(START, cents, side) for cents in (50, 60, 40)])
    assert (price(candle.open_key), price(candle.close_key)) == (first * CENT, last * CENT)


def test_a_candle_adds_up() -> None:
    (candle,) = fold([trade(START, 40, size=312), trade(START + 5, 70, size=1), trade(START + 9, 30, -1, size=100)])
    assert candle == Candle(
        start_us=START,
        open_us=START,
        open_key=40 * CENT,
        close_us=START + 9,
        close_key=-30 * CENT,
        high=70 * CENT,
        low=30 * CENT,
        volume=413,
        notional=(40 * 312 + 70 * 1 + 30 * 100) * CENT,
        trades=3,
    )


def test_a_time_before_1970_is_a_time_like_any_other() -> None:
    trades = [trade(-MINUTE_US - 1, 40), trade(-1, 50), trade(1, 60)]
    assert [candle.start_us for candle in fold(trades)] == [-2 * MINUTE_US, -MINUTE_US, 0]
    assert roll_up(fold(trades), 5) == fold(trades, 5)


def test_no_trades_no_candles() -> None:
    assert fold([]) == candles_of([]) == roll_up([], 5) == []
