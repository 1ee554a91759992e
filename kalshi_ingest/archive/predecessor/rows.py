"""The predecessor's series and markets in today's form; its events follow from its markets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from math import isnan
from typing import Any, TypeVar
from uuid import UUID

import orjson
import pyarrow as pa

from kalshi_ingest.archive.checks import refuse
from kalshi_ingest.archive.verification import opened
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.strikes import BinRow, Strike, resolve
from kalshi_ingest.domain.tickers import parse_event_ticker
from kalshi_ingest.errors import BadPayload, Unusable
from kalshi_ingest.parquet.schema import CHECKPOINTS, EVENTS, MARKETS, SERIES
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.catalog import settlement_authority

T = TypeVar("T")

_STRIKES = ("floor_strike", "cap_strike")

_MOST_BYTES = 256 * 2**20
"""Of one of these tables, which are held in memory whole."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the rows do not contain."""

    run_id: UUID
    now: datetime
    statuses: Mapping[str, str]
    """The wire's status words → the filter words they fall under."""


Tables = dict[str, list[dict[str, Any]]]
"""Rows by table, each as its columns."""


class _Row:
    """One row of a file; every error names file, column and row."""

    def __init__(self, path: str, number: int, values: dict[str, Any]) -> None:
        self._path = path
        self._number = number
        self._values = values
        self.raw = self.read("raw_json", _json_object) or {}

    def read(self, column: str, reader: Callable[[Any], T]) -> T | None:
        value = self._values.get(column)
        if value is None or (isinstance(value, float) and isnan(value)):  # as a data frame writes a missing number
            return None
        try:
            return reader(value)
        except (ValueError, TypeError, InvalidOperation, BadPayload) as error:
            refuse(self._path, column, self._number, str(error) or f"{value!r:.80} cannot be read")

    def need(self, column: str, reader: Callable[[Any], T]) -> T:
        value = self.read(column, reader)
        if value is None:
            refuse(self._path, column, self._number, "the value is missing")
        return value

    def text(self, column: str) -> str:
        return self.read(column, _text) or ""

    def as_json(self) -> str:
        """The exchange's object, or the row itself where it was not kept."""
        return orjson.dumps(self.raw or self._values, default=str).decode()


def read_rows(storage: ArchiveStorage, folder: str, city: City, origin: Origin) -> Tables:
    """All small tables of one city. Raises `Unusable` that names file, column and row."""
    markets = [_market(row, city, origin) for row in _rows(storage, f"{folder}/markets.parquet", MARKETS.names[:1])]
    _resolve_strikes(markets)
    series = [_series(row, city, markets) for row in _rows(storage, f"{folder}/series.parquet", SERIES.names[:1])]
    settled = [market for market in markets if market["status"] == "settled"]
    tables = {
        "series": [row for row in series if row["series_ticker"] == city.series_ticker][:1],
        "events": _events(markets),
        "markets": markets,
        "checkpoints": [_checkpoint(market, origin) for market in settled],
    }
    if not tables["series"]:
        refuse(f"{folder}/series.parquet", "series_ticker", 1, f"{city.series_ticker} of {city.name} is not there")
    return tables


def _rows(storage: ArchiveStorage, path: str, required: Sequence[str]) -> list[_Row]:
    with opened(storage, path) as file:
        for name in required:
            if name not in file.schema_arrow.names:
                refuse(path, name, 1, "the column is missing")
        rows: list[dict[str, Any]] = []
        size = 0
        for batch in file.iter_batches(2_000):
            size += batch.nbytes
            if size > _MOST_BYTES:
                raise Unusable(f"{path} holds more than {_MOST_BYTES // 2**20} MB: more than any city's markets take")
            rows += _python(batch)
    return [_Row(path, number, row) for number, row in enumerate(rows, 1)]


