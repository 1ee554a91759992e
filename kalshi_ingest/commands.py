"""What each command does: checks what the user asked for, opens what it needs, runs a job, prints the outcome."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from types import FrameType
from typing import Any, TypeVar

import structlog

from kalshi_ingest import logs
from kalshi_ingest.domain.cities import CITIES, active_city, city_of_series
from kalshi_ingest.errors import Unusable
from kalshi_ingest.jobs import demo as demo_job
from kalshi_ingest.jobs.backfill import Backfill
from kalshi_ingest.jobs.display import Display
from kalshi_ingest.jobs.plan import Dates
from kalshi_ingest.jobs.progress import Wanted
from kalshi_ingest.jobs.session import Exchange, migrated, opened, with_database
from kalshi_ingest.jobs.shell import psql
from kalshi_ingest.jobs.simulation import check_simulation
from kalshi_ingest.jobs.status import status as read_status
from kalshi_ingest.jobs.summary import is_complete, summary
from kalshi_ingest.settings import Settings
from kalshi_ingest.simulator import Faults, Limits, WorldConfig
from kalshi_ingest.simulator.command import serve
from kalshi_ingest.store import embedded

_COMPLETE, _INCOMPLETE, _INTERRUPTED = 0, 1, 130
_MOST_DEMO_DAYS = 365

T = TypeVar("T")

log = structlog.get_logger()


def backfill(arguments: argparse.Namespace, settings: Settings) -> int:
    """`backfill`: 0 when all that was asked for is proved complete, 1 when something is not, 130 when stopped."""
    dates = _dates(arguments.start, arguments.end)
    wanted = _wanted(arguments.city, arguments.series, dates)
    command = " ".join(
        ["backfill", "--start", arguments.start, "--end", arguments.end]
        + [f"--city {city}" for city in arguments.city]
        + [f"--series {series}" for series in arguments.series]
    )
    with _database_url(settings) as url:
        return _run(_backfill(_exchange(settings), url, wanted, dates, command))


async def _backfill(exchange: Exchange, url: str, wanted: Sequence[Wanted], dates: Dates, command: str) -> int:
    stop = _stop_on_signals("stopping: finishing the commit under way (once more to stop at once)")
    async with AsyncExitStack() as stack:
        session = await _unless_stopped(stop, stack.enter_async_context(opened(exchange, url, _now)))
        if session is None:
            return _INTERRUPTED
        job = Backfill(session.tools, wanted, dates, command)
        progress = list(job.progress.values())
        started = time.monotonic()
        showing = asyncio.create_task(Display(progress, session.client, sys.stderr).run())
        try:
            await job.run(stop)
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
        _say(summary(progress, seconds=time.monotonic() - started, interrupted=job.interrupted))
    if job.interrupted:
        return _INTERRUPTED
    return _COMPLETE if is_complete(progress) else _INCOMPLETE


def status(arguments: argparse.Namespace, settings: Settings) -> int:
    """`status`: always 0; it tells, it does not judge."""

    async def read(url: str) -> int:
        if settings.database_url is None:  # the embedded database is the program's own, so it needs no asking
            await migrated(url)
        database = await with_database(url)
        try:
            found = await read_status(database)
        finally:
            await database.close()
        _say(found.as_json() if arguments.json else found.as_text())
        return _COMPLETE

    with _database_url(settings) as url:
        return _run(read(url))


def migrate(_: argparse.Namespace, settings: Settings) -> int:
    """`migrate`: apply what is missing."""

    async def apply(url: str) -> int:
        applied = await migrated(url)
        _say("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
        return _COMPLETE

    with _database_url(settings) as url:
        return _run(apply(url))


def database(arguments: argparse.Namespace, settings: Settings) -> int:
    """`database url`, `database psql`, `database stop`."""
    if arguments.what == "stop":
        if settings.database_url is not None:
            raise Unusable("KALSHI_INGEST_DATABASE_URL names a database of yours: stop it the way you started it")
        _say("stopped" if embedded.stop(settings.data_dir) else "it was not running")
        return _COMPLETE
    # Whoever asks for the address wants to use it, so the embedded server stays up until `database stop`.
    with _database_url(settings, keep=arguments.what == "url") as url:
        if arguments.what == "url":
            _say(url)
            return _COMPLETE
        return psql(url, arguments.passed_on)


def simulate(arguments: argparse.Namespace, _: Settings) -> int:
    """`simulate`: serve until stopped."""
    end = _date(arguments.end, "--end") if arguments.end else _now().date() - timedelta(days=1)
    start = _date(arguments.start, "--start") if arguments.start else end - timedelta(days=29)
    check_simulation(arguments, start, end)
    world = WorldConfig(
        start=start,
        end=end,
        now=_now(),
        seed=arguments.seed,
        trades_per_market=arguments.trades_per_market,
        giant=arguments.giant,
        oddities=not arguments.plain,
    )
    limits = Limits(requests_per_second=arguments.limit or None, latency=arguments.latency)
    faults = Faults(error_rate=arguments.error_rate)

    async def run() -> int:
        try:
            await serve(world, limits, faults, host=arguments.host, port=arguments.port, stop=_stop_on_signals())
        except OSError as error:
            raise Unusable(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror}") from None
        return _COMPLETE

    return _run(run())


def demo(arguments: argparse.Namespace, settings: Settings) -> int:
    """`demo`: everything in one, offline, in a database of its own."""
    if not 1 <= arguments.days <= _MOST_DEMO_DAYS:
        raise Unusable(f"--days {arguments.days} is out of range: 1 to {_MOST_DEMO_DAYS}")
    logs.configure("console", "warning")
    data_dir = settings.data_dir / "demo"
    with embedded.running(data_dir) as server:
        return _run(demo_job.run(server.url, data_dir, arguments.days, _now(), _backfill))


def _exchange(settings: Settings) -> Exchange:
    return Exchange(
        settings.api_url,
        settings.api_key_id,
        settings.private_key_path,
        settings.requests_per_second,
        settings.workers,
    )


@contextmanager
def _database_url(settings: Settings, *, keep: bool = False) -> Iterator[str]:
    """The configured database, else the embedded one, started for as long as it is needed."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with _terminable(), embedded.running(settings.data_dir, keep=keep) as server:
        yield server.url


