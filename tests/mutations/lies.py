"""Which value is spoilt where: one field of one row for each market, event or series, in every answer that holds it."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from tests.mutations.values import MISSING, Raw

FIELDS = {
    "trade": (
        *("trade_id", "created_time", "yes_price_dollars", "no_price_dollars", "count_fp", "is_block_trade", "ticker"),
        *("taker_outcome_side", "taker_side", "", "brand_new"),
    ),
    "market": (
        *("ticker", "event_ticker", "status", "open_time", "close_time", "settlement_ts", "volume_fp", "result"),
        *("open_interest_fp", "last_price_dollars", "floor_strike", "cap_strike", "strike_type", "title", ""),
        *("yes_sub_title", "rules_primary", "expiration_value", "settlement_value_dollars", "brand_new"),
    ),
    "event": ("event_ticker", "series_ticker", "title", "sub_title", "", "brand_new"),
    "series": ("ticker", "title", "category", "frequency", "settlement_sources", "", "brand_new"),
    "candle": ("end_period_ts", "volume_fp", "volume", "price", "open_interest_fp", "", "brand_new"),
    "trades page": ("trades", "cursor", ""),
    "candles page": ("ticker", "candlesticks", ""),
}
"""Of each kind of object the fields that are read, one that is not, and "" for the object as a whole."""


@dataclass(frozen=True, eq=False)
class Lie:
    """`place`: which row of a market's trades or candles."""

    kind: str
    name: str
    field: str
    value: Any
    place: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.field or 'as a whole'}: {self.value!r:.60}"


class Liar:
    """Spoils the exchange's answers, as `Relay.spoil`."""

    def __init__(self, lies: list[Lie]) -> None:
        self._lies = {(lie.kind, lie.name): lie for lie in lies}
        self.told: set[Lie] = set()
        self._raw: list[Raw] = []

    def __call__(self, path: str, query: dict[str, str], body: bytes) -> bytes:
        decoded: Any = orjson.loads(body)
        path = path.removeprefix("/trade-api/v2").removeprefix("/historical")
        if path.endswith("/trades"):
            decoded = self._one(decoded, "trades", "trade", query.get("ticker", ""))
        elif path.endswith("/candlesticks"):
            decoded = self._one(decoded, "candlesticks", "candle", path.split("/")[-2])
        elif path == "/markets":
            decoded["markets"] = [self._row(row, "market", row["ticker"]) for row in decoded["markets"]]
        elif path == "/events":
            decoded["events"] = [self._row(row, "event", row["event_ticker"]) for row in decoded["events"]]
        elif path.startswith("/series/"):
            decoded["series"] = self._row(decoded["series"], "series", path.split("/")[2])
        return self._written(decoded)

    def _written(self, decoded: Any) -> bytes:
        body = json.dumps(decoded, separators=(",", ":")).encode()
        for place, raw in enumerate(self._raw):
            body = body.replace(f'"@@{place}@@"'.encode(), raw)
        self._raw = []
        return body

    def _one(self, decoded: Any, key: str, kind: str, name: str) -> Any:
        lie, rows = self._lies.get((kind, name)), decoded[key]
        if lie is not None and rows:
            place = lie.place % len(rows)
            rows[place] = self._row(rows[place], kind, name)
        return self._row(decoded, f"{key.replace('candlesticks', 'candles')} page", name)

    def _row(self, row: Any, kind: str, name: str) -> Any:
        lie = self._lies.get((kind, name))
        if lie is None:
            return row
        self.told.add(lie)
        value = lie.value
        if isinstance(value, Raw):
            self._raw.append(value)
            value = f"@@{len(self._raw) - 1}@@"
        if not lie.field:
            return None if value is MISSING else value
        if value is MISSING:
            return {key: held for key, held in row.items() if key != lie.field}
        return row | {lie.field: value}
