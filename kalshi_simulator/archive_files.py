"""The files of a Parquet archive, checked for form before anything is served from them.

An archive is a folder with `manifest.json` and, per city, `<city>/<table>.parquet`. Only the columns that a world
needs are named here. The simulator reads them by itself: a fault of the program's own reader shall not hide here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import parquet as pq

MANIFEST = "manifest.json"
FORMAT = "kalshi-ingest archive"
NEWEST_VERSION = 2

_TEXT, _TIME, _DATE = pa.string(), pa.timestamp("us", tz="UTC"), pa.date32()
_PRICE, _COUNT, _STRIKE = pa.decimal128(7, 6), pa.decimal128(16, 2), pa.decimal128(20, 6)

COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "series": dict.fromkeys(("series_ticker", "title", "category", "frequency", "settlement_sources", "raw"), _TEXT),
    "events": {"event_date": _DATE} | dict.fromkeys(("event_ticker", "series_ticker", "title", "raw"), _TEXT),
    "markets": {
        **dict.fromkeys(("ticker", "event_ticker", "series_ticker", "title", "rules_primary", "raw"), _TEXT),
        **dict.fromkeys(("api_status", "result", "strike_type", "expiration_value"), _TEXT),
        **dict.fromkeys(("open_time", "close_time", "settled_at"), _TIME),
        **dict.fromkeys(("floor_strike", "cap_strike"), _STRIKE),
        **dict.fromkeys(("settlement_value", "last_price"), _PRICE),
        **dict.fromkeys(("volume", "open_interest"), _COUNT),
        "event_date": _DATE,
    },
    "trades": {
        "ticker": _TEXT,
        "created_time": _TIME,
        "trade_id": _TEXT,
        "yes_price": _PRICE,
        "count": _COUNT,
        "taker_side": _TEXT,
        "is_block_trade": pa.bool_(),
    },
}
"""Table → column → type, of the tables that are served."""

_AT_ONCE = 500


class ArchiveFiles:
    """The served files of one archive."""

    def __init__(self, folder: Path) -> None:
        """Reads the manifest. Raises `ValueError`, saying what to do, for a folder that is no archive."""
        self.folder = folder
        self._cities = _read_manifest(folder)

    @property
    def cities(self) -> list[str]:
        """The folders of the cities, sorted."""
        return sorted(self._cities)

    def open(self, city: str, table: str) -> pq.ParquetFile:
        """One file, its columns and its number of rows checked. Raises `ValueError` naming file and column."""
        name = f"{city}/{table}.parquet"
        path = self.folder / name
        if name not in self._cities[city] or not path.is_file():
            raise ValueError(f"{self.folder} has no {name}: export the archive again")
        try:
            file = pq.ParquetFile(path, read_dictionary=["ticker", "taker_side"] if table == "trades" else [])
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read ({_first_line(error)}): export the archive again") from None
        held = {field.name: field.type for field in pq.read_schema(path)}
        for column, kind in COLUMNS[table].items():
            if held.get(column) != kind:
                found = f"is {held[column]}, not {kind}" if column in held else "is missing"
                raise ValueError(f"{path}: column {column} {found}: export the archive again")
        if file.metadata.num_rows != self._cities[city][name]:
            told = self._cities[city][name]
            raise ValueError(
                f"{path} has {file.metadata.num_rows} rows where {MANIFEST} says {told}: export the archive again"
            )
        return file

    def rows(self, city: str, table: str) -> Iterator[dict[str, Any]]:
        """The rows of one file as columns by name, in the file's order, a few hundred in memory at a time."""
        file = self.open(city, table)
        try:
            for batch in file.iter_batches(_AT_ONCE, columns=list(COLUMNS[table]), use_threads=False):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            path = self.folder / city / f"{table}.parquet"
            raise ValueError(f"{path} is damaged ({_first_line(error)}): export the archive again") from None


def _read_manifest(folder: Path) -> dict[str, dict[str, int | None]]:
    """City → file → rows."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: name one that `export` wrote")
    if not path.is_file():
        raise ValueError(f"{folder} has no {MANIFEST}, so it is not an archive: name a folder that `export` wrote")
    try:
        body = orjson.loads(path.read_bytes())
        if body["format"] != FORMAT:
            raise ValueError(f"{path} says that this is {body['format']!r}, not a {FORMAT}")
        if body["version"] > NEWEST_VERSION:
            raise ValueError(f"{path} has version {body['version']}; only up to {NEWEST_VERSION} can be served")
        if body["layout"] != "cities":
            raise ValueError(f"{folder} has the layout {body['layout']}: export it again with the layout cities")
        return {
            city: {file: found["rows"] for file, found in entry["files"].items()}
            for city, entry in body["cities"].items()
        }
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, OSError):
        raise ValueError(f"{path} is damaged: export the archive again") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
