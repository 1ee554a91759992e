"""The service from one loss to the next: workers, lists, polling and log at once, until stopped or something is
lost. Either way the next session resumes from the checkpoints, as after a kill."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import structlog

from kalshi_ingest.domain.checkpoint import Checkpoint, State, Task
from kalshi_ingest.domain.model import Trade, to_datetime, to_microseconds
from kalshi_ingest.errors import DatabaseAway, IngestError, OutOfReach
from kalshi_ingest.exchange.api import TradePage
from kalshi_ingest.exchange.subscriptions import Changed, Event, Gap, Traded, Watched
from kalshi_ingest.exchange.websocket import Channel, ChannelStats, channel_url
from kalshi_ingest.follow import queries
from kalshi_ingest.follow.daily_run import DailyRun
from kalshi_ingest.follow.durability_check import prove_held
from kalshi_ingest.follow.faults import Faults, describe, is_fault
from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.listing_poller import ListingPoller
from kalshi_ingest.follow.periodic_jobs import PeriodicJobs
from kalshi_ingest.follow.scheduler import Scheduler, WorkItem
from kalshi_ingest.follow.state import FollowState, Phase
from kalshi_ingest.follow.volume_poller import VolumePoller
from kalshi_ingest.ingest.cancellation import task_group, wind_down
from kalshi_ingest.ingest.resources import Session
from kalshi_ingest.ingest.worker import CutoffCache, Worker
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.writer import Writer

log = structlog.get_logger()


class FollowSession:
    """Everything between opening exchange and database and losing one of them."""

    def __init__(
        self,
        session: Session,
        daily_run: DailyRun,
        state: FollowState,
        intervals: PollIntervals,
        faults: Faults,
        *,
        proved_usable: bool,
    ) -> None:
        """`proved_usable`: everything requested was there once, so that a series denied later is not an error."""
        self._strict = not proved_usable
        self._session = session
        self._client = session.client
        # The exchange's own time decides what has ended: this machine's clock may be wrong or jump.
        self._context = replace(session.context, clock=session.client.clock)
        self._daily_run = daily_run
        self._state = state
        self._intervals = intervals
        self._faults = faults

    async def run(
        self,
        start: date | None,
        stop: asyncio.Event,
        periodic_jobs: PeriodicJobs | None,
        *,
        on_first_round: Callable[[], None],
    ) -> None:
        """Follow until `stop`; then what is under way is committed. `start`: begin there, not with what is unfinished.

        `on_first_round` is called once the lists of every series were read.

        Raises `Unusable` when another run works on one of the series or a series is unknown; `OutOfReach` when the
        exchange or the database stays away.
        """
        context, tickers = self._context, list(self._state.series)
        await context.writing.locks.take_series(tickers)
        for database in (context.writing, context.planning):
            await database.fence()
        self._state.reset_freshness()  # between two sessions no one checked that the database still holds it
        self._state.phase, self._state.reason = Phase.CATCHING_UP, ""
        if not await context.api.is_trading():  # and the exchange's time is known from here on
            raise OutOfReach("the exchange is closed for maintenance")
        unwritten = await context.planning.run(queries.unwritten_buckets, tickers)
        cross_check = self._intervals.cross_check
        scheduler = Scheduler(
            self._state.clock, self._now_us, unwritten, lambda: self._context.api.cache_seconds, cross_check
        )
        await self._daily_run.begin(context.planning, context.clock, start or await self._first_date(tickers))
        error: str | None = None
        try:
            await self._follow(scheduler, start, stop, periodic_jobs, on_first_round)
        except BaseException as failure:
            error = str(failure) if isinstance(failure, IngestError) else type(failure).__name__
            raise
        finally:
            await self._daily_run.close(error)

    async def _follow(
        self,
        scheduler: Scheduler,
        start: date | None,
        stop: asyncio.Event,
        periodic_jobs: PeriodicJobs | None,
        on_first_round: Callable[[], None],
    ) -> None:
        context, intervals = self._context, self._intervals

        def page(task: Task, page: TradePage, closed_us: int | None) -> None:
            scheduler.record_page(task, page, closed_us)
            self._measure(task, page.trades)

        writer = Writer(context.writing, lambda: self._daily_run.run_id, context.clock, queued=context.workers + 1)
        self._state.pacer, self._state.writer = self._client.pacer, writer
        cutoffs = CutoffCache(context.api)
        worker = Worker(context, writer, cutoffs, self._daily_run.progress, page)
        listings = ListingPoller(context, scheduler, cutoffs, self._daily_run, self._state, intervals)
        poller = VolumePoller(context, scheduler, listings, self._state, intervals)
        async with task_group() as group:
            writing = group.create_task(writer.run())
            jobs = [group.create_task(self._work(scheduler, worker)) for _ in range(context.workers)]
            jobs.append(group.create_task(cutoffs.run()))
            jobs.append(group.create_task(listings.run(start, strict=self._strict)))
            jobs.append(group.create_task(poller.run()))
            jobs.append(group.create_task(self._daily_run.keep(context.planning, context.clock, intervals.log)))
            jobs.append(group.create_task(self._summarize()))
            jobs.append(group.create_task(_once(listings.first_round, on_first_round)))
            jobs.append(group.create_task(self._watch_database()))
            jobs.append(group.create_task(prove_held((context.writing, context.planning), self._state)))
            if (signer := self._session.signer) is not None:
                url, sign = channel_url(self._client.base_url), signer.at(self._client.clock)
                self._state.channel = stats = self._state.channel or ChannelStats()
                on_event = partial(self.on_event, scheduler, listings, poller)
                channel = Channel(self._session.http, url, sign, on_event, stats=stats)
                jobs.append(group.create_task(self._listen(channel, scheduler)))
            if periodic_jobs is not None:
                jobs.append(group.create_task(periodic_jobs.run(context.clock, stop)))
            await stop.wait()
            self._state.phase = Phase.STOPPING
            await wind_down(group, jobs, writer, writing, (context.writing, context.planning))

    async def _work(self, scheduler: Scheduler, worker: Worker) -> None:
        """One worker: a market at a time, until cancelled."""
        while True:
            item = await scheduler.take()
            unit = item.task.unit
            try:
                checkpoint = await _run_item(item, worker, self._context.writing)
            except Exception as error:
                if not self._faults.isolates(unit.ticker, error):
                    raise
                known = item.task.known or Checkpoint(unit.ticker, unit.series_ticker, unit.event_date)
                checkpoint = known.failed(describe(error))
                self._daily_run.progress[unit.series_ticker].failed[unit.ticker] = describe(error)
            else:
                self._faults.clear(unit.ticker)
            scheduler.complete(item, checkpoint)

    def on_event(self, scheduler: Scheduler, listings: ListingPoller, poller: VolumePoller, event: Event) -> None:
        """Take in what the WebSocket announces: a reason to ask at once, never data.

        A trade has to be found, a changed market's lists are read, and after a gap everything is looked at.
        """
        match event:
            case Traded(ticker, trade_id):
                scheduler.expect_trade(ticker, trade_id)
            case Changed(ticker, _):
                # A new market is known by its name only, and the WebSocket reports every series of the exchange.
                listings.request({ticker.partition("-")[0]} & self._state.series.keys())
            case Gap() | Watched():
                poller.wake()

    async def _listen(self, channel: Channel, scheduler: Scheduler) -> None:
        """Keep the WebSocket. A fault in it costs only time, because everything is polled as well."""
        intervals, times = self._intervals, 0
        while True:
            began = self._state.clock()
            try:
                await channel.run(lambda: scheduler.tickers(trading=True))
            except Exception as fault:
                if not is_fault(fault):
                    raise
                self._faults.record("channel", fault)
                times = 1 if self._state.clock() - began >= intervals.longest_fault else times + 1
            await asyncio.sleep(min(intervals.longest_fault, intervals.fault * 2.0 ** min(times, 16)))

    async def _watch_database(self) -> None:
        """A server whose machine vanished never answers: abort what waits for it."""
        began = self._state.clock()  # a moment ago it answered: the session was opened
        while True:
            await asyncio.sleep(0.5)
            seen_at = self._state.database_seen_at
            if seen_at is not None and self._state.clock() - max(seen_at, began) > self._intervals.database_silence:
                self._context.writing.abort()
                self._context.planning.abort()
                raise DatabaseAway("the database does not answer")

    async def _summarize(self) -> None:
        while True:
            told_at = self._state.clock()
            while self._state.clock() - told_at < self._intervals.summary:
                await asyncio.sleep(0.5)
            log.info("following", **_summary(self._state))

    def _measure(self, task: Task, trades: Sequence[Trade]) -> None:
        """How late the new ones of some trades, which were committed just now, are."""
        series = self._state.series[task.unit.series_ticker]
        if trades:
            newest = to_datetime(trades[-1].created_us)
            series.last_trade_at = max(series.last_trade_at or newest, newest)
        known = task.known
        if self._state.phase is Phase.FOLLOWING and task.only_new and known is not None and known.state is State.OPEN:
            now_us, before_us = to_microseconds(self._context.clock()), known.newest_us or 0
            series.lag.add((now_us - trade.created_us) / 1e6 for trade in trades if trade.created_us > before_us)

    async def _first_date(self, tickers: Sequence[str]) -> date:
        found = await self._context.planning.run(queries.first_dates, tickers)
        return min(found.values(), default=self._context.clock().date() - timedelta(days=1))

    def _now_us(self) -> int:
        return to_microseconds(self._client.clock.earliest())


def _summary(state: FollowState) -> dict[str, object]:
    """A line for the log: sums since the start, and how old the oldest city's data is."""
    series = list(state.series.values())
    ages = [state.age(each) for each in series]
    return {
        "trades": sum(each.stats.trades for each in series),
        "proved": sum(each.stats.proved.total() for each in series),
        "open": sum(each.open_markets for each in series),
        "failing": sum(len(each.failed) for each in series),
        "requests": state.traffic.sent,
        "oldest_seconds": None if None in ages else round(max(age for age in ages if age is not None), 1),
    }


async def _once(event: asyncio.Event, call: Callable[[], None]) -> None:
    await event.wait()
    call()


async def _run_item(item: WorkItem, worker: Worker, database: Database) -> Checkpoint:
    task = item.task
    if task.unit.settled:
        # The plan read its checkpoint when it began; another worker may have proved the market since.
        now = await database.run(checkpoints.of_tickers, [task.unit.ticker])
        task = replace(task, known=now.get(task.unit.ticker))
    known = task.known
    if known is not None and known.is_proved(task.unit.volume):
        return known
    if known is not None and item.closed_us is not None:
        return await worker.close(task, known, item.closed_us)
    return await worker.walk(task)
