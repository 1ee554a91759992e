"""`export`: the tables as Parquet files, city by city, all as they were at one instant."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from kalshi_ingest.archive.copy_out import UnfitRow, copied, in_thread
from kalshi_ingest.archive.layouts import CityFile, SeriesFiles, TableWriter, is_of_series, series_folder
from kalshi_ingest.archive.partitions import Partition, partitions
from kalshi_ingest.archive.queries import reading
from kalshi_ingest.archive.queries.city_facts import city_facts
from kalshi_ingest.archive.summary import summary_report
from kalshi_ingest.errors import Unusable
from kalshi_ingest.files import created
from kalshi_ingest.parquet.manifest import CityEntry, FileEntry, Layout, Manifest, read_manifest
from kalshi_ingest.parquet.schema import MANIFEST, SUMMARY, TABLES, ArchiveTable
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.parquet.writing import described
from kalshi_ingest.postgres.database import Connection, Database
from kalshi_ingest.text_table import table as text_table

_AT_A_TIME = 4
"""Files that are published at the same time: each waits for the disk or for the network."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CityResult:
    label: str
    series_tickers: tuple[str, ...]
    rows: Mapping[str, int]
    """File kind (`trades`, `candles_1m`, …) → rows."""
    files: int
    size: int
    """Bytes of all its files."""
    seconds: float


@dataclass(frozen=True, slots=True)
class ExportResult:
    place: str
    layout: Layout
    cities: list[CityResult]
    failed: dict[str, str]
    """City → why nothing of it was written; what the archive held of it before stays."""

    def as_text(self) -> str:
        counted = ("markets", "trades", "candles_1m", "candles_5m")
        counts = [(*(city.rows[name] for name in counted), city.files, city.size) for city in self.cities]
        rows = [(city.label, *count, f"{city.seconds:.1f}") for city, count in zip(self.cities, counts, strict=True)]
        sums = [sum(column) for column in zip(*counts, strict=True)]
        seconds = f"{sum(city.seconds for city in self.cities):.1f}"
        header = ("city", "markets", "trades", "1m", "5m", "files", "bytes", "seconds")
        parts = (
            [text_table(header, rows, total=("total", *sums, seconds)), f"\nWritten to {self.place}."] if rows else []
        )
        if self.failed:
            parts += ["\nnot exported (nothing of it was written):" if rows else "not exported:"]
            parts += [f"  {label}: {reason}" for label, reason in self.failed.items()]
        return "\n".join(parts)


async def export(
    database: Database,
    storage: ArchiveStorage,
    *,
    layout: Layout = "cities",
    labels: Sequence[str] | None = None,
    expected: bool = False,
) -> ExportResult:
    """Write the archive of each label: a city's key, or the ticker of another series; None: all that are held.

    Each city appears whole: its files are staged, published, and only then named by the manifest. What the
    archive holds of other cities stays as it is. A city with a row that has no place in an archive is left out and
    listed. Raises `Unusable` for a label of which nothing is held unless it is
    `expected` (it then gets empty files, as a city does), and for a place that cannot be written to or holds the
    other layout; `OutOfReach` when there is no room left, or when the database or the object storage goes away. What
    was published before either stays whole.
    """

    async def work(connection: Connection) -> ExportResult:
        async with reading.snapshot(connection):
            cities = partitions(await reading.held_series(connection), labels, expected=expected)
            comments = {
                source: await reading.comments(connection, source)
                for source in dict.fromkeys(table.source for table in TABLES)
            }
            manifest = await in_thread(storage, lambda: _manifest(storage, layout))
            exporting = _Exporting(connection, storage, manifest, comments)
            result = ExportResult(str(storage), layout, [], {})
            for city in cities:
                try:
                    result.cities.append(await exporting.city(city))
                except UnfitRow as error:
                    log.warning("export_failed", city=city.label, reason=str(error))
                    result.failed[city.label] = str(error)
            return result

    with storage.locked():
        return await database.alone(work)


