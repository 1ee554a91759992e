"""Archives for the simulator's tests, written with pyarrow from the rows of a world."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet as pq

from kalshi_ingest.parquet import schema
from kalshi_simulator import SyntheticWorld
from kalshi_simulator.synthetic_entries import SyntheticEvent, SyntheticMarket

_FETCHED = datetime(2026, 1, 1, tzinfo=UTC)
_ROWS_PER_GROUP = 700
"""Small, so that markets end inside row groups and go on in the next."""


def write_archive(folder: Path, world: SyntheticWorld, cities: dict[str, str], *, bare: Sequence[str] = ()) -> Path:
    """An archive of all that a world holds. `cities`: series → folder; `bare`: markets and events without `raw`."""
    body: dict[str, Any] = {"format": schema.FORMAT, "version": schema.VERSION, "layout": "cities", "cities": {}}
    for series, city in cities.items():
        (folder / city).mkdir(parents=True)
        events = [event for event in world.events(series) if isinstance(event, SyntheticEvent)]
        markets = [market for event in events for market in event.markets]
        files: dict[str, Any] = {}
        for table, rows in (
            (schema.SERIES, [_series(row) for row in world.series_rows() if row["ticker"] == series]),
            (schema.EVENTS, [_event(event, bare) for event in events]),
            (schema.MARKETS, [_market(market, bare) for market in markets]),
            (schema.TRADES, [_trade(row) for market in markets for row in world.trades(market.ticker)]),
        ):
            rows.sort(key=lambda row: tuple(row[name] for name in table.key))
            written = pa.Table.from_pylist(rows, schema=table.schema())
            pq.write_table(written, folder / city / table.file, row_group_size=_ROWS_PER_GROUP)
            files[f"{city}/{table.file}"] = {"rows": len(rows), "bytes": 0, "sha256": ""}
        body["cities"][city] = {"series_tickers": [series], "files": files}
    (folder / schema.MANIFEST).write_text(json.dumps(body))
    return folder


def _series(row: dict[str, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in ("title", "category", "frequency")}
    return values | {"series_ticker": row["ticker"], "raw": json.dumps(row), "fetched_at": _FETCHED}


def _event(event: SyntheticEvent, bare: Sequence[str]) -> dict[str, Any]:
    row = event.row()
    return {
        "event_ticker": event.ticker,
        "series_ticker": event.series_ticker,
        "event_date": event.plan.day,
        "title": row["title"],
        "raw": "{}" if event.ticker in bare else json.dumps(row),
        "fetched_at": _FETCHED,
    }


def _market(market: SyntheticMarket, bare: Sequence[str]) -> dict[str, Any]:
    row = market.row()
    day: date = market.plan.event.day
    return {
        "ticker": market.ticker,
        "event_ticker": market.event_ticker,
        "series_ticker": market.series_ticker,
        "event_date": day,
        "title": row["title"],
        "strike_type": row.get("strike_type"),
        "floor_strike": _number(row.get("floor_strike"), 6),
        "cap_strike": _number(row.get("cap_strike"), 6),
        "open_time": datetime.fromisoformat(row["open_time"]),
        "close_time": datetime.fromisoformat(row["close_time"]),
        "settled_at": datetime.fromisoformat(row["settlement_ts"]) if "settlement_ts" in row else None,
        "status": "settled",
        "api_status": row["status"],
        "result": row["result"] or None,
        "settlement_value": _number(row.get("settlement_value_dollars"), 6),
        "expiration_value": row["expiration_value"] or None,
        "volume": _number(row["volume_fp"], 2),
        "open_interest": _number(row["open_interest_fp"], 2),
        "last_price": _number(row["last_price_dollars"], 6),
        "rules_primary": row["rules_primary"],
        "raw": "{}" if market.ticker in bare else json.dumps(row),
        "fetched_at": _FETCHED,
    }


def _trade(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "ticker": row["ticker"],
        "created_time": datetime.fromisoformat(row["created_time"]),
        "trade_id": row["trade_id"],
        "yes_price": _number(row["yes_price_dollars"], 6),
        "count": _number(row["count_fp"], 2),
        "taker_side": row["taker_outcome_side"],
        "is_block_trade": row["is_block_trade"],
    }


def _number(value: str | float | None, places: int) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(Decimal(1).scaleb(-places))
