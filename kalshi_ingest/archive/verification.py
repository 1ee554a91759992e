"""One city of an archive: its files are verified against the manifest and every rule, then read as plain values."""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from kalshi_ingest.archive.candle_proof import CandleProof
from kalshi_ingest.archive.checks import Order, check, check_present, refuse
from kalshi_ingest.archive.rules import Known, rules_of
from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.bounded_reading import BoundedFile
from kalshi_ingest.parquet.manifest import CityEntry, FileEntry
from kalshi_ingest.parquet.schema import (
    CANDLES_1M,
    CANDLES_5M,
    CHECKPOINTS,
    EVENTS,
    LISTINGS,
    MARKETS,
    SERIES,
    TABLES,
    TRADES,
    ArchiveTable,
)
from kalshi_ingest.parquet.storage import ArchiveStorage

ROWS = 16_384
"""Rows in memory at a time."""
_WIDE_ROWS = 500
"""The same, where each row carries the exchange's whole object."""
_BLOCK = 1024 * 1024

_Sums = dict[str, tuple[int, Decimal]]
"""Ticker → trades, contracts."""


@dataclass(frozen=True, slots=True)
class ArchivedCity:
    """A verified city. Each call reads from the start."""

    label: str
    series_tickers: tuple[str, ...]
    markets: int
    trades: int
    rows: Callable[[ArchiveTable], Iterator[list[tuple[Any, ...]]]]
    """The rows of a small table, some at a time; values in the order of its columns."""
    batches: Callable[[ArchiveTable], Iterator[pa.RecordBatch]]
    """The rows of a large table, some at a time."""
    proved: bool = True
    """Rows are sorted by their table's key, each once, and checkpoints count them.

    False for the predecessor's form: neither is known, there are no candles, and a checkpoint's counts are taken from
    what the table holds in the end.
    """


Steps = Generator[None, None, ArchivedCity]
"""Short steps of a long check, so that its caller can stop between two of them."""


def checked_city(storage: ArchiveStorage, label: str, entry: CityEntry) -> Steps:
    """Verify every file of a city against the manifest and every row against the rules, in bounded memory.

    Raises `Unusable` that names file, column and row of the first fault.
    """
    known = Known(_city_key(label, entry), series=entry.series_tickers)
    for table in TABLES:
        path = f"{label}/{table.file}"
        if path not in entry.files:
            raise Unusable(f"{path} is missing from manifest.json of {storage}: export the archive again")
        yield from _same_bytes(storage, path, entry.files[path])
    checked = partial(_checked_file, storage, label, entry, known)
    for table in (SERIES, EVENTS, MARKETS):
        for _ in checked(table):
            yield
    sums = yield from _checked_trades(storage, label, checked)
    row = 1
    for batch in checked(CHECKPOINTS):
        _proofs_hold(f"{label}/{CHECKPOINTS.file}", batch, row, sums)
        row += batch.num_rows
        yield
    for _ in checked(LISTINGS):
        yield

    read = partial(_table_batches, storage, label)
    trades = entry.files[f"{label}/{TRADES.file}"].rows or 0
    return ArchivedCity(label, tuple(entry.series_tickers), len(known.markets), trades, partial(_values, read), read)


def _table_batches(storage: ArchiveStorage, label: str, table: ArchiveTable) -> Iterator[pa.RecordBatch]:
    return batches(storage, f"{label}/{table.file}", table)


def _values(
    read: Callable[[ArchiveTable], Iterator[pa.RecordBatch]], table: ArchiveTable
) -> Iterator[list[tuple[Any, ...]]]:
    for batch in read(table):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def batches(
    storage: ArchiveStorage, path: str, table: ArchiveTable, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """A file's rows: its columns in the table's order, or only some of them.

    Raises `Unusable` when it is not readable or not that table.
    """
    with opened(storage, path) as file:
        _require_columns(path, file.schema_arrow, table)
        size = _WIDE_ROWS if "raw" in table.names else ROWS
        wanted = list(table.names if columns is None else columns)
        held = [name for name in wanted if name in file.schema_arrow.names]
        schema = table.schema()
        asked = pa.schema([schema.field(name) for name in wanted])
        for batch in file.iter_batches(size, held):
            yield _completed(batch, asked)


def _completed(batch: pa.RecordBatch, asked: pa.Schema) -> pa.RecordBatch:
    held = set(batch.schema.names)
    columns = [batch[each.name] if each.name in held else pa.nulls(batch.num_rows, each.type) for each in asked]
    return pa.record_batch(columns, names=asked.names)


@contextmanager
def opened(storage: ArchiveStorage, path: str) -> Iterator[BoundedFile]:
    """A Parquet file that is read page by page; what is wrong with it as `Unusable`."""
    try:
        with storage.open(path) as source, closing(BoundedFile(path, source)) as file:
            yield file
    except FileNotFoundError:
        raise Unusable(f"{path} is missing in {storage}") from None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise Unusable(f"{path} cannot be read: damaged, cut short or no Parquet file ({reason:.150})") from None


def _city_key(label: str, entry: CityEntry) -> str | None:
    if label in {city.key for city in CITIES}:
        return label
    if label in entry.series_tickers:
        return None
    choices = ", ".join(city.key for city in CITIES)
    raise Unusable(f"{label}: neither a city ({choices}) nor one of its own series")


def _same_bytes(storage: ArchiveStorage, path: str, entry: FileEntry) -> Generator[None, None, None]:
    summed, size = hashlib.sha256(), 0
    try:
        with storage.open(path) as file:
            while block := file.read(8 * _BLOCK):
                summed.update(block)
                size += len(block)
                if size > entry.size:  # how much more there is does not matter, and it may never end
                    raise Unusable(f"{path} has more than the {entry.size:,} bytes of manifest.json: it was replaced")
                yield
    except FileNotFoundError:
        raise Unusable(f"{path} is missing in {storage}, though manifest.json lists it") from None
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error}") from None
    if size != entry.size:
        raise Unusable(f"{path} has {size:,} bytes, manifest.json says {entry.size:,}: it was cut short or replaced")
    if summed.hexdigest() != entry.sha256:
        raise Unusable(f"{path} is not the file that manifest.json describes (another SHA-256): damaged or replaced")


