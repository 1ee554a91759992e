"""Requests to a service: when the next one may go, and one GET, timed, bounded and through the right proxy.

The only place that sends requests over HTTP.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias, final

import aiohttp
from aiolimiter import AsyncLimiter

from kalshi_ingest.errors import Disconnected
from kalshi_ingest.http.address import Address
from kalshi_ingest.http.body import bounded
from kalshi_ingest.http.obstacles import PROXY_WANTS_PASSWORD, Unreached, described, in_connecting, in_proxy
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import AGREEING, ServerClock, told_age

HttpSession: TypeAlias = aiohttp.ClientSession
"""The connections that clients of several services may share."""

Params: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]

ANONYMOUS_REQUESTS_PER_SECOND = 5.0
"""The limit without a key is undocumented; reports put it between 1 and 10 a second."""

_BURST_SECONDS = 0.1
_SMALLEST_SHARE = 1 / 16
_CLIMB_PER_SECOND = 0.05
_PAUSE_SECONDS = 1.0

_USER_AGENT = "kalshi-ingest"
"""Sent with every request: public services want to know who asks."""
_TIME_SECONDS = 5.0
"""How long a service may take to tell what time it is."""


def new_session(connections: int = 100) -> HttpSession:
    """A session of at most so many connections; its owner closes it, or enters it as a context."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), headers={"User-Agent": _USER_AGENT})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Traffic:
    """Requests sent, by one pacer after another; they only ever grow."""

    sent: int = 0
    """Retries included."""
    rate_limited: int = 0
    """Of these, the ones answered with 429."""


class Pacer:
    """Spaces requests so that a token bucket of `requests_per_second` never runs dry. Time is the event loop's.

    `AsyncLimiter(rate, 1)` lets nearly twice the rate through in its worst second. Ours holds one request and a tenth
    of a second more: enough to make up for late wake-ups, far below what the exchange's own bucket (two seconds)
    forgives.

    After a 429 the pace halves for everybody, all pause, and it climbs back by a twentieth of the full rate a second.
    """

    def __init__(
        self, requests_per_second: float, burst_seconds: float = _BURST_SECONDS, *, traffic: Traffic | None = None
    ) -> None:
        """`burst_seconds`: the share of a second that may be made up for; with 0 no two requests are ever closer to
        each other than the rate says. `traffic` counts what goes."""
        self.requests_per_second = requests_per_second
        self.traffic = traffic or Traffic()
        self._burst_seconds = burst_seconds
        self._share = 1.0
        self._limiter = self._new_limiter()
        self._limiter_share = 1.0
        self._queue = asyncio.Lock()
        self._closed_until = -math.inf
        self._dropped_at = -math.inf
        """When the pace last dropped: the end of the pause that came with it."""
        self._climbed_at = -math.inf

    @property
    def pace(self) -> float:
        """Requests a second that may go at present."""
        return self.requests_per_second * self._share

    def allow(self, requests_per_second: float) -> None:
        """The budget is another one from now on."""
        self.requests_per_second = requests_per_second
        self._limiter, self._limiter_share = self._new_limiter(), self._share

    async def turn(self, cost: float = 1.0) -> float:
        """Wait for the next free place, first come first served, and return the time at which it was given.

        `cost`: in requests of the default cost. Only the head of the queue waits at the limiter, so a new pace reaches
        all.
        """
        loop = asyncio.get_running_loop()
        async with self._queue:
            await self._open()
            await self._adjust(loop.time())
            while cost > self._limiter.max_rate:
                await self._limiter.acquire(self._limiter.max_rate)
                cost -= self._limiter.max_rate
            await self._limiter.acquire(cost)
            await self._open()  # a 429 may have come while this caller waited for its place
            self.traffic.sent += 1
            return loop.time()

    def slow_down(self, sent_at: float, retry_after: float | None = None) -> None:
        """Take in a 429 to the request that was given its place at `sent_at`.

        Requests that were already under way when the pace last dropped say nothing about the new pace.
        """
        self.traffic.rate_limited += 1
        if retry_after is not None:
            self.pause(retry_after)
        if sent_at < self._dropped_at:
            return
        self.pause(_PAUSE_SECONDS)
        self._dropped_at = self._climbed_at = self._closed_until
        self._share = max(self._share / 2, _SMALLEST_SHARE)

    def pause(self, seconds: float) -> None:
        """Hold every request back for so many seconds; the pace stays."""
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + seconds)
        self._climbed_at = max(self._climbed_at, self._closed_until)  # silence proves nothing

    async def _open(self) -> None:
        while (wait := self._closed_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(wait)

    async def _adjust(self, now: float) -> None:
        if self._share < 1 and now - self._climbed_at >= 1:
            seconds = math.floor(now - self._climbed_at)
            self._share = min(1.0, self._share + seconds * _CLIMB_PER_SECOND)
            self._climbed_at += seconds
        if self._share != self._limiter_share:
            self._limiter, self._limiter_share = self._new_limiter(), self._share
            # A new limiter would allow a fresh burst; starting it empty keeps the change of pace smooth.
            await self._limiter.acquire(self._limiter.max_rate)

    def _new_limiter(self) -> AsyncLimiter:
        burst = 1 + self.pace * self._burst_seconds
        return AsyncLimiter(burst, burst / self.pace)


@final
class Transport:
    """Sends GETs to one service. Redirects are not followed. The caller paces, counts, signs and judges."""

    def __init__(self, session: HttpSession, address: Address, retry: RetryPolicy, most_bytes: int) -> None:
        """`most_bytes`: the largest body that is taken."""
        self._address = address
        self._session = session
        self._most_bytes = most_bytes
        self._timeout = aiohttp.ClientTimeout(
            total=retry.total_timeout, sock_connect=retry.connect_timeout, sock_read=retry.read_timeout
        )

    async def get(self, path: str, params: Params, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer to GET `path`.

        Raises `Disconnected` when none came, as `Unreached` when it is known why; `BadPayload` for a body that is too
        large.
        """
        what = f"GET {path}"
        try:
            async with self._session.get(
                self._address.url + path,
                params=params,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                proxy=self._address.proxy_url,
            ) as response:
                body = await bounded(response, self._most_bytes, what)
        except TimeoutError:
            raise Disconnected(self._address.redacted(f"{what}: no complete answer within the time allowed")) from None
        except aiohttp.ClientError as failure:
            text = self._address.redacted(f"{what}: {described(failure, self._address)}")
            raise Unreached(text, in_connecting(failure, self._address)) from None
        if response.status == PROXY_WANTS_PASSWORD and self._address.proxy is not None:
            raise Unreached(f"{what}: status {response.status}", in_proxy(response.status, self._address))
        return Answer(response.status, response.headers, body)


async def learn_time(clock: ServerClock, base_url: str) -> None:
    """Let `clock` learn the time at a service from any of its answers, until these agree or none comes."""
    proxy = proxy_for(base_url)
    proxy_url, timeout = None if proxy is None else proxy.url, aiohttp.ClientTimeout(_TIME_SECONDS)
    async with new_session() as session:
        for _ in range(2 * AGREEING):
            asked_at = clock.steady()
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.head(base_url, allow_redirects=False, proxy=proxy_url, timeout=timeout) as answer:
                    clock.heard(answer.headers.get("Date"), asked_at, told_age(answer.headers) or 0.0)
            if clock.agreed or not clock.known:
                return
