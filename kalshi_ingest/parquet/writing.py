"""Rows into a Parquet file, a row group at a time. The same rows give the same bytes, however they arrive."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_ingest import files
from kalshi_ingest.parquet.manifest import FileEntry

_ROWS_PER_GROUP = 100_000
_WIDE_ROWS_PER_GROUP = 5_000
"""Where each row carries the exchange's whole object: some kilobytes."""

_UNREPEATED = frozenset({"trade_id", "raw", "fetched_at"})
"""Columns of which (nearly) every value is another, so that a dictionary of them is no gain."""

# What DuckDB, Polars and Spark 3 all read: format 2.6 with pages of the first version.
_OPTIONS: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "write_statistics": True,
    "write_page_index": True,
    "store_decimal_as_integer": True,
}


class FileWriter:
    def __init__(self, path: Path, schema: pa.Schema, key: tuple[str, ...]) -> None:
        """`key`: the columns that the rows are sorted by, as the file then says of itself."""
        self._path = path
        self._schema = schema
        self._most = _WIDE_ROWS_PER_GROUP if "raw" in schema.names else _ROWS_PER_GROUP
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._rows = 0
        options: dict[str, Any] = {
            "use_dictionary": [name for name in schema.names if name not in _UNREPEATED],
            "sorting_columns": [pq.SortingColumn(schema.get_field_index(name)) for name in key],
        }
        self._file = files.created(path)
        self._writer = pq.ParquetWriter(self._file, schema, **_OPTIONS, **options)

    def write(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        while self._waiting_rows >= self._most:
            self._write_group(self._most)

    def close(self) -> FileEntry:
        """Write what is left; the file's rows, bytes and checksum."""
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        self._writer.close()
        self._file.close()
        return described(self._path, self._rows)

    def abandon(self) -> None:
        """Close an unfinished file that is not needed any more."""
        self._waiting.clear()
        with suppress(OSError, pa.ArrowException):  # as on a full disk
            self._writer.close()
        with suppress(OSError):
            self._file.close()

    def _write_group(self, rows: int) -> None:
        everything = pa.concat_tables(self._waiting)
        rest = everything.slice(rows)
        # In one piece, because the ends of pieces show in the file.
        self._writer.write_table(everything.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._waiting = [rest] if rest.num_rows else []
        self._waiting_rows = rest.num_rows
        self._rows += rows


def described(path: Path, rows: int | None) -> FileEntry:
    """What the manifest says of a file."""
    with path.open("rb") as file:
        return FileEntry(rows, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
