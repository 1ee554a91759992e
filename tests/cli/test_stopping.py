"""SIGTERM and Ctrl-C: every command, in every phase, ends within ten seconds, whatever does not answer meanwhile."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from kalshi_ingest.cli.signals import DOUBLED_SECONDS, Signals
from kalshi_ingest.postgres.embedded import server
from kalshi_simulator import Limits, Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import Ended, ended, run, started
from tests.support import processes
from tests.support.patience import ENDS
from tests.support.swallowing import mute, recovering, wire_to

PROMISED = 10.0
"""Seconds that a stop may take, measured where one process at a time is stopped: in the long mode."""

DATES = ("--start", "2026-06-08", "--end", "2026-06-09")
CHICAGO = ("--city", "chicago", *DATES)
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "migrate": ("migrate",),
    "coverage": ("coverage", *CHICAGO),
    "coverage --fix": ("coverage", "--fix", *CHICAGO),
    "coverage --candles": ("coverage", "--candles", "2", *CHICAGO),
    "export": ("export", "--output", "OUT"),
    "load": ("load", "--input", "ARCHIVE"),
    "backfill": ("backfill", *CHICAGO),
    "follow": ("follow", "--city", "chicago"),
    "weather settlement": ("weather", "settlement", *CHICAGO),
    "weather minutes": ("weather", "minutes", *CHICAGO),
    "weather grid": ("weather", "grid"),
    "database psql": ("database", "psql", "-c", "select 1", "-c", "select 2"),
}
QUICK = ("status", "coverage", "export", "backfill", "follow", "weather grid")


@dataclass(frozen=True, slots=True)
class Place:
    """What the commands work with."""

    settings: Mapping[str, str]
    folder: Path
    simulator: Simulator

    def words(self, name: str) -> list[str]:
        """The command line."""
        own = {"OUT": str(self.folder / name.replace(" ", "-")), "ARCHIVE": str(self.folder / "archive")}
        return [own.get(word, word) for word in COMMANDS[name]]


@asynccontextmanager
async def _place(database_url: str, folder: Path) -> AsyncIterator[Place]:
    now = datetime(2026, 6, 10, 18, tzinfo=UTC)
    config = WorldConfig(start=date(2026, 6, 8), end=date(2026, 6, 11), now=now, cities=("KXHIGHCHI",))
    async with Simulator(SyntheticWorld(config), Limits(requests_per_second=200)) as simulator:
        weather = simulator.weather_urls
        urls = {"API_URL": simulator.url, "IEM_URL": weather.iem, "NCEI_URL": weather.ncei}
        settings = urls | {"DATABASE_URL": database_url, "REQUESTS_PER_SECOND": "150", "HTTP_PORT": "0"}
        yield Place(settings, folder, simulator)


@pytest.fixture
async def place(database_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with _place(database_url, tmp_path) as made:
        yield made


async def _reached(process: asyncio.subprocess.Process, phase: Coroutine[Any, Any, object]) -> bool:
    """Wait for a phase; False when the process ended before."""
    waiting, ending = asyncio.create_task(phase), asyncio.create_task(process.wait())
    try:
        await asyncio.wait([waiting, ending], return_when=asyncio.FIRST_COMPLETED)
        return process.returncode is None
    finally:
        waiting.cancel()
        ending.cancel()
        await asyncio.gather(waiting, ending, return_exceptions=True)


async def _told_to_stop(
    process: asyncio.subprocess.Process,
    which: signal.Signals = signal.SIGTERM,
    pid: int | None = None,
    within: float = ENDS,
) -> Ended:
    """Its end after a signal."""
    os.kill(pid or process.pid, which)
    async with asyncio.timeout(within):
        return await ended(process)


def _assert_stopped(name: str, result: Ended) -> None:
    expected = {0} if name == "follow" else {130}
    if name == "database psql" and "the database system is starting up" in result.err:
        # psql does not wait for such a server: the signal may come after its own end, or with the program's.
        expected |= {2, -signal.SIGTERM}
    assert result.code in expected, f"{name}: {result}"
    assert "Traceback" not in result.err, f"{name}: {result.err}"


Phase = Callable[[AsyncExitStack, Place], Awaitable[tuple[Coroutine[Any, Any, object], Mapping[str, str]]]]
"""Makes something ill: (what to wait for, the settings that lead there)."""


async def _stop_in(
    phase: Phase, name: str, place: Place, which: signal.Signals = signal.SIGTERM, within: float = ENDS
) -> bool:
    """Stop a command in a phase; False when it never got there."""
    async with AsyncExitStack() as stack:
        reached, changed = await phase(stack, place)
        process = await started(*place.words(name), settings={**place.settings, **changed})
        stack.push_async_callback(_end, process)
        if not await _reached(process, reached):
            result = await ended(process)
            assert result.code in (0, 1, 2, 3), f"{name}: {result}"
            assert "Traceback" not in result.err, f"{name}: {result.err}"
            return False
        _assert_stopped(name, await _told_to_stop(process, which, within=within))
        return True


def _silent_after(pieces: int) -> Phase:
    """The database is gone in the middle, after so many pieces of what each connection sends."""

    async def phase(stack: AsyncExitStack, place: Place) -> tuple[Coroutine[Any, Any, object], Mapping[str, str]]:
        wire, url = await stack.enter_async_context(wire_to(place.settings["DATABASE_URL"], pieces))
        return wire.swallowing.wait(), {"DATABASE_URL": url}

    return phase


async def _recovering(stack: AsyncExitStack, _: Place) -> tuple[Coroutine[Any, Any, object], Mapping[str, str]]:
    asked, url = await stack.enter_async_context(recovering())
    return asked.wait(), {"DATABASE_URL": url}


async def _mute_services(stack: AsyncExitStack, _: Place) -> tuple[Coroutine[Any, Any, object], Mapping[str, str]]:
    """Exchange and weather services that take a request and say nothing."""
    asked, url = await stack.enter_async_context(mute())
    return asked.wait(), {"API_URL": f"{url}/trade-api/v2", "IEM_URL": url, "NCEI_URL": url}


def _locked(*tables: str) -> Phase:
    """Somebody else holds some tables exclusively."""

    async def phase(stack: AsyncExitStack, place: Place) -> tuple[Coroutine[Any, Any, object], Mapping[str, str]]:
        connection = await asyncpg.connect(place.settings["DATABASE_URL"])
        stack.push_async_callback(connection.close)
        await connection.execute("begin")
        await connection.execute(f"lock table {', '.join(tables)} in access exclusive mode")
        return _somebody_waits(place.settings["DATABASE_URL"]), {}

    return phase


async def _somebody_waits(url: str, number: int = 1, what: str = "") -> None:
    """Until so many sessions have waited for a lock with `what`; they may give up and try again in between."""
    waiting = """
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and starts_with(lower(query), $1)
    """
    seen: set[int] = set()
    connection = await asyncpg.connect(url)
    try:
        while len(seen) < number:
            seen |= {row[0] for row in await connection.fetch(waiting, what)}
            await asyncio.sleep(0.02)
    finally:
        connection.terminate()


async def test_a_database_that_says_nothing_any_more(place: Place) -> None:
    """Some commands beside each other, each in the middle of its first transactions."""
    reached = await asyncio.gather(*(_stop_in(_silent_after(14), name, place) for name in QUICK))
    assert all(reached), dict(zip(QUICK, reached, strict=True))


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root makes process namespaces")
async def test_as_process_1_behind_a_lock(place: Place) -> None:
    """Where a signal without a handler is passed over."""
    names = ("status", "backfill", "database psql")
    words = {"database psql": ("database", "psql", "-c", "select count(*) from checkpoints")}
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(place.settings["DATABASE_URL"])
        stack.push_async_callback(connection.close)
        await connection.execute("begin")
        await connection.execute("lock table checkpoints in access exclusive mode")
        begun = {}
        for name in names:
            begun[name] = await _as_process_1(*words.get(name, place.words(name)), settings=place.settings)
            stack.push_async_callback(_end, begun[name])
        assert await _reached(begun["status"], _somebody_waits(place.settings["DATABASE_URL"], len(names)))
        for name, process in begun.items():
            (child,) = psutil.Process(process.pid).children()
            result = await _told_to_stop(process, pid=child.pid)
            _assert_stopped(name, result)


async def _as_process_1(*words: str, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await processes.start(
        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *processes.PROGRAM, *words),
        env=processes.environment(settings),
        cwd=processes.NO_SETTINGS_HERE,
        stdout=-1,
        stderr=-1,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what a failed test left behind."""
    if process.returncode is None:
        for each in psutil.Process(process.pid).children(recursive=True):
            each.kill()
        process.kill()
        await process.communicate()


