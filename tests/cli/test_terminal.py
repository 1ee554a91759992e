"""What is written to terminals, pipes and streams that nobody reads; the processes and pseudo-terminals are real."""

import asyncio
import io
import os
import pty
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import aiohttp
import asyncpg
import orjson
import pytest
import structlog

from kalshi_ingest import terminal
from kalshi_ingest.backfill.live_display import Display
from kalshi_ingest.cli import main
from kalshi_ingest.cli.common import say
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_ingest.logs import LogFormat, configure
from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.support import processes
from tests.support.backfills import Run

START, END = date(2025, 11, 12), date(2025, 11, 13)
HOSTILE = "a\x1b]0;title\x07b\x9b31mc\u202ed\re"
SAFE = "a\\u001b]0;title\\u0007b\\u009b31mc\\u202ed\\u000de"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def a_common_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    world = SyntheticWorld(WorldConfig(start=START, end=END, now=datetime(2026, 1, 20, tzinfo=UTC), oddities=False))
    async with Simulator(world, Limits(requests_per_second=200)) as simulator:
        yield simulator


BACKFILL = ("backfill", "--start", str(START), "--end", str(END), "--city", "chicago")


def surroundings(exchange: Simulator, database_url: str, **more: str) -> dict[str, str]:
    settings = {"API_URL": exchange.url, "DATABASE_URL": database_url, "REQUESTS_PER_SECOND": "200"}
    return processes.environment(settings, **more)


