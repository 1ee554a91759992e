"""A small sound archive, to be damaged in one place."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_ingest.parquet.manifest import CityEntry, FileEntry, Manifest
from kalshi_ingest.parquet.schema import MANIFEST, TABLES

Tables = dict[str, list[dict[str, Any]]]

EVENT = "KXHIGHCHI-25NOV14"
TICKERS = (f"{EVENT}-B53.5", f"{EVENT}-B55.5")
_DAY = date(2025, 11, 14)
_START = datetime(2025, 11, 14, 15, 0, tzinfo=UTC)


def sound() -> Tables:
    """Two markets of three trades each, one a minute."""
    trades = [_trade(ticker, minute) for ticker in TICKERS for minute in range(3)]
    return {
        "series": [
            {
                "series_ticker": "KXHIGHCHI",
                "city": "chicago",
                "title": "Chicago",
                "category": "Climate and Weather",
                "frequency": "daily",
                "settlement_sources": '[{"name": "NWS", "url": ""}]',
                "raw": "{}",
                "fetched_at": _START,
            }
        ],
        "events": [_event() | {"title": "", "raw": "{}", "fetched_at": _START}],
        "markets": [_market(ticker) for ticker in TICKERS],
        "trades": trades,
        "candles_1m": [_candle([trade], 1) for trade in trades],
        "candles_5m": [_candle(trades[:3], 5), _candle(trades[3:], 5)],
        "checkpoints": [_checkpoint(ticker) for ticker in TICKERS],
        "listings": [
            {
                "series_ticker": "KXHIGHCHI",
                "event_date": _DAY,
                "events": 1,
                "markets": 2,
                "run_id": _uuid(9),
                "listed_at": _START,
            }
        ],
    }


def write(folder: Path, tables: Tables, label: str = "chicago") -> Path:
    """The archive of these rows, with a manifest that is right; the folder."""
    (folder / label).mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        pq.write_table(
            pa.Table.from_pylist(tables[table.name], schema=_lenient(table.schema())), _path(folder, label, table.file)
        )
    sign(folder, label)
    return folder


def sign(folder: Path, label: str = "chicago") -> None:
    """Make the manifest fit the files."""
    files = {}
    for table in TABLES:
        path = _path(folder, label, table.file)
        content = path.read_bytes()
        try:
            rows = pq.read_metadata(path).num_rows
        except pa.ArrowInvalid:
            rows = 0
        files[f"{label}/{table.file}"] = FileEntry(rows, len(content), hashlib.sha256(content).hexdigest())
    entry = CityEntry(("KXHIGHCHI",), _DAY, _DAY, files)
    (folder / MANIFEST).write_bytes(Manifest("cities", {label: entry}).as_json())


def _path(folder: Path, label: str, file: str) -> Path:
    return folder / label / file


def _lenient(schema: pa.Schema) -> pa.Schema:
    """A test may leave out a value that has to be there."""
    return pa.schema([field.with_nullable(True) for field in schema])


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def _event() -> dict[str, Any]:
    return {"event_ticker": EVENT, "series_ticker": "KXHIGHCHI", "city": "chicago", "event_date": _DAY}


def _market(ticker: str) -> dict[str, Any]:
    return _event() | {
        "ticker": ticker,
        "title": "",
        "strike_type": "between",
        "floor_strike": Decimal(53),
        "cap_strike": Decimal(54),
        "strike_source": "wire",
        "open_time": _START - timedelta(days=1),
        "close_time": _START + timedelta(days=1),
        "settled_at": None,
        "status": "settled",
        "api_status": "finalized",
        "result": "no",
        "settlement_value": Decimal(0),
        "expiration_value": "53",
        "settlement_authority": None,
        "volume": Decimal(6),
        "open_interest": None,
        "last_price": Decimal("0.5"),
        "rules_primary": "",
        "raw": "{}",
        "fetched_at": _START,
    }


def _trade(ticker: str, minute: int) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "created_time": _START + timedelta(minutes=minute),
        "trade_id": _uuid(minute),
        "yes_price": Decimal("0.4") + minute * Decimal("0.1"),
        "count": Decimal(minute + 1),
        "taker_side": "yes",
        "is_block_trade": False,
    }


def _candle(trades: list[dict[str, Any]], minutes: int) -> dict[str, Any]:
    prices = [trade["yes_price"] for trade in trades]
    volume = sum(trade["count"] for trade in trades)
    worth = sum(trade["count"] * trade["yes_price"] for trade in trades)
    return {
        "ticker": trades[0]["ticker"],
        "period_minutes": minutes,
        "period_start": trades[0]["created_time"],
        "period_end": trades[0]["created_time"] + timedelta(minutes=minutes),
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": volume,
        "vwap": Decimal(int(worth * 10**6 / volume)).scaleb(-6),
        "num_trades": len(trades),
    }


def _checkpoint(ticker: str) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "series_ticker": "KXHIGHCHI",
        "event_date": _DAY,
        "state": "complete",
        "tier": None,
        "cursor": None,
        "walk": 1,
        "confirming": False,
        "settled_first": True,
        "oldest_time": None,
        "oldest_trade_id": None,
        "newest_time": None,
        "since_time": None,
        "pages": 1,
        "trades_stored": 3,
        "contracts_stored": Decimal(6),
        "exchange_volume": Decimal(6),
        "verdict": "exact",
        "error": None,
        "run_id": _uuid(9),
        "updated_at": _START,
        "completed_at": _START,
    }
