"""Archives of the predecessor: prices in whole cents, whole contracts, naive times in UTC, no manifest.

A fetch that failed was stored as "no trades", so nothing in them is proved: every settled market gets the verdict
`unknown` without a volume, and a later backfill walks it. Its candles are wrong in 15 % of traded minutes and are
not read.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.archive.checks import Column, Rule, above_zero, check, check_present, moment, one_of, uuid
from kalshi_ingest.archive.predecessor.rows import Origin, Tables, read_rows
from kalshi_ingest.archive.verification import ROWS, ArchivedCity, Steps, opened
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import FORMAT, MANIFEST, TRADES, ArchiveTable
from kalshi_ingest.parquet.storage import ArchiveStorage

_COLUMNS = ("market_ticker", "created_time", "trade_id", "yes_price", "count", "taker_side")
_NUMBERS = ("yes_price", "count")


def predecessor_folders(storage: ArchiveStorage) -> dict[str, str]:
    """City key → folder, of the folders that look like the predecessor's (`los_angeles` is la).

    Raises `Unusable` for a folder that belongs to no city, and for an archive of this program without its manifest.
    """
    found: dict[str, str] = {}
    for folder in storage.folders():
        if not storage.exists(f"{folder}/markets.parquet"):
            continue
        with opened(storage, f"{folder}/markets.parquet") as file:
            metadata = file.schema_arrow.metadata or {}
        if metadata.get(b"format") == FORMAT.encode():
            raise Unusable(f"{MANIFEST} is missing in {storage}: its export did not end; run the export again")
        key = find_city(folder).key
        if key in found:
            raise Unusable(f"{storage} holds {key} twice: {found[key]} and {folder}")
        found[key] = folder
    return found


def predecessor_city(storage: ArchiveStorage, label: str, folder: str, origin: Origin) -> Steps:
    """Check every row of a city and put it into today's form. Raises `Unusable` that names file, column and row."""
    city = find_city(label)
    rows = read_rows(storage, folder, city, origin)
    yield
    trades = 0
    for batch in _trades(storage, folder, rows):
        trades += batch.num_rows
        yield

    def small(table: ArchiveTable) -> Iterator[list[tuple[Any, ...]]]:
        yield [tuple(row[name] for name in table.names) for row in rows.get(table.name, [])]

    def large(table: ArchiveTable) -> Iterator[pa.RecordBatch]:
        return _trades(storage, folder, rows) if table is TRADES else iter(())

    return ArchivedCity(label, (city.series_ticker,), len(rows["markets"]), trades, small, large, proved=False)


def _trades(storage: ArchiveStorage, folder: str, rows: Tables) -> Iterator[pa.RecordBatch]:
    """The trades in today's schema; none without a file, since the predecessor wrote no file for an empty list."""
    path = f"{folder}/trades.parquet"
    if not storage.exists(path):
        return
    rules = [
        one_of("market_ticker", [row["ticker"] for row in rows["markets"]], "not in markets.parquet"),
        moment("created_time"),
        uuid("trade_id"),
        Rule("yes_price", _in_cents, "not a price in cents, 0 to 100"),
        above_zero("count"),
        one_of("taker_side", ("yes", "no")),
    ]
    row = 1
    with opened(storage, path) as file:
        for name in _COLUMNS:
            if name not in file.schema_arrow.names:
                raise Unusable(f"{path}: column {name} is missing")
        for some in file.iter_batches(ROWS, _COLUMNS):
            plain = _plain(path, some.select(list(_COLUMNS)), row)
            check_present(path, plain, _COLUMNS, row)
            check(path, plain, rules, row)
            yield _modern(plain)
            row += some.num_rows


def _plain(path: str, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
    """Text as text, times in UTC, cents and contracts as integers, whatever a data frame made of them."""
    columns: list[Column] = []
    for name in _COLUMNS:
        column: Column = batch[name]
        try:
            if name == "created_time":
                columns.append(utc(column))
            elif name in _NUMBERS:
                columns.append(pc.cast(column, pa.int64()))
            else:
                columns.append(pc.cast(column, pa.string()))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise Unusable(f"{path}: column {name}, rows from {row:,} on: {reason:.150}") from None
    columns[_COLUMNS.index("trade_id")] = pc.utf8_lower(columns[_COLUMNS.index("trade_id")])
    return pa.RecordBatch.from_arrays(columns, names=list(_COLUMNS))


def utc(column: Column) -> Column:
    """Times as microseconds in UTC; without a zone they are UTC already. Finer ones are refused, never cut."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        coarse: Column = pc.cast(column, pa.timestamp("us"))
        return pc.assume_timezone(coarse, "UTC")
    return pc.cast(column, pa.timestamp("us", tz="UTC"))


def _in_cents(rows: pa.RecordBatch) -> Column:
    column: Column = rows["yes_price"]
    return pc.and_(pc.greater_equal(column, pa.scalar(0)), pc.less_equal(column, pa.scalar(100)))


def _modern(rows: pa.RecordBatch) -> pa.RecordBatch:
    whole = pa.decimal128(19, 0)
    cents: Column = pc.cast(rows["yes_price"], whole)
    dollars: Column = pc.multiply(pc.cast(cents, pa.decimal128(3, 0)), pa.scalar(Decimal("0.010000")))
    counts: Column = pc.cast(rows["count"], whole)
    cast = partial(pc.cast, safe=True)
    columns: list[Column] = [
        rows["market_ticker"],
        rows["created_time"],
        rows["trade_id"],
        cast(dollars, pa.decimal128(7, 6)),
        cast(counts, pa.decimal128(16, 2)),
        rows["taker_side"],
        pa.repeat(pa.scalar(False), rows.num_rows),
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(TRADES.names))
