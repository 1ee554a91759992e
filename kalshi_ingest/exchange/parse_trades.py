"""A page of trades, from decoded JSON to exact records, each row checked against the request that fetched it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from kalshi_ingest.domain.model import PRICE_UNITS, Trade, to_datetime
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.numbers import count_of_trade, microseconds, price

_SIDES = {"yes": 1, "no": -1}
_new = tuple.__new__
_REMEMBERED = 2_000
"""A market's trades repeat a few hundred prices and counts. Ten times as many would make a service grow for months."""


class _Memo(dict[str, int]):
    """What `read` makes of a text, read once: a twentieth of a page's time less than `lru_cache`."""

    def __init__(self, read: Callable[[object], int]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> int:
        number = self._read(text)
        if len(self) < _REMEMBERED:
            self[text] = number
        return number


class TradeParser:
    """Reads pages of trades; holds the prices and counts it has seen, which is most of its speed."""

    def __init__(self) -> None:
        self._prices = _Memo(price)
        self._counts = _Memo(count_of_trade)

    def page(self, rows: Sequence[Any], ticker: str) -> list[Trade]:
        """The trades of one page of `ticker`, each once, ascending by (created_us, trade_id).

        A row repeated with the same values counts once. Raises `BadPayload`, naming ticker, row and field, for a
        row of another market, a missing field, a price outside [0, 1], a count of 0 or beyond all measure, yes + no
        other than 1, an id or time in no known form, or one id with two sets of values. Whether the times can be is
        for `check_moments`.
        """
        prices, counts = self._prices, self._counts
        trades: list[Trade] = []
        row: Any = None
        # More than half of all trades share their time with the one before, and reading a time is the dearest part.
        created: object = object()
        created_us = 0
        try:
            for row in rows:
                yes_price = prices[row["yes_price_dollars"]]
                size = counts[row["count_fp"]]
                uuid = row["trade_id"]
                trade_id = bytes.fromhex(uuid.replace("-", ""))
                block = row["is_block_trade"]
                if (
                    row["ticker"] != ticker
                    or yes_price + prices[row["no_price_dollars"]] != PRICE_UNITS
                    or not size
                    or len(trade_id) != 16
                    or len(uuid) != 36
                    or uuid[8:24:5] != "----"
                    or (block is not False and block is not True)
                ):
                    raise BadPayload("breaks a rule")
                if row["created_time"] != created:
                    created = row["created_time"]
                    created_us = microseconds(created)
                taker = row.get("taker_outcome_side")
                side = _SIDES[row["taker_side"] if taker is None else taker]
                trades.append(_new(Trade, (created_us, trade_id, yes_price, size, side, block)))
        except (BadPayload, KeyError, TypeError, ValueError, AttributeError) as error:
            raise _explained(row, len(trades), ticker, error) from None
        trades.sort()
        if len({trade[1] for trade in trades}) != len(trades):
            return _each_once(trades, ticker)
        return trades


def check_moments(trades: Sequence[Trade], ticker: str, earliest: datetime, latest: datetime) -> None:
    """Raises `BadPayload` when one of some trades, in order of time, was made before `earliest` or after `latest`."""
    for trade in (trades[0], trades[-1]) if trades else ():
        created = to_datetime(trade.created_us)
        if not earliest <= created <= latest:
            raise BadPayload(
                f"{ticker}: trade {trade.trade_id.hex()}: created_time: {created.isoformat()} is impossible: this "
                f"market can have traded from {earliest:%Y-%m-%d} to {latest:%Y-%m-%d} only"
            )


def _each_once(trades: list[Trade], ticker: str) -> list[Trade]:
    unique = sorted(set(trades))
    by_id = sorted(trade.trade_id for trade in unique)
    for one, other in pairwise(by_id):
        if one == other:
            raise BadPayload(f"{ticker}: trade {one.hex()} comes twice with different values")
    return unique


def _explained(row: Any, index: int, ticker: str, error: Exception) -> BadPayload:
    """The error for a row that could not be read: read it again slowly, one field at a time, to name the field."""
    where = f"{ticker}: trade {index + 1} of the page"
    if not isinstance(row, dict):
        return BadPayload(f"{where} is {row!r:.60}, not an object")
    if row.get("ticker") != ticker:
        return BadPayload(f"{where} belongs to another market: ticker is {row.get('ticker')!r:.60}")
    for field, read in _FIELDS.items():
        if row.get(field) is None:
            return BadPayload(f"{where} has no {field}")
        try:
            read(row[field])
        except BadPayload as reason:
            return BadPayload(f"{where}: {field}: {reason}")
    side = row.get("taker_outcome_side")
    if side is None:
        side = row.get("taker_side")
    if not isinstance(side, str) or side not in _SIDES:
        return BadPayload(f"{where}: taker_outcome_side is {side!r:.60}, neither yes nor no")
    yes, no = row["yes_price_dollars"], row["no_price_dollars"]
    if price(yes) + price(no) != PRICE_UNITS:
        return BadPayload(f"{where}: yes_price_dollars {yes} + no_price_dollars {no} is not 1")
    return BadPayload(f"{where} cannot be read: {error}")


def _size(text: object) -> int:
    size = count_of_trade(text)
    if not size:
        raise BadPayload("is 0")
    return size


def _trade_id(text: object) -> bytes:
    try:
        raw = bytes.fromhex(text.replace("-", "")) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if not isinstance(text, str) or len(raw) != 16 or len(text) != 36 or text[8:24:5] != "----":
        raise BadPayload(f"{text!r:.60} is not of the form of a UUID")
    return raw


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadPayload(f"{value!r:.60} is not true or false")
    return value


_FIELDS: Mapping[str, Callable[[object], object]] = {
    "trade_id": _trade_id,
    "created_time": microseconds,
    "yes_price_dollars": price,
    "no_price_dollars": price,
    "count_fp": _size,
    "is_block_trade": _flag,
}
