"""Polls the lists of each series: new events, results, and what the exchange says a day should hold."""

import asyncio
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import structlog

from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.errors import Unusable
from kalshi_ingest.follow import queries
from kalshi_ingest.follow.daily_run import DailyRun
from kalshi_ingest.follow.intervals import PollIntervals, passed
from kalshi_ingest.follow.scheduler import Scheduler
from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.ingest.discovery import Dates, SeriesDiscovery
from kalshi_ingest.ingest.progress import SeriesProgress
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.ingest.worker import CutoffCache

_AHEAD = timedelta(days=30)
_USUAL = timedelta(days=8)
"""A result may take a week. What is unfinished for longer is looked at once a day."""
_MARGIN = timedelta(days=2)
"""A market settles, and so can move to the historical tier, no sooner than this before its event date has gone by."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Read:
    """When the lists of one series were read last."""

    at: float
    at_us: int
    to_the_end: bool
    ended_at: float = -math.inf
    """When a reading that came to the end began."""
    deep_at: float = -math.inf
    deep_us: int = 0
    """The same, of one from the first unfinished date on."""


class ListingPoller:
    """Reads one series at a time, so that a list never keeps many trades waiting."""

    def __init__(
        self,
        context: RunContext,
        scheduler: Scheduler,
        cutoffs: CutoffCache,
        daily_run: DailyRun,
        state: FollowState,
        intervals: PollIntervals,
    ) -> None:
        self.first_round = asyncio.Event()
        """Set once the lists of every series were read to their ends since the last loss."""
        self._context = context
        self._scheduler = scheduler
        self._cutoffs = cutoffs
        self._daily_run = daily_run
        self._state = state
        self._intervals = intervals
        self._turn = asyncio.Semaphore(1)
        self._read = {ticker: _Read(-math.inf, 0, False) for ticker in state.series}
        self._begin_at: dict[str, date | None] = {}
        self._requested: set[str] = set()
        self._woken = asyncio.Event()

    def request(self, series_tickers: Collection[str]) -> None:
        """Read the lists of some series soon: a market of theirs changed its status."""
        self._requested |= set(series_tickers)
        self._woken.set()

    def are_current(self, ticker: str) -> bool:
        """Whether the lists of a series were read to their ends recently: they show a market hours before it opens."""
        return self._state.clock() - self._read[ticker].ended_at < 2 * self._intervals.listings

    async def run(self, start: date | None, *, strict: bool = False) -> None:
        """Read everything from `start` on (None: from what is unfinished), then whatever is due, until cancelled.

        `strict`: a series of no city that is unknown at the first reading is an error (`Unusable`). One that the
        exchange denies later, or a city's, is reported and requested again, and the others continue.
        """
        self._begin_at = dict.fromkeys(self._state.series, start)
        while True:
            for ticker in self._state.series:
                if self._is_due(ticker):
                    self._requested.discard(ticker)
                    await self._read_series(ticker, strict=strict and not self.first_round.is_set())
            if not self._begin_at:
                self.first_round.set()
            self._woken.clear()
            try:
                async with asyncio.timeout(min(1.0, self._intervals.listings_pause)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _is_due(self, ticker: str) -> bool:
        read = self._read[ticker]
        waited = self._state.clock() - read.at
        if waited < self._intervals.listings_pause:
            return False
        interval = self._intervals.listings if read.to_the_end else self._intervals.listings_retry
        by_exchange = read.to_the_end and passed(self._now_us(), read.at_us) >= interval
        return ticker in self._requested or waited >= interval or by_exchange

    def _is_deep(self, ticker: str) -> bool:
        """Whether to begin at the first unfinished date: until that succeeded once, and then once a day."""
        read = self._read[ticker]
        waited = max(self._state.clock() - read.deep_at, passed(self._now_us(), read.deep_us))
        return ticker in self._begin_at or waited >= self._intervals.deep

    async def _read_series(self, ticker: str, *, strict: bool) -> None:
        read, deep = self._read[ticker], self._is_deep(ticker)
        read.at, read.at_us = self._state.clock(), self._now_us()
        progress = self._daily_run.progress[ticker]
        progress.stats.tally.oldest = 0.0
        done = SeriesProgress(progress.wanted, stats=progress.stats)
        try:
            await self._list(done, await self._dates(ticker, deep=deep))
        except Unusable as error:
            if strict and progress.wanted.city is None:  # a city's series there always was
                raise
            done.failed[ticker] = str(error)
        read.to_the_end = done.listed
        if done.listed:
            # A cache may have repeated what the exchange said before it was asked.
            read.ended_at = self._state.series[ticker].listed_at = read.at - progress.stats.tally.oldest
            if deep:
                read.deep_at, read.deep_us = read.at, read.at_us
                self._begin_at.pop(ticker, None)
        self._publish_failures(ticker, done.failed)
        progress.ended |= done.ended
        progress.warnings.extend(each for each in done.warnings if each not in progress.warnings)

    async def _list(self, done: SeriesProgress, dates: Dates) -> None:
        cutoff = await self._cutoffs.cutoff()
        recent = cutoff is not None and cutoff.markets.date() + _MARGIN <= dates.start
        scheduler, run_id = self._scheduler, self._daily_run.run_id
        plan = SeriesDiscovery(self._context, done, dates, run_id=run_id, turn=self._turn, followed=scheduler)
        await plan.run(scheduler.put, recent=recent)

    async def _dates(self, ticker: str, *, deep: bool) -> Dates:
        today = self._context.clock().date()
        yesterday = today - timedelta(days=1)
        found = await self._context.planning.run(queries.first_dates, [ticker])
        first = min(yesterday, found.get(ticker, yesterday))
        start = self._begin_at.get(ticker)
        if deep:
            return Dates(min(start or first, first), today + _AHEAD)
        return Dates(max(first, today - _USUAL), today + _AHEAD)

    def _publish_failures(self, ticker: str, failed: Mapping[str, str]) -> None:
        for what, reason in failed.items():
            if self._state.series[ticker].failed_listings.get(what) != reason:
                log.warning("listing_failed", series=ticker, what=what, reason=reason)
        self._state.series[ticker].failed_listings = dict(failed)

    def _now_us(self) -> int:
        return to_microseconds(self._context.clock())
