"""What the channels say about trades and markets, in the wire form of the exchange's AsyncAPI 2.0.0."""

from __future__ import annotations

from dataclasses import dataclass

from kalshi_simulator.wire import SECOND, Row, parse_time

TRADE = "trade"
LIFECYCLE = "market_lifecycle_v2"

_VALUES = {"yes": "1.0000", "no": "0.0000"}
_COPIED = (
    "can_close_early",
    "event_ticker",
    "no_sub_title",
    "rules_primary",
    "rules_secondary",
    "title",
    "yes_sub_title",
)
_STRIKES = ("strike_type", "floor_strike", "cap_strike")


@dataclass(frozen=True, slots=True)
class Message:
    """Something that happened. `kind` is the `type` on the wire, which for events is not the channel's name."""

    channel: str
    kind: str
    ticker: str
    body: Row


def trade(row: Row) -> Message:
    """A trade as lists show it, told as the channel does: other names, and milliseconds."""
    body = {name: value for name, value in row.items() if name not in ("created_time", "ticker")}
    millis = parse_time(row["created_time"]) // 1000
    body |= {"market_ticker": row["ticker"], "ts": millis // 1000, "ts_ms": millis}
    return Message(TRADE, TRADE, row["ticker"], body)


def event_created(row: Row) -> Message:
    """A new event, from its row."""
    body = {
        "collateral_return_type": row["collateral_return_type"],
        "event_ticker": row["event_ticker"],
        "exchange_index": 0,
        "series_ticker": row["series_ticker"],
        "subtitle": row["sub_title"],
        "title": row["title"],
    }
    if "strike_date" in row:
        body["strike_date"] = _seconds(row["strike_date"])
    return Message(LIFECYCLE, "event_lifecycle", row["event_ticker"], body)


def created(row: Row) -> Message:
    """A new market, from its row."""
    metadata = {name: row[name] for name in _COPIED}
    metadata |= {"expected_expiration_ts": _seconds(row["expected_expiration_time"]), "name": row["title"]}
    metadata |= {name: row[name] for name in _STRIKES if name in row}
    return _of_market(
        row,
        "created",
        {
            "additional_metadata": metadata,
            "close_ts": _seconds(row["close_time"]),
            "exchange_index": 0,
            "open_ts": _seconds(row["open_time"]),
            "price_level_structure": row["price_level_structure"],
            "price_ranges": row["price_ranges"],
        },
    )


def determined(row: Row, micros: int) -> Message:
    """A market whose result is known since a moment (Unix microseconds)."""
    value = _VALUES.get(row["result"], row["last_price_dollars"])
    body = {"determination_ts": micros // SECOND, "result": row["result"], "settlement_value": value}
    return _of_market(row, "determined", body)


def settled(row: Row, micros: int) -> Message:
    """A market that was paid out at a moment (Unix microseconds)."""
    return _of_market(row, "settled", {"settled_ts": micros // SECOND})


def _of_market(row: Row, event_type: str, body: Row) -> Message:
    return Message(
        LIFECYCLE, LIFECYCLE, row["ticker"], body | {"event_type": event_type, "market_ticker": row["ticker"]}
    )


def _seconds(text: str) -> int:
    return parse_time(text) // SECOND
