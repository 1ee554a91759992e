"""Parquet files: exact, described, sorted, and the same bytes for the same rows."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_ingest.archive.copy_out import CsvParser
from kalshi_ingest.archive.layouts import CityFile, SeriesFiles
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import EVENTS, MARKETS, TRADES
from kalshi_ingest.parquet.writing import FileWriter

SCHEMA = TRADES.schema({"yes_price": "Dollars."})
ID = "00000000-0000-4000-8000-{:012d}"


def _csv(rows: int) -> bytes:
    lines = [f"T{n // 700:04d},2025-05-02 14:00:00.{n:06d}+00,{ID.format(n)},0.290001,12.50,yes,f" for n in range(rows)]
    return ("\n".join(lines) + "\n").encode()


def _written(path: Path, rows: pa.Table, chunk: int) -> str:
    writer = FileWriter(path, SCHEMA, TRADES.key)
    for start in range(0, rows.num_rows, chunk):
        writer.write(rows.slice(start, chunk))
    entry = writer.close()
    assert (entry.rows, entry.size) == (rows.num_rows, path.stat().st_size)
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return entry.sha256


def test_chunks_do_not_show_in_the_file(tmp_path: Path) -> None:
    rows = CsvParser(SCHEMA, "trades").parse(_csv(230_000))
    sums = {_written(tmp_path / f"{chunk}", rows, chunk) for chunk in (999, 100_000, 230_000)}
    assert len(sums) == 1
    metadata = pq.read_metadata(tmp_path / "999")
    assert [metadata.row_group(at).num_rows for at in range(3)] == [100_000, 100_000, 30_000]
    assert pq.read_table(tmp_path / "999").equals(rows)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    _written(tmp_path / "file", CsvParser(SCHEMA, "trades").parse(_csv(10)), 10)
    metadata = pq.read_metadata(tmp_path / "file")
    group = metadata.row_group(0)
    assert [(column.column_index, column.descending) for column in group.sorting_columns] == [
        (0, False),
        (1, False),
        (2, False),
    ]
    price = group.column(3)
    assert price.statistics is not None
    assert (price.compression, price.statistics.min, price.statistics.max) == (
        "ZSTD",
        Decimal("0.290001"),
        Decimal("0.290001"),
    )
    assert group.column(0).has_dictionary_page
    schema = pq.read_schema(tmp_path / "file")
    assert schema.field("yes_price").metadata == {b"description": b"Dollars."}
    assert (schema.metadata or {})[b"sorted_by"] == b"ticker, created_time, trade_id"
    assert not schema.field("ticker").nullable


def test_postgresqls_csv_is_read_exactly() -> None:
    parser = CsvParser(
        pa.schema([MARKETS.schema().field(name) for name in ("title", "result", "floor_strike")]), "markets"
    )
    rows = parser.parse(b'"a ""b"",\n\r\nc",,55.5\n"",yes,\n,\\N,-3\n"NULL",NA,100000000000000\n')
    assert rows.to_pylist() == [
        {"title": 'a "b",\n\r\nc', "result": None, "floor_strike": Decimal("55.500000")},
        {"title": "", "result": "yes", "floor_strike": None},
        {"title": None, "result": "\\N", "floor_strike": Decimal("-3.000000")},
        {"title": "NULL", "result": "NA", "floor_strike": Decimal("100000000000000.000000")},
    ]


def test_a_time_keeps_its_microseconds() -> None:
    rows = CsvParser(SCHEMA, "trades").parse(_csv(2))
    assert rows["created_time"][1].as_py() == datetime(2025, 5, 2, 14, 0, 0, 1, tzinfo=UTC)
    assert rows["is_block_trade"].to_pylist() == [False, False]


def test_a_value_that_does_not_fit_is_named() -> None:
    with pytest.raises(Unusable, match=r"a row of trades has no place in the archive: column yes_price: .*data loss"):
        CsvParser(SCHEMA, "trades").parse(_csv(1).replace(b"0.290001", b"0.2900001"))


def test_without_rows_a_city_gets_an_empty_file(tmp_path: Path) -> None:
    files = CityFile(TRADES, "nyc", {}, lambda path: tmp_path / path.replace("/", "-")).close()
    assert files["nyc/trades.parquet"].rows == 0
    assert pq.read_table(tmp_path / "nyc-trades.parquet").schema.equals(TRADES.schema(), check_metadata=True)


def test_partitions_are_cut_at_dates_wherever_chunks_end(tmp_path: Path) -> None:
    def aside(path: str) -> Path:
        (tmp_path / path).parent.mkdir(parents=True)
        return tmp_path / path

    files = SeriesFiles(EVENTS, "KXHIGHCHI", {}, aside)
    assert files.incoming.names == ["event_date", "event_ticker", "city", "title", "raw", "fetched_at"]
    days = ["2025-05-01", "2025-05-01", "2025-05-02", "2025-05-02", "2025-05-03"]
    lines = [f"{day},E{n},chicago,,{{}},2025-05-02 14:00:00+00\n" for n, day in enumerate(days)]
    rows = CsvParser(files.incoming, "events").parse("".join(lines).replace(",,", ',"",').encode())
    for part in (rows.slice(0, 3), rows.slice(3)):
        files.write(part)
    written = files.close()
    folder = "events/series_ticker=KXHIGHCHI"
    assert {path: file.rows for path, file in written.items()} == {
        f"{folder}/event_date=2025-05-01/part-0.parquet": 2,
        f"{folder}/event_date=2025-05-02/part-0.parquet": 2,
        f"{folder}/event_date=2025-05-03/part-0.parquet": 1,
    }
    middle = pq.read_table(tmp_path / folder / "event_date=2025-05-02/part-0.parquet", partitioning=None)
    assert middle["event_ticker"].to_pylist() == ["E2", "E3"]
