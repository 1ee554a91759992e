"""Asking again: how often, how patiently, and after what."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from kalshi_ingest.errors import Transient

T = TypeVar("T")

_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is repeated and how long each phase may take (seconds); the defaults are the exchange's."""

    attempts: int = 7
    first_delay: float = 0.5
    longest_delay: float = 20.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 90.0
    random: Random = field(default_factory=Random, compare=False)
    """Of the delays."""

    def delay(self, attempt: int) -> float:
        """Seconds to wait after this failed attempt (the first is 1); full jitter spreads workers that failed."""
        return self.random.uniform(0, min(self.longest_delay, self.first_delay * 2.0 ** min(attempt, 30)))


async def retried(ask: Callable[[], Awaitable[T]], failed: Callable[[Transient, int], Awaitable[float]]) -> T:
    """What `ask` gives, asked again after every `Transient`.

    `failed` gets the error and the number of attempts; it returns the seconds until the next, or raises to give up.
    """
    attempt = 1
    while True:
        try:
            return await ask()
        except Transient as error:
            wait = await failed(error, attempt)
        if wait > 0:
            await asyncio.sleep(wait)
        attempt += 1


def may_pass(status: int) -> bool:
    """Whether asking again may help, as after every fault of a server or of a proxy (Cloudflare's are 520 to 530)."""
    return status in _PASSING or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait, seconds, that an answer asks for; None without one. Dates, which no service here sends, are ignored."""
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
