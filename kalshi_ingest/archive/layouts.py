"""Which files a table's rows go to: one per city, or one per series and event date."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.parquet.manifest import FileEntry
from kalshi_ingest.parquet.schema import ArchiveTable
from kalshi_ingest.parquet.writing import FileWriter

Stage = Callable[[str], Path]
"""Path below the archive's root → the local path to write that file to before it is published."""

_UNDATED = ("series", "checkpoints", "listings")
"""One file per series in the dataset layout: small tables that are not pruned by date."""


class CityFile:
    """`<city>/<table>.parquet`, made with its first rows; without any an empty file with the full schema."""

    def __init__(self, table: ArchiveTable, city: str, comments: Mapping[str, str], stage: Stage) -> None:
        self.incoming = table.schema(comments)
        self.columns, self.by_date = table.names, False
        self._path = f"{city}/{table.file}"
        self._key = table.key
        self._stage = stage
        self._writer: FileWriter | None = None

    def write(self, rows: pa.Table) -> None:
        self._opened().write(rows)

    def close(self) -> dict[str, FileEntry]:
        return {self._path: self._opened().close()}

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()

    def _opened(self) -> FileWriter:
        if self._writer is None:
            self._writer = FileWriter(self._stage(self._path), self.incoming, self._key)
        return self._writer


class SeriesFiles:
    """`<table>/series_ticker=…/event_date=…/part-0.parquet`, one open at a time.

    The columns in the folders' names are left out of the files. The rows come by event date, which is their first
    column; those of an undated table come without it and go to one file.
    """

    def __init__(self, table: ArchiveTable, series_ticker: str, comments: Mapping[str, str], stage: Stage) -> None:
        self._folder = series_folder(table, series_ticker)
        self._stage = stage
        full = table.schema(comments)
        self.by_date = table.name not in _UNDATED
        """The rows have to come by event date first, with it as their first column."""
        named = ("series_ticker", "event_date") if self.by_date else ("series_ticker",)
        left = [field for field in full if field.name not in named]
        self._schema = pa.schema(left).with_metadata(full.metadata)
        self.columns = tuple(self._schema.names)
        self._key = tuple(name for name in table.key if name not in named)
        first = [pa.field("event_date", pa.date32(), nullable=False)] if self.by_date else []
        self.incoming = pa.schema([*first, *self._schema])
        self._files: dict[str, FileEntry] = {}
        self._path = ""
        self._writer: FileWriter | None = None

    def write(self, rows: pa.Table) -> None:
        for path, part in self._parts(rows):
            if path != self._path:
                self._end_file()
                self._path, self._writer = path, FileWriter(self._stage(path), self._schema, self._key)
            if self._writer is not None:
                self._writer.write(part)

    def close(self) -> dict[str, FileEntry]:
        self._end_file()
        return self._files

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()

    def _parts(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        if not self.by_date:
            yield f"{self._folder}/part-0.parquet", rows.cast(self._schema)
            return
        content = pa.Table.from_arrays(rows.columns[1:], schema=self._schema)
        counted = pc.value_counts(rows.column(0))
        days: list[Any] = counted.field("values").to_pylist()
        counts: list[Any] = counted.field("counts").to_pylist()
        start = 0
        for day, count in zip(days, counts, strict=True):
            yield f"{self._folder}/event_date={day}/part-0.parquet", content.slice(start, count)
            start += count

    def _end_file(self) -> None:
        if self._writer is not None:
            self._files[self._path] = self._writer.close()
            self._writer = None


TableWriter = CityFile | SeriesFiles

_OF_SERIES = re.compile(r"(event_date=[0-9]{4}-[0-9]{2}-[0-9]{2}/)?(part-0\.parquet|\.part-0\.parquet\.partial)")


def is_of_series(path: str) -> bool:
    """Whether a path below `series_folder` is one that `SeriesFiles` gives, whole or partial; others are not ours."""
    return _OF_SERIES.fullmatch(path) is not None


def series_folder(table: ArchiveTable, series_ticker: str) -> str:
    """Where the dataset layout keeps a table's rows of one series."""
    return f"{table.name}/series_ticker={series_ticker}"
