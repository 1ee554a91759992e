"""Candles in the two forms of the wire.

The live tier has `_dollars` and `_fp` names and leaves out what is empty; the historical tier has bare
names and writes null. Values are dollar and count strings in both.
"""

from __future__ import annotations

from kalshi_simulator.candles import Candle, Span
from kalshi_simulator.wire import Row, count_text


def live_candle(candle: Candle) -> Row:
    """A candle of the live tier; without trades `price` holds at most the previous close."""
    price: Row = {}
    if candle.price is not None:
        price = {f"{name}_dollars": value for name, value in _spread(candle.price).items()}
        price["mean_dollars"] = _dollars(candle.mean or 0)
    if candle.previous is not None:
        price["previous_dollars"] = _dollars(candle.previous)
    return {
        "end_period_ts": candle.end,
        "open_interest_fp": count_text(candle.open_interest),
        "price": price,
        "volume_fp": count_text(candle.volume),
        "yes_ask": {f"{name}_dollars": value for name, value in _spread(candle.ask).items()},
        "yes_bid": {f"{name}_dollars": value for name, value in _spread(candle.bid).items()},
    }


def historical_candle(candle: Candle) -> Row:
    """A candle of the historical tier; without trades every key of `price` is null."""
    price: Row = dict.fromkeys(("close", "high", "low", "mean", "open"))
    if candle.price is not None:
        price |= _spread(candle.price) | {"mean": _dollars(candle.mean or 0)}
    price["previous"] = None if candle.previous is None else _dollars(candle.previous)
    return {
        "end_period_ts": candle.end,
        "open_interest": count_text(candle.open_interest),
        "price": price,
        "volume": count_text(candle.volume),
        "yes_ask": _spread(candle.ask),
        "yes_bid": _spread(candle.bid),
    }


def _spread(span: Span) -> Row:
    return {
        "close": _dollars(span.close),
        "high": _dollars(span.high),
        "low": _dollars(span.low),
        "open": _dollars(span.open),
    }


def _dollars(millionths: int) -> str:
    """Four decimals; six where the price is finer."""
    whole, fraction = divmod(millionths, 1_000_000)
    return f"{whole}.{fraction:06d}" if fraction % 100 else f"{whole}.{fraction // 100:04d}"
