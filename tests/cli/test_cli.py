"""The command line as a user meets it: real processes, real database, real exchange (simulated)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kalshi_ingest.postgres.migrate import LOCK_KEY
from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.support import postgres, processes, warm
from tests.support.patience import COMES, ENDS

START, END = date(2025, 11, 12), date(2025, 11, 14)
NOWHERE = "http://127.0.0.1:9/trade-api/v2"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a finished process left behind."""

    code: int | None
    out: str
    err: str


async def started(*arguments: str, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    """`kalshi-ingest ARGUMENTS` as a process whose only settings are those given."""
    return await processes.program(*arguments, settings=settings, stdout=-1, stderr=-1)


async def ended(process: asyncio.subprocess.Process) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(), COMES)
    return Ended(process.returncode, out.decode(), err.decode())


async def run(*arguments: str, **settings: str) -> Ended:
    running = warm.run(arguments, processes.environment(settings), processes.NO_SETTINGS_HERE)
    code, out, err = await asyncio.wait_for(running, COMES)
    return Ended(code, out.decode(), err.decode())


def backfill(*more: str, start: str = str(START), end: str = str(END)) -> tuple[str, ...]:
    return ("backfill", "--start", start, "--end", end, *more)


def one_line(result: Ended, *, code: int, saying: str) -> None:
    """A clear line and the right exit code; nothing on stdout, no traceback."""
    lines = [line for line in result.err.splitlines() if not line.startswith("{")]
    assert result.code == code, result.err
    assert len(lines) == 1, result.err
    assert lines[0].startswith("kalshi-ingest: ")
    assert saying in lines[0]
    assert result.out == ""


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    world = SyntheticWorld(WorldConfig(start=START, end=END, now=datetime(2026, 1, 20, tzinfo=UTC)))
    async with Simulator(world, Limits(requests_per_second=200)) as simulator:
        yield simulator


def healthy(exchange: Simulator, database_url: str) -> dict[str, str]:
    return {"API_URL": exchange.url, "DATABASE_URL": database_url, "REQUESTS_PER_SECOND": "200"}


async def test_a_backfill_a_status_and_a_second_backfill(exchange: Simulator, database_url: str) -> None:
    settings = healthy(exchange, database_url)
    first = await run(*backfill(), **settings)
    assert first.code == 0, first.out + first.err
    assert "Complete: " in first.out
    assert isinstance(exchange.world, SyntheticWorld)
    truth = sum(exchange.world.trade_count(ticker) for ticker in exchange.world.market_tickers())
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("select count(*) from trades") == truth
    finally:
        await connection.close()

    status = await run("status", "--json", **settings)
    held = orjson.loads(status.out)["series"]
    assert [row["label"] for row in held] == ["austin", "chicago", "denver", "la", "miami", "philadelphia"]
    assert sum(row["trades"] for row in held) == truth
    assert {row["last_run"]["status"] for row in held} == {"success"}
    assert "Every market is proved complete." in (await run("status", **settings)).out

    exchange.stats.reset()
    second = await run(*backfill("--city", "Chicago", "--city", "lax"), **settings)
    assert second.code == 0
    assert exchange.stats.trade_pages == {}


async def test_markets_that_have_not_settled_make_the_run_incomplete(database_url: str) -> None:
    now = datetime(2025, 11, 14, 18, tzinfo=UTC)
    async with Simulator(SyntheticWorld(WorldConfig(start=START, end=END, now=now))) as young:
        result = await run(*backfill("--city", "denver"), **healthy(young, database_url))
    assert result.code == 1
    assert "have not settled yet" in result.out.splitlines()[-1]


async def test_a_date_is_in_the_future_by_the_exchanges_time(database_url: str) -> None:
    """This machine's clock may be behind."""
    day = datetime.now(UTC).date() + timedelta(days=20)
    later = datetime.combine(day, time(18), tzinfo=UTC) + timedelta(days=2)
    async with Simulator(SyntheticWorld(WorldConfig(start=day, end=day, now=later))) as ahead:
        dates = {"start": str(day), "end": str(day)}
        result = await run(*backfill("--city", "denver", **dates), **healthy(ahead, database_url))
    assert result.code == 0, result.err