async def ended(command: str, *arguments: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """`command` is the shell's, with kalshi-ingest as "$@": exit code, standard output, standard error."""
    words = ("sh", "-c", command, "sh", *processes.PROGRAM, *arguments)
    process = await processes.start(*words, env=environment, cwd=processes.NO_SETTINGS_HERE, stdout=-1, stderr=-1)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def count(database_url: str, table: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(f"select count(*) from {table}"))
    finally:
        await connection.close()


async def told_by_the_log(database_url: str, words: str) -> None:
    """A run on record whose command is `words`."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "insert into ingestion_log (run_id, command, series_ticker, status, started_at, error_message)"
            " values (gen_random_uuid(), $1, 'KXHIGHCHI', 'failed', now(), $1)",
            words,
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
async def test_closed_streams_do_not_change_what_a_command_does(
    exchange: Simulator, empty_database_url: str, closed: str
) -> None:
    environment = surroundings(exchange, empty_database_url)
    command = BACKFILL if closed.startswith("<") else ("migrate",)
    code, _, err = await ended(f'"$@" {closed}', *command, environment=environment)
    assert code == 0, err
    assert "Traceback" not in err
    assert (await count(empty_database_url, "checkpoints where verdict = 'exact'") > 0) is (command == BACKFILL)


async def test_nobody_reads_to_the_end(exchange: Simulator, database_url: str) -> None:
    """A pipe whose reader is gone: results and log lines are dropped, the work is done, the exit code is its own."""
    environment = surroundings(exchange, database_url)
    reader, writer = os.pipe()
    os.close(reader)
    codes = []
    for arguments in (BACKFILL, ("status",)):
        words, folder = (*processes.PROGRAM, *arguments), processes.NO_SETTINGS_HERE
        process = await processes.start(*words, env=environment, cwd=folder, stdout=writer, stderr=writer)
        codes.append(await process.wait())
    os.close(writer)
    assert codes == [0, 0]
    assert await count(database_url, "checkpoints where verdict = 'exact'") > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
async def test_a_full_disk_under_what_it_says_leaves_the_exit_code(exchange: Simulator, database_url: str) -> None:
    """The bug: the complaint itself failed, and that exit code, 1 or 120, took the place of the one to be told."""
    environment = surroundings(exchange, database_url)
    cases = {
        ("2>/dev/full", *BACKFILL): 0,
        ("2>/dev/full", "statuses"): 2,
        (">/dev/full", "status"): 3,
    }
    running = (ended(f'"$@" {full}', *words, environment=environment) for full, *words in cases)
    assert [code for code, _, _ in await asyncio.gather(*running)] == list(cases.values())


async def test_a_standard_output_that_knows_ascii_only(exchange: Simulator, database_url: str) -> None:
    environment = surroundings(exchange, database_url, PYTHONIOENCODING="ascii")
    await told_by_the_log(database_url, "above 62°")
    code, out, err = await ended('"$@"', "status", "--runs", environment=environment)
    assert code == 0, err
    assert r"above 62\xb0" in out


@pytest.mark.parametrize("wish", [{"TERM": "dumb", "NO_COLOR": "1"}, {}])
async def test_what_a_backfill_writes_to_a_terminal(
    exchange: Simulator, database_url: str, wish: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    environment = surroundings(exchange, database_url, **wish)
    words, folder = (*processes.PROGRAM, *BACKFILL), processes.NO_SETTINGS_HERE
    process = await processes.start(*words, env=environment, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        shown = await asyncio.to_thread(_read_to_the_end, ours)
    finally:
        os.close(ours)
    assert await process.wait() == 0, shown
    assert b"Complete: " in shown
    assert (b"\x1b" in shown) is (not wish), shown


def _read_to_the_end(terminal_of: int) -> bytes:
    parts = []
    while True:
        try:
            parts.append(os.read(terminal_of, 65536))
        except OSError:  # the last one to write has closed it
            return b"".join(parts)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_log_lines_are_coloured_only_for_who_wants_that(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured, plain, pipe = Terminal(), Terminal(), io.StringIO()
    try:
        configure("console", "info", coloured)
        structlog.get_logger().info("happened", city="miami")
        configure("console", "info", pipe)
        structlog.get_logger().info("happened", city="miami")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        configure("console", "info", plain)
        structlog.get_logger().info("happened", city="miami")
    finally:
        structlog.reset_defaults()
    assert "\x1b[" in coloured.getvalue()
    for stream in (plain, pipe):
        assert "\x1b" not in stream.getvalue()
        assert "miami" in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_foreign_text_in_log_lines_is_escaped(format: LogFormat) -> None:
    stream = io.StringIO()
    try:
        configure(format, "info", stream)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            structlog.get_logger().exception(HOSTILE, reason=HOSTILE + "\nnext", within=[HOSTILE], **{HOSTILE: 1})
    finally:
        structlog.reset_defaults()
    text = stream.getvalue()
    assert terminal.safe(text) == text
    if format == "json":
        line = orjson.loads(text)
        assert (line["event"], line["reason"], line[HOSTILE]) == (HOSTILE, HOSTILE + "\nnext", 1)
    else:
        assert f"reason={SAFE}\\nnext" in text
        assert f"ValueError: {SAFE}" in text


def test_results_are_escaped_and_json_stays_the_same() -> None:
    out = io.StringIO()
    say(HOSTILE + "\n\tnext", out)
    assert out.getvalue() == SAFE + "\n\tnext\n"
    told = {"reason": HOSTILE, "name": "Chicago 62°"}
    out = io.StringIO()
    say(orjson.dumps(told).decode(), out)
    assert orjson.loads(out.getvalue()) == told
    assert terminal.safe(out.getvalue()) == out.getvalue()


def test_only_the_programs_own_colours_pass() -> None:
    painted = f"\x1b[1;31mX\x1b[0m {HOSTILE} \x1b[8mhidden"
    assert terminal.safe(painted, painted=True) == f"\x1b[1;31mX\x1b[0m {SAFE} \\u001b[8mhidden"
    assert "\x1b" not in terminal.safe(painted)


async def test_foreign_words_in_the_database_reach_no_terminal_raw(exchange: Simulator, database_url: str) -> None:
    await Run(exchange.url, database_url, (Wanted("KXHIGHCHI", "chicago"),), dates=Dates(START, END))()
    await told_by_the_log(database_url, HOSTILE)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("update checkpoints set state = 'failed', verdict = null, error = $1", HOSTILE)
        await connection.execute("update events set title = $1", HOSTILE)
        await connection.execute("update markets set title = $1, expiration_value = $1", HOSTILE)
    finally:
        await connection.close()
    environment = surroundings(exchange, database_url)
    for arguments in (("status", "--runs"), ("coverage",)):
        code, out, err = await ended('"$@"', *arguments, environment=environment)
        assert code in (0, 1), err
        assert "\\u001b]0;title" in out
        assert terminal.safe(out) == out


@pytest.mark.usefixtures("no_settings")
def test_an_error_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--output", f"nosuch://{HOSTILE}"]) == 2
    _, err = capsys.readouterr()
    assert terminal.safe(err) == err
    assert SAFE in err


async def test_the_live_display_shows_names_as_they_are() -> None:
    progress = SeriesProgress(Wanted("[red]KX\x1b[31m", None))
    shown = Terminal()
    async with aiohttp.ClientSession() as http:
        showing = asyncio.create_task(Display([progress], Client(http, "http://localhost", Pacer(5)), shown).run())
        try:
            while "retries" not in shown.getvalue():
                await asyncio.sleep(0.01)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    assert "[red]KX\\u001b[31m" in shown.getvalue()
