"""`export`, `load` and `backfill --parquet` as a user meets them: real processes, real database, real files."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson
import pytest

from kalshi_ingest.parquet.schema import TABLES
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import END, START, backfill, healthy, one_line, run, started
from tests.cli.test_cli import ended as end_of
from tests.support.archives import assert_whole, tree
from tests.support.backfills import fetch
from tests.support.filled import FilledDatabases
from tests.support.loads import counts, held
from tests.support.patience import COMES, ENDS
from tests.support.postgres import execute


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    world = SyntheticWorld(WorldConfig(start=START, end=END, now=datetime(2026, 1, 20, tzinfo=UTC)))
    async with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
async def filled(exchange: Simulator, filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """A database of the test's own with three days of Chicago and Denver."""

    async def fill(url: str) -> None:
        made = await run(*backfill("--city", "chicago", "--city", "denver"), **healthy(exchange, url))
        assert made.code == 0, made.err

    async with filled_databases.clone("cli_archive", fill) as url:
        yield url


async def test_out_and_in_again(filled: str, database_url: str, tmp_path: Path) -> None:
    there = str(tmp_path / "archive")
    out = await run("export", "--output", there, DATABASE_URL=filled)
    assert out.code == 0, out.err
    assert out.out.splitlines()[-1] == f"Written to {there}."
    assert [line.split()[0] for line in out.out.splitlines()[2:4]] == ["chicago", "denver"]
    assert_whole(tmp_path / "archive")

    back = await run("load", "--input", there, "--refresh-grid", DATABASE_URL=database_url)
    assert back.code == 0, back.err
    assert [line.split()[0] for line in back.out.splitlines()[2:4]] == ["chicago", "denver"]
    assert "weather grid holds 0 rows" in back.out
    assert await held(database_url) == await held(filled)
    again = await run("load", "--input", there, "--city", "Chicago", DATABASE_URL=database_url)
    assert again.code == 0
    assert again.out.splitlines()[2].split() == ["chicago", "0", "0", "0", "0", "0"]

    second = await run("export", "--output", str(tmp_path / "second"), DATABASE_URL=database_url)
    assert second.code == 0
    assert tree(tmp_path / "second") == tree(tmp_path / "archive")


async def test_city_by_city_is_the_same_as_at_once(filled: str, tmp_path: Path) -> None:
    for name in ("Denver", "KXHIGHCHI"):
        option = "--series" if name.startswith("KX") else "--city"
        assert (await run("export", "--output", str(tmp_path / "one"), option, name, DATABASE_URL=filled)).code == 0
        manifest = orjson.loads((tmp_path / "one/manifest.json").read_bytes())
        assert "denver" in manifest["cities"]
        assert_whole(tmp_path / "one")
    for place in ("one", "two"):
        assert (await run("export", "--output", str(tmp_path / place), DATABASE_URL=filled)).code == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


async def test_what_cannot_be_exported(filled: str, database_url: str, tmp_path: Path) -> None:
    there = ("export", "--output", str(tmp_path / "archive"))
    one_line(await run(*there, DATABASE_URL=database_url), code=2, saying="nothing is held yet")
    one_line(await run(*there, "--city", "atlantis", DATABASE_URL=filled), code=2, saying="atlantis")
    one_line(await run(*there, "--series", "KXRAIN", DATABASE_URL=filled), code=2, saying="nothing is held of KXRAIN")
    odd = await run(*there, "--series", "KX/../../odd", DATABASE_URL=filled)
    one_line(odd, code=2, saying="cannot be the name of a folder")
    assert not (tmp_path / "archive/manifest.json").exists()
    nowhere = await run("export", "--output", "nowhere://me:hunter2@bucket/x", DATABASE_URL=filled)
    one_line(nowhere, code=2, saying="nowhere://bucket/x is not a place for an archive")
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        result = await run("export", "--output", str(tmp_path / place), DATABASE_URL=filled)
        one_line(result, code=2, saying="cannot write to")


async def test_a_city_of_which_nothing_is_held_gets_empty_files(filled: str, tmp_path: Path) -> None:
    result = await run("export", "--output", str(tmp_path), "--city", "new york", DATABASE_URL=filled)
    assert result.code == 0, result.err
    assert {path.name for path in (tmp_path / "nyc").iterdir()} == {
        *(table.file for table in TABLES),
        "summary_report.txt",
    }
    assert "Nothing is held of it." in (tmp_path / "nyc/summary_report.txt").read_text()


async def test_what_cannot_be_loaded(filled: str, database_url: str, tmp_path: Path) -> None:
    for where in ("cities", "dataset"):
        done = await run("export", "--output", str(tmp_path / where), "--layout", where, DATABASE_URL=filled)
        assert done.code == 0, done.err

    async def load(place: str, *more: str) -> None:
        result = await run("load", "--input", str(tmp_path / place), *more[1:], DATABASE_URL=database_url)
        one_line(result, code=2, saying=more[0])

    await load("nowhere", "no such folder")
    await load("dataset", "export it without --layout")
    await load("cities", "does not hold miami", "--city", "miami")
    await load("cities", "atlantis", "--city", "atlantis")
    assert set((await counts(database_url)).values()) == {0}

    trades = tmp_path / "cities/denver/trades.parquet"
    trades.write_bytes(trades.read_bytes()[:-1])
    result = await run("load", "--input", str(tmp_path / "cities"), DATABASE_URL=database_url)
    assert result.code == 1, result.err
    assert "not loaded (nothing of it was written):\n  denver: denver/trades.parquet has " in result.out
    assert {row[0] for row in await fetch(database_url, "select city from series")} == {"chicago"}
    await load("cities", "nothing was loaded: denver/trades.parquet has", "--city", "denver")