TOMORROW = datetime.now(UTC).date() + timedelta(days=9)


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (backfill("--city", "atlantis"), "atlantis"),
        (backfill("--city", "nyc"), "retired"),
        (backfill("--series", "KXHIGHNY"), "retired"),
        (backfill(start="2025-11-14", end="2025-11-12"), "lies after"),
        (backfill(end=str(TOMORROW)), "future"),
        (backfill(end="14.11.2025"), "YYYY-MM-DD"),
        (backfill("--city", "la", start="2024-01-01", end="2024-06-30"), "2025-01-05"),
        (backfill(start="2019-01-01", end="2019-12-31"), "first event date"),
        (backfill("--series", "KXNOSUCH"), "KXNOSUCH"),
        (backfill("--workers", "0"), "KALSHI_INGEST_WORKERS"),
        (backfill("--requests-per-second", "-1"), "KALSHI_INGEST_REQUESTS_PER_SECOND"),
    ],
)
async def test_wrong_usage(exchange: Simulator, database_url: str, arguments: tuple[str, ...], saying: str) -> None:
    result = await run(*arguments, **healthy(exchange, database_url))
    one_line(result, code=2, saying=saying)
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("select count(*) from markets") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (["backfil"], "backfil is not a command; did you mean backfill?"),
        (["backfill", "--end", "2025-11-12"], "--end needs --start or --days beside it"),
        (["export"], "export needs --output"),
        (["status", "--js"], "--js is not an option of status; did you mean --json?"),
        (["status", "more"], "status does not take more"),
        (["status", "--run"], "--run needs a value"),
        (["weather"], "name a command: weather settlement, weather minutes, weather grid"),
        (["weather", "minute"], "weather minute is not a command; did you mean minutes?"),
        (["weather", "minutes", "--source", "noaa"], "--source noaa is not one of iem, visualcrossing"),
        (["coverage", "--candles", "many"], "--candles many is not a whole number"),
        (["--log-level", "debug", "status"], "options follow a command: kalshi-ingest COMMAND … --log-level …"),
    ],
)
async def test_wrong_words_are_one_line_that_names_them(words: list[str], saying: str) -> None:
    one_line(await run(*words), code=2, saying=saying)


async def test_an_option_that_does_nothing_is_not_offered(database_url: str) -> None:
    told = (await run("simulate", "--help")).out
    assert "--port" in told
    assert "--log-level" in told
    assert "--http-port" not in told
    assert "--database-url" not in told
    assert "--database-url" in (await run("simulate", "--help-all")).out
    one_line(await run("simulate", "--http-port", "1"), code=2, saying="--http-port is not an option of simulate")
    assert (await run("status", "--http-port", "1", DATABASE_URL=database_url)).code == 0, "scripts may pass it to all"


async def test_an_unreadable_key_file(exchange: Simulator, database_url: str, tmp_path: Path) -> None:
    settings = healthy(exchange, database_url) | {"API_KEY_ID": "id"}
    missing = await run(*backfill(), **settings, PRIVATE_KEY_PATH=str(tmp_path / "none.pem"))
    one_line(missing, code=2, saying="none.pem")
    (tmp_path / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nsecretstuff\n-----END PRIVATE KEY-----\n")
    garbled = await run(*backfill(), **settings, PRIVATE_KEY_PATH=str(tmp_path / "bad.pem"))
    one_line(garbled, code=2, saying="bad.pem")
    assert "secretstuff" not in garbled.err


async def test_a_key_raises_the_pace(database_url: str, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(private)
    world = SyntheticWorld(WorldConfig(start=END, end=END, now=datetime(2026, 1, 20, tzinfo=UTC)))
    limits = Limits(requests_per_second=5, authenticated_requests_per_second=60, public_key_pem=public)
    async with Simulator(world, limits) as simulator:
        settings = {"API_URL": simulator.url, "DATABASE_URL": database_url, "API_KEY_ID": "id"}
        result = await run(*backfill(start=str(END)), **settings, PRIVATE_KEY_PATH=str(tmp_path / "key.pem"))
        assert result.code == 0, result.err
        assert simulator.stats.throttled == 0
    pace = next(orjson.loads(line) for line in result.err.splitlines() if '"resources_opened"' in line)
    assert pace["requests_per_second"] == 60
    assert pace["signed"] is True


async def test_nobody_answers_at_the_exchange(database_url: str) -> None:
    process = await started(*backfill("--city", "la"), settings={"API_URL": NOWHERE, "DATABASE_URL": database_url})
    # Waiting out every retry takes a minute: the client's tests do it faster. Here: they can be interrupted.
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.readline(), COMES)
    process.send_signal(signal.SIGTERM)
    result = await ended(process)
    assert result.code == 130, result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("change", "code"),
    [({"port": "9"}, 3), ({"database": "nosuch"}, 2), ({"scheme": "mysql"}, 2)],
)
async def test_a_wrong_database_url(
    exchange: Simulator, postgres_url: str, change: Mapping[str, str], code: int
) -> None:
    url = {
        "port": "postgresql://me:hunter2@127.0.0.1:9/kalshi",
        "database": postgres.with_database(postgres_url, "nosuch"),
        "scheme": "mysql://me:hunter2@127.0.0.1/kalshi",
    }[next(iter(change))]
    result = await run(*backfill(), **healthy(exchange, url))
    assert result.code == code, result.err
    assert result.err.startswith("kalshi-ingest: ")
    assert "hunter2" not in result.err
    assert "Traceback" not in result.err