async def test_a_later_second_signal_ends_it_at_once(place: Place) -> None:
    """A writer that waits for a lock gets seconds to end in order; the second signal does not give them."""
    async with AsyncExitStack() as stack:
        locking = await asyncpg.connect(place.settings["DATABASE_URL"])
        stack.push_async_callback(locking.close)
        await locking.execute("begin")

        locked = asyncio.Lock()

        async def lock_before_the_first_page(route: str, _: str | None) -> None:
            async with locked:
                if route.endswith("trades"):
                    await locking.execute("lock table trades in access exclusive mode")

        place.simulator.on_request = lock_before_the_first_page
        process = await started(*place.words("backfill"), settings=place.settings)
        stack.push_async_callback(_end, process)
        assert await _reached(process, _somebody_waits(place.settings["DATABASE_URL"], what="copy"))
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while b"stopping" not in await process.stderr.readline():
            assert process.returncode is None
        await asyncio.sleep(DOUBLED_SECONDS)
        result = await _told_to_stop(process)
    assert result.code == 130
    assert "Traceback" not in result.err
    assert "to resume" not in result.out, "the summary is of an end in order"


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_while_the_program_is_still_being_loaded(which: signal.Signals) -> None:
    environment = processes.environment({}, PYTHONPROFILEIMPORTTIME="1")
    process = await processes.start(
        *(*processes.PROGRAM, "status"), env=environment, cwd=processes.NO_SETTINGS_HERE, stdout=-1, stderr=-1
    )
    try:
        assert process.stderr is not None
        while b"asyncio" not in await process.stderr.readline():
            assert process.returncode is None
        result = await _told_to_stop(process, which)
    finally:
        await _end(process)
    assert result.code == 130
    assert "Traceback" not in result.err


