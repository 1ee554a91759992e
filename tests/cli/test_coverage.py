"""`coverage` as a user meets it: real processes, real database, real exchange (simulated)."""

import asyncio
import os
import pty
import shlex
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson
import pytest
from aiohttp import web

from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import Ended, busy, ended, healthy, one_line, run, started
from tests.support import postgres, processes
from tests.support.backfills import CHICAGO, Run, fetch
from tests.support.dumps import PROOF, digests
from tests.support.filled import FilledDatabases
from tests.support.patience import COMES, ENDS
from tests.support.terminals import at_a_terminal

START, END = date(2025, 7, 1), date(2025, 7, 2)
QUESTION = b"Go ahead? [y/N] "
CHECK = ("coverage", "--city", "chicago", "--start", str(START), "--end", str(END))
BUSIEST = "(select ticker from checkpoints order by trades_stored desc, ticker limit 1)"
LOSE_A_TRADE = (
    f"delete from trades where ticker = {BUSIEST} and trade_id = "
    f"(select trade_id from trades where ticker = {BUSIEST} order by created_time, trade_id limit 1)"
)
LOSE_A_DAY = (
    "delete from trades where ticker like '%25JUL02%'; delete from candles where ticker like '%25JUL02%'; "
    "delete from checkpoints where ticker like '%25JUL02%'; delete from markets where event_date = '2025-07-02'; "
    "delete from events where event_date = '2025-07-02'"
)


def world() -> SyntheticWorld:
    """Two settled days of Chicago."""
    config: dict[str, Any] = {"cities": ("KXHIGHCHI",), "trades_per_market": 60.0, "oddities": False}
    return SyntheticWorld(WorldConfig(start=START, end=END, now=datetime(2025, 7, 20, tzinfo=UTC), **config))