def _manifest(storage: ArchiveStorage, layout: Layout) -> Manifest:
    manifest = read_manifest(storage) or Manifest(layout)
    if manifest.layout != layout:
        raise Unusable(
            f"{storage} holds an archive with the layout {manifest.layout}: give {layout} a folder of its own"
        )
    return manifest


@dataclass(slots=True)
class _Written:
    make: Callable[[str], Path]
    staged: dict[str, Path] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def stage(self, path: str) -> Path:
        self.staged[path] = self.make(path)
        return self.staged[path]


@dataclass(frozen=True, slots=True)
class _Exporting:
    connection: Connection
    storage: ArchiveStorage
    manifest: Manifest
    comments: Mapping[str, Mapping[str, str]]

    async def city(self, city: Partition) -> CityResult:
        """Write beside the archive, publish, and name in the manifest."""
        started = time.monotonic()
        held = await reading.held_tickers(self.connection, list(city.series))
        facts = await city_facts(self.connection, city.series, [each.ticker for each in held], daily=city.daily)
        with self.storage.staging() as make:
            written = _Written(make)
            if self.manifest.layout == "cities":
                await self._tables(list(city.series), partial(self._city_file, city.label, written), written)
                report = written.stage(f"{city.label}/{SUMMARY}")
                text = summary_report(city.name, facts, {Path(path).name: file for path, file in written.files.items()})
                with created(report) as file:
                    file.write(text.encode())
                written.files[f"{city.label}/{SUMMARY}"] = described(report, None)
            else:
                for series_ticker in city.series:
                    await self._tables([series_ticker], partial(self._series_files, series_ticker, written), written)
            entry = CityEntry(tuple(sorted(city.series)), facts.first_event_date, facts.last_event_date, written.files)
            await in_thread(self.storage, lambda: self._publish(city.label, entry, written.staged))
        size = sum(file.size for file in written.files.values())
        seconds = time.monotonic() - started
        log.info("exported", city=city.label, rows=sum(written.rows.values()), bytes=size, seconds=round(seconds, 3))
        return CityResult(city.label, entry.series_tickers, written.rows, len(written.files), size, seconds)

    def _city_file(self, label: str, written: _Written, table: ArchiveTable) -> TableWriter:
        return CityFile(table, label, self.comments[table.source], written.stage)

    def _series_files(self, series_ticker: str, written: _Written, table: ArchiveTable) -> TableWriter:
        return SeriesFiles(table, series_ticker, self.comments[table.source], written.stage)

    async def _tables(
        self, series_tickers: Sequence[str], opened: Callable[[ArchiveTable], TableWriter], written: _Written
    ) -> None:
        held = await reading.held_tickers(self.connection, series_tickers)
        for table in TABLES:
            writer = opened(table)  # which makes no file yet
            rows = reading.Rows(table.source, writer.columns, table.key, writer.by_date, table.period_minutes)
            if "series_ticker" in table.names:
                read = partial(reading.copy_of_series, self.connection, rows, series_tickers)
            else:
                read = partial(reading.copy_of_tickers, self.connection, rows, held)
            files = await copied(self.storage, table.name, writer, read)
            written.files |= files
            written.rows[table.name] = written.rows.get(table.name, 0) + sum(file.rows or 0 for file in files.values())

    def _publish(self, label: str, entry: CityEntry, staged: Mapping[str, Path]) -> None:
        """The manifest never names a file that is not the one it describes."""
        if self.manifest.cities.get(label, entry) != entry:
            del self.manifest.cities[label]
            self.storage.write(MANIFEST, self.manifest.as_json())
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            for _ in pool.map(lambda each: self.storage.publish(each[1], each[0]), staged.items()):
                pass
        if self.manifest.layout == "dataset":
            for table in TABLES:
                for series_ticker in entry.series_tickers:
                    self.storage.sweep(series_folder(table, series_ticker), staged, is_of_series)
        self.manifest.cities[label] = entry
        self.storage.write(MANIFEST, self.manifest.as_json())