async def test_a_backfill_that_also_writes_the_archive(exchange: Simulator, database_url: str, tmp_path: Path) -> None:
    asked = backfill("--city", "chicago", "--parquet", str(tmp_path / "archive"))
    result = await run(*asked, **healthy(exchange, database_url))
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == f"Written to {tmp_path / 'archive'}."
    assert_whole(tmp_path / "archive")
    cities = orjson.loads((tmp_path / "archive/manifest.json").read_bytes())["cities"]
    assert set(cities) == {"chicago"}
    trades = (await fetch(database_url, "select count(*) from trades"))[0][0]
    assert cities["chicago"]["files"]["chicago/trades.parquet"]["rows"] == trades > 0


async def test_a_bad_place_is_refused_before_the_backfill(
    exchange: Simulator, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file"), "nowhere://bucket"):
        result = await run(*backfill("--parquet", place), **healthy(exchange, database_url))
        one_line(result, code=2, saying="is not a place for an archive" if "://" in place else "cannot write to")
    assert exchange.stats.total == 0


@asynccontextmanager
async def _held_up(url: str, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Whoever wants to write to a table waits."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table} in share row exclusive mode")
            yield connection
    finally:
        await connection.close()


async def _waiting(connection: asyncpg.Connection) -> None:
    while not await connection.fetchval("select count(*) from pg_locks where not granted"):
        await asyncio.sleep(0.01)


async def test_what_contradicts_or_cannot_be_is_named_and_ends_with_1(filled: str, tmp_path: Path) -> None:
    """One wrong trade in the database, then one impossible moment: the other city and markets come through."""
    there = str(tmp_path)
    assert (await run("export", "--output", there, DATABASE_URL=filled)).code == 0
    ticker = (await fetch(filled, "select min(ticker) from trades where ticker like 'KXHIGHCHI%'"))[0][0]
    await execute(
        filled,
        f"update trades set yes_price = 0.123456 where ticker = '{ticker}'",
        f"delete from checkpoints where ticker = '{ticker}'",
    )
    loaded = await run("load", "--input", there, DATABASE_URL=filled)
    assert loaded.code == 1, loaded.err
    assert f"  {ticker}: trade " in loaded.out
    assert loaded.out.splitlines()[-1].startswith("To ask the exchange: kalshi-ingest backfill --start ")
    assert [line.split()[0] for line in loaded.out.splitlines()[2:4]] == ["chicago", "denver"]
    before = tree(tmp_path)
    await execute(filled, f"update markets set open_time = 'infinity' where ticker = '{ticker}'")
    out = await run("export", "--output", there, DATABASE_URL=filled)
    assert out.code == 1, out.err
    assert "not exported (nothing of it was written):\n  chicago: a row of markets has no place" in out.out
    assert out.out.splitlines()[2].split()[0] == "denver"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("which", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
async def test_a_stopped_export_leaves_what_was_there(filled: str, tmp_path: Path, which: signal.Signals) -> None:
    assert (await run("export", "--output", str(tmp_path), DATABASE_URL=filled)).code == 0
    before = tree(tmp_path)
    # So many that there is time to stop it while it writes its first city.
    await execute(
        filled,
        "insert into trades select ticker, now() + n * interval '1us', gen_random_uuid(), 0.5, 1, 'yes', false "
        "from (select min(ticker) as ticker from trades) as one, generate_series(1, 200000) as n",
    )
    process = await started("export", "--output", str(tmp_path), settings={"DATABASE_URL": filled})

    async def writing() -> None:
        while not list((tmp_path / "chicago").glob(".trades*.partial")):
            await asyncio.sleep(0.001)

    await asyncio.wait_for(writing(), COMES)
    process.send_signal(which)
    result = await asyncio.wait_for(end_of(process), ENDS)
    assert result.code == 130, result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert tree(tmp_path) == before
    assert (await run("export", "--output", str(tmp_path), DATABASE_URL=filled)).code == 0
    assert tree(tmp_path) != before


@pytest.mark.parametrize("which", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
async def test_a_stopped_load_leaves_the_city_as_it_was(
    filled: str, database_url: str, tmp_path: Path, which: signal.Signals
) -> None:
    assert (await run("export", "--output", str(tmp_path), DATABASE_URL=filled)).code == 0
    async with _held_up(database_url, "candles") as connection:
        process = await started("load", "--input", str(tmp_path), settings={"DATABASE_URL": database_url})
        await asyncio.wait_for(_waiting(connection), COMES)
        process.send_signal(which)
        result = await asyncio.wait_for(end_of(process), ENDS)
    assert result.code == 130, result.err
    assert "Traceback" not in result.err
    assert set((await counts(database_url)).values()) == {0}
    log = await fetch(database_url, "select series_ticker, status, finished_at is not null from ingestion_log")
    assert [tuple(row) for row in log] == [("KXHIGHCHI", "interrupted", True)]
    assert (await run("load", "--input", str(tmp_path), DATABASE_URL=database_url)).code == 0
    assert await held(database_url) == await held(filled)


async def test_a_password_in_a_places_address_is_neither_printed_nor_logged(
    exchange: Simulator, database_url: str
) -> None:
    place = "mock://user:hidden@host/archive?secret_key=hidden"
    made = await run(*backfill("--city", "chicago", "--parquet", place), **healthy(exchange, database_url))
    assert made.code == 0, made.err
    assert made.out.splitlines()[-1] == "Written to mock://host/archive."
    assert "hidden" not in made.out + made.err
    logged = [row[0] for row in await fetch(database_url, "select command from ingestion_log")]
    assert logged == [f"backfill --start {START} --end {END} --city chicago --parquet mock://host/archive"]
