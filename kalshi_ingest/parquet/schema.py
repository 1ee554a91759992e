"""The archive's files and the Parquet schema of each: the database's own columns, with exact types.

Prices are decimal128(7, 6) dollars and counts decimal128(16, 2) contracts, as in the tables; times are microseconds
in UTC; a trade id is text, because not every reader knows Parquet's UUID type; JSON is text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

FORMAT = "kalshi-ingest archive"
VERSION = 2
"""Of names, columns, types and meaning; a reader refuses an archive with a higher one.

1: checkpoints without newest_time and since_time.
"""

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "price": pa.decimal128(7, 6),
    "count": pa.decimal128(16, 2),
    "sum": pa.decimal128(18, 2),
    "strike": pa.decimal128(20, 6),
}


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """One kind of file: the rows of a database table that belong to one series."""

    name: str
    """The file's name without `.parquet`; also the folder's name in the dataset layout."""
    source: str
    """The database table."""
    columns: tuple[tuple[str, pa.DataType, bool], ...]
    """(name, type, may be null), in the table's own order."""
    key: tuple[str, ...]
    """Rows are unique and sorted by these, text by code point."""
    period_minutes: int | None = None
    """Only candles of this length."""
    added: frozenset[str] = frozenset()
    """Columns that an older archive lacks: NULL in every row."""

    @property
    def file(self) -> str:
        """The name of the file in a city's folder."""
        return f"{self.name}.parquet"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _, _ in self.columns)

    def schema(self, comments: Mapping[str, str] | None = None) -> pa.Schema:
        """The Arrow schema; `comments` (column → description) go into the fields' metadata."""
        described = comments or {}
        fields = [
            pa.field(
                name,
                kind,
                nullable=optional,
                metadata={"description": described[name]} if name in described else None,
            )
            for name, kind, optional in self.columns
        ]
        metadata: dict[bytes | str, bytes | str] = {
            "format": FORMAT,
            "version": str(VERSION),
            "table": self.name,
            "sorted_by": ", ".join(self.key),
        }
        return pa.schema(fields, metadata=metadata)


def _columns(declared: str) -> tuple[tuple[str, pa.DataType, bool], ...]:
    """Columns as SQL declares them, with the types of `_TYPES`; a column that may be missing says `null`."""
    words = [column.split() for column in declared.split(",")]
    return tuple((name, _TYPES[kind], bool(null)) for name, kind, *null in words)


SERIES = ArchiveTable(
    "series",
    "series",
    _columns("""
        series_ticker text, city text null, title text, category text, frequency text, settlement_sources text null,
        raw text, fetched_at time
    """),
    ("series_ticker",),
)
EVENTS = ArchiveTable(
    "events",
    "events",
    _columns("""
        event_ticker text, series_ticker text, city text null, event_date date, title text, raw text, fetched_at time
    """),
    ("event_ticker",),
)
MARKETS = ArchiveTable(
    "markets",
    "markets",
    _columns("""
        ticker text, event_ticker text, series_ticker text, city text null, event_date date, title text,
        strike_type text null, floor_strike strike null, cap_strike strike null, strike_source text null,
        open_time time, close_time time, settled_at time null, status text, api_status text, result text null,
        settlement_value price null, expiration_value text null, settlement_authority text null, volume count null,
        open_interest count null, last_price price null, rules_primary text, raw text, fetched_at time
    """),
    ("ticker",),
)
TRADES = ArchiveTable(
    "trades",
    "trades",
    _columns("""
        ticker text, created_time time, trade_id text, yes_price price, count count, taker_side text,
        is_block_trade boolean
    """),
    ("ticker", "created_time", "trade_id"),
)
_CANDLES = _columns("""
    ticker text, period_minutes smallint, period_start time, period_end time, open price, high price, low price,
    close price, volume count, vwap price, num_trades integer
""")
CANDLES_1M = ArchiveTable("candles_1m", "candles", _CANDLES, ("ticker", "period_start"), period_minutes=1)
CANDLES_5M = ArchiveTable("candles_5m", "candles", _CANDLES, ("ticker", "period_start"), period_minutes=5)
CHECKPOINTS = ArchiveTable(
    "checkpoints",
    "checkpoints",
    _columns("""
        ticker text, series_ticker text, event_date date, state text, tier text null, cursor text null, walk smallint,
        confirming boolean, settled_first boolean, oldest_time time null, oldest_trade_id text null,
        newest_time time null, since_time time null, pages integer, trades_stored bigint, contracts_stored sum,
        exchange_volume count null, verdict text null, error text null, run_id text, updated_at time,
        completed_at time null
    """),
    ("ticker",),
    added=frozenset({"newest_time", "since_time"}),
)
LISTINGS = ArchiveTable(
    "listings",
    "listings",
    _columns("series_ticker text, event_date date, events integer, markets integer, run_id text, listed_at time"),
    ("series_ticker", "event_date"),
)

TABLES = (SERIES, EVENTS, MARKETS, TRADES, CANDLES_1M, CANDLES_5M, CHECKPOINTS, LISTINGS)
"""Every file of a city's folder, in the order in which they are loaded."""
SUMMARY = "summary_report.txt"
MANIFEST = "manifest.json"
