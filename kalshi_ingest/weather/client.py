"""One GET to a weather service: paced, bounded, timed out, retried; the only place that knows HTTP to them."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import final
from urllib.parse import quote, quote_plus

import aiohttp
import structlog

from kalshi_ingest.errors import Disconnected, OutOfReach, Permanent, RateLimited, ServerFailed, Transient
from kalshi_ingest.http import obstacles
from kalshi_ingest.http.body import bounded
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.server_clock import AGREEING, ServerClock, told_age

MAX_BODY_BYTES = 64 * 2**20
"""The largest honest answer is some years of one-minute readings of six stations, a few dozen megabytes."""

USER_AGENT = "kalshi-ingest"
"""Sent with every request: public weather services want to know who asks."""

_WRONG_PLACE = frozenset({404, 405, 410})
"""From a service that has answered nothing yet, these may mean that its address is wrong."""
_TIME_SECONDS = 5.0
"""How long a service may take to tell what time it is."""

Params = Mapping[str, str] | Sequence[tuple[str, str]]


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is repeated, and how long each phase of it may take (seconds)."""

    attempts: int = 6
    first_delay: float = 1.0
    longest_delay: float = 30.0
    longest_retry_after: float = 120.0
    """A service that asks for a longer wait than this counts as out of reach."""
    connect_timeout: float = 10.0
    read_timeout: float = 90.0
    total_timeout: float = 300.0
    statuses: frozenset[int] = frozenset({408, 425, 429, *range(500, 600)})
    """What is worth asking again, every fault of a server or of a proxy before it (Cloudflare's are 520 to 530) among
    them; any other status but 200 is raised at once as `Refused`."""


