"""The one-shot job: plan, walk, write, all at once, until everything asked for is proved or listed as not."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from kalshi_ingest.ingest.cancellation import run_until, task_group, wind_down
from kalshi_ingest.ingest.discovery import Dates, SeriesDiscovery
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.ingest.restarting import with_restarts
from kalshi_ingest.ingest.run_log import Entry, RunLog, invoker, run_log
from kalshi_ingest.ingest.task_queue import TaskQueue
from kalshi_ingest.ingest.worker import CutoffCache, Worker
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.writer import Writer

_LOG_SECONDS = 5.0
_PAGES_AT_ONCE = 2
"""Long pages of markets held at the same time."""


class Backfill:
    """One run. `progress` can be read at any time."""

    def __init__(self, context: RunContext, wanted: Sequence[Wanted], dates: Dates, command: str) -> None:
        self.progress = {each.series_ticker: SeriesProgress(each) for each in wanted}
        self.interrupted = False
        self._context = context
        self._dates = dates
        self._run = ingestion_log.Run(uuid4(), command, invoker(), context.clock(), dates.start, dates.end)

    @property
    def run_id(self) -> UUID:
        """Names this run in checkpoints and in the ingestion log."""
        return self._run.run_id

    async def run(self, stop: asyncio.Event) -> None:
        """Do it all, or until `stop` is set: then what is under way is committed and the rest is left for next time.

        Raises `Unusable` when another run works on one of the series or a series is unknown, `OutOfReach` when the
        exchange or the database stays away.
        """
        await self._context.writing.locks.take_series(self.progress)
        await with_restarts((self._context.writing, self._context.planning), lambda: self._once(stop), self._start_over)

    async def _once(self, stop: asyncio.Event) -> None:
        database, clock = self._context.planning, self._context.clock
        async with run_log(database, self._run, self._entries, clock, stop) as log:
            await self._work(stop, log)
            log.interrupted = self.interrupted = self.interrupted or stop.is_set()
        if not self.interrupted:
            await self._context.writing.verify()
            await self._context.planning.verify()

    def _start_over(self) -> None:
        for progress in self.progress.values():
            progress.start_over("the database went back to an earlier state during this run: everything was read again")

    async def _work(self, stop: asyncio.Event, log: RunLog) -> None:
        context = self._context
        writer = Writer(context.writing, lambda: self.run_id, context.api.now, queued=context.workers + 1)
        queue = TaskQueue(list(self.progress))
        cutoffs = CutoffCache(context.api)
        worker = Worker(context, writer, cutoffs, self.progress)
        async with task_group() as group:
            writing = group.create_task(writer.run())
            turn = asyncio.Semaphore(_PAGES_AT_ONCE)
            keeping = [group.create_task(log.keep(_LOG_SECONDS)), group.create_task(cutoffs.run())]
            jobs = [group.create_task(self._plan(each, queue, turn)) for each in self.progress.values()]
            jobs += [group.create_task(worker.work(queue)) for _ in range(context.workers)]
            await run_until(stop, asyncio.wait(jobs))
            self.interrupted = await wind_down(group, jobs, writer, writing, (context.writing, context.planning))
            for task in keeping:
                task.cancel()

    async def _plan(self, progress: SeriesProgress, queue: TaskQueue, turn: asyncio.Semaphore) -> None:
        try:
            await SeriesDiscovery(self._context, progress, self._dates, run_id=self.run_id, turn=turn).run(queue.put)
        finally:
            queue.close(progress.wanted.series_ticker)

    def _entries(self) -> dict[str, Entry]:
        return {ticker: _entry(progress) for ticker, progress in self.progress.items()}


def _entry(progress: SeriesProgress) -> Entry:
    failed, partial = progress.failed, None
    if failed:
        first, reason = next(iter(failed.items()))
        partial = f"{len(failed)} failed; the first: {first}: {reason}"
    elif progress.open:
        partial = f"{progress.open} markets have not settled yet"
    return Entry(progress.counted, failed, progress.warnings, partial)
