"""What is to be asked next: the markets that have not settled, and those that wait for the walk that proves them."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import structlog

from kalshi_ingest.domain.checkpoint import Checkpoint, State, Task
from kalshi_ingest.domain.model import MarketSnapshot
from kalshi_ingest.exchange.api import TradePage
from kalshi_ingest.follow.market_state import MarketState
from kalshi_ingest.ingest.page_age import GUARD_US

log = structlog.get_logger()

_LONGEST_WAIT = 0.5
_DOUBTED_SECONDS = 30.0
"""How long volumes are doubted after one was last seen to stand still while its trades continued."""
_CHECKED_SECONDS = 10.0
"""A market is not asked for its trades without a reason sooner after its last walk."""
_ANNOUNCED_SECONDS = 60.0
"""While trades are announced they show whether volumes move; a look would only leave a copy in a cache."""
_PROOF_TURN = 4
"""Every fourth piece of work is a proof, if one waits: trading that never pauses must not put them off for ever."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One piece of work on one market. No other worker takes that market until `Scheduler.complete`."""

    task: Task
    began: float
    """On the steady clock."""
    began_us: int
    """In the exchange's time."""
    closed_us: int | None = None
    """Only write the candles that ended by then; None: ask for trades."""


class Scheduler:
    """Every market that something is left to do for, and which of them is next.

    Markets that trade come first, then candles whose period ended, then the walks that prove what has settled; of these
    one comes in between now and then.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        exchange_us: Callable[[], int],
        unwritten: Mapping[str, AbstractSet[int]],
        cache_seconds: Callable[[], float] = lambda: 0.0,
        cross_check: float = math.inf,
    ) -> None:
        """`clock` is steady, `exchange_us` the exchange's time; `unwritten`: buckets that wait for their candles.

        `cache_seconds`: for how long a cache before the exchange repeats its answers. `cross_check`: seconds between
        two looks at the trades of a market whose volume stands still.
        """
        self._clock = clock
        self._exchange_us = exchange_us
        self._cache_seconds = cache_seconds
        self._cross_check = cross_check
        self._checked_at = clock()
        self._announced_at = -math.inf
        self._doubted_until = -math.inf
        self._newest_us: dict[str, int] = {}
        """Series → its newest trade that was shown."""
        self._unwritten = dict(unwritten)
        self._markets: dict[str, MarketState] = {}
        self._settled: deque[Task] = deque()
        self._proving: dict[str, str] = {}
        """Settled markets that wait or are being walked → their series."""
        self._turn = 0
        self._changed = asyncio.Event()

    def __contains__(self, ticker: object) -> bool:
        """Whether a worker of this scheduler writes this market's checkpoint."""
        return ticker in self._markets or ticker in self._proving

    def put(self, series_ticker: str, tasks: Iterable[Task]) -> None:
        """Take in markets that are not proved, as the lists show them now."""
        for task in tasks:
            ticker = task.unit.ticker
            market = self._markets.get(ticker)
            if market is not None:
                market.unit = task.unit
                if task.unit.settled and not market.working:
                    self._prove(market)
            elif ticker in self._proving:
                continue
            elif task.unit.settled:
                self._proving[ticker] = series_ticker
                buckets = frozenset(self._unwritten.pop(ticker, frozenset()))
                self._settled.append(replace(task, unwritten=buckets))
            else:
                market = self._markets[ticker] = MarketState(task.unit, task.known, walked_at=self._clock())
                for start_us in self._unwritten.pop(ticker, frozenset()):
                    market.unwritten.add_bucket(start_us)
        self._changed.set()

    def record_snapshots(
        self, asked: Collection[str], market_snapshots: Mapping[str, MarketSnapshot], began: float, began_us: int
    ) -> set[str]:
        """Take in how far some markets had got at `began`, which is when the exchange, or a cache, made its answer.

        `began_us` is the same in the exchange's time. Returns the series whose lists have to be read because a market
        changed its status.
        """
        changed: set[str] = set()
        for ticker in asked:
            market = self._markets.get(ticker)
            if market is None:
                continue
            market_snapshot = market_snapshots.get(ticker)
            trusted = not self.doubted
            if (
                market.record_absence(began)
                if market_snapshot is None
                else market.record_snapshot(market_snapshot, began, began_us, trusted=trusted)
            ):
                changed.add(market.unit.series_ticker)
        self._doubt(began)
        self._changed.set()
        return changed

    @property
    def doubted(self) -> bool:
        """Whether the exchange's volumes are not to be believed: one stood still while its trades continued."""
        return self._clock() < self._doubted_until

    def _doubt(self, now: float) -> None:
        now_us = self._exchange_us()
        if any(each.lags(now) and each.is_open(now_us) for each in self._markets.values()):
            if not self.doubted:
                log.warning("volumes_frozen", consequence="while trades continue, only trades are believed")
                for each in self._markets.values():
                    each.distrust_volumes()
            self._doubted_until = self._clock() + _DOUBTED_SECONDS

    def expect_trade(self, ticker: str, trade_id: bytes) -> None:
        """A trade was announced on the channel."""
        market = self._markets.get(ticker)
        if market is not None:
            self._announced_at = self._clock()
            market.expect_trade(trade_id, self._clock(), self._cache_seconds())
            self._changed.set()

    async def take(self) -> WorkItem:
        """The next piece of work, as soon as there is one."""
        while (item := self._next()) is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(_LONGEST_WAIT):  # Python 3.11's wait_for may swallow a cancellation
                    await self._changed.wait()
            except TimeoutError:
                continue
        return item

    def record_page(self, task: Task, page: TradePage, closed_us: int | None) -> None:
        """A page is committed; candles that end after `closed_us` were held back."""
        if page.trades:
            series = task.unit.series_ticker
            self._newest_us[series] = max(self._newest_us.get(series, 0), page.trades[-1].created_us)
        market = self._markets.get(task.unit.ticker)
        if market is not None:
            market.confirm_trades(page.trades)
            market.record_page(page.trades, page.made, self._clock())
            market.closed_us = closed_us
            if closed_us is not None:
                market.unwritten.add_trades(page.trades, closed_us)

    def complete(self, item: WorkItem, checkpoint: Checkpoint) -> None:
        """A piece of work ended with this checkpoint."""
        ticker = item.task.unit.ticker
        market = self._markets.get(ticker)
        if market is None:
            self._proving.pop(ticker, None)
            return
        market.working = False
        if item.closed_us is None:
            began_us = item.began_us if market.made is None else market.made.at_us
            alive_us = self._newest_us.get(market.unit.series_ticker, 0)
            market.record_walk(checkpoint, item.began - market.age, began_us, self._clock(), alive_us)
            # A walk that resumed where it broke off leaves alone what the pages before it held back.
            resumed = item.task.known is not None and item.task.known.state is State.WALKING
            if not market.failing and not resumed:
                market.unwritten.written(began_us - GUARD_US if market.closed_us is None else market.closed_us)
        else:
            market.known = checkpoint
            market.unwritten.written(item.closed_us)
        if market.unit.settled:
            self._prove(market)
        self._changed.set()

    def tickers(self, *, trading: bool) -> list[str]:
        """The markets that trade; else those that are known, do not trade and have not settled."""
        now_us = self._exchange_us()
        return [ticker for ticker, market in self._markets.items() if market.is_open(now_us) == trading]

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits for its proof, and every other market was confirmed once, is known to fail, or lacks
        trades that no walk finds."""
        return not self._proving and all(
            each.confirmed_at is not None or each.failing or each.searched for each in self._markets.values()
        )

    def counts(self, series_ticker: str) -> tuple[int, int, int]:
        """Of one series: markets that trade, that have not settled, and that wait for a walk or are being walked."""
        now_us, now = self._exchange_us(), self._clock()
        of_series = [each for each in self._markets.values() if each.unit.series_ticker == series_ticker]
        waiting = sum(each.working or each.waits_until(now, doubted=self.doubted) <= now for each in of_series)
        proving = sum(series == series_ticker for series in self._proving.values())
        return sum(each.is_open(now_us) for each in of_series), len(of_series), waiting + proving

    def fresh_at(self, series_ticker: str) -> tuple[bool, float | None]:
        """(whether a market of the series trades, the moment up to which all that trade are confirmed, if all are)."""
        now_us = self._exchange_us()
        trading = [
            each for each in self._markets.values() if each.unit.series_ticker == series_ticker and each.is_open(now_us)
        ]
        moments = [each.confirmed_at for each in trading if each.confirmed_at is not None]
        return bool(trading), min(moments) if moments and len(moments) == len(trading) else None

    def deficits(self, series_ticker: str) -> tuple[dict[str, int], dict[str, int]]:
        """Of the markets of a series that trade: contracts (hundredths) of their volume that no trade shows, by ticker;
        those that have no explanation, and those that are put down to the exchange's own books."""
        now_us = self._exchange_us()
        trading = [
            (ticker, each)
            for ticker, each in self._markets.items()
            if each.unit.series_ticker == series_ticker and each.is_open(now_us)
        ]
        missing = {ticker: each.missing for ticker, each in trading if each.missing and each.searched}
        return missing, {ticker: each.explained for ticker, each in trading if each.explained}

    def _prove(self, market: MarketState) -> None:
        """A market settled: it leaves the tracked ones, and its last walk is next."""
        ticker = market.unit.ticker
        del self._markets[ticker]
        self._proving[ticker] = market.unit.series_ticker
        self._settled.appendleft(Task(market.unit, market.known, unwritten=market.unwritten.all()))

    def _next(self) -> WorkItem | None:
        now, now_us = self._clock(), self._exchange_us()
        self._turn += 1
        if self._settled and self._turn % _PROOF_TURN == 0:
            return WorkItem(self._settled.popleft(), now, now_us)
        doubted = self.doubted
        waiting = [each for each in self._markets.values() if each.waits_until(now, doubted=doubted) <= now]
        if waiting:
            return _walk(min(waiting, key=lambda each: each.walked_at), now, now_us)
        for each in self._markets.values():
            closed_us = each.confirmed_us - GUARD_US
            if not each.working and each.known is not None and (due := each.unwritten.due(closed_us)):
                each.working = True
                return WorkItem(Task(each.unit, each.known, unwritten=due), now, now_us, closed_us)
        if self._settled:
            return WorkItem(self._settled.popleft(), now, now_us)
        announced = now - self._announced_at < _ANNOUNCED_SECONDS
        is_due = not announced and now - self._checked_at >= self._cross_check
        if is_due and (doubtful := self._likeliest(now, now_us)) is not None:
            self._checked_at = now
            return _walk(doubtful, now, now_us)
        return None

    def _likeliest(self, now: float, now_us: int) -> MarketState | None:
        """Whose trades to look at although its volume stands still: volumes may stand still for another reason.

        The market that by its trades so far has the most to show since its last walk.
        """
        able = [each for each in self._markets.values() if each.may_be_checked(now, _CHECKED_SECONDS)]
        able = [each for each in able if each.is_open(now_us)]
        return max(able, key=lambda each: each.expected(now), default=None)


def _walk(market: MarketState, now: float, now_us: int) -> WorkItem:
    market.begin()
    task = Task(market.unit, market.known, only_new=not market.whole, unwritten=market.unwritten.all())
    return WorkItem(task, now, now_us)