class Refused(Permanent):
    """The service refused this request: `status` is the HTTP status, `text` the first words of its body.

    Whether it means a wrong key, a quota used up or an unknown station is for the caller to judge.
    """

    def __init__(self, message: str, status: int, text: str) -> None:
        super().__init__(message)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is."""

    name: str
    """What users call it, e.g. IEM."""
    base_url: str
    secret: str | None = field(default=None, repr=False)
    """An API key, blotted out of every error."""

    @property
    def setting(self) -> str:
        """The environment variable that holds `base_url`."""
        return f"KALSHI_INGEST_{self.name.upper().replace(' ', '_')}_URL"


@final
class Service:
    """A weather service. Built once; all who ask it share its pace. Time is the event loop's."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        address: Address,
        *,
        requests_per_second: float,
        concurrency: int = 1,
        retry: RetryPolicy | None = None,
        random: Random | None = None,
    ) -> None:
        """`concurrency`: how many requests may be under way at the same time."""
        self.name = address.name
        self.requests = 0
        """Requests sent so far, repetitions included."""
        self.retries = 0
        """Requests sent again so far."""
        self._http = http
        self._base_url = address.base_url.rstrip("/")
        self._address = obstacles.Address(address.name, self._base_url, address.setting, proxy_for(self._base_url))
        self._has_answered = False
        """Whether it was there once: then it gets the patience of passing trouble, whatever the trouble looks like."""
        self._interval = 1 / requests_per_second
        self._free = asyncio.Semaphore(concurrency)
        self._retry = retry or RetryPolicy()
        self._secret = address.secret
        self._random = random or Random()
        self._next_at = float("-inf")
        self._answers = True
        """Whether somebody answered the last request, be it with a refusal."""
        self._noted = False
        """Whether it was said that nobody does."""
        self._timeout = aiohttp.ClientTimeout(
            total=self._retry.total_timeout,
            sock_connect=self._retry.connect_timeout,
            sock_read=self._retry.read_timeout,
        )

    async def get(self, path: str, params: Params) -> bytes:
        """The body of the answer to GET `path`.

        Raises `Refused` for a status that is not worth asking again, `BadPayload` for a body beyond
        `MAX_BODY_BYTES`, and `OutOfReach` when every attempt failed or the service asks for a long pause. After a
        request that nobody answered at all the next one is tried once only: whoever asks for many things learns soon
        that nobody is there. What keeps every request from the service, as a moved host does, raises `ServiceUnusable`
        or `OutOfReach` at once.
        """
        attempts = self._retry.attempts if self._answers else 1
        for attempt in range(1, attempts + 1):
            try:
                async with self._free:
                    await self._turn()
                    return await self._once(path, params)
            except Transient as error:
                if isinstance(error, obstacles.Unreached) and error.obstacle is not None and not self._has_answered:
                    raise error.obstacle.error() from None
                self._note(error)
                wait = self._wait(error, attempt)
                if wait is None or attempt == attempts:
                    self._answers = not isinstance(error, Disconnected)
                    raise OutOfReach(self._given_up(error, attempt)) from None
                self.retries += 1
                await asyncio.sleep(wait)
        raise AssertionError("a retry policy has at least one attempt")

    def _note(self, error: Transient) -> None:
        """Say once that the service does not answer, so that nobody wonders what is waited for."""
        if isinstance(error, Disconnected) and not self._noted:
            self._noted = True
            log.warning("weather_service_unreachable", service=self.name, reason=str(error), retrying=True)

    async def _turn(self) -> None:
        """Wait for the next place in the pace. It is taken before waiting, so that no two callers share it."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next_at)
        self._next_at = mine + self._interval
        await asyncio.sleep(mine - now)

    def _wait(self, error: Transient, attempt: int) -> float | None:
        """Seconds before the next attempt, with full jitter; None when the service asks for too long a pause.

        A pause that it asks for holds for everybody.
        """
        if isinstance(error, RateLimited) and error.retry_after is not None:
            if error.retry_after > self._retry.longest_retry_after:
                return None
            self._next_at = max(self._next_at, asyncio.get_running_loop().time() + error.retry_after)
        return self._random.uniform(0, min(self._retry.longest_delay, self._retry.first_delay * 2**attempt))

    def _given_up(self, error: Transient, attempts: int) -> str:
        later = "run again later"
        if isinstance(error, RateLimited) and error.retry_after is not None:
            later = f"it asks to wait {error.retry_after:.0f} s; run again then"
        tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return f"{self.name} is out of reach: {error} ({tried}); {later}, what was stored stays"

    async def _once(self, path: str, params: Params) -> bytes:
        self.requests += 1
        what = f"GET {path}"
        try:
            async with self._http.get(
                self._base_url + path,
                params=params,
                headers={"User-Agent": USER_AGENT},
                timeout=self._timeout,
                allow_redirects=False,
                proxy=self._address.proxy_url,
            ) as response:
                body = await bounded(response, MAX_BODY_BYTES, self._blotted(f"{self.name}: {what}"))
                status, headers = response.status, response.headers
                self._answers, self._noted = True, False
        except TimeoutError:
            raise Disconnected(self._blotted(f"{what}: no complete answer within the time allowed")) from None
        except aiohttp.ClientError as failure:
            text = self._blotted(f"{what}: {obstacles.described(failure, self._address)}")
            raise obstacles.Unreached(text, obstacles.in_connecting(failure, self._address)) from None
        if status == obstacles.PROXY_WANTS_PASSWORD and self._address.proxy is not None:
            raise obstacles.Unreached(f"{what}: status {status}", obstacles.in_proxy(status, self._address))
        if status == 200:
            self._has_answered = True
            return body
        if status in obstacles.MOVED and not self._has_answered:
            asked = self._blotted(self._base_url + path)
            raise obstacles.in_moving(status, headers.get("Location"), asked, self._address).error()
        text = self._blotted(_excerpt(body))
        message = self._blotted(f"{what}: status {status}") + (f": {text}" if text else "")
        if status not in self._retry.statuses:
            advice = "" if self._has_answered or status not in _WRONG_PLACE else f"; check {self._address.setting}"
            raise Refused(f"{self.name}: {message}{advice}", status, text)
        if status in (429, 503):
            raise RateLimited(message, _seconds(headers.get("Retry-After")))
        raise ServerFailed(message)

    def _blotted(self, text: str) -> str:
        if self._secret:
            for form in {self._secret, quote(self._secret, safe=""), quote_plus(self._secret)}:
                text = text.replace(form, "***")
        return text


async def learn_time(clock: ServerClock, base_url: str) -> None:
    """Let `clock` learn the time at a service, as soon as its answers agree.

    Any answer tells it, a refusal too. A service that does not answer leaves the clock as it is: the requests to follow
    say so.
    """
    proxy = proxy_for(base_url)
    async with aiohttp.ClientSession(
        proxy=None if proxy is None else proxy.url,
        headers={"User-Agent": USER_AGENT},
        timeout=aiohttp.ClientTimeout(_TIME_SECONDS),
    ) as http:
        for _ in range(2 * AGREEING):
            asked_at = clock.steady()
            with suppress(aiohttp.ClientError, TimeoutError):
                async with http.head(base_url, allow_redirects=False) as answer:
                    clock.heard(answer.headers.get("Date"), asked_at, told_age(answer.headers) or 0.0)
            if clock.agreed or not clock.known:
                return


def _excerpt(body: bytes) -> str:
    text = re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode(errors="replace"))
    return first_words(text, 200)


def first_words(text: str, most: int) -> str:
    """The first `most` characters of a foreign text in one line, fit for a terminal and for a column of text."""
    line = " ".join(text.split())[:most]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


def _seconds(header: str | None) -> float | None:
    """The wait that the service asks for; dates, which no weather service sends, are ignored."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
