"""Polls the markets' volumes, a hundred a request; only markets that moved are walked."""

import asyncio
import math

import structlog

from kalshi_ingest.errors import OutOfReach, Permanent, Transient
from kalshi_ingest.exchange.api import SNAPSHOTS_PER_REQUEST
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.listing_poller import ListingPoller
from kalshi_ingest.follow.scheduler import Scheduler
from kalshi_ingest.follow.state import FollowState, Phase
from kalshi_ingest.ingest.resources import RunContext

_SHORTEST = 0.05
_WARNING_SECONDS = 60.0
_LONGEST_KEPT = 30.0
"""Seconds. However long a cache claims to repeat its answers, it is asked again after so many."""

log = structlog.get_logger()


class VolumePoller:
    """Records volumes in the scheduler, and in the service's state how fresh the data is."""

    def __init__(
        self,
        context: RunContext,
        scheduler: Scheduler,
        listings: ListingPoller,
        state: FollowState,
        intervals: PollIntervals,
    ) -> None:
        self._context = context
        self._scheduler = scheduler
        self._listings = listings
        self._state = state
        self._intervals = intervals
        self._tally = Tally()
        self._quiet_made: float | None = None
        """When the last answers about all markets that do not trade were made; None: not yet."""
        self._warned_at = float("-inf")
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Poll at once: something may have happened that was not announced."""
        self._woken.set()

    async def run(self) -> None:
        """Poll until cancelled. Raises `OutOfReach` when the exchange closes for maintenance or does not answer."""
        quiet_at = quiet_kept = float("-inf")
        while True:
            began = self._state.clock()
            self._woken.clear()
            kept_until = await self._poll(trading=True)
            catching_up = self._state.phase is Phase.CATCHING_UP
            pause = self._intervals.poll if catching_up else self._intervals.quiet
            if began >= max(quiet_at + pause, quiet_kept):
                quiet_at, quiet_kept = began, await self._poll(trading=False)
            self._state.cache_seconds = self._context.api.cache_seconds
            self._publish()
            channel = self._state.channel
            announced = channel is not None and channel.connected
            pause = self._intervals.poll_with_channel if announced else self._intervals.poll
            await asyncio.sleep(_SHORTEST)  # however much the WebSocket announces
            await self._sleep(max(began + pause, kept_until) - self._state.clock())

    async def _sleep(self, seconds: float) -> None:
        """Until the next poll. What the walks confirm meanwhile is published as it comes."""
        end = self._state.clock() + seconds
        while (left := end - self._state.clock()) > 0 and not self._woken.is_set():
            try:
                async with asyncio.timeout(min(left, 0.5)):
                    await self._woken.wait()
            except TimeoutError:
                self._publish()

    async def _poll(self, *, trading: bool) -> float:
        """Poll once; until when, on the steady clock, a cache would only repeat the answers."""
        kept_until, made_at, whole = math.inf, self._state.clock(), True
        tickers = self._scheduler.tickers(trading=trading)
        for start in range(0, len(tickers), SNAPSHOTS_PER_REQUEST):
            some = tickers[start : start + SNAPSHOTS_PER_REQUEST]
            began = self._state.clock()
            try:
                market_snapshots, made = await self._context.api.market_snapshots(some, self._tally)
            except Transient as error:
                if not await self._context.api.is_trading():
                    raise OutOfReach("the exchange is closed for maintenance") from error
                self._warn(error)
                whole = False
                continue
            except Permanent as error:
                self._warn(error)
                whole = False
                continue
            self._listings.request(
                self._scheduler.record_snapshots(some, market_snapshots, began - made.age, made.at_us)
            )
            made_at = min(made_at, began - made.age)
            kept_until = min(kept_until, self._state.clock() + min(made.kept, _LONGEST_KEPT))
        if whole and not trading:
            self._quiet_made = made_at
        return kept_until if kept_until < math.inf else -math.inf

    def _warn(self, error: Exception) -> None:
        """Once a minute is enough for what is asked every second."""
        if self._state.clock() - self._warned_at >= _WARNING_SECONDS:
            self._warned_at = self._state.clock()
            log.warning("market_snapshots_failed", reason=str(error))

    def _publish(self) -> None:
        self._state.volumes_doubted = self._scheduler.doubted
        for ticker, series in self._state.series.items():
            series.missing, series.accepted = self._scheduler.deficits(ticker)
            series.open_markets, series.unsettled_markets, series.backlog = self._scheduler.counts(ticker)
            trading, fresh_at = self._scheduler.fresh_at(ticker)
            if not trading and self._listings.are_current(ticker):
                fresh_at = self._quiet_made
            if fresh_at is not None or self._scheduler.doubted:
                series.fresh_at = fresh_at
        if self._state.phase is Phase.CATCHING_UP and self._listings.first_round.is_set() and self._scheduler.caught_up:
            self._state.phase = Phase.FOLLOWING
            log.info("caught_up")
