"""The service's rows in the ingestion log: a run for each day, so that every day has a story that ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import asyncpg
import structlog

from kalshi_ingest.errors import IngestError
from kalshi_ingest.jobs.asking import asked_by
from kalshi_ingest.jobs.follow.state import FollowState
from kalshi_ingest.jobs.progress import SeriesProgress, Wanted
from kalshi_ingest.store import runs
from kalshi_ingest.store.database import Database

_CLOSE_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Before:
    """What a series counted in the runs before this one."""

    requests: int = 0
    retries: int = 0
    trades: int = 0
    candles_1m: int = 0
    candles_5m: int = 0


class Record:
    """Counts what is done, for the log and for the service's state. Lives as long as the process."""

    def __init__(self, wanted: Sequence[Wanted], command: str, state: FollowState) -> None:
        self.progress = {each.series_ticker: SeriesProgress(each) for each in wanted}
        """What the run of today did, by series."""
        self.lists_failed: dict[str, dict[str, str]] = {each.series_ticker: {} for each in wanted}
        """What of a series' lists could not be read when they were read last → why."""
        self._command = command
        self._state = state
        self._before = {each.series_ticker: _Before() for each in wanted}
        self._proved = {each.series_ticker: state.series[each.series_ticker].verdicts.copy() for each in wanted}
        self._run: runs.Run | None = None

    @property
    def run_id(self) -> UUID:
        """Names the run of today in checkpoints and in the ingestion log."""
        if self._run is None:
            raise RuntimeError("the run has not begun")
        return self._run.run_id

    async def begin(self, database: Database, now: datetime, first: date) -> None:
        """Begin the run of today, or go on with it; `first` is the first event date that something is asked about."""
        run = self._run
        if run is None or run.started_at.date() != now.date():
            run = self._begin_new(now, first)
        await _write(database, lambda connection: runs.begin(connection, run, list(self.progress)))

    async def keep(self, database: Database, clock: Callable[[], datetime], seconds: float) -> None:
        """Keep the log's rows current; when the exchange's day ends, end its run and begin the next."""
        while True:
            await asyncio.sleep(seconds)
            now = clock()
            run = self._run
            if run is None:
                continue
            if now.date() == run.started_at.date():
                await self._update(database, run)
                continue
            await self._end(database, now, None)
            await self.begin(database, now, run.min_event_date or now.date())

    async def close(self, database: Database, now: datetime, error: str | None) -> None:
        """End the run as well as it can be done."""
        with suppress(IngestError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._end(database, now, error)

    def failed(self, series_ticker: str) -> dict[str, str]:
        """What is failing now, of a series: in its lists, and markets."""
        return self.lists_failed[series_ticker] | self.progress[series_ticker].failed

    def tell(self) -> None:
        """Bring the counters of the service's state up to date."""
        for ticker, progress in self.progress.items():
            series, before = self._state.series[ticker], self._before[ticker]
            series.requests = before.requests + progress.tally.requests
            series.retries = before.retries + progress.tally.retries
            series.trades = before.trades + progress.trades
            series.candles_1m = before.candles_1m + progress.candles_1m
            series.candles_5m = before.candles_5m + progress.candles_5m
            series.verdicts = self._proved[ticker] + progress.verdicts
            series.failed = self.failed(ticker)

    def _begin_new(self, now: datetime, first: date) -> runs.Run:
        self.tell()
        for ticker, series in self._state.series.items():
            progress = self.progress[ticker]
            self._before[ticker] = _Before(
                series.requests, series.retries, series.trades, series.candles_1m, series.candles_5m
            )
            self._proved[ticker] = series.verdicts.copy()
            self.progress[ticker] = SeriesProgress(progress.wanted, failed=progress.failed)
        self._run = runs.Run(uuid4(), self._command, asked_by(), now, min(first, now.date()), now.date())
        return self._run

    async def _update(self, database: Database, run: runs.Run) -> None:
        await _write(database, lambda connection: runs.update(connection, run, self._counts(), {}, None))

    async def _end(self, database: Database, now: datetime, error: str | None) -> None:
        run = self._run
        if run is None:
            return
        outcome = {ticker: self._outcome(ticker, error) for ticker in self.progress}
        await _write(database, lambda connection: runs.update(connection, run, self._counts(), outcome, now))

    def _outcome(self, ticker: str, error: str | None) -> runs.Outcome:
        failed, warnings = self.failed(ticker), self.progress[ticker].warnings
        if error is not None:
            return runs.Outcome("interrupted", error, failed, warnings)
        if failed:
            first, reason = next(iter(failed.items()))
            return runs.Outcome("partial", f"{len(failed)} failing; the first: {first}: {reason}", failed, warnings)
        return runs.Outcome("success", warnings=warnings)

    def _counts(self) -> dict[str, runs.SeriesCount]:
        return {ticker: progress.counted for ticker, progress in self.progress.items()}


async def _write(database: Database, write: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
    async def work(connection: asyncpg.Connection) -> None:
        await write(connection)

    await database.run(work)
