"""Candles as the exchange builds them from a tape.

A period covers [start, start + interval) and is named by its end. Open and close follow execution order:
by time, inside a tie along the sweep (takers of yes by price upwards, takers of no downwards). Prices in
millionths of a dollar, the finest that the exchange's contract allows, counts in hundredths of a contract,
period ends in Unix seconds.

This is the simulator's own plain recomputation: the product's candles are checked against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from zlib import crc32

from kalshi_simulator.synthetic_entries import open_interest
from kalshi_simulator.wire import SECOND, Row, parse_count, parse_time


@dataclass(frozen=True, slots=True)
class Span:
    """Open, high, low and close of one thing in one period."""

    open: int
    high: int
    low: int
    close: int


@dataclass(frozen=True, slots=True)
class Candle:
    """One period. `price` and `mean` (rounded to hundredths of a cent) are None where nothing traded."""

    end: int
    bid: Span
    ask: Span
    open_interest: int
    price: Span | None = None
    mean: int | None = None
    volume: int = 0
    previous: int | None = None


@dataclass(frozen=True, slots=True)
class _Fill:
    created: int
    price: int
    count: int
    takes_yes: bool


_DOLLAR, _CENT = 1_000_000, 10_000
EMPTY_BID, EMPTY_ASK = 0, _DOLLAR
"""Sentinels of an empty book, not quotes."""

_MEAN_STEP = 100
"""The mean has four decimals on the wire; that it is rounded to them, and not cut, is a guess."""


def build_candles(ticker: str, trades: Iterable[Row], interval: int, closed: int | None) -> list[Candle]:
    """All candles of a tape, oldest first; `interval` in seconds.

    `closed` is the close of trading (Unix microseconds) if it has passed: the book is empty afterwards, and
    one last candle shows that. Some candles without trades are redundant, as on the exchange.
    """
    fills = _execution_order(trades)
    candles: list[Candle] = []
    bid, ask, previous, traded, place = EMPTY_BID, EMPTY_ASK, None, 0, 0
    period = interval * SECOND
    for number, group in groupby(fills, key=lambda fill: fill.created // period):
        end = (number + 1) * interval
        if candles and end - candles[-1].end > interval and crc32(f"{ticker}{end}".encode()) % 5 == 0:
            candles.append(_repeat(candles[-1], candles[-1].end + interval))
        if not candles and crc32(ticker.encode()) % 2:  # half of the markets have one before any trade
            candles.append(Candle(end - interval, _span([bid]), _span([ask]), 0))
        inside = list(group)
        place += len(inside)
        traded += sum(fill.count for fill in inside)
        candle = _traded(end, inside, (bid, ask), previous)
        candles.append(replace(candle, open_interest=open_interest(traded, place, len(fills))))
        bid, ask, previous = candle.bid.close, candle.ask.close, inside[-1].price
    if candles and closed is not None:
        end = (closed // period + 1) * interval
        if end > candles[-1].end:
            last = _repeat(candles[-1], end)
            candles.append(replace(last, bid=_span([bid, EMPTY_BID]), ask=_span([ask, EMPTY_ASK])))
    return candles


def latest_before(candles: Sequence[Candle], start: int, interval: int) -> Candle | None:
    """The synthetic candle on the first boundary from `start` on, which repeats what was before."""
    earlier = [candle for candle in candles if candle.end < start]
    if not earlier:
        return None
    return _repeat(earlier[-1], -(-start // interval) * interval)


def _execution_order(trades: Iterable[Row]) -> list[_Fill]:
    keyed = []
    for row in trades:
        price = int(Decimal(row["yes_price_dollars"]) * _DOLLAR)
        takes_yes = (row.get("taker_outcome_side") or row.get("taker_side")) == "yes"
        fill = _Fill(parse_time(row["created_time"]), price, parse_count(row["count_fp"]), takes_yes)
        keyed.append(((fill.created, price if takes_yes else -price, row["trade_id"]), fill))
    keyed.sort(key=lambda pair: pair[0])
    return [fill for _, fill in keyed]


def _traded(end: int, fills: Sequence[_Fill], quotes: tuple[int, int], previous: int | None) -> Candle:
    volume = sum(fill.count for fill in fills)
    value = sum(fill.count * fill.price for fill in fills)
    bids, asks = [quotes[0]], [quotes[1]]
    for fill in fills:
        # Whoever takes yes lifts the ask, whoever takes no hits the bid; the other side is a cent away.
        bids.append(max(EMPTY_BID, fill.price - _CENT) if fill.takes_yes else fill.price)
        asks.append(fill.price if fill.takes_yes else min(EMPTY_ASK, fill.price + _CENT))
    return Candle(
        end=end,
        bid=_span(bids),
        ask=_span(asks),
        open_interest=0,
        price=_span([fill.price for fill in fills]),
        mean=(2 * value + _MEAN_STEP * volume) // (2 * _MEAN_STEP * volume) * _MEAN_STEP,
        volume=volume,
        previous=previous,
    )


def _repeat(before: Candle, end: int) -> Candle:
    """A period in which nothing changed."""
    previous = before.price.close if before.price is not None else before.previous
    return Candle(
        end=end,
        bid=_span([before.bid.close]),
        ask=_span([before.ask.close]),
        open_interest=before.open_interest,
        previous=previous,
    )


def _span(values: Sequence[int]) -> Span:
    return Span(values[0], max(values), min(values), values[-1])
