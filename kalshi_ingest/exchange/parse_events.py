"""What the exchange says over its WebSocket, as claims that something happened: never as data to be stored."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from kalshi_ingest.errors import BadPayload


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade took place; `created_ms` is Unix time in milliseconds, coarser than the microseconds REST gives."""

    ticker: str
    trade_id: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A market's life moved on; `kind` is the exchange's word: created, activated, deactivated, close_date_updated,
    determined, settled, metadata_updated, price_level_structure_updated, or one that is new.

    Of any market of the exchange. Nothing is said when a market opens at its `open_time` or closes at its
    `close_time`: those two the caller has to know by the clock.
    """

    ticker: str
    kind: str


@dataclass(frozen=True, slots=True)
class Watched:
    """From now on the trades of these markets are announced; those before have to be asked for over REST."""

    tickers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages were lost, or may have been: whatever is wanted has to be asked for over REST."""

    reason: str


Event = Traded | Changed | Watched | Gap


def decoded(data: str | bytes) -> dict[str, Any]:
    """The JSON object of one frame; `BadPayload`, without a word of the frame, when it is none."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadPayload("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadPayload("a message is not a JSON object")
    return message


def claim(message: dict[str, Any]) -> Traded | Changed | None:
    """What a message claims; None for a kind that nobody here needs.

    A trade with a missing or malformed field raises `BadPayload` with the field named. A change of a market that
    cannot be read counts as none: the lists of markets are polled in any case.
    """
    body = message.get("msg")
    if message.get("type") == "trade":
        return _traded(body if isinstance(body, dict) else {})
    if message.get("type") == "market_lifecycle_v2" and isinstance(body, dict):
        ticker, kind = body.get("market_ticker"), body.get("event_type")
        if isinstance(ticker, str) and isinstance(kind, str):
            return Changed(ticker, kind)
    return None


def whole(value: object) -> int | None:
    """`value` if it is a whole number that is not negative, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _traded(body: dict[str, Any]) -> Traded:
    ticker, created_ms = body.get("market_ticker"), whole(body.get("ts_ms"))
    if not isinstance(ticker, str) or not ticker:
        raise BadPayload("a trade's market_ticker is missing or malformed")
    if created_ms is None:
        raise BadPayload("a trade's ts_ms is missing or malformed")
    return Traded(ticker, _trade_id(body.get("trade_id")), created_ms)


def _trade_id(text: object) -> bytes:
    try:
        identity = UUID(text) if isinstance(text, str) else None
    except ValueError:
        identity = None
    if identity is None or not isinstance(text, str) or str(identity) != text.lower():
        raise BadPayload("a trade's trade_id is missing or malformed")
    return identity.bytes
