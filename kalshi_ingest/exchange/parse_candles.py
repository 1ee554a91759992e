"""The exchange's one-minute candles of either tier, from decoded JSON to records, checked against the request.

The live tier writes `volume_fp` and `open_dollars` and omits what is empty; the historical one `volume`, `open` and
null.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kalshi_ingest.domain.audit import MinuteCandle
from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.parse_trades import count, price

_MINUTE_SECONDS = 60

T = TypeVar("T")


def candles(answer: object, ticker: str, first_end: int, last_end: int) -> list[MinuteCandle]:
    """The candles of an answer about `ticker`, oldest first, minutes without trades among them.

    `first_end` and `last_end`: the first and last period end asked for, Unix seconds. A repeated row counts once.
    Raises `BadPayload` for another market, a row outside the window or against its contract, or a minute with two sets
    of values.
    """
    stated = answer.get("ticker") if isinstance(answer, dict) else None
    rows = answer.get("candlesticks") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise BadPayload(f"{ticker}: the answer has no list candlesticks")
    if stated != ticker:
        raise BadPayload(f"{ticker}: the candles belong to another market: ticker is {stated!r:.60}")
    return _each_once(rows, ticker, range(first_end, last_end + 1))


def candle(row: object, what: str) -> MinuteCandle:
    """One row of either tier; `what` says in errors which one. Raises `BadPayload` for a broken contract.

    A minute with trades has all five prices, one without has none.
    """
    if not isinstance(row, dict):
        raise BadPayload(f"{what} is {row!r:.60}, not an object")
    end = row.get("end_period_ts")
    if not isinstance(end, int) or isinstance(end, bool) or end % _MINUTE_SECONDS:
        raise BadPayload(f"{what}: end_period_ts is {end!r:.60}, not a whole minute in Unix seconds")
    live = row.get("volume_fp") is not None
    volume = _read(count, row, "volume_fp" if live else "volume", what)
    if volume is None:
        raise BadPayload(f"{what} has no volume_fp and no volume")
    prices = row.get("price")
    if prices is None:
        prices = {}
    if not isinstance(prices, dict):
        raise BadPayload(f"{what}: price is {prices!r:.60}, not an object")
    opened, high, low, close, mean = (
        _traded_price(prices, f"{name}_dollars" if live else name, what, volume)
        for name in ("open", "high", "low", "close", "mean")
    )
    return MinuteCandle((end - _MINUTE_SECONDS) * 1_000_000, opened, high, low, close, mean, volume)


def _each_once(rows: Sequence[Any], ticker: str, window: range) -> list[MinuteCandle]:
    found: dict[int, MinuteCandle] = {}
    for number, row in enumerate(rows, start=1):
        what = f"{ticker}: candle {number} of the answer"
        one = candle(row, what)
        end = (one.start_us + MINUTE_US) // 1_000_000
        if end not in window:
            raise BadPayload(f"{what}: end_period_ts {end} lies outside the window {window[0]} to {window[-1]}")
        if found.setdefault(end, one) != one:
            raise BadPayload(f"{what}: end_period_ts {end} comes twice with different values")
    return [found[end] for end in sorted(found)]


def _traded_price(prices: Mapping[str, Any], field: str, what: str, volume: int) -> int | None:
    value = _read(price, prices, field, f"{what}: price")
    if (value is None) == bool(volume):
        held = "is missing although there are trades" if volume else f"is {prices[field]!r:.60} without any trade"
        raise BadPayload(f"{what}: price: {field} {held}")
    return value


def _read(read: Callable[[object], T], row: Mapping[str, Any], field: str, what: str) -> T | None:
    """The value of a field; None when it is absent or null."""
    value = row.get(field)
    try:
        return None if value is None else read(value)
    except BadPayload as error:
        raise BadPayload(f"{what}: {field}: {error}") from None
