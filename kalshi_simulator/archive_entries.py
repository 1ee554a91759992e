"""Series, events and markets of an archive as lists see them.

What `raw` holds is served as it is. Rows loaded from the predecessor's archives have an empty one; they are
written from their columns, and what no column tells is left out, as the exchange leaves out what it has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zlib import compress, decompress

import orjson

from kalshi_simulator.wire import DAY, Row, day_start, dump, parse_time, time_text, to_micros

Columns = dict[str, Any]
"""One row of a Parquet file, by column."""


class ArchiveMarket:
    """One market. Moments are Unix microseconds."""

    __slots__ = (
        "_raw",
        "_tells_interest",
        "closes",
        "created",
        "event_ticker",
        "series_ticker",
        "settled",
        "status",
        "ticker",
        "updated",
    )

    def __init__(self, held: Columns) -> None:
        row = orjson.loads(held["raw"]) or _market_row(held)
        self._raw = _kept(row, held)
        self._tells_interest = held["open_interest"] is not None
        self.ticker: str = held["ticker"]
        self.event_ticker: str = held["event_ticker"]
        self.series_ticker: str = held["series_ticker"]
        self.status: str = held["api_status"]
        self.closes = to_micros(held["close_time"])
        self.created = parse_time(row["created_time"]) if "created_time" in row else to_micros(held["open_time"])
        self.updated = parse_time(row["updated_time"]) if "updated_time" in row else self.created
        self.settled = None if held["settled_at"] is None else to_micros(held["settled_at"])
        if self.settled is None and self.status == "finalized":
            self.settled = self.closes  # a market whose settlement time the exchange never told

    def row(self) -> Row:
        """The live tier's JSON object.

        A market that was never met in the live tier has an open interest nobody knows: the 0.00 in its `raw` is
        what the historical tier says of every market, so it is left out.
        """
        row: Row = orjson.loads(decompress(self._raw))
        if not self._tells_interest:
            row.pop("open_interest_fp", None)
        return row


class ArchiveEvent:
    """One event with its markets, in the order of lists."""

    __slots__ = ("_raw", "created", "markets", "series_ticker", "ticker")

    def __init__(self, held: Columns, markets: Sequence[ArchiveMarket]) -> None:
        self._raw = _kept(orjson.loads(held["raw"]) or _event_row(held), held)
        self.ticker: str = held["event_ticker"]
        self.series_ticker: str = held["series_ticker"]
        self.markets = markets
        day_before = day_start(held["event_date"]) - DAY
        self.created = max((market.created for market in markets), default=day_before)

    def row(self) -> Row:
        """The JSON object without nested markets."""
        row: Row = orjson.loads(decompress(self._raw))
        return row


def series_row(held: Columns) -> Row:
    """The JSON object of one series."""
    row: Row = orjson.loads(held["raw"])
    if row:
        return row
    sources = held["settlement_sources"]
    row = {name: held[name] for name in ("category", "frequency", "title")} | {"ticker": held["series_ticker"]}
    return row if sources is None else row | {"settlement_sources": orjson.loads(sources)}


@lru_cache(maxsize=8192)
def dollars(price: Decimal) -> str:
    """A price as the exchange writes it: four decimals, more only where they are needed, up to six."""
    text = f"{price:.6f}"
    return text[:-2] + text[-2:].rstrip("0")


def _kept(row: Row, held: Columns) -> bytes:
    """A row as packed JSON: rules repeat themselves, and thousands of markets stay in memory."""
    text: str = held["raw"] if len(held["raw"]) > len("{}") else dump(row).decode()
    return compress(text.encode(), level=1)


def _event_row(held: Columns) -> Row:
    return {name: held[name] for name in ("event_ticker", "series_ticker", "title")}


def _market_row(held: Columns) -> Row:
    row: Row = {name: held[name] for name in ("ticker", "event_ticker", "title", "rules_primary")}
    row |= {
        "close_time": _moment(held["close_time"]),
        "expiration_value": held["expiration_value"] or "",
        "open_time": _moment(held["open_time"]),
        "result": held["result"] or "",
        "status": held["api_status"],
    }
    optional = {
        "cap_strike": _strike(held["cap_strike"]),
        "floor_strike": _strike(held["floor_strike"]),
        "last_price_dollars": _if_told(held["last_price"], dollars),
        "open_interest_fp": _if_told(held["open_interest"], _contracts),
        "settlement_ts": _if_told(held["settled_at"], _moment),
        "settlement_value_dollars": _if_told(held["settlement_value"], dollars),
        "strike_type": held["strike_type"],
        "volume_fp": _if_told(held["volume"], _contracts),
    }
    return row | {name: value for name, value in optional.items() if value is not None}


def _if_told(value: Any, write: Any) -> str | None:
    return None if value is None else write(value)


def _moment(moment: datetime) -> str:
    return time_text(to_micros(moment))


def _contracts(count: Decimal) -> str:
    return f"{count:.2f}"


def _strike(strike: Decimal | None) -> int | float | None:
    """A JSON number without `.0`; degrees have so few digits that the shortest form of a float is exact."""
    if strike is None:
        return None
    return int(strike) if strike == strike.to_integral_value() else float(strike)
