"""What every command shares: exit codes, dates, the database's address, signals, and the way results are printed."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import FrameType
from typing import TextIO

import structlog

from kalshi_ingest import terminal
from kalshi_ingest.errors import Unusable
from kalshi_ingest.jobs.plan import Dates
from kalshi_ingest.jobs.session import Exchange
from kalshi_ingest.settings import Settings
from kalshi_ingest.store import embedded

COMPLETE, INCOMPLETE, INTERRUPTED = 0, 1, 130

log = structlog.get_logger()


def exchange_of(settings: Settings) -> Exchange:
    """How to reach the exchange, as the settings say."""
    return Exchange(
        settings.api_url,
        settings.api_key_id,
        settings.private_key_path,
        settings.requests_per_second,
        settings.workers,
    )


@contextmanager
def database_url(settings: Settings, *, keep: bool = False) -> Iterator[str]:
    """The configured database, else the embedded one, started for as long as it is needed."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with _terminable(), embedded.running(settings.data_dir, keep=keep) as server:
        yield server.url


def dates_of(start: str, end: str) -> Dates:
    """The event dates of `--start` and `--end`. Raises `Unusable` for what is no date, reversed or in the future."""
    first, last = date_of(start, "--start"), date_of(end, "--end")
    if first > last:
        raise Unusable(f"--start {first} lies after --end {last}")
    # Tomorrow's events are listed and traded from ten in the morning, New York time, of the day before.
    newest = now().date() + timedelta(days=1)
    if last > newest:
        raise Unusable(f"--end {last} lies in the future: the newest event date that can exist is {newest}")
    return Dates(first, last)


def date_of(text: str, option: str) -> date:
    """One date, YYYY-MM-DD; `option` names it in the error."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise Unusable(f"{option} {text} is no date: write YYYY-MM-DD")
    return day


def now() -> datetime:
    """The time, UTC: the one place that reads the clock."""
    return datetime.now(UTC)


def say(text: str, out: TextIO | None = None, *, painted: bool = False) -> None:
    """A result, to standard output unless told otherwise; `painted`: with this program's own colours in it."""
    terminal.write(out or sys.stdout, terminal.safe(text, painted=painted) + "\n")


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


def stop_on_signals(notice: str = "") -> asyncio.Event:
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
