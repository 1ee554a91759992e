"""The ingestion log's rows of one run, from its beginning to its outcome."""

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from typing import Any

from kalshi_ingest.errors import IngestError
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import Connection, Database

LOG_SECONDS = 2.0
"""For what a run that is stopped or has failed still writes into the ingestion log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the log keeps of one series."""

    counts: ingestion_log.SeriesCount = field(default_factory=ingestion_log.SeriesCount)
    failed: Mapping[str, str] = field(default_factory=dict)
    """What failed → why."""
    warnings: Sequence[str] = ()
    partial: str | None = None
    """Why a run that came to its end did not get all that it was asked for; None: it did."""


class RunLog:
    """Writes a run's rows, one per series."""

    def __init__(
        self,
        database: Database,
        run: ingestion_log.Run,
        entries: Callable[[], Mapping[str, Entry]],
        clock: Callable[[], datetime],
    ) -> None:
        """`entries`: every series of the run, as it stands now."""
        self.interrupted = False
        """The run was stopped before it had done everything."""
        self.run = run
        self._database = database
        self._entries = entries
        self._clock = clock
        self._ended = False

    async def begin(self) -> None:
        """Log the start, and correct what a killed run of the same series left behind. Twice is harmless."""
        tickers = list(self._entries())
        await self._database.run(lambda connection: ingestion_log.begin(connection, self.run, tickers))

    async def update(self) -> None:
        """Log the counts so far."""
        counts = {ticker: entry.counts for ticker, entry in self._entries().items()}
        await self._database.run(lambda connection: ingestion_log.update(connection, self.run, counts, {}, None))

    async def keep(self, seconds: float) -> None:
        """Log the counts every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.update()

    async def end(self, status: str | None = None, reason: str | None = None) -> None:
        """Log the outcome: `status` for every series, else success or partial as its entry says."""
        if not (self._ended and status is None):
            entries, now = self._entries(), self._clock()
            await self._database.run(lambda connection: self._outcome(connection, entries, now, status, reason))

    async def end_with(self, connection: Connection, entries: Mapping[str, Entry]) -> None:
        """Log the outcome in the transaction that writes the rows: neither is there without the other."""
        await self._outcome(connection, entries, self._clock())
        self._ended = True

    async def _outcome(
        self,
        connection: Connection,
        entries: Mapping[str, Entry],
        now: datetime,
        status: str | None = None,
        reason: str | None = None,
    ) -> None:
        counts = {ticker: entry.counts for ticker, entry in entries.items()}
        outcome = {
            ticker: ingestion_log.Outcome(status, reason, entry.failed, entry.warnings)
            if status is not None
            else ingestion_log.Outcome(
                "partial" if entry.partial else "success", entry.partial, entry.failed, entry.warnings
            )
            for ticker, entry in entries.items()
        }
        await ingestion_log.update(connection, self.run, counts, outcome, now)


@asynccontextmanager
async def run_log(
    database: Database,
    run: ingestion_log.Run,
    entries: Callable[[], Mapping[str, Entry]],
    clock: Callable[[], datetime],
    stop: asyncio.Event | None = None,
) -> AsyncIterator[RunLog]:
    """The log of what the block does: failed when it raises, interrupted when it is cancelled or says so itself."""
    log = RunLog(database, run, entries, clock)
    await log.begin()
    ended: tuple[str | None, str | None] = None, None
    try:
        yield log
    except Exception as error:
        ended = "failed", str(error) or type(error).__name__
        raise
    except BaseException:
        log.interrupted = True
        raise
    finally:
        if log.interrupted and ended[0] is None:
            ended = "interrupted", "stopped by the user"
        await logged(log.end(*ended), hurried=ended[0] is not None, stop=stop)


async def logged(writing: Coroutine[Any, Any, None], *, hurried: bool, stop: asyncio.Event | None = None) -> None:
    """Write how a run ended. What cannot be written does not matter: the next run corrects the log.

    A run that did all it was asked for waits as long as the database takes, lest it be logged as interrupted. One that
    ends early, `hurried`, or that `stop` meets here has `LOG_SECONDS`.
    """
    with suppress(IngestError, TimeoutError):
        async with asyncio.timeout(LOG_SECONDS if hurried else None):
            await run_until(stop or asyncio.Event(), writing, grace=LOG_SECONDS)


def invoker() -> str:
    """user@host and the program's version, e.g. `quant@research-3, kalshi_ingest 0.1.0`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, kalshi_ingest {metadata.version('kalshi-ingest')}"
