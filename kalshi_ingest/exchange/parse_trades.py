"""A page of trades, from decoded JSON to exact records, each row checked against the request that fetched it.

Also what every other list shares with it: the rows and the cursor of a page, and the exchange's fixed-point strings and
times as exact integers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from kalshi_ingest.domain.model import COUNT_UNITS, PRICE_UNITS, Trade, to_datetime, to_microseconds
from kalshi_ingest.domain.plausible import MOST_IN_A_TRADE, MOST_IN_ALL
from kalshi_ingest.errors import BadPayload

_LONGEST_CURSOR = 4_000
"""Servers take no longer addresses than some 8,000 characters; a cursor has about fifty."""

_PRICE = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_COUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,2}))?", re.ASCII)
# `fromisoformat` reads much more than that: week dates, commas, nine digits of a fraction without hyphens.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)

_SIDES = {"yes": 1, "no": -1}
_new = tuple.__new__
_REMEMBERED = 2_000
"""A market's trades repeat a few hundred prices and counts. Ten times as many would make a service grow for months."""


def rows_of(answer: object, key: str, path: str) -> list[Any]:
    """The list under `key` of a list answer, which has to be there even when it is empty."""
    rows = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise BadPayload(f"GET {path}: the answer has no list {key}")
    return rows


def cursor_of(answer: Mapping[str, Any], path: str) -> str | None:
    """The cursor of the next page; None at the end, which the exchange writes as "", null or nothing at all."""
    cursor = answer.get("cursor")
    if cursor is not None and (not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR):
        raise BadPayload(f"GET {path}: cursor is {cursor!r:.60}, not a string of up to {_LONGEST_CURSOR:,} characters")
    return cursor or None


def price(text: object) -> int:
    """One price string in millionths of a dollar; raises `BadPayload` for what is not a price in [0, 1]."""
    matched = _PRICE.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        raise BadPayload(f"{text!r:.60} is not a price: expected dollars with up to 6 decimals, as a string")
    price = int(matched[1]) * PRICE_UNITS + int((matched[2] or "").ljust(6, "0"))
    if price > PRICE_UNITS:
        raise BadPayload(f"price {text!r:.60} lies outside [0, 1]")
    return price


def count(text: object) -> int:
    """One count string in hundredths of a contract, 0 included, of any number of trades; else `BadPayload`."""
    return _count(text, MOST_IN_ALL)


def count_of_trade(text: object) -> int:
    """As `count`, of a single trade."""
    return _count(text, MOST_IN_A_TRADE)


def _count(text: object, most: int) -> int:
    matched = _COUNT.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        raise BadPayload(f"{text!r:.60} is not a count: expected contracts with up to 2 decimals, as a string")
    count = int(matched[1]) * COUNT_UNITS + int((matched[2] or "").ljust(2, "0"))
    if count > most:
        raise BadPayload(f"count {text!r:.60} is impossible: more than {most // COUNT_UNITS:,} contracts")
    return count


def moment(text: object) -> datetime:
    """The aware UTC datetime of an RFC 3339 string with `Z` and up to 9 fraction digits, else `BadPayload`.

    Microseconds are the finest that PostgreSQL holds: digits below them are cut, so that a time never moves ahead.
    """
    if not isinstance(text, str) or _MOMENT.fullmatch(text) is None:
        raise BadPayload(f"{text!r:.60} is not a UTC time with up to nanoseconds")
    try:
        return datetime.fromisoformat(text)  # which cuts below the microsecond
    except ValueError:
        raise BadPayload(f"{text!r:.60} is not a UTC time with up to nanoseconds") from None


def microseconds(text: object) -> int:
    """Microseconds since 1970-01-01T00:00Z of an RFC 3339 string, as `moment` reads it."""
    return to_microseconds(moment(text))


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
