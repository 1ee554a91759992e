"""Reads the lists of each series again and again: new events, results, and what the exchange says a day should hold."""

import asyncio
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import asyncpg
import structlog

from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.jobs.follow.book import Book
from kalshi_ingest.jobs.follow.record import Record
from kalshi_ingest.jobs.follow.rhythm import Rhythm
from kalshi_ingest.jobs.follow.state import FollowState
from kalshi_ingest.jobs.plan import Dates, SeriesPlan
from kalshi_ingest.jobs.progress import SeriesProgress
from kalshi_ingest.jobs.tools import Tools
from kalshi_ingest.jobs.walker import Border
from kalshi_ingest.store import unfinished

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
    whole_at: float
    """The last time that nothing in them failed."""
    at_us: int
    deep_us: int
    whole: bool


class Lists:
    """Reads one series at a time, so that a list never keeps many trades waiting."""

    def __init__(
        self, tools: Tools, book: Book, border: Border, record: Record, state: FollowState, rhythm: Rhythm
    ) -> None:
        self.first_round = asyncio.Event()
        """Set once the lists of every series were read since the last loss."""
        self._tools = tools
        self._book = book
        self._border = border
        self._record = record
        self._state = state
        self._rhythm = rhythm
        self._turn = asyncio.Semaphore(1)
        self._read: dict[str, _Read] = {}
        self._asked: set[str] = set()
        self._woken = asyncio.Event()

    def ask(self, series_tickers: Collection[str]) -> None:
        """Read the lists of some series soon: the life of one of their markets went on."""
        self._asked |= set(series_tickers)
        self._woken.set()

    def quiet_at(self, ticker: str) -> float | None:
        """The moment that a series without a market that trades is vouched for: now, as long as its lists are read.

        They would show a market that opens. None: not since the last loss, or not whole for too long.
        """
        read = self._read.get(ticker)
        now = self._state.clock()
        return now if read is not None and now - read.whole_at < 2 * self._rhythm.lists else None

    async def run(self, start: date | None) -> None:
        """Read everything from `start` on (None: from what is unfinished), then whatever is due, without an end."""
        for ticker in self._state.series:
            await self._read_series(ticker, start, deep=True)
        self.first_round.set()
        while True:
            for ticker in self._state.series:
                if self._is_due(ticker):
                    self._asked.discard(ticker)
                    deep = self._now_us() - self._read[ticker].deep_us >= self._rhythm.deep * 1e6
                    await self._read_series(ticker, None, deep=deep)
            self._woken.clear()
            try:
                async with asyncio.timeout(min(1.0, self._rhythm.lists_pause)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _is_due(self, ticker: str) -> bool:
        read = self._read[ticker]
        passed = self._state.clock() - read.at
        if passed < self._rhythm.lists_pause:
            return False
        interval = self._rhythm.lists if read.whole else self._rhythm.lists_again
        by_exchange = (self._now_us() - read.at_us) / 1e6 >= interval and read.whole
        return ticker in self._asked or passed >= interval or by_exchange

    async def _read_series(self, ticker: str, start: date | None, *, deep: bool) -> None:
        today = self._tools.clock().date()
        first = (await self._first_dates([ticker])).get(ticker, today - timedelta(days=1))
        first = min(first, today - timedelta(days=1))
        dates = Dates(min(start or first, first) if deep else max(first, today - _USUAL), today + _AHEAD)
        await self._border.refresh()
        cutoff = self._border.known
        recent = cutoff is not None and cutoff.markets.date() + _MARGIN <= dates.start
        began, began_us = self._state.clock(), self._now_us()
        progress = self._record.progress[ticker]
        read = SeriesProgress(progress.wanted, tally=progress.tally)
        plan = SeriesPlan(self._tools, read, dates, run_id=self._record.run_id, turn=self._turn)
        await plan.run(self._book, recent=recent)
        known = self._read.get(ticker)
        deep_us = began_us if deep or known is None else known.deep_us
        whole = not read.failed
        whole_at = began if whole else -math.inf if known is None else known.whole_at
        self._read[ticker] = _Read(began, whole_at, began_us, deep_us, whole)
        if read.listed:
            self._state.series[ticker].listed_at = began
        self._tell(ticker, read.failed)
        progress.warnings.extend(each for each in read.warnings if each not in progress.warnings)

    def _tell(self, ticker: str, failed: Mapping[str, str]) -> None:
        for what, reason in failed.items():
            if self._record.lists_failed[ticker].get(what) != reason:
                log.warning("cannot be read", series=ticker, what=what, reason=reason)
        self._record.lists_failed[ticker] = dict(failed)

    async def _first_dates(self, tickers: list[str]) -> dict[str, date]:
        async def read(connection: asyncpg.Connection, _: bool) -> dict[str, date]:
            return await unfinished.first_dates(connection, tickers)

        return await self._tools.planning.run(read)

    def _now_us(self) -> int:
        return to_microseconds(self._tools.clock())
