"""Recorded days written as the predecessor wrote them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import recorded

_MARKET = (
    *("ticker", "event_ticker", "title", "subtitle", "status", "result", "strike_type", "floor_strike", "cap_strike"),
    *("last_price", "volume", "open_interest", "rules_primary", "settlement_value"),
)


def market_rows() -> list[dict[str, Any]]:
    """The golden days' markets in its columns."""
    rows = []
    for body in recorded.golden_events():
        for market in body["markets"]:
            row = {name: market.get(name) for name in _MARKET} | {"series_ticker": "KXHIGHCHI"}
            row |= {name: naive(market[name]) for name in ("open_time", "close_time")}
            rows.append(row | {"raw_json": orjson.dumps(market).decode()})
    return rows


def trade_rows() -> list[dict[str, Any]]:
    """The golden days' trades in its columns, newest first per market as it fetched them."""
    return [
        {
            "trade_id": row["trade_id"],
            "market_ticker": row["ticker"],
            "yes_price": row["yes_price"],
            "no_price": row["no_price"],
            "price": row["yes_price"] / 100,
            "count": row["count"],
            "taker_side": row["taker_side"],
            "created_time": naive(row["created_time"]),
            "raw_json": orjson.dumps(row).decode(),
        }
        for row in recorded.golden_trades()
    ]


SERIES = {
    "series_ticker": "KXHIGHCHI",
    "title": "Highest temperature in Chicago",
    "category": "Climate and Weather",
    "frequency": "daily",
    "settlement_source_json": '[{"name": "NWS", "url": "https://example.org"}]',
    "raw_json": '{"ticker": "KXHIGHCHI"}',
}


def write(folder: Path, markets: list[dict[str, Any]], trades: list[dict[str, Any]]) -> None:
    """One city's folder, as a data frame would be written: naive times, numbers as they come."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("series", [SERIES]), ("markets", markets), ("trades", trades)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def naive(moment: str) -> datetime:
    """A time on the wire without its zone."""
    return datetime.fromisoformat(moment).replace(tzinfo=None)
