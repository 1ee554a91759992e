"""Exports: exact values, whole files, the same bytes for the same rows, readable by those who read Parquet."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import BinaryIO

import asyncpg
import duckdb
import orjson
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from kalshi_ingest import files
from kalshi_ingest.archive.export import export
from kalshi_ingest.errors import OutOfReach, Unusable
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.parquet.manifest import Layout
from kalshi_ingest.parquet.schema import TABLES
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Simulator
from tests.support import processes
from tests.support.archives import SHUFFLED, assert_whole, child, exported, tree
from tests.support.backfills import Run, fetch, small_world, varied_world
from tests.support.filled import FilledDatabases
from tests.support.postgres import execute

_REPOSITORY = Path(__file__).resolve().parents[2]
DATES = Dates(date(2024, 10, 22), date(2024, 10, 25))
FILES = [table.file for table in TABLES]


@pytest.fixture
async def filled(filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """A database of the test's own with four days of Chicago."""
    async with filled_databases.clone("export", _fill) as url:
        yield url


async def _fill(url: str) -> None:
    async with Simulator(varied_world()) as simulator:
        await Run(simulator.url, url, dates=DATES)()


async def test_every_value_comes_back_exactly(filled: str, tmp_path: Path) -> None:
    text = 'a "quoted" title,\nof two lines \\N \r\n and é'
    await execute(
        filled,
        f"update markets set title = '{text}', floor_strike = 55.5, settlement_value = 0.290001",
        "update markets set title = '', cap_strike = null, expiration_value = null where ticker = "
        '(select min(ticker collate "C") from markets)',
        "update trades set yes_price = 0.290001, count = 12345678901234.56 where trade_id = "
        "(select max(trade_id::text)::uuid from trades)",
    )
    await exported(filled, tmp_path)
    for table in TABLES:
        held = pq.read_table(tmp_path / "chicago" / table.file)
        columns = [f'"{name}"::text' if pa.types.is_string(kind) else f'"{name}"' for name, kind, _ in table.columns]
        where = "" if table.period_minutes is None else f"where period_minutes = {table.period_minutes}"
        rows = [tuple(row) for row in await fetch(filled, f"select {', '.join(columns)} from {table.source} {where}")]
        keys = [table.names.index(name) for name in table.key]
        assert rows, table.name
        rows.sort(key=lambda row: [row[at] for at in keys])
        assert [tuple(row.values()) for row in held.to_pylist()] == rows
        assert held.schema.equals(table.schema(), check_metadata=False)
    markets = pq.read_table(tmp_path / "chicago/markets.parquet")
    assert markets["title"][0].as_py() == ""
    assert markets["title"][1].as_py() == text
    assert markets["floor_strike"][0].as_py() == Decimal("55.500000")
    assert markets["expiration_value"][0].as_py() is None
    assert Decimal("12345678901234.56") in pq.read_table(tmp_path / "chicago/trades.parquet")["count"].to_pylist()


async def test_columns_carry_the_schemas_own_descriptions(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path)
    for table in TABLES:
        schema = pq.read_schema(tmp_path / "chicago" / table.file)
        comments = await fetch(
            filled,
            "select attname, col_description(attrelid, attnum) as comment from pg_attribute "
            "where attrelid = $1::text::regclass and attnum > 0",
            table.source,
        )
        told = {row["attname"]: row["comment"] for row in comments}
        for column in schema:
            assert column.metadata == {b"description": told[column.name].encode()}
        assert (schema.metadata or {})[b"table"].decode() == table.name


async def test_a_city_without_rows_gets_empty_files_with_the_full_schema(database_url: str, tmp_path: Path) -> None:
    result = await exported(database_url, tmp_path, labels=["nyc"])
    for table in TABLES:
        held = pq.read_table(tmp_path / "nyc" / table.file)
        assert held.num_rows == 0
        assert held.schema.equals(table.schema(), check_metadata=False)
    assert (tmp_path / "nyc/summary_report.txt").read_text().startswith("New York\n")
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest["cities"]["nyc"]["series_tickers"] == ["KXHIGHNY"]
    assert manifest["cities"]["nyc"]["first_event_date"] is None
    assert result.cities[0].rows["trades"] == 0
    assert "nyc" in result.as_text()


