"""Access to real recorded answers of the exchange, kept beside the repository and never inside it.

The rows are as the exchange served them in 2023 to 2025: prices in integer cents, counts in whole contracts.
`modern_trade` and `modern_market` put such a row into the form that the exchange has served since March 2026.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]
"""One decoded JSON object."""

_FOLDER = Path(__file__).resolve().parents[2] / "../shared/data"

RECORDED: Path | None = _FOLDER.resolve() if _FOLDER.is_dir() else None
"""The folder of recorded data; None where it is absent."""

needs_recorded = pytest.mark.skipif(
    RECORDED is None, reason="the folder ../shared/data with recorded answers is absent"
)
"""Marks a test that reads recorded data."""


def events() -> Iterator[tuple[str, date, Row]]:
    """Each recorded event: series ticker, event date, body `{"event": …, "markets": […]}`."""
    for path in _files("recorded/events"):
        yield path.parent.name.upper(), _day(path), json.loads(gzip.decompress(path.read_bytes()))


def trades() -> Iterator[tuple[str, date, dict[str, list[Row]]]]:
    """Each recorded event day: series ticker, event date, `{market ticker: [trade, …]}` newest trade first."""
    for path in _files("recorded/trades"):
        yield path.parent.name.upper(), _day(path), json.loads(gzip.decompress(path.read_bytes()))


def golden_trades() -> Iterator[Row]:
    """Every trade of the three golden event days of Chicago, newest first per market."""
    with gzip.open(_folder() / "golden/trades.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def golden_candles() -> Iterator[dict[str, str]]:
    """The exchange's own one-minute candles of the golden days; prices in cents, columns as text."""
    with gzip.open(_folder() / "golden/candles_1m.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def golden_events() -> Iterator[Row]:
    """The golden events' bodies `{"event": …, "markets": […]}`, oldest first."""
    for path in sorted((_folder() / "golden").glob("event_*.json")):
        yield json.loads(path.read_bytes())


def modern_trade(row: Row) -> Row:
    """A recorded trade in today's form: every field that section `Trade` of the API's specification requires."""
    side = row["taker_side"]
    return {
        "count_fp": f"{Decimal(row['count']):.2f}",
        "created_time": row["created_time"],
        "is_block_trade": False,
        "no_price_dollars": _dollars(row["no_price"]),
        "taker_book_side": "bid" if side == "yes" else "ask",
        "taker_outcome_side": side,
        "taker_side": side,
        "ticker": row["ticker"],
        "trade_id": row["trade_id"],
        "yes_price_dollars": _dollars(row["yes_price"]),
    }


_CENTS = (
    *("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "notional_value"),
    *("previous_yes_bid", "previous_yes_ask", "previous_price"),
)
_COUNTS = ("open_interest", "volume", "volume_24h")
_GONE = (
    *("category", "liquidity", "response_price_units", "risk_limit_cents", "settlement_value", "tick_size"),
    *_CENTS,
    *_COUNTS,
)
"""Fields of the old form that today's form has not, at least not under this name."""


def modern_market(row: Row) -> Row:
    """A recorded market in today's form, with every field that the API's specification requires.

    What the old form did not tell is made up sensibly: `created_time` is five hours before the opening,
    `settlement_ts` two hours before the expected expiration, the sizes at bid and ask are 0. As on the wire,
    fields without a value (strikes, settlement) are left out and keys come alphabetically.
    """
    market = {name: value for name, value in row.items() if name not in _GONE}
    market |= {f"{name}_dollars": _dollars(row[name]) for name in _CENTS}
    market |= {f"{name}_fp": f"{Decimal(row[name]):.2f}" for name in _COUNTS}
    market |= {
        "created_time": _shifted(row["open_time"], hours=-5),
        "exchange_index": 0,
        "liquidity_dollars": "0.0000",
        "price_level_structure": "linear_cent",
        "price_ranges": [{"end": "1.0000", "start": "0.0000", "step": "0.0100"}],
        "settlement_bounds_type": "default",
        "updated_time": row["open_time"],
        "yes_ask_size_fp": "0.00",
        "yes_bid_size_fp": "0.00",
    }
    if row["status"] == "finalized":
        settled = _shifted(row["expected_expiration_time"], hours=-2)
        market |= {
            "settlement_ts": settled,
            "settlement_value_dollars": {"yes": "1.0000", "no": "0.0000"}[row["result"]],
            "updated_time": settled,
        }
    return dict(sorted(market.items()))


def _folder() -> Path:
    assert RECORDED is not None, "mark the test with needs_recorded"
    return RECORDED


def _files(folder: str) -> list[Path]:
    return sorted((_folder() / folder).glob("*/*.json.gz"))


def _day(path: Path) -> date:
    return date.fromisoformat(path.name.removesuffix(".json.gz"))


def _dollars(cents: int) -> str:
    return f"{Decimal(cents) / 100:.4f}"


def _shifted(moment: str, hours: int) -> str:
    shifted = datetime.fromisoformat(moment).astimezone(UTC) + timedelta(hours=hours)
    return shifted.strftime("%Y-%m-%dT%H:%M:%SZ")