@pytest.fixture
async def filled(filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """The URL of a complete database of the test's own."""
    async with filled_databases.clone("coverage", _fill) as url:
        yield url


async def _fill(url: str) -> None:
    async with Simulator(world()) as simulator:
        await Run(simulator.url, url, CHICAGO)()


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    async with Simulator(world(), Limits(requests_per_second=500)) as simulator:
        yield simulator


@pytest.fixture
def settings(exchange: Simulator, filled: str) -> dict[str, str]:
    return healthy(exchange, filled) | {"REQUESTS_PER_SECOND": "500"}


def commands_in(result: Ended) -> list[list[str]]:
    """What the report says closes the holes, without the program's name."""
    lines = result.out.partition("What closes the holes:\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines]


async def test_an_empty_database_is_incomplete_and_says_what_to_do(database_url: str) -> None:
    result = await run("coverage", DATABASE_URL=database_url)
    assert (result.code, result.err) == (1, "")
    assert "6 holes in 6 cities." in result.out
    assert "nyc" not in result.out
    backfill = next(command for command in commands_in(result) if "la" in command)
    assert backfill[:3] == ["backfill", "--start", "2025-01-05"]


async def test_a_complete_database_passes(settings: dict[str, str]) -> None:
    result = await run(*CHECK, **settings)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Complete: 1 city, 2 events, 12 markets")
    assert "Not ingested, so not judged: settlements, minute weather." in result.out
    assert "\x1b" not in result.out


async def test_the_command_that_is_named_closes_the_hole(settings: dict[str, str], exchange: Simulator) -> None:
    url = settings["DATABASE_URL"]
    whole = await digests(url, checkpoints=PROOF)
    await postgres.execute(url, LOSE_A_DAY)
    broken = await run(*CHECK, **settings)
    assert broken.code == 1
    assert "1 hole in 1 city." in broken.out
    assert "2025-07-02" in broken.out.partition("Holes: 1")[2]
    (command,) = commands_in(broken)
    assert command[0] == "backfill"
    assert (await run(*command, **settings)).code == 0
    assert (await run(*CHECK, **settings)).code == 0
    assert await digests(url, checkpoints=PROOF) == whole


async def test_fix_heals_what_a_backfill_would_pass_over(settings: dict[str, str]) -> None:
    url = settings["DATABASE_URL"]
    whole = await digests(url, checkpoints=PROOF)
    busiest = (await fetch(url, f"select {BUSIEST}"))[0][0]
    await postgres.execute(url, LOSE_A_TRADE)
    broken = await run(*CHECK, **settings)
    assert broken.code == 1
    assert busiest in broken.out
    (command,) = commands_in(broken)
    assert command[:2] == ["coverage", "--fix"]
    fixed = await run(*command, **settings)
    assert fixed.code == 0, fixed.err
    assert fixed.out.startswith("Complete: ")
    assert "Complete: " in fixed.err  # the backfill's own summary
    assert await digests(url, checkpoints=PROOF) == whole
    story = await fetch(url, "select command, status from ingestion_log order by started_at desc limit 1")
    assert tuple(story[0]) == ("coverage --fix", "success")


async def test_fix_of_nothing_asks_nobody(settings: dict[str, str], exchange: Simulator) -> None:
    assert (await run(*CHECK, "--fix", **settings)).code == 0
    assert exchange.stats.total == 0


@asynccontextmanager
async def busy_exchange() -> AsyncIterator[str]:
    """Refuses everybody, with 429: out of reach without the minute that dead silence is waited for."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429)

    app = web.Application()
    app.router.add_get("/{rest:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/trade-api/v2"
    finally:
        await runner.cleanup()


async def test_fix_with_the_exchange_out_of_reach_loses_nothing(settings: dict[str, str]) -> None:
    url = settings["DATABASE_URL"]
    await postgres.execute(url, LOSE_A_TRADE)
    held = await digests(url)
    async with busy_exchange() as api_url:
        result = await run(*CHECK, "--fix", **settings | {"API_URL": api_url})
    assert result.code == 3, result.err
    assert "Traceback" not in result.err
    assert "the exchange is out of reach" in result.err.splitlines()[-1]
    assert await digests(url) == held
    after = await run(*CHECK, **settings)
    assert after.code == 1
    assert commands_in(after)
    assert (await run(*CHECK, "--fix", **settings)).code == 0


@pytest.mark.parametrize("more", [(), ("--fix",), ("--candles", "3")])
async def test_json_is_all_there_is_on_stdout(settings: dict[str, str], more: tuple[str, ...]) -> None:
    await postgres.execute(settings["DATABASE_URL"], LOSE_A_DAY)
    result = await run(*CHECK, "--json", *more, **settings)
    told = orjson.loads(result.out)
    assert told["complete"] is (more == ("--fix",))
    assert result.code == (0 if told["complete"] else 1)
    assert len(told["holes"]) == (0 if told["complete"] else 1)
    assert ("candles_audit" in told) is ("--candles" in more)
    for line in result.err.splitlines():
        assert "--fix" in more or orjson.loads(line)["event"], result.err


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_page_is_written_whole(settings: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "coverage.html"
    page.write_text("older")
    assert (await run(*CHECK, "--html", str(page), **settings)).code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().rstrip().endswith("</html>")
    assert names_in(tmp_path) == [page.name]


@pytest.mark.parametrize("place", ["", "none/page.html", "a-folder", "a-pipe", "x" * 300])
async def test_a_place_that_no_page_can_be_written_to_is_refused_before_any_work(
    settings: dict[str, str], exchange: Simulator, tmp_path: Path, place: str
) -> None:
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "a-file").touch()
    os.mkfifo(tmp_path / "a-pipe")
    before = names_in(tmp_path)
    await postgres.execute(settings["DATABASE_URL"], LOSE_A_DAY)
    where = str(tmp_path / place) if len(place) > 1 else place
    one_line(await run(*CHECK, "--fix", "--html", where, **settings), code=2, saying="cannot write")
    assert exchange.stats.total == 0
    assert names_in(tmp_path) == before


async def test_candles_are_compared_with_the_exchanges_own(settings: dict[str, str], tmp_path: Path) -> None:
    same = await run(*CHECK, "--candles", "5", **settings)
    assert same.code == 0, same.out
    assert "5 of 12" in same.out
    # A trade that both have, at another price: the database agrees with itself, only the exchange can tell.
    url = settings["DATABASE_URL"]
    await postgres.execute(
        url,
        f"update candles set close = case when close = high then low - 0.01 else high end where ticker = {BUSIEST} "
        f"and period_start = (select max(period_start) from candles where ticker = {BUSIEST} and period_minutes = 1)",
    )
    differs = await run(*CHECK, "--candles", "12", **settings)
    assert differs.code == 1
    told = differs.out.partition("Candles against the exchange's own")[2]
    assert (await fetch(url, f"select {BUSIEST}"))[0][0] in told
    as_json = orjson.loads((await run(*CHECK, "--candles", "12", "--json", **settings)).out)
    assert as_json["candles_audit"]


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("--candles", "0"), "--candles 0"),
        (("--candles", "-1"), "--candles -1"),
        (("--start", "2025-07-02", "--end", "2025-07-01"), "lies after"),
        (("--start", "1.7.2025"), "YYYY-MM-DD"),
        (("--city", "atlantis"), "atlantis"),
        (("--city", "nyc"), "nyc"),
        (("--series", "KXNOSUCH"), "KXNOSUCH"),
        (("--city", "chicago", "--series", "KXNOSUCH", *CHECK[3:]), "of KXNOSUCH from"),
        (("--start", "2052-01-01"), "2052-01-01"),
        (("--end", "2002-01-01"), "2002-01-01"),
        (("--city", "nyc", "--json"), "nyc"),
    ],
)
async def test_what_cannot_be_judged_is_no_pass(
    settings: dict[str, str], exchange: Simulator, arguments: tuple[str, ...], saying: str
) -> None:
    one_line(await run("coverage", *arguments, **settings), code=2, saying=saying)
    assert exchange.stats.total == 0


async def on_a_terminal(*arguments: str, settings: Mapping[str, str], **colour: str) -> bytes:
    """What the program writes to standard output when that is a terminal."""
    ours, theirs = pty.openpty()
    environment = processes.environment(settings, TERM="xterm", **colour)
    if not colour:
        environment.pop("NO_COLOR", None)
    words = (*processes.PROGRAM, *arguments)
    process = await processes.start(*words, env=environment, cwd=processes.NO_SETTINGS_HERE, stdout=theirs)
    os.close(theirs)
    shown = bytearray()
    try:
        while part := await asyncio.to_thread(os.read, ours, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(ours)
    await process.wait()
    return bytes(shown)


@pytest.mark.parametrize(("value", "coloured"), [(None, True), ("", True), ("1", False)])
async def test_no_color(settings: dict[str, str], value: str | None, coloured: bool) -> None:
    colour = {} if value is None else {"NO_COLOR": value}
    assert (b"\x1b[" in await on_a_terminal(*CHECK, settings=settings, **colour)) is coloured


@asynccontextmanager
async def a_reader(admin_url: str, url: str) -> AsyncIterator[str]:
    """The same database, as a user who may read every table and write none."""
    tables = "all tables in schema public, wx"
    await postgres.execute(
        url,
        "do $$ begin create role only_reads login; exception when duplicate_object then null; end $$;"
        f"grant usage on schema public, wx to only_reads; grant select on {tables} to only_reads;"
        "alter role only_reads set default_transaction_read_only = on",
    )
    yield postgres.with_database(url, urlsplit(url).path[1:], "only_reads")


async def test_a_user_who_may_only_read(settings: dict[str, str], postgres_url: str) -> None:
    async with a_reader(postgres_url, settings["DATABASE_URL"]) as reader:
        read_only = settings | {"DATABASE_URL": reader}
        result = await run(*CHECK, **read_only)
        assert (result.code, result.err) == (0, "")
        for more in ((), ("--json",), ("--runs",)):
            assert (await run("status", *more, **read_only)).code == 0
        assert (await run(*CHECK, "--candles", "2", **read_only)).code == 0
        await postgres.execute(settings["DATABASE_URL"], LOSE_A_TRADE)
        # A server that is read-only may become writable again, so it is waited for; a right that is missing is not.
        await postgres.execute(settings["DATABASE_URL"], "alter role only_reads reset default_transaction_read_only")
        fix = await run(*CHECK, "--fix", **read_only)
        one_line(fix, code=2, saying="database")


async def test_coverage_waits_for_no_writer_and_keeps_none_waiting(settings: dict[str, str]) -> None:
    connection = await asyncpg.connect(settings["DATABASE_URL"])
    try:
        async with connection.transaction():
            await connection.execute("lock table trades, candles, checkpoints in row exclusive mode")
            assert (await run(*CHECK, **settings)).code == 0
    finally:
        await connection.close()


async def test_a_schema_that_is_behind(settings: dict[str, str], empty_database_url: str) -> None:
    empty = await run("coverage", **settings | {"DATABASE_URL": empty_database_url})
    one_line(empty, code=2, saying="kalshi-ingest migrate")
    await postgres.execute(
        settings["DATABASE_URL"],
        "delete from schema_migrations where version = (select max(version) from schema_migrations)",
    )
    one_line(await run(*CHECK, **settings), code=2, saying="kalshi-ingest migrate")


async def test_stopping_while_it_reads(settings: dict[str, str]) -> None:
    connection = await asyncpg.connect(settings["DATABASE_URL"])
    try:
        async with connection.transaction():
            await connection.execute("lock table candles in access exclusive mode")
            process = await started(*CHECK, settings=settings)
            await asyncio.wait_for(busy(settings["DATABASE_URL"], "from candles"), COMES)
            process.send_signal(signal.SIGTERM)
            result = await asyncio.wait_for(ended(process), ENDS)
    finally:
        await connection.close()
    assert (result.code, result.out, result.err) == (130, "", "")


@pytest.mark.parametrize("route", ["trades", "candlesticks"])
async def test_stopping_while_it_fixes_and_while_it_compares(
    settings: dict[str, str], exchange: Simulator, route: str
) -> None:
    await postgres.execute(settings["DATABASE_URL"], LOSE_A_DAY)
    process: list[asyncio.subprocess.Process] = []
    sent: list[str] = []
    going_on = asyncio.Event()

    async def on_request(asked: str, _: str | None) -> None:
        if route in asked:
            if not sent:
                sent.append(asked)
                process[0].send_signal(signal.SIGTERM)
            await going_on.wait()  # so that it is stopped here, not after this answer

    exchange.on_request = on_request
    process.append(await started(*CHECK, "--fix", "--candles", "12", settings=settings))
    reading = asyncio.create_task(ended(process[0]))
    result = await asyncio.wait_for(reading, COMES)
    going_on.set()
    exchange.on_request = None
    assert (result.code, result.out) == (130, ""), result.err
    assert "Traceback" not in result.err
    assert (await run(*CHECK, "--fix", **settings)).code == 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [(b"\n", 1), (b"no\n", 1), (b"\x04", 1), (b"\x03", 130)],
    ids=["nothing", "no", "end of input", "Ctrl-C"],
)
async def test_without_a_yes_nothing_happens(
    settings: dict[str, str],
    exchange: Simulator,
    answer: bytes,
    code: int,
) -> None:
    url = settings["DATABASE_URL"]
    await postgres.execute(url, LOSE_A_TRADE)
    held = await digests(url)
    ended = await at_a_terminal(*CHECK, "--fix", settings=settings, question=QUESTION, answer=answer)
    assert ended.code == code, ended.shown
    assert "delete the checkpoint and the candles of 1 market" in ended.shown
    assert "At least 6 requests, 0.0 s at 500 requests a second." in ended.shown
    assert ("1 hole in 1 city." in ended.out) is (code == 1)
    assert exchange.stats.total == 0
    assert await digests(url) == held


@pytest.mark.parametrize("more", [(), ("--yes",)])
async def test_a_yes_mends(settings: dict[str, str], more: tuple[str, ...]) -> None:
    url = settings["DATABASE_URL"]
    whole = await digests(url, checkpoints=PROOF)
    await postgres.execute(url, LOSE_A_TRADE)
    ended = await at_a_terminal(*CHECK, "--fix", *more, settings=settings, question=QUESTION, answer=b"yes\n")
    assert ended.code == 0, ended.shown
    assert ("[y/N]" in ended.shown) is (more == ())
    assert "What coverage --fix would do:" in ended.shown
    assert await digests(url, checkpoints=PROOF) == whole


async def test_without_a_terminal_the_log_tells_what_is_about_to_happen(settings: dict[str, str]) -> None:
    await postgres.execute(settings["DATABASE_URL"], LOSE_A_TRADE)
    result = await run(*CHECK, "--fix", **settings)
    assert result.code == 0, result.err
    (planned,) = [line for line in result.err.splitlines() if '"fix_planned"' in line]
    assert '"requests":6' in planned.replace(" ", "")
    assert "deletes_checkpoints_and_candles_of" in planned


async def test_a_yes_to_nothing_is_refused(settings: dict[str, str]) -> None:
    one_line(await run(*CHECK, "--yes", **settings), code=2, saying="--yes answers the question of --fix")
