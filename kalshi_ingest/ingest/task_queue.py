"""The units that wait for a worker, taken from every series in turn."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from kalshi_ingest.domain.checkpoint import Task


class TaskQueue:
    """Hands out tasks while the plan is still being made. Bounded by the number of markets there are."""

    def __init__(self, series_tickers: Sequence[str]) -> None:
        self._waiting: deque[tuple[str, deque[Task]]] = deque((ticker, deque()) for ticker in series_tickers)
        self._open = set(series_tickers)
        self._changed = asyncio.Event()

    def put(self, series_ticker: str, tasks: Iterable[Task]) -> None:
        """Add tasks of one series; they are handed out in this order."""
        next(queue for ticker, queue in self._waiting if ticker == series_ticker).extend(tasks)
        self._changed.set()

    def close(self, series_ticker: str) -> None:
        """No more tasks of this series will come."""
        self._open.discard(series_ticker)
        self._changed.set()

    async def take(self) -> Task | None:
        """The next task, None when there will be no more."""
        while True:
            for _ in range(len(self._waiting)):
                self._waiting.rotate(-1)
                if self._waiting[0][1]:
                    return self._waiting[0][1].popleft()
            if not self._open:
                return None
            self._changed.clear()
            await self._changed.wait()
