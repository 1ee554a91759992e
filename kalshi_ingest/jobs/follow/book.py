"""What is to be asked next: the markets that have not settled, and those that wait for the walk that proves them."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from kalshi_ingest.domain.checkpoint import Checkpoint
from kalshi_ingest.domain.model import Pulse, Trade
from kalshi_ingest.jobs.feed import Task
from kalshi_ingest.jobs.follow.tracked import Tracked
from kalshi_ingest.jobs.walker import GUARD_US

_LONGEST_WAIT = 0.5
_PROOF_TURN = 4
"""Every fourth piece of work is a proof, if one waits: trading that never pauses must not put them off for ever."""


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work on one market. Nobody else works on that market until `Book.done`."""

    task: Task
    began: float
    """On the steady clock."""
    began_us: int
    """In the exchange's time."""
    closed_us: int | None = None
    """Only write the candles that ended by then; None: ask for trades."""


class Book:
    """Every market that something is left to do for, and which of them is next.

    Markets that trade come first, then candles whose period ended, then the walks that prove what has settled; of these
    one comes in between now and then.
    """

    def __init__(
        self, clock: Callable[[], float], exchange_us: Callable[[], int], unwritten: Mapping[str, AbstractSet[int]]
    ) -> None:
        """`clock` is steady, `exchange_us` the exchange's time; `unwritten`: buckets that wait for their candles."""
        self._clock = clock
        self._exchange_us = exchange_us
        self._unwritten = dict(unwritten)
        self._tracked: dict[str, Tracked] = {}
        self._settled: deque[Task] = deque()
        self._proving: dict[str, str] = {}
        """Settled markets that wait or are being walked → their series."""
        self._turn = 0
        self._changed = asyncio.Event()

    # What the plan of a series tells.

    def tracks(self, ticker: str) -> bool:
        """Whether this market's checkpoint is written by somebody who took it from here."""
        return ticker in self._tracked or ticker in self._proving

    def put(self, series_ticker: str, tasks: Iterable[Task]) -> None:
        """Take in markets that are not proved, as the lists show them now."""
        for task in tasks:
            ticker = task.unit.ticker
            tracked = self._tracked.get(ticker)
            if tracked is not None:
                tracked.unit = task.unit
                if task.unit.settled and not tracked.working:
                    self._prove(tracked)
            elif ticker in self._proving:
                continue
            elif task.unit.settled:
                self._proving[ticker] = series_ticker
                buckets = frozenset(self._unwritten.pop(ticker, frozenset()))
                self._settled.append(replace(task, unwritten=buckets))
            else:
                tracked = self._tracked[ticker] = Tracked(task.unit, task.known, walked_at=self._clock())
                for start_us in self._unwritten.pop(ticker, frozenset()):
                    tracked.unwritten.add_bucket(start_us)
        self._changed.set()

    def close(self, series_ticker: str) -> None:
        """A plan ended; others of the same series follow."""

    # What the exchange tells.

    def heard(self, asked: Collection[str], pulses: Mapping[str, Pulse], began: float, began_us: int) -> set[str]:
        """Take in how far some markets got; the series whose lists have to be read because a market's life went on."""
        went_on: set[str] = set()
        for ticker in asked:
            tracked = self._tracked.get(ticker)
            if tracked is None:
                continue
            pulse = pulses.get(ticker)
            if tracked.missed(began) if pulse is None else tracked.heard(pulse, began, began_us):
                went_on.add(tracked.unit.series_ticker)
        self._changed.set()
        return went_on

    def claim(self, ticker: str, trade_id: bytes) -> None:
        """A trade was announced on the channel."""
        tracked = self._tracked.get(ticker)
        if tracked is not None:
            tracked.claim(trade_id, self._clock())
            self._changed.set()

    # What is to be done.

    async def take(self) -> Order:
        """The next piece of work, as soon as there is one."""
        while (order := self._next()) is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(_LONGEST_WAIT):  # Python 3.11's wait_for may swallow a cancellation
                    await self._changed.wait()
            except TimeoutError:
                continue
        return order

    def page(self, task: Task, trades: Sequence[Trade], closed_us: int | None) -> None:
        """A page is committed; candles that end after `closed_us` were held back."""
        tracked = self._tracked.get(task.unit.ticker)
        if tracked is not None:
            tracked.found(trades)
            if closed_us is not None:
                tracked.unwritten.add_trades(trades, closed_us)

    def done(self, order: Order, checkpoint: Checkpoint) -> None:
        """A piece of work ended so."""
        ticker = order.task.unit.ticker
        tracked = self._tracked.get(ticker)
        if tracked is None:
            self._proving.pop(ticker, None)
            return
        tracked.working = False
        if order.closed_us is None:
            tracked.walked(checkpoint, order.began, order.began_us, self._clock())
            # A walk that went on where it broke off leaves alone what the pages before it held back.
            went_on = order.task.known is not None and order.task.known.state == "walking"
            if not tracked.failing and not went_on:
                tracked.unwritten.written(order.began_us - GUARD_US)
        else:
            tracked.known = checkpoint
            tracked.unwritten.written(order.closed_us)
        if tracked.unit.settled:
            self._prove(tracked)
        self._changed.set()

    # What others want to know.

    def tickers(self, *, trading: bool) -> list[str]:
        """The markets that trade; else those that are known, do not trade and have not settled."""
        now_us = self._exchange_us()
        return [ticker for ticker, tracked in self._tracked.items() if tracked.is_open(now_us) == trading]

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits for its proof, and every other market was confirmed once or is known to fail."""
        return not self._proving and all(
            each.confirmed_at is not None or each.failing for each in self._tracked.values()
        )

    def counts(self, series_ticker: str) -> tuple[int, int, int]:
        """Of one series: markets that trade, that have not settled, and that wait for a walk or are being walked."""
        now_us, now = self._exchange_us(), self._clock()
        of_series = [each for each in self._tracked.values() if each.unit.series_ticker == series_ticker]
        waiting = sum(each.working or each.waits_until(now) <= now for each in of_series)
        proving = sum(series == series_ticker for series in self._proving.values())
        return sum(each.is_open(now_us) for each in of_series), len(of_series), waiting + proving

    def fresh_at(self, series_ticker: str) -> tuple[bool, float | None]:
        """(whether a market of the series trades, the moment up to which all that trade are confirmed, if all are)."""
        now_us = self._exchange_us()
        trading = [
            each for each in self._tracked.values() if each.unit.series_ticker == series_ticker and each.is_open(now_us)
        ]
        moments = [each.confirmed_at for each in trading if each.confirmed_at is not None]
        return bool(trading), min(moments) if moments and len(moments) == len(trading) else None

    def _prove(self, tracked: Tracked) -> None:
        """A market settled: it leaves the tracked ones, and its last walk is next."""
        ticker = tracked.unit.ticker
        del self._tracked[ticker]
        self._proving[ticker] = tracked.unit.series_ticker
        self._settled.appendleft(Task(tracked.unit, tracked.known, unwritten=tracked.unwritten.all()))

    def _next(self) -> Order | None:
        now, now_us = self._clock(), self._exchange_us()
        self._turn += 1
        if self._settled and self._turn % _PROOF_TURN == 0:
            return Order(self._settled.popleft(), now, now_us)
        waiting = [each for each in self._tracked.values() if each.waits_until(now) <= now]
        if waiting:
            first = min(waiting, key=lambda each: each.walked_at)
            first.begin()
            task = Task(first.unit, first.known, only_new=not first.whole, unwritten=first.unwritten.all())
            return Order(task, now, now_us)
        for each in self._tracked.values():
            closed_us = each.confirmed_us - GUARD_US
            if not each.working and each.known is not None and (due := each.unwritten.due(closed_us)):
                each.working = True
                return Order(Task(each.unit, each.known, unwritten=due), now, now_us, closed_us)
        if self._settled:
            return Order(self._settled.popleft(), now, now_us)
        return None