def _python(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Times as microseconds, the finest that Python knows."""
    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            coarse = batch.column(index).cast(pa.timestamp("us", tz=field.type.tz))
            batch = batch.set_column(index, field.name, coarse)
    return batch.to_pylist()


def _series(row: _Row, city: City, markets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sources = row.read("settlement_source_json", _json_list)
    return {
        "series_ticker": row.need("series_ticker", _own_series(city)),
        "city": city.key,
        "title": row.text("title"),
        "category": row.text("category"),
        "frequency": row.text("frequency"),
        "settlement_sources": None if sources is None else orjson.dumps(sources).decode(),
        "raw": row.as_json(),
        "fetched_at": row.read("created_at", _moment)
        or max((market["fetched_at"] for market in markets), default=datetime(2000, 1, 1, tzinfo=UTC)),
    }


def _market(row: _Row, city: City, origin: Origin) -> dict[str, Any]:
    ticker = row.need("ticker", _text)
    event_ticker = row.need("event_ticker", _text)
    api_status = row.need("status", _status(origin.statuses))
    close_time = row.need("close_time", _moment)
    rules = row.text("rules_primary")
    return {
        "ticker": ticker,
        "event_ticker": event_ticker,
        "series_ticker": row.need("series_ticker", _own_series(city)),
        "city": city.key,
        "event_date": row.need("event_ticker", _event_date),
        "title": row.text("title"),
        "strike": _bin(row, ticker),
        "open_time": row.need("open_time", _moment),
        "close_time": close_time,
        "settled_at": None,
        "status": origin.statuses[api_status],
        "api_status": api_status,
        "result": row.text("result") or None,
        "settlement_value": row.read("settlement_value", _dollars),
        "expiration_value": str(row.raw.get("expiration_value") or "") or None,
        "settlement_authority": settlement_authority(rules),
        "volume": row.read("volume", _contracts),
        "open_interest": row.read("open_interest", _contracts),
        "last_price": row.read("last_price", _dollars),
        "rules_primary": rules,
        "raw": row.as_json(),
        # Never newer than what this program fetched itself, so that it never replaces that.
        "fetched_at": row.read("created_at", _moment) or close_time,
    }


def _bin(row: _Row, ticker: str) -> BinRow:
    """From the exchange's object where it was kept: the predecessor derived some strikes from tickers."""
    if row.raw.get("ticker") == ticker:
        raw = row.raw
        subtitle = raw.get("yes_sub_title") or raw.get("subtitle") or ""
        floor, cap = (None if raw.get(name) is None else Decimal(str(raw[name])) for name in _STRIKES)
        return BinRow(ticker, raw.get("strike_type") or None, floor, cap, str(subtitle))
    floor, cap = (row.read(name, _number) for name in _STRIKES)
    return BinRow(ticker, row.text("strike_type") or None, floor, cap, row.text("subtitle"))


def _resolve_strikes(markets: Sequence[dict[str, Any]]) -> None:
    events: dict[str, list[dict[str, Any]]] = {}
    for market in markets:
        events.setdefault(market["event_ticker"], []).append(market)
    for bins in events.values():
        strikes: list[Strike] = resolve([market.pop("strike") for market in bins])
        for market, strike in zip(bins, strikes, strict=True):
            market |= {
                "strike_type": strike.strike_type,
                "floor_strike": strike.floor,
                "cap_strike": strike.cap,
                "strike_source": strike.source,
            }


def _events(markets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    events: dict[str, dict[str, Any]] = {}
    for market in markets:
        shared = {name: market[name] for name in EVENTS.names if name in market}
        event = events.setdefault(market["event_ticker"], shared | {"title": "", "raw": "{}"})
        event["fetched_at"] = min(event["fetched_at"], market["fetched_at"])
    return list(events.values())


def _checkpoint(market: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """Complete, for what is stored is all there is to load, but without a volume that would prove it."""
    return dict.fromkeys(CHECKPOINTS.names) | {
        "ticker": market["ticker"],
        "series_ticker": market["series_ticker"],
        "event_date": market["event_date"],
        "state": State.COMPLETE,
        "walk": 1,
        "confirming": False,
        "settled_first": True,
        "pages": 0,
        "trades_stored": 0,
        "contracts_stored": Decimal(0),
        "verdict": Verdict.UNKNOWN,
        "run_id": origin.run_id,
        "updated_at": origin.now,
        "completed_at": origin.now,
    }


def _own_series(city: City) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in (city.series_ticker, city.legacy_ticker):
            raise ValueError(f"{value!r:.80} is not a series of {city.name}")
        return city.series_ticker

    return read


def _status(statuses: Mapping[str, str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        word = "finalized" if value == "settled" else value
        if word not in statuses:
            raise ValueError(f"{value!r:.80} is none of {', '.join(sorted(statuses))}")
        return str(word)

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is not a text")
    return value


def _event_date(value: Any) -> date:
    return parse_event_ticker(_text(value)).event_date


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _number(value: Any) -> Decimal:
    return Decimal(str(value))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise ValueError(f"{value!r:.80} is not a whole number of 0 or more")
    return int(value)


def _dollars(cents: Any) -> Decimal:
    if _whole(cents) > 100:
        raise ValueError(f"{cents!r:.80} is not a price in cents, 0 to 100")
    return Decimal(_whole(cents)).scaleb(-2)


def _contracts(value: Any) -> Decimal:
    return Decimal(_whole(value))


def _json_object(value: Any) -> dict[str, Any]:
    found = orjson.loads(value) if isinstance(value, str | bytes) else value
    if not isinstance(found, dict):
        raise ValueError(f"{value!r:.80} is not a JSON object")
    return found


def _json_list(value: Any) -> list[Any]:
    found = orjson.loads(value) if isinstance(value, str | bytes) else value
    if not isinstance(found, list):
        raise ValueError(f"{value!r:.80} is not a JSON list")
    return found
