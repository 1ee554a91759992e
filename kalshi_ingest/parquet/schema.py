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

_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")
_DATE = pa.date32()
_PRICE = pa.decimal128(7, 6)
_COUNT = pa.decimal128(16, 2)
_STRIKE = pa.decimal128(20, 6)


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


_CANDLE_COLUMNS: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("ticker", _TEXT, False),
    ("period_minutes", pa.int16(), False),
    ("period_start", _TIME, False),
    ("period_end", _TIME, False),
    ("open", _PRICE, False),
    ("high", _PRICE, False),
    ("low", _PRICE, False),
    ("close", _PRICE, False),
    ("volume", _COUNT, False),
    ("vwap", _PRICE, False),
    ("num_trades", pa.int32(), False),
)

SERIES = ArchiveTable(
    "series",
    "series",
    (
        ("series_ticker", _TEXT, False),
        ("city", _TEXT, True),
        ("title", _TEXT, False),
        ("category", _TEXT, False),
        ("frequency", _TEXT, False),
        ("settlement_sources", _TEXT, True),
        ("raw", _TEXT, False),
        ("fetched_at", _TIME, False),
    ),
    ("series_ticker",),
)
EVENTS = ArchiveTable(
    "events",
    "events",
    (
        ("event_ticker", _TEXT, False),
        ("series_ticker", _TEXT, False),
        ("city", _TEXT, True),
        ("event_date", _DATE, False),
        ("title", _TEXT, False),
        ("raw", _TEXT, False),
        ("fetched_at", _TIME, False),
    ),
    ("event_ticker",),
)
MARKETS = ArchiveTable(
    "markets",
    "markets",
    (
        ("ticker", _TEXT, False),
        ("event_ticker", _TEXT, False),
        ("series_ticker", _TEXT, False),
        ("city", _TEXT, True),
        ("event_date", _DATE, False),
        ("title", _TEXT, False),
        ("strike_type", _TEXT, True),
        ("floor_strike", _STRIKE, True),
        ("cap_strike", _STRIKE, True),
        ("strike_source", _TEXT, True),
        ("open_time", _TIME, False),
        ("close_time", _TIME, False),
        ("settled_at", _TIME, True),
        ("status", _TEXT, False),
        ("api_status", _TEXT, False),
        ("result", _TEXT, True),
        ("settlement_value", _PRICE, True),
        ("expiration_value", _TEXT, True),
        ("settlement_authority", _TEXT, True),
        ("volume", _COUNT, True),
        ("open_interest", _COUNT, True),
        ("last_price", _PRICE, True),
        ("rules_primary", _TEXT, False),
        ("raw", _TEXT, False),
        ("fetched_at", _TIME, False),
    ),
    ("ticker",),
)
TRADES = ArchiveTable(
    "trades",
    "trades",
    (
        ("ticker", _TEXT, False),
        ("created_time", _TIME, False),
        ("trade_id", _TEXT, False),
        ("yes_price", _PRICE, False),
        ("count", _COUNT, False),
        ("taker_side", _TEXT, False),
        ("is_block_trade", pa.bool_(), False),
    ),
    ("ticker", "created_time", "trade_id"),
)
CANDLES_1M = ArchiveTable("candles_1m", "candles", _CANDLE_COLUMNS, ("ticker", "period_start"), period_minutes=1)
CANDLES_5M = ArchiveTable("candles_5m", "candles", _CANDLE_COLUMNS, ("ticker", "period_start"), period_minutes=5)
CHECKPOINTS = ArchiveTable(
    "checkpoints",
    "checkpoints",
    (
        ("ticker", _TEXT, False),
        ("series_ticker", _TEXT, False),
        ("event_date", _DATE, False),
        ("state", _TEXT, False),
        ("tier", _TEXT, True),
        ("cursor", _TEXT, True),
        ("walk", pa.int16(), False),
        ("confirming", pa.bool_(), False),
        ("settled_first", pa.bool_(), False),
        ("oldest_time", _TIME, True),
        ("oldest_trade_id", _TEXT, True),
        ("newest_time", _TIME, True),
        ("since_time", _TIME, True),
        ("pages", pa.int32(), False),
        ("trades_stored", pa.int64(), False),
        ("contracts_stored", pa.decimal128(18, 2), False),
        ("exchange_volume", _COUNT, True),
        ("verdict", _TEXT, True),
        ("error", _TEXT, True),
        ("run_id", _TEXT, False),
        ("updated_at", _TIME, False),
        ("completed_at", _TIME, True),
    ),
    ("ticker",),
    added=frozenset({"newest_time", "since_time"}),
)
LISTINGS = ArchiveTable(
    "listings",
    "listings",
    (
        ("series_ticker", _TEXT, False),
        ("event_date", _DATE, False),
        ("events", pa.int32(), False),
        ("markets", pa.int32(), False),
        ("run_id", _TEXT, False),
        ("listed_at", _TIME, False),
    ),
    ("series_ticker", "event_date"),
)

TABLES = (SERIES, EVENTS, MARKETS, TRADES, CANDLES_1M, CANDLES_5M, CHECKPOINTS, LISTINGS)
"""Every file of a city's folder, in the order in which they are loaded."""
SUMMARY = "summary_report.txt"
MANIFEST = "manifest.json"