async def test_the_manifest_counts_and_the_summary_tells(filled: str, tmp_path: Path) -> None:
    result = await exported(filled, tmp_path)
    assert_whole(tmp_path)
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    chicago = manifest["cities"]["chicago"]
    assert sorted(chicago["files"]) == sorted(f"chicago/{name}" for name in [*FILES, "summary_report.txt"])
    for table in TABLES:
        where = "" if table.period_minutes is None else f"where period_minutes = {table.period_minutes}"
        count = (await fetch(filled, f"select count(*) from {table.source} {where}"))[0][0]
        assert chicago["files"][f"chicago/{table.file}"]["rows"] == count == result.cities[0].rows[table.name]
    assert (chicago["first_event_date"], chicago["last_event_date"]) == ("2024-10-22", "2024-10-25")
    report = (tmp_path / "chicago/summary_report.txt").read_text()
    trades = (await fetch(filled, "select count(*) from trades"))[0][0]
    assert report.startswith("Chicago\n=======\nKalshi series KXHIGHCHI: ")
    assert f"{trades:,}  from 2024-10-" in report
    assert "Event dates 2024-10-22 to 2024-10-25" in report
    assert "Gaps\n  none" in report
    assert (
        str((await fetch(filled, "select ticker from trades group by 1 order by count(*) desc limit 1"))[0][0])
        in report
    )


async def test_the_summary_names_what_is_missing(filled: str, tmp_path: Path) -> None:
    lost = (await fetch(filled, "select min(ticker) from markets where event_date = '2024-10-24'"))[0][0]
    await execute(
        filled,
        "delete from events where event_date = '2024-10-23'",
        f"delete from markets where ticker = '{lost}'",
        "update checkpoints set state = 'failed', verdict = null, completed_at = null, error = 'a bad\nfield' "
        f"where ticker = '{lost}'",
    )
    await exported(filled, tmp_path)
    report = (tmp_path / "chicago/summary_report.txt").read_text()
    assert "2024-10-23  the exchange listed 1 events and" in report
    assert "2024-10-24  the exchange listed 1 events and 6 markets, held are 1 and 5" in report
    assert f"{lost}  failed: a bad field" in report
    # its trades are still held and still exported, because its checkpoint knows it
    counted = (await fetch(filled, "select count(*) from trades"))[0][0]
    assert pq.read_metadata(tmp_path / "chicago/trades.parquet").num_rows == counted


@pytest.mark.parametrize("layout", ["cities", "dataset"])
async def test_the_same_rows_give_the_same_bytes(filled: str, tmp_path: Path, layout: Layout) -> None:
    await exported(filled, tmp_path / "a", layout=layout)
    first = tree(tmp_path / "a")
    await exported(filled, tmp_path / "a", layout=layout)
    assert tree(tmp_path / "a") == first
    await execute(filled, *SHUFFLED)
    await exported(filled, tmp_path / "b", layout=layout)
    assert tree(tmp_path / "b") == first


async def test_other_cities_stay_in_the_archive(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path, labels=["nyc"])
    before = {path: sum_ for path, sum_ in tree(tmp_path).items() if path.startswith("nyc/")}
    await exported(filled, tmp_path, labels=["chicago"])
    assert {path: sum_ for path, sum_ in tree(tmp_path).items() if path.startswith("nyc/")} == before
    assert set(orjson.loads((tmp_path / "manifest.json").read_bytes())["cities"]) == {"chicago", "nyc"}


async def test_another_series_goes_to_a_folder_of_its_own_name(database_url: str, tmp_path: Path) -> None:
    world = small_world()
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url, [Wanted("KXHIGHCHI", None)])()
    await exported(database_url, tmp_path)
    assert {path.partition("/")[0] for path in tree(tmp_path)} == {"KXHIGHCHI", "manifest.json"}