def test_what_is_being_loaded_is_not_broken_off() -> None:
    signals, loaded = Signals(lambda: 100.0), False

    def load() -> None:
        nonlocal loaded
        with signals.deferred():
            signals.heard(signal.SIGTERM, None)
            loaded = True

    with pytest.raises(KeyboardInterrupt):
        load()
    assert loaded
    signals.ended()


def test_what_a_signal_means_where_no_loop_listens() -> None:
    now = 100.0
    signals = Signals(lambda: now)
    with pytest.raises(KeyboardInterrupt):
        signals.heard(signal.SIGTERM, None)
    assert signals.asked
    now += DOUBLED_SECONDS * 0.9
    signals.heard(signal.SIGTERM, None)  # the same signal, sent to the process and to its group
    now += DOUBLED_SECONDS * 0.2
    with pytest.raises(KeyboardInterrupt):
        signals.heard(signal.SIGINT, None)
    now += DOUBLED_SECONDS
    signals.heard(signal.SIGINT, None)  # it is ending already
    signals.ended()


PHASES: dict[str, Phase] = {
    **{f"silent after {pieces}": _silent_after(pieces) for pieces in (0, 1, 4, 9, 18, 26, 45)},
    "recovering": _recovering,
    "checkpoints locked": _locked("checkpoints"),
    "everything locked": _locked("series", "events", "markets", "trades", "candles", "ingestion_log"),
    "migrations locked": _locked("schema_migrations"),
    "weather locked": _locked("wx.settlement", "wx.settlement_obs", "wx.minute_obs"),
    "services mute": _mute_services,
}


@pytest.mark.long
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("phase", PHASES)
async def test_every_command_in_every_phase(phase: str, which: signal.Signals, place: Place) -> None:
    assert (await run(*place.words("backfill"), **place.settings)).code == 0
    assert (await run("export", "--output", str(place.folder / "archive"), **place.settings)).code == 0
    names = [name for name in COMMANDS if which is signal.SIGTERM or name != "database psql"]  # whose Ctrl-C is its own
    reached = [await _stop_in(PHASES[phase], name, place, which, PROMISED) for name in names]
    assert any(reached)


@pytest.mark.long
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["status", "backfill", "follow", "database url", "export"])
async def test_an_embedded_server_that_is_frozen(name: str, which: signal.Signals, place: Place, home: Path) -> None:
    """Every process of it is stopped, so that it neither answers nor ends."""
    settings = {key: value for key, value in place.settings.items() if key != "DATABASE_URL"} | {"DATA_DIR": str(home)}
    hold = await asyncio.to_thread(server.acquire, home, options={"fsync": "off"})
    postmaster = psutil.Process(int((home / "postgresql-18" / "postmaster.pid").read_text().split()[0]))
    words = ["database", "url"] if name == "database url" else place.words(name)
    frozen: list[psutil.Process] = []
    try:
        frozen = [postmaster, *postmaster.children(recursive=True)]
        for each in frozen:
            each.suspend()
        process = await started(*words, settings=settings)
        try:
            await asyncio.sleep(2)  # nothing outside tells that it waits
            if process.returncode is None:
                result = await _told_to_stop(process, which, within=PROMISED)
                # Before it is a service, follow is a command that was interrupted.
                assert result.code in (0, 130), result
                assert "Traceback" not in result.err
        finally:
            await _end(process)
    finally:
        for each in frozen:
            each.resume()
        await asyncio.to_thread(server.release, hold)


@pytest.mark.long
@pytest.mark.parametrize("name", ["demo", "simulate"])
@pytest.mark.parametrize("seconds", [0.5, 2, 5, 10])
async def test_the_commands_that_need_nothing(name: str, seconds: float, home: Path) -> None:
    process = await started(name, "--days" if name == "demo" else "--port", "5", settings={"DATA_DIR": str(home)})
    try:
        await asyncio.sleep(seconds)
        if process.returncode is None:
            result = await _told_to_stop(process, within=PROMISED)
            assert result.code in (0, 130), result  # simulate: 0 once it serves
            assert "Traceback" not in result.err
    finally:
        await _end(process)
