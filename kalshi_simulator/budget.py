"""How many requests the exchange lets through, and how fast it answers.

A token bucket with continuous refill and ten tokens per request; a request is let through when the bucket
covers it, else it gets 429 and costs nothing (the exchange's documentation of its rate limits).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

COST = 10
"""Tokens per request: every market-data route has the default cost."""
_BASIC_TOKENS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets and pace of a simulated exchange.

    `requests_per_second` is the anonymous budget, `authenticated_requests_per_second` that of signed
    requests; None stands for no limit, except that signed requests then share the anonymous budget.
    `burst_seconds` is the bucket's capacity in seconds of refill. `latency` is the mean number of seconds
    added to each answer. `cache_seconds`: a shared cache repeats answers with market data for so long, at no
    cost, signed or not; 0 is no cache. `overlap` keeps archived rows in the live tier that much longer.
    """

    requests_per_second: float | None = None
    burst_seconds: float = 2.0
    latency: float = 0.0
    overlap: timedelta = timedelta(0)
    authenticated_requests_per_second: float | None = None
    public_key_pem: bytes | None = None
    cache_seconds: float = 0.0


class TokenBucket:
    """One budget. The clock is passed in and counts seconds."""

    def __init__(self, requests_per_second: float, burst_seconds: float, clock: Callable[[], float]) -> None:
        self.refill_rate = requests_per_second * COST
        self.capacity = max(float(COST), self.refill_rate * burst_seconds)
        self._clock = clock
        self._tokens = self.capacity
        self._seen = clock()

    def take(self) -> bool:
        """Spend one request's tokens, or refuse and spend nothing."""
        now = self._clock()
        self._tokens = min(self.capacity, self._tokens + (now - self._seen) * self.refill_rate)
        self._seen = now
        if self._tokens < COST - 1e-9:
            return False
        self._tokens -= COST
        return True


class Budgets:
    """The anonymous and the signed budget of one exchange."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._anonymous = _bucket(limits.requests_per_second, limits, clock)
        self._signed = self._anonymous
        if limits.authenticated_requests_per_second is not None:
            self._signed = _bucket(limits.authenticated_requests_per_second, limits, clock)

    def take(self, *, signed: bool) -> bool:
        """Whether the budget of this kind of request covers one more."""
        bucket = self._signed if signed else self._anonymous
        return bucket is None or bucket.take()

    def reported(self) -> tuple[int, int]:
        """Refill rate and capacity of the signed budget in tokens, as `/account/limits` reports them."""
        if self._signed is None:
            return _BASIC_TOKENS, 2 * _BASIC_TOKENS
        return round(self._signed.refill_rate), round(self._signed.capacity)


def _bucket(rate: float | None, limits: Limits, clock: Callable[[], float]) -> TokenBucket | None:
    return None if rate is None else TokenBucket(rate, limits.burst_seconds, clock)