async def test_a_database_user_without_rights(exchange: Simulator, empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(
            "do $$ begin create role powerless login; exception when duplicate_object then null; end $$;"
            "revoke create on schema public from public"
        )
    finally:
        await connection.close()
    name = empty_database_url.rpartition("?")[0].rpartition("/")[2]
    powerless = postgres.with_database(empty_database_url, name, "powerless")
    result = await run(*backfill(), **healthy(exchange, powerless))
    one_line(result, code=2, saying="powerless")


async def test_a_schema_newer_than_the_program(exchange: Simulator, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("insert into schema_migrations (version, name, checksum) values (9999, 'x', 'y')")
    finally:
        await connection.close()
    for command in (backfill(), ("status",), ("migrate",)):
        one_line(await run(*command, **healthy(exchange, database_url)), code=2, saying="newer")


async def test_status_before_the_schema_exists(empty_database_url: str) -> None:
    one_line(await run("status", DATABASE_URL=empty_database_url), code=2, saying="kalshi-ingest migrate")
    assert "0001" in (await run("migrate", DATABASE_URL=empty_database_url)).out
    assert "up to date" in (await run("migrate", DATABASE_URL=empty_database_url)).out
    assert "Nothing is held yet" in (await run("status", DATABASE_URL=empty_database_url)).out


async def test_psql_gets_what_stands_behind_it(database_url: str) -> None:
    result = await run("database", "psql", "-At", "-c", "select 6 * 7", DATABASE_URL=database_url)
    assert (result.code, result.out) == (0, "42\n")
    assert (await run("database", "url", "-c", DATABASE_URL=database_url)).code == 2


async def busy(url: str, what: str) -> None:
    """Wait until some session other than this one runs a statement with these words in it."""
    connection = await asyncpg.connect(url)
    query = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query ~ $1"
    try:
        while not await connection.fetchval(query, what):
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


def command_lines_below(pid: int) -> list[bytes]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]


async def test_ctrl_c_in_psql_ends_the_query_and_no_command_line_shows_the_password(database_url: str) -> None:
    secret = postgres.with_database(database_url, urlsplit(database_url).path[1:], "postgres:hunter2")
    process = await started("database", "psql", "-c", "select pg_sleep(30)", settings={"DATABASE_URL": secret})
    await asyncio.wait_for(busy(database_url, "pg_sleep"), COMES)
    lines = command_lines_below(process.pid)
    assert lines
    assert not any(b"hunter2" in line for line in lines)
    os.killpg(process.pid, signal.SIGINT)
    result = await ended(process)
    assert result.code == 1
    assert "canceling statement due to user request" in result.err


async def test_stopping_before_everything_is_open(exchange: Simulator, database_url: str) -> None:
    """Here it waits for another process that migrates."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f"select pg_advisory_lock({LOCK_KEY})")
        process = await started(*backfill(), settings=healthy(exchange, database_url))
        await asyncio.wait_for(busy(database_url, "pg_advisory_lock"), COMES)
        process.send_signal(signal.SIGTERM)
        result = await asyncio.wait_for(ended(process), ENDS)
    finally:
        await connection.close()
    assert result.code == 130, result.err
    assert "Traceback" not in result.err


def has_begun(data_dir: Path) -> bool:
    return any(data_dir.glob("postgresql-18*"))


async def test_stopping_while_the_embedded_server_is_made(exchange: Simulator, home: Path) -> None:
    settings = {"API_URL": exchange.url, "DATA_DIR": str(home)}
    process = await started(*backfill(), settings=settings)

    async def making() -> None:
        while not has_begun(home):
            await asyncio.sleep(0.005)

    await asyncio.wait_for(making(), COMES)
    process.send_signal(signal.SIGTERM)
    result = await asyncio.wait_for(ended(process), ENDS)
    assert result.code == 130, result.err
    assert "Traceback" not in result.err


async def test_a_citys_old_series_name_is_its_new_one(exchange: Simulator, database_url: str) -> None:
    both = await run(*backfill("--series", "highchi", "--city", "chicago"), **healthy(exchange, database_url))
    assert both.code == 0, both.err
    held = orjson.loads((await run("status", "--json", DATABASE_URL=database_url)).out)["series"]
    assert [row["series_ticker"] for row in held] == ["KXHIGHCHI"]


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("simulate", "--port", "99999"), "--port 99999"),
        (("simulate", "--trades-per-market", "-1"), "--trades-per-market"),
        (("simulate", "--limit", "nan"), "--limit"),
        (("simulate", "--error-rate", "2"), "0 to 1"),
        (("simulate", "--start", "2025-11-14", "--end", "2025-11-12"), "lies after"),
        (("demo", "--days", "0"), "--days 0"),
        (("status", "--data-dir", ""), "KALSHI_INGEST_DATA_DIR: is empty"),
    ],
)
async def test_numbers_that_cannot_be_meant(arguments: tuple[str, ...], saying: str) -> None:
    one_line(await run(*arguments), code=2, saying=saying)


@pytest.mark.parametrize("signals", [1, 2])
async def test_stopping(exchange: Simulator, database_url: str, signals: int) -> None:
    """Exit 130 with the checkpoint kept, and the next run completes. Two at once are one: `timeout` sends both."""
    settings = healthy(exchange, database_url) | {"REQUESTS_PER_SECOND": "20"}
    reached = asyncio.Event()

    async def on_request(route: str, ticker: str | None) -> None:
        if len(exchange.stats.trade_pages) > 10:
            reached.set()

    exchange.on_request = on_request
    process = await started(*backfill(), settings=settings)
    await asyncio.wait_for(reached.wait(), COMES)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
    result = await ended(process)
    assert result.code == 130, result.err
    assert "Run the same command again to resume." in result.out
    exchange.on_request = None
    assert (await run(*backfill(), **healthy(exchange, database_url))).code == 0


async def test_a_killed_run_is_not_called_running(exchange: Simulator, database_url: str) -> None:
    settings = healthy(exchange, database_url)
    process = await started(*backfill(), settings=settings)
    reached, killed = asyncio.Event(), asyncio.Event()

    async def on_request(route: str, ticker: str | None) -> None:
        if len(exchange.stats.trade_pages) > 10:
            reached.set()
            await killed.wait()

    exchange.on_request = on_request
    try:
        await asyncio.wait_for(reached.wait(), COMES)
        during = orjson.loads((await run("status", "--json", **settings)).out)["series"]
        assert {row["last_run"]["status"] for row in during} == {"running"}
    finally:
        process.kill()
        await ended(process)
        killed.set()
    after = orjson.loads((await run("status", "--json", **settings)).out)["series"]
    assert {row["last_run"]["status"] for row in after} == {"interrupted"}
    assert sum(row["left"] for row in after) > 0


async def test_the_simulator_says_when_its_port_is_taken(exchange: Simulator) -> None:
    port = exchange.url.split(":")[2].split("/")[0]
    one_line(await run("simulate", "--port", port), code=2, saying=f"port {port}")


async def test_a_run_is_forgotten_by_the_first_characters_of_its_id(database_url: str) -> None:
    await postgres.execute(
        database_url,
        "insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date)"
        " values ('0badc0de-0000-4000-8000-000000000000', 'backfill', 'KXHIGHCHI', 'failed', now(), '2025-01-01',"
        " '2025-01-02')",
    )
    settings = {"DATABASE_URL": database_url}
    one_line(await run("status", "--forget", "0badc0de", "--json", **settings), code=2, saying="--forget stands alone")
    told = await run("status", "--forget", "0badc0de", **settings)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("Run 0badc0de is forgotten: backfill\n")
