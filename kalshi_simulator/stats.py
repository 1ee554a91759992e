"""What a simulated exchange has seen, so that a test can judge its client."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

from kalshi_simulator.budget import COST


class Stats:
    """Counters and times of the requests to the API; times are readings of the simulator's clock, seconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen so far."""
        self.total = 0
        self.by_route: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.trade_pages: Counter[str] = Counter()
        """Requests for trades per ticker, answered or not."""
        self.faults: Counter[str] = Counter()
        """Faults that were really committed, by kind."""
        self.channel: Counter[str] = Counter()
        """WebSocket: connections, refused ones, messages pushed, and faults by kind."""
        self.cache_hits = 0
        """Answers that the cache repeated."""
        self.tokens_spent = 0
        self.request_times = array("d")
        self.throttled_times = array("d")

    @property
    def throttled(self) -> int:
        """How many requests the budget refused with 429."""
        return len(self.throttled_times)

    @property
    def answered_200(self) -> int:
        """How many answers had status 200, wrong bodies included."""
        return self.by_status[200]

    @property
    def first_request(self) -> float | None:
        """When the first request came."""
        return self.request_times[0] if self.request_times else None

    @property
    def last_request(self) -> float | None:
        """When the last request came."""
        return self.request_times[-1] if self.request_times else None

    def saw(self, route: str, ticker: str | None, moment: float) -> None:
        """A request arrived."""
        self.total += 1
        self.by_route[route] += 1
        self.request_times.append(moment)
        if ticker is not None and route in ("trades", "historical_trades"):
            self.trade_pages[ticker] += 1

    def judged(self, moment: float, *, allowed: bool) -> None:
        """The budget let a request through or refused it."""
        if allowed:
            self.tokens_spent += COST
        else:
            self.throttled_times.append(moment)

    def throttled_after(self, seconds: float) -> int:
        """429s that came later than `seconds` after the first request."""
        if not self.request_times:
            return 0
        return sum(moment > self.request_times[0] + seconds for moment in self.throttled_times)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single times."""
        return {
            "total": self.total,
            "by_route": dict(self.by_route),
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "trade_pages": dict(self.trade_pages),
            "faults": dict(self.faults),
            "channel": dict(self.channel),
            "throttled": self.throttled,
            "throttled_after_first_second": self.throttled_after(1.0),
            "answered_200": self.answered_200,
            "cache_hits": self.cache_hits,
            "tokens_spent": self.tokens_spent,
            "first_request": self.first_request,
            "last_request": self.last_request,
        }