async def test_a_series_that_a_backfill_could_not_get_is_no_reason_to_export_nothing(
    filled: str, tmp_path: Path
) -> None:
    database = Database(filled)
    await database.open()
    result = await export(database, ArchiveStorage.at(str(tmp_path)), labels=["chicago", "KXNEW"], expected=True)
    await database.close()
    assert [city.label for city in result.cities] == ["chicago", "KXNEW"]
    assert result.cities[0].rows["trades"] > 0
    assert pq.read_table(tmp_path / "KXNEW/trades.parquet").num_rows == 0
    assert_whole(tmp_path)


async def test_a_series_whose_name_is_a_path_is_not_written(filled: str, tmp_path: Path) -> None:
    await execute(
        filled,
        "insert into series select '../KXHIGH', null, title, category, frequency, settlement_sources, raw, fetched_at "
        "from series",
    )
    with pytest.raises(Unusable, match="cannot be the name of a folder"):
        await exported(filled, tmp_path / "archive")
    assert {path.partition("/")[0] for path in tree(tmp_path)} <= {"archive"}


async def test_what_cannot_be_exported_is_said(filled: str, database_url: str, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="nothing is held yet"):
        await exported(database_url, tmp_path / "a")
    with pytest.raises(Unusable, match="nothing is held of KXRAIN"):
        await exported(filled, tmp_path / "a", labels=["KXRAIN"])
    await exported(filled, tmp_path / "b")
    before = tree(tmp_path / "b")
    with pytest.raises(Unusable, match="layout cities: give dataset a folder of its own"):
        await exported(filled, tmp_path / "b", layout="dataset")
    assert tree(tmp_path / "b") == before


async def test_a_place_that_cannot_be_written_to(filled: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Unusable, match=r"cannot write to .*file"):
        await exported(filled, tmp_path / "file")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/chicago").write_text("mine")
    with pytest.raises(Unusable, match=r"cannot write to .*archive"):
        await exported(filled, tmp_path / "archive")
    assert sorted(tree(tmp_path)) == ["archive/chicago", "file"]


