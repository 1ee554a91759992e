"""One GET to a weather service: paced, timed and retried; errors never show the key."""

import asyncio
from collections.abc import Collection
from typing import final

import structlog

from kalshi_ingest.errors import (
    BadPayload,
    Disconnected,
    IngestError,
    OutOfReach,
    Permanent,
    RateLimited,
    ServerFailed,
    Transient,
)
from kalshi_ingest.http import obstacles
from kalshi_ingest.http.address import Address
from kalshi_ingest.http.body import text_of
from kalshi_ingest.http.client import Answer, HttpSession, Pacer, Params, Transport
from kalshi_ingest.http.retry import RetryPolicy, may_pass, retried, retry_after

MAX_BODY_BYTES = 64 * 2**20
"""The largest valid answer is some years of one-minute readings of six stations, a few dozen megabytes."""

PATIENCE = RetryPolicy(attempts=6, first_delay=1.0, longest_delay=30.0, read_timeout=90.0, total_timeout=300.0)
"""Weather services take long to answer, and longer to recover."""

_LONGEST_RETRY_AFTER = 120.0
"""Seconds. A service that asks for a longer wait than this counts as out of reach."""
_WRONG_PLACE = frozenset({404, 405, 410})
"""From a service that has answered nothing yet, these may mean that its address is wrong."""

log = structlog.get_logger()


class Refused(Permanent):
    """The service refused this request: `status` is the HTTP status, `text` the first words of its body."""

    def __init__(self, message: str, status: int, text: str) -> None:
        super().__init__(message)
        self.status = status
        self.text = text


@final
class Service:
    """A weather service, shared by all its users. Time is the event loop's."""

    def __init__(
        self,
        http: HttpSession,
        address: Address,
        *,
        requests_per_second: float,
        concurrency: int = 1,
        retry: RetryPolicy = PATIENCE,
        judged: Collection[int] = (),
    ) -> None:
        """`concurrency`: how many requests may be under way at the same time. `judged`: statuses that the caller
        judges, raised as `Refused` though asking again might help."""
        self.name = address.name
        self.retries = 0
        """Requests sent again so far."""
        self._address = address
        self._transport = Transport(http, address, retry, MAX_BODY_BYTES)
        self._pacer = Pacer(requests_per_second, burst_seconds=0)
        self._free = asyncio.Semaphore(concurrency)
        self._retry = retry
        self._judged = judged
        self._has_answered = False
        """It answered once: from then on every failure counts as temporary."""
        self._answers = True
        """The last request was answered, even if it was refused."""
        self._noted = False
        """The current silence has been logged."""

    @property
    def requests(self) -> int:
        """Requests sent so far, repetitions included."""
        return self._pacer.traffic.sent

    async def get(self, path: str, params: Params) -> bytes:
        """The body of the answer to GET `path`.

        Raises `Refused` for a status that retries cannot change, `BadPayload` for a body beyond `MAX_BODY_BYTES`, and
        `OutOfReach` when every attempt failed or the service asks for a long pause. After a request without any
        answer the next one is tried only once, so that a series of requests fails fast. What blocks every request,
        such as a moved host, raises `ServiceUnusable` or `OutOfReach` at once.
        """
        attempts = self._retry.attempts if self._answers else 1

        async def failed(error: Transient, attempt: int) -> float:
            if isinstance(error, obstacles.Unreached) and error.obstacle is not None and not self._has_answered:
                raise error.obstacle from None
            self._note(error)
            if self._asks_too_much(error) or attempt == attempts:
                self._answers = not isinstance(error, Disconnected)
                raise OutOfReach(self._given_up(error, attempt)) from None
            self.retries += 1
            return self._retry.delay(attempt)

        return await retried(lambda: self._once(path, params), failed)

    def _note(self, error: Transient) -> None:
        """Log once that the service does not answer."""
        if isinstance(error, Disconnected) and not self._noted:
            self._noted = True
            log.warning("weather_service_unreachable", service=self.name, reason=str(error), retrying=True)

    def _asks_too_much(self, error: Transient) -> bool:
        """Whether the service asks for too long a pause. A shorter one holds for all requests from now on."""
        wait = error.retry_after if isinstance(error, RateLimited) else None
        if wait is None or wait > _LONGEST_RETRY_AFTER:
            return wait is not None
        self._pacer.pause(wait)
        return False

    def _given_up(self, error: Transient, attempts: int) -> str:
        later = "run again later"
        if isinstance(error, RateLimited) and error.retry_after is not None:
            later = f"it asks to wait {error.retry_after:.0f} s; run again then"
        tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return f"{self.name} is out of reach: {error} ({tried}); {later}, what was stored stays"

    async def _once(self, path: str, params: Params) -> bytes:
        async with self._free:
            await self._pacer.turn()
            try:
                answer = await self._transport.get(path, params)
            except BadPayload as error:
                raise BadPayload(f"{self.name}: {error}") from None
        self._answers, self._noted = True, False
        if answer.status != 200:
            raise self._refusal(answer, path)
        self._has_answered = True
        return answer.body

    def _refusal(self, answer: Answer, path: str) -> IngestError:
        status = answer.status
        if status in obstacles.MOVED and not self._has_answered:
            asked = self._address.redacted(self._address.url + path)
            return obstacles.in_moving(status, answer.headers.get("Location"), asked, self._address)
        text = self._address.redacted(first_words(text_of(answer.body, 200), 200))
        message = self._address.redacted(f"GET {path}: status {status}") + (f": {text}" if text else "")
        if status in self._judged or not may_pass(status):
            advice = "" if self._has_answered or status not in _WRONG_PLACE else f"; check {self._address.setting}"
            return Refused(f"{self.name}: {message}{advice}", status, text)
        if status in (429, 503):
            return RateLimited(message, retry_after(answer.headers))
        return ServerFailed(message)


def first_words(text: str, most: int) -> str:
    """The first `most` characters of an external text in one line of printable characters."""
    line = " ".join(text.split())[:most]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