def _require_columns(path: str, schema: pa.Schema, table: ArchiveTable) -> None:
    for name, kind, _ in table.columns:
        if name not in schema.names:
            if name in table.added:
                continue
            raise Unusable(f"{path}: column {name} is missing")
        if schema.field(name).type != kind:
            raise Unusable(f"{path}: column {name} is of type {schema.field(name).type}, not {kind}")
    for name in schema.names:
        if name not in table.names or schema.names.count(name) > 1:
            raise Unusable(f"{path}: column {name} does not belong there")


def _checked_file(
    storage: ArchiveStorage, label: str, entry: CityEntry, known: Known, table: ArchiveTable
) -> Iterator[pa.RecordBatch]:
    """The rows of one file, each batch verified first."""
    path = f"{label}/{table.file}"
    rules = rules_of(table, known)
    required = [name for name, _, optional in table.columns if not optional]
    order = Order(path, table.key)
    row = 1
    for batch in batches(storage, path, table):
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid as error:
            raise Unusable(f"{path}: rows from {row:,} on: {error}") from None
        if batch.num_rows:
            check_present(path, batch, required, row)
            check(path, batch, rules, row)
            order.check(batch, row)
        if table is MARKETS:
            known.markets = [*known.markets, *map(str, batch["ticker"].to_pylist())]
        row += batch.num_rows
        yield batch
    if row - 1 != entry.files[path].rows:
        raise Unusable(f"{path} has {row - 1:,} rows, manifest.json says {entry.files[path].rows}")


def _checked_trades(
    storage: ArchiveStorage, label: str, checked: Callable[[ArchiveTable], Iterator[pa.RecordBatch]]
) -> Generator[None, None, _Sums]:
    """The trades, and along with them the candles that they make; per market, how many trades and contracts."""
    candles = {f"{label}/{table.file}": checked(table) for table in (CANDLES_1M, CANDLES_5M)}
    proof = CandleProof(candles, _incomplete(storage, label))
    waiting: list[pa.RecordBatch] = []  # until the next ones are in order too: a row out of order is named as that
    for batch in checked(TRADES):
        for last in waiting:
            proof.add(last)
        waiting = [batch]
        yield
    for last in waiting:
        proof.add(last)
    return proof.end()


def _incomplete(storage: ArchiveStorage, label: str) -> set[str]:
    """Markets that are not said to be complete: their candles may have been forgotten."""
    tickers: set[str] = set()
    for batch in batches(storage, f"{label}/{MARKETS.file}", MARKETS, ["ticker"]):
        tickers.update(map(str, batch["ticker"].to_pylist()))
    for batch in batches(storage, f"{label}/{CHECKPOINTS.file}", CHECKPOINTS, ["ticker", "state"]):
        pairs = zip(batch["ticker"].to_pylist(), batch["state"].to_pylist(), strict=True)
        tickers.difference_update(ticker for ticker, state in pairs if state == State.COMPLETE)
    return tickers


def _proofs_hold(path: str, batch: pa.RecordBatch, first_row: int, sums: _Sums) -> None:
    """A market that is said to be complete has the trades that its checkpoint counts."""
    columns = ("ticker", "state", "trades_stored", "contracts_stored")
    values = zip(*(batch[name].to_pylist() for name in columns), strict=True)
    for row, (ticker, state, *stored) in enumerate(values, first_row):
        if state != State.COMPLETE:
            continue
        for column, said, found in zip(columns[2:], stored, sums.get(ticker, (0, Decimal(0))), strict=True):
            if said != found:
                refuse(path, column, row, f"{said} of {ticker}, but trades.parquet holds {found}")