async def test_a_full_disk_leaves_nothing_half_written(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exported(filled, tmp_path)
    before = tree(tmp_path)
    await execute(filled, "update trades set yes_price = 0.5")

    def on_a_full_disk(path: Path) -> BinaryIO:
        return Path("/dev/full").open("w+b") if path.name.startswith(".trades") else files.created(path)

    with monkeypatch.context() as patched:
        patched.setattr("kalshi_ingest.parquet.writing.files", SimpleNamespace(created=on_a_full_disk))
        with pytest.raises(OutOfReach, match="no room left"):
            await exported(filled, tmp_path)
    assert tree(tmp_path) == before
    await exported(filled, tmp_path)
    assert tree(tmp_path) != before


@pytest.mark.parametrize(
    ("layout", "table", "damage"),
    [
        ("cities", "markets", "update markets set open_time = 'infinity'"),
        ("dataset", "markets", "update markets set close_time = '-infinity' where event_date = '2024-10-24'"),
        ("cities", "trades", "update trades set created_time = 'infinity' where ticker like '%24OCT22%'"),
        ("dataset", "trades", "update trades set created_time = '-infinity' where ticker like '%24OCT25%'"),
    ],
)
async def test_a_row_without_a_place_in_the_archive_takes_its_city_only(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, table: str, damage: str
) -> None:
    """As an older version stored it; the COPY is under way, or over, when it shows."""
    every = ["nyc", "chicago", "miami"]
    await exported(filled, tmp_path, layout=layout, labels=every)
    before = tree(tmp_path)
    await execute(filled, damage)
    for chunk in (1_000, 2_000_000):
        monkeypatch.setattr("kalshi_ingest.archive.queries.reading._CHUNK", chunk)
        result = await exported(filled, tmp_path, layout=layout, labels=every)
        assert {city.label for city in result.cities} == {"nyc", "miami"}
        assert list(result.failed) == ["chicago"]
        assert f"a row of {table} has no place in the archive: column " in result.failed["chicago"]
        assert "kalshi-ingest coverage --fix" in result.as_text()
        assert tree(tmp_path) == before


async def test_two_exports_do_not_write_to_one_place(filled: str, tmp_path: Path) -> None:
    with ArchiveStorage.at(str(tmp_path)).locked(), pytest.raises(Unusable, match="another program is writing"):
        await exported(filled, tmp_path)


async def test_a_dataset_is_partitioned_and_holds_every_row(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path / "cities")
    await exported(filled, tmp_path / "dataset", layout="dataset")
    assert_whole(tmp_path / "dataset")
    for table in TABLES:
        whole = pq.read_table(tmp_path / "cities/chicago" / table.file)
        parts = pyarrow.dataset.dataset(tmp_path / "dataset" / table.name, partitioning="hive").to_table()
        assert set(parts.column_names) >= set(table.names)
        for name in ("series_ticker", "event_date"):
            if name in table.names:
                parts = parts.set_column(
                    parts.column_names.index(name), name, parts[name].cast(pa.string()).cast(whole[name].type)
                )
        ordered = parts.select(table.names).sort_by([(name, "ascending") for name in table.key])
        assert ordered.to_pylist() == whole.to_pylist()
    day = tmp_path / "dataset/trades/series_ticker=KXHIGHCHI/event_date=2024-10-24"
    assert [path.name for path in day.iterdir()] == ["part-0.parquet"]
    assert "ticker" in pq.read_schema(day / "part-0.parquet").names
    assert "event_date" not in pq.read_schema(day / "part-0.parquet").names
    tickers = pq.read_table(day / "part-0.parquet", partitioning=None)["ticker"].to_pylist()
    assert {str(ticker).split("-")[1] for ticker in tickers} == {"24OCT24"}


async def test_partitions_that_are_gone_vanish(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path, layout="dataset")
    day = tmp_path / "trades/series_ticker=KXHIGHCHI/event_date=2024-10-25"
    (day / ".part-0.parquet.partial").write_text("left by a killed run")
    await execute(
        filled, "delete from trades using markets where markets.ticker = trades.ticker and event_date = '2024-10-25'"
    )
    await exported(filled, tmp_path, layout="dataset")
    assert not day.exists()
    assert (day.parent / "event_date=2024-10-24").exists()
    assert_whole(tmp_path)


async def test_duckdb_reads_both_layouts(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path / "cities")
    await exported(filled, tmp_path / "dataset", layout="dataset")
    expected = tuple((await fetch(filled, "select count(*), sum(count), sum(yes_price * count) from trades"))[0])
    connection = duckdb.connect()
    for source in ("cities/*/trades.parquet", "dataset/trades/**/*.parquet"):
        query = f"select count(*), sum(count), sum(yes_price * count) from read_parquet('{tmp_path}/{source}')"
        assert connection.execute(query).fetchone() == expected
    query = f"select min(event_date), max(series_ticker) from read_parquet('{tmp_path}/dataset/markets/**/*.parquet')"
    assert connection.execute(query).fetchone() == (date(2024, 10, 22), "KXHIGHCHI")
    connection.close()


async def test_polars_reads_both_layouts(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path / "cities")
    await exported(filled, tmp_path / "dataset", layout="dataset")
    expected = tuple((await fetch(filled, "select count(*), sum(count), max(created_time) from trades"))[0])
    for source in ("cities/*/trades.parquet", "dataset/trades/**/*.parquet"):
        frame = polars.read_parquet(f"{tmp_path}/{source}")
        assert (frame.height, frame["count"].sum(), frame["created_time"].max()) == expected


async def test_object_storage(filled: str, tmp_path: Path) -> None:
    """Through pyarrow's file systems, as s3:// is; here one that keeps its objects below a folder."""
    from pyarrow import fs

    (tmp_path / "bucket").mkdir()
    remote = ArchiveStorage(
        fs.SubTreeFileSystem(str(tmp_path / "bucket"), fs.LocalFileSystem()), "archive", "bucket://archive"
    )
    database = Database(filled)
    await database.open()
    for _ in range(2):
        await export(database, remote)
    await database.close()
    await exported(filled, tmp_path / "local")
    assert tree(tmp_path / "bucket/archive") == tree(tmp_path / "local")


async def test_files_agree_with_each_other_while_rows_come_in(filled: str, tmp_path: Path) -> None:
    """Rows and their checkpoint commit together, so an archive that is no snapshot would show one without the other."""
    ticker = (await fetch(filled, "select max(ticker) from checkpoints"))[0][0]
    ended = asyncio.Event()

    async def keep_writing() -> int:
        connection = await asyncpg.connect(filled)
        commits = 0
        while not ended.is_set():
            async with connection.transaction():
                row = "insert into trades select $1, now(), gen_random_uuid(), 0.5, 1, 'yes', false"
                await connection.execute(row, ticker)
                await connection.execute(
                    "update checkpoints set trades_stored = trades_stored + 1 where ticker = $1", ticker
                )
            commits += 1
        await connection.close()
        return commits

    writing = asyncio.create_task(keep_writing())
    for attempt in range(3):
        await exported(filled, tmp_path / str(attempt))
    ended.set()
    assert await writing > 10
    for attempt in range(3):
        folder = tmp_path / str(attempt) / "chicago"
        trades = pq.read_table(folder / "trades.parquet", columns=["ticker"])["ticker"].to_pylist()
        checkpoints = pq.read_table(folder / "checkpoints.parquet").to_pylist()
        assert {row["ticker"]: row["trades_stored"] for row in checkpoints if row["trades_stored"]} == Counter(trades)
        assert f"{len(trades):,}  from" in (folder / "summary_report.txt").read_text()


async def test_a_cancelled_export_leaves_nothing_half_written(filled: str, tmp_path: Path) -> None:
    await exported(filled, tmp_path)
    before = tree(tmp_path)
    for turns in range(0, 120, 8):
        exporting = asyncio.create_task(exported(filled, tmp_path))
        for _ in range(turns):
            await asyncio.sleep(0)
        while turns > 40 and not list((tmp_path / "chicago").glob(".*")) and not exporting.done():
            await asyncio.sleep(0)
        exporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exporting
        assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "kills"),
    [("cities", 2), *(pytest.param(layout, 30, marks=pytest.mark.long) for layout in ("cities", "dataset"))],
)
async def test_a_killed_export_leaves_whole_files_only(filled: str, tmp_path: Path, layout: Layout, kills: int) -> None:
    """The rows change between the runs, so that what is killed is replacing other files."""
    await execute(filled, "update trades set yes_price = 0.5 where ticker like '%24OCT23%'")
    await exported(filled, tmp_path / "odd", layout=layout)
    await execute(filled, "update trades set yes_price = 0.25")
    await exported(filled, tmp_path / "even", layout=layout)
    seconds = await _export_in_a_process(filled, tmp_path / "timed", layout) or 0.0
    folder, random, killed, attempts = tmp_path / "killed", Random(3), 0, 0
    while killed < kills:
        attempts += 1
        assert attempts < 10 * kills, "exports are all faster than their killer"
        await execute(filled, f"update trades set yes_price = {('0.25', '0.75')[attempts % 2]}")
        took = await _export_in_a_process(filled, folder, layout, kill_after=random.uniform(0, seconds))
        killed += took is None
        if folder.exists():
            assert_whole(folder)
    await execute(filled, "update trades set yes_price = 0.25")
    await exported(filled, folder, layout=layout)
    assert tree(folder) == tree(tmp_path / "even") != tree(tmp_path / "odd")


async def _export_in_a_process(url: str, folder: Path, layout: Layout, kill_after: float | None = None) -> float | None:
    """How many seconds one took after it had begun; None when it was killed."""
    process = await processes.start(
        *child(url, folder, layout),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    loop = asyncio.get_running_loop()
    began = loop.time()
    if kill_after is not None:
        loop.call_later(kill_after, _kill, process)
    code = await process.wait()
    assert code in (0, -signal.SIGKILL)
    return None if code else loop.time() - began


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # `process.kill` takes the exit code of one that has just ended
