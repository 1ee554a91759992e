"""Candles as a pure function of a set of trades, in whatever order they arrive; parts are joined by `merge`.

The rule reproduces the exchange's own one-minute candles in every recorded traded minute: bucket = created_time
floored, yes prices, and inside one created_time the order of a sweep through the book (see `Candle`).
"""

from collections.abc import Iterable, Sequence

from kalshi_ingest.domain.model import Candle

MINUTE_US = 60_000_000
# A named tuple's own constructor costs three times as much, and nearly every trade of a quiet market is a candle.
_new = tuple.__new__

_BEFORE_ALL = -(2**63)
"""Earlier than every time; 0 is not, because a time may lie before 1970."""


def fold(trades: Iterable[tuple[int, bytes, int, int, int, bool]], minutes: int = 1) -> list[Candle]:
    """Candles of `minutes` length, oldest first, of trades (the values of `Trade`) once each in ascending order.

    Ascending by (created_us, trade_id) is the order in which a page comes out of `exchange.parse_trades`.
    """
    width = minutes * MINUTE_US
    candles: list[Candle] = []
    end = _BEFORE_ALL
    start = open_us = open_key = close_us = close_key = high = low = volume = notional = count = 0
    for created_us, _, price, size, side, _ in trades:
        key = price * side
        if created_us >= end:
            if count:
                candles.append(
                    _new(Candle, (start, open_us, open_key, close_us, close_key, high, low, volume, notional, count))
                )
            start = created_us - created_us % width
            end = start + width
            open_us = close_us = created_us
            open_key = close_key = key
            high = low = price
            volume = size
            notional = price * size
            count = 1
            continue
        if created_us != close_us:
            close_us = created_us
            close_key = key
        elif key > close_key:
            close_key = key
        if created_us == open_us and key < open_key:
            open_key = key
        if price > high:
            high = price
        elif price < low:
            low = price
        volume += size
        notional += price * size
        count += 1
    if count:
        candles.append(
            _new(Candle, (start, open_us, open_key, close_us, close_key, high, low, volume, notional, count))
        )
    return candles


def merge(one: Candle, other: Candle) -> Candle:
    """The candle of two disjoint sets of trades of the same market and bucket; the order does not matter."""
    first = min((one.open_us, one.open_key), (other.open_us, other.open_key))
    last = max((one.close_us, one.close_key), (other.close_us, other.close_key))
    return Candle(
        one.start_us,
        *first,
        *last,
        max(one.high, other.high),
        min(one.low, other.low),
        one.volume + other.volume,
        one.notional + other.notional,
        one.trades + other.trades,
    )


def append(candles: list[Candle], more: list[Candle]) -> None:
    """Add the candles of later trades, same market and length; a bucket that the two lists share is merged."""
    if candles and more and candles[-1].start_us == more[0].start_us:
        candles[-1] = merge(candles[-1], more.pop(0))
    candles.extend(more)


def roll_up(candles: Sequence[Candle], minutes: int) -> list[Candle]:
    """Longer candles from shorter ones given oldest first; `minutes` is a multiple of the shorter length."""
    width = minutes * MINUTE_US
    rolled: list[Candle] = []
    end = _BEFORE_ALL
    for candle in candles:
        start_us, _, _, close_us, close_key, high, low, volume, notional, count = candle
        if start_us >= end:
            start_us -= start_us % width
            end = start_us + width
            rolled.append(_new(Candle, (start_us, *candle[1:])))
            continue
        _, open_us, open_key, _, _, above, below, held, worth, earlier = rolled[-1]
        rolled[-1] = _new(
            Candle,
            (
                end - width,
                open_us,
                open_key,
                close_us,
                close_key,
                high if high > above else above,
                low if low < below else below,
                held + volume,
                worth + notional,
                earlier + count,
            ),
        )
    return rolled
