"""The service's rows in the ingestion log: a run for each day, so that every day has an outcome."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime
from uuid import UUID, uuid4

from kalshi_ingest.follow.state import FollowState, SeriesState
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_ingest.ingest.run_log import Entry, RunLog, invoker, logged
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import Database


class DailyRun:
    """What the run of today did, and its rows. Lives as long as the process."""

    def __init__(self, wanted: Sequence[Wanted], command: str, state: FollowState) -> None:
        self.progress = {each.series_ticker: _new_progress(state.series[each.series_ticker]) for each in wanted}
        """What the run of today did, by series."""
        self._command = command
        self._state = state
        self._log: RunLog | None = None

    @property
    def run_id(self) -> UUID:
        """Names the run of today in checkpoints and in the ingestion log."""
        return self._begun.run.run_id

    @property
    def _begun(self) -> RunLog:
        if self._log is None:
            raise RuntimeError("the run has not begun")
        return self._log

    async def begin(self, database: Database, clock: Callable[[], datetime], first: date) -> None:
        """Begin or resume the run of today; `first` is the first event date requested."""
        now = clock()
        run = None if self._log is None else self._log.run
        if run is None or run.started_at.date() != now.date():
            for ticker in self.progress:
                self.progress[ticker] = _new_progress(self._state.series[ticker])
            run = ingestion_log.Run(uuid4(), self._command, invoker(), now, min(first, now.date()), now.date())
        self._log = RunLog(database, run, self._entries, clock)
        await self._log.begin()

    async def keep(self, database: Database, clock: Callable[[], datetime], seconds: float) -> None:
        """Keep the log's rows current; when the exchange's day ends, end its run and begin the next."""
        while True:
            await asyncio.sleep(seconds)
            log, today = self._begun, clock().date()
            if today == log.run.started_at.date():
                await log.update()
            else:
                await log.end()
                await self.begin(database, clock, log.run.min_event_date or today)

    async def close(self, error: str | None) -> None:
        """End the run as far as possible; `error`: why its session was lost."""
        ending = self._begun.end() if error is None else self._begun.end("interrupted", error)
        await logged(ending, hurried=True)

    def _entries(self) -> dict[str, Entry]:
        return {
            ticker: _entry(progress, self._state.series[ticker].failed) for ticker, progress in self.progress.items()
        }


def _new_progress(series: SeriesState) -> SeriesProgress:
    """What a new run did of a series: nothing; what fails, fails still."""
    return SeriesProgress(series.wanted, series.stats, failed=series.failed_markets)


def _entry(progress: SeriesProgress, failed: dict[str, str]) -> Entry:
    partial = None
    if failed:
        first, reason = next(iter(failed.items()))
        partial = f"{len(failed)} failing; the first: {first}: {reason}"
    return Entry(progress.counted, failed, progress.warnings, partial)
