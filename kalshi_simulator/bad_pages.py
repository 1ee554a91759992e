"""Pages of trades that are wrong inside a perfectly good answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from kalshi_simulator.cursors import trade_cursor
from kalshi_simulator.wire import Row, dump, parse_price, parse_time

_FOREIGN_TICKER = "KXHIGHNY-99JAN01-B70.5"
_FAR_FUTURE = (parse_time("2262-01-01T00:00:00Z"), "ffffffff-ffff-ffff-ffff-ffffffffffff")
"""A keyset before every trade: a cursor with it goes on from the very beginning."""


@dataclass(frozen=True, slots=True)
class TradePage:
    """One page before it is sent. `left` counts the rows behind it."""

    rows: bytes
    cursor: str
    left: int

    def body(self) -> bytes:
        """The answer; keys are alphabetical."""
        return b'{"cursor":"%b","trades":[%b]}' % (self.cursor.encode(), self.rows)


def spoil(kind: str, page: TradePage, ticker: str, cursor: str | None, limit: int) -> TradePage | None:
    """The page with its fault, or None where this page gives no occasion for it."""
    name, _, argument = kind.partition(":")
    if name == "repeat_cursor":
        return _repeat(page, cursor)
    if name == "empty_page_with_cursor":
        return None if cursor is not None else TradePage(b"", trade_cursor(_FAR_FUTURE), page.left)
    if name == "short_answer":
        return _cut_short(page, cursor, limit)
    if not page.rows or name not in {*_DAMAGES, *_HARMLESS}:
        return None
    return replace(page, rows=_damage(name, page.rows, ticker, argument))


def _repeat(page: TradePage, cursor: str | None) -> TradePage | None:
    """The first page is good and points on; from then on the cursor leads back to itself."""
    if cursor is not None:
        return replace(page, cursor=cursor)
    if not page.rows:
        return None
    last = _load(page.rows)[-1]
    return replace(page, cursor=page.cursor or trade_cursor((parse_time(last["created_time"]), last["trade_id"])))


def _cut_short(page: TradePage, cursor: str | None, limit: int) -> TradePage | None:
    """End the walk before its last page, in silence."""
    if page.cursor and 0 < page.left <= limit:
        return replace(page, cursor="")
    if cursor is None and page.rows and page.left == 0:
        return TradePage(b"", "", 0)
    return None


def _damage(name: str, rows: bytes, ticker: str, argument: str) -> bytes:
    loaded = _load(rows)
    if name in _HARMLESS:
        loaded = list(map(_HARMLESS[name], loaded))
    else:
        middle = len(loaded) // 2
        loaded[middle] = _DAMAGES[name](loaded[middle], argument)
    return b",".join(dump(row) for row in loaded)


def _load(rows: bytes) -> list[Row]:
    loaded: list[Row] = orjson.loads(b"[" + rows + b"]")
    return loaded


def _extended(row: Row) -> Row:
    return row | {"brand_new_field": {"nested": [1, None]}, "zone": "x"}


def _nine_digits(row: Row) -> Row:
    """A time as Go's RFC3339Nano writes one that is finer than a microsecond."""
    second, _, fraction = row["created_time"].removesuffix("Z").partition(".")
    return row | {"created_time": f"{second}.{fraction:0<6}789Z"}


def _foreign(row: Row, _: str) -> Row:
    return row | {"ticker": _FOREIGN_TICKER}


def _missing(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != (name or "yes_price_dollars")}


def _out_of_range(row: Row, _: str) -> Row:
    return row | {"yes_price_dollars": "1.2000", "no_price_dollars": "-0.2000"}


def _zero_count(row: Row, _: str) -> Row:
    return row | {"count_fp": "0.00"}


def _bad_sum(row: Row, _: str) -> Row:
    no = parse_price(row["no_price_dollars"])
    return row | {"no_price_dollars": f"{(no + (10 if no < 500 else -10)) / 1000:.4f}"}


_DAMAGES: dict[str, Callable[[Row, str], Row]] = {
    "foreign_row": _foreign,
    "missing_field": _missing,
    "price_out_of_range": _out_of_range,
    "zero_count": _zero_count,
    "bad_sum": _bad_sum,
}

_HARMLESS: dict[str, Callable[[Row], Row]] = {"unknown_extra_field": _extended, "nine_digits": _nine_digits}
