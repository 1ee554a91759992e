"""The one-shot job: plan, walk, write, all at once, until everything asked for is proved or listed as not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

import asyncpg
import structlog

from kalshi_ingest.jobs.asking import asked_by
from kalshi_ingest.jobs.failures import together
from kalshi_ingest.jobs.feed import Feed
from kalshi_ingest.jobs.plan import Dates, SeriesPlan
from kalshi_ingest.jobs.progress import SeriesProgress, Wanted
from kalshi_ingest.jobs.restarting import restarting
from kalshi_ingest.jobs.stopping import logged
from kalshi_ingest.jobs.tools import Tools
from kalshi_ingest.jobs.walker import Border, Walker
from kalshi_ingest.store import runs
from kalshi_ingest.store.writer import Writer

_LOG_SECONDS = 5.0
_PAGES_AT_ONCE = 2
"""Long pages of markets held at the same time."""
_STOP_SECONDS = 4.0
"""How long what is under way may take to end after a stop; together with the log, below ten seconds."""

log = structlog.get_logger()


class Backfill:
    """One run. `progress` can be read at any time."""

    def __init__(self, tools: Tools, wanted: Sequence[Wanted], dates: Dates, command: str) -> None:
        self.progress = {each.series_ticker: SeriesProgress(each) for each in wanted}
        self.interrupted = False
        self._tools = tools
        self._dates = dates
        self._run = runs.Run(uuid4(), command, asked_by(), tools.clock(), dates.start, dates.end)

    @property
    def run_id(self) -> UUID:
        """Names this run in checkpoints and in the ingestion log."""
        return self._run.run_id

    async def run(self, stop: asyncio.Event) -> None:
        """Do it all, or until `stop` is set: then what is under way is committed and the rest is left for next time.

        Raises `Unusable` when another run works on one of the series or a series is unknown, `OutOfReach` when the
        exchange or the database stays away.
        """
        await self._tools.writing.lock_series(self.progress)
        await restarting((self._tools.writing, self._tools.planning), lambda: self._once(stop), self._start_over)

    async def _once(self, stop: asyncio.Event) -> None:
        await self._record(lambda connection: runs.begin(connection, self._run, list(self.progress)))
        error: str | None = None
        try:
            await self._work(stop)
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            self.interrupted = self.interrupted or (stop.is_set() and error is None)
            await logged(self._close_log(error), hurried=self.interrupted or error is not None, stop=stop)
        if not self.interrupted:
            await self._tools.writing.verify()
            await self._tools.planning.verify()

    def _start_over(self) -> None:
        for progress in self.progress.values():
            progress.start_over("the database went back to an earlier state during this run: everything was read again")

    async def _work(self, stop: asyncio.Event) -> None:
        tools = self._tools
        writer = Writer(
            tools.writing, lambda: self.run_id, tools.api.now, queued=tools.workers + 1, candles=tools.candles
        )
        feed = Feed(list(self.progress))
        border = Border(tools.api)
        walker = Walker(tools, writer, border, self.progress)
        async with together() as group:
            writing = group.create_task(writer.run())
            turn = asyncio.Semaphore(_PAGES_AT_ONCE)
            plans = [
                SeriesPlan(tools, progress, self._dates, run_id=self.run_id, turn=turn)
                for progress in self.progress.values()
            ]
            keeping = [group.create_task(self._keep_log()), group.create_task(border.run())]
            jobs = [group.create_task(plan.run(feed)) for plan in plans]
            jobs += [group.create_task(walker.work(feed)) for _ in range(tools.workers)]
            await self._until_done(jobs, stop)
            # Nothing is handed to the writer any more. One that is stuck does not even take the word to finish.
            jobs += [writing, group.create_task(writer.finish())]
            _, stuck = await asyncio.wait(jobs, timeout=_STOP_SECONDS if self.interrupted else None)
            if stuck:
                tools.writing.abort()
                tools.planning.abort()
            for task in [writing, *keeping]:
                task.cancel()

    async def _until_done(self, jobs: list["asyncio.Task[None]"], stop: asyncio.Event) -> None:
        """Wait for the jobs; on `stop` cancel them, which leaves the writer to commit what it has.

        A cancelled job hands nothing more to the writer, so nobody has to wait for its end here.
        """
        stopping = asyncio.ensure_future(stop.wait())
        try:
            waiting = set(jobs)
            while waiting and not stop.is_set():
                _, left = await asyncio.wait({*waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                waiting = {job for job in jobs if job in left}
            if waiting:
                self.interrupted = True
                for job in waiting:
                    job.cancel()
        finally:
            stopping.cancel()

    async def _keep_log(self) -> None:
        while True:
            await asyncio.sleep(_LOG_SECONDS)
            await self._record(lambda connection: runs.update(connection, self._run, self._counts(), {}, None))

    async def _close_log(self, error: str | None) -> None:
        outcome = {ticker: self._outcome(progress, error) for ticker, progress in self.progress.items()}
        now = self._tools.clock()
        await self._record(lambda connection: runs.update(connection, self._run, self._counts(), outcome, now))

    def _outcome(self, progress: SeriesProgress, error: str | None) -> runs.Outcome:
        failed, warnings = progress.failed, progress.warnings
        if error is not None:
            return runs.Outcome("failed", error, failed, warnings)
        if self.interrupted:
            return runs.Outcome("interrupted", "stopped by the user", failed, warnings)
        if failed:
            first, reason = next(iter(failed.items()))
            return runs.Outcome("partial", f"{len(failed)} failed; the first: {first}: {reason}", failed, warnings)
        if progress.open:
            return runs.Outcome("partial", f"{progress.open} markets have not settled yet", failed, warnings)
        return runs.Outcome("success", warnings=warnings)

    def _counts(self) -> dict[str, runs.SeriesCount]:
        return {ticker: progress.counted for ticker, progress in self.progress.items()}

    async def _record(self, write: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        async def work(connection: asyncpg.Connection) -> None:
            await write(connection)

        await self._tools.planning.run(work)