def _dates(start: str, end: str) -> Dates:
    first, last = _date(start, "--start"), _date(end, "--end")
    if first > last:
        raise Unusable(f"--start {first} lies after --end {last}")
    # Tomorrow's events are listed and traded from ten in the morning, New York time, of the day before.
    newest = _now().date() + timedelta(days=1)
    if last > newest:
        raise Unusable(f"--end {last} lies in the future: the newest event date that can exist is {newest}")
    return Dates(first, last)


def _date(text: str, option: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise Unusable(f"{option} {text} is no date: write YYYY-MM-DD")
    return day


def _wanted(cities: Sequence[str], series: Sequence[str], dates: Dates) -> list[Wanted]:
    """The series asked for. By default every active city that had begun by the last date."""
    named = [active_city(name) for name in cities]
    for ticker in series:
        known = city_of_series(ticker.upper())
        if known is not None:
            named.append(active_city(known.key))
    for city in named:
        if dates.end < city.first_event_date:
            raise Unusable(
                f"{city.name}'s first event date is {city.first_event_date}: nothing to fetch up to {dates.end}"
            )
    if not cities and not series:
        named = [city for city in CITIES if not city.retired and city.first_event_date <= dates.end]
        if not named:
            first = min(city.first_event_date for city in CITIES if not city.retired)
            raise Unusable(f"the first event date of any city is {first}: nothing to fetch up to {dates.end}")
    wanted = [Wanted(city.series_ticker, city.key) for city in named]
    for ticker in series:
        if city_of_series(ticker.upper()) is None:
            wanted.append(Wanted(ticker.upper(), None))
    return list(dict.fromkeys(wanted))


def _now() -> datetime:
    return datetime.now(UTC)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _run(work: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(work)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM as Ctrl-C where no event loop listens: as process 1 of a container it would be passed over."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None when `stop` came first, and `work` was cancelled."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait([working])
        if not working.cancelled() and (error := working.exception()):
            log.debug("gave up opening", reason=str(error))
        return None
    finally:
        stopping.cancel()


def _stop_on_signals(notice: str = "") -> asyncio.Event:
    """Set on the first SIGINT or SIGTERM; a second one stops the program at once.

    The second one too is raised by the event loop, between two callbacks. Python's own handler would raise it
    anywhere, also inside `Task.cancel`, and a task whose wake-up is lost there is waited for without an end.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if notice:
            log.info(notice)

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ask_to_stop)
    return stop
