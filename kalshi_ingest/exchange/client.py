"""One GET to the exchange: paced, signed, bounded, timed out, retried; the only place that knows HTTP."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp

from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.errors import (
    BadPayload,
    Disconnected,
    IngestError,
    OutOfReach,
    Permanent,
    RateLimited,
    Rejected,
    Transient,
)
from kalshi_ingest.exchange.answers import (
    MAX_BODY_BYTES,
    Garbled,
    WebPage,
    decoded,
    refusal,
    refused_everywhere,
    told_while_closed,
)
from kalshi_ingest.exchange.caching import Made, copy_of
from kalshi_ingest.exchange.costs import Costs
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.http.body import bounded
from kalshi_ingest.http.obstacles import (
    MOVED,
    PROXY_WANTS_PASSWORD,
    Address,
    Obstacle,
    Unreached,
    described,
    in_connecting,
    in_moving,
    in_proxy,
    web_page,
)
from kalshi_ingest.http.pacing import Pacer
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.server_clock import ServerClock

STATUS_PATH = "/exchange/status"

T = TypeVar("T")

_MOST_GARBLED = 4
"""Bodies that came whole and are not JSON: one wrong value in a list would be asked for again for half a minute."""
_ALIVE_SECONDS = 5.0
"""An answer this young shows that the exchange is there, whatever became of one request."""
_REFUSES_ALL = MOVED | {401, 403, 404, 405, 410}
"""Statuses that may mean that nobody gets anything here."""
_WEB_PAGES = 3
"""So many web pages in place of JSON are more than a slip of a gateway."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is repeated, and how long each phase of it may take (seconds)."""

    attempts: int = 7
    first_delay: float = 0.5
    longest_delay: float = 20.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 90.0
    random: Random = field(default_factory=Random, compare=False)
    """Of the delays."""


@dataclass(slots=True)
class Tally:
    """Counts the requests sent on somebody's behalf."""

    requests: int = 0
    retries: int = 0
    oldest: float = 0.0
    """The greatest age, seconds, of a page of a list since somebody set this to 0."""


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """An answer, read, and when it was made."""

    value: T
    made: Made


class Client:
    """Asks the exchange. Built once; every worker shares its session, its pace and its knowledge of failures."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        pacer: Pacer,
        *,
        signer: Signer | None = None,
        retry: RetryPolicy | None = None,
        clock: ServerClock | None = None,
    ) -> None:
        self.pacer = pacer
        self.clock = clock or ServerClock()
        """The time at the exchange, by its answers so far."""
        self.costs = Costs()
        """What a request costs, in the unit that the pacer's rate counts."""
        self.sent = 0
        """Requests sent so far, retries included."""
        self.rate_limited = 0
        """Of these, the ones answered with 429."""
        self.trouble: str | None = None
        """Why the exchange is being asked again, as long as nothing is answered; None when it answers."""
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._base_path = urlsplit(self._base_url).path
        self._signer = signer
        self._retry = retry or RetryPolicy()
        self._timeout = aiohttp.ClientTimeout(
            total=self._retry.total_timeout,
            sock_connect=self._retry.connect_timeout,
            sock_read=self._retry.read_timeout,
        )
        self._address = Address("the exchange", self._base_url, "KALSHI_INGEST_API_URL", proxy_for(base_url))
        self._answered_at = float("-inf")

    @property
    def base_url(self) -> str:
        """The API's address."""
        return self._base_url

    @property
    def signed(self) -> bool:
        """Whether requests draw on an account's budget."""
        return self._signer is not None

    async def get(
        self, path: str, params: Mapping[str, str], read: Callable[[Any], T], tally: Tally | None = None
    ) -> T:
        """What `read` makes of the JSON answer to GET `path`.

        `read` checks the answer; a `Transient` it raises is retried like a failed request. After the last attempt
        the `Transient` itself is raised when the exchange still answers others, and `OutOfReach` when it does
        not. Any other 4xx raises `Rejected` at once. What keeps every request from the exchange (a moved host, an
        unknown certificate, a refused key) raises `ServiceUnusable` or, if it may pass, `OutOfReach`, at once too.
        """
        return (await self.ask(path, params, read, tally)).value

    async def ask(
        self, path: str, params: Mapping[str, str], read: Callable[[Any], T], tally: Tally | None = None
    ) -> Told[T]:
        """The same as `get`, with the moment that the answer vouches for."""
        tally, garbled = tally or Tally(), 0
        for attempt in range(1, self._retry.attempts + 1):
            try:
                told, made = await self._once(path, params, tally)
                answer = Told(read(told), made)
            except Rejected as error:
                raise await self._judged(error, path) from None
            except Transient as error:
                if not self._has_answered and (obstacle := await self._obstacle(error, attempt, path)) is not None:
                    raise obstacle.error() from None
                garbled += isinstance(error, Garbled)
                if attempt == self._retry.attempts or garbled == _MOST_GARBLED:
                    raise await self._given_up(error, path, attempt) from error
                tally.retries += 1
                self._note(error, attempt)
                if not isinstance(error, RateLimited):
                    await asyncio.sleep(self._delay(attempt))
            except RecursionError:
                raise BadPayload(f"GET {path}: the answer is nested too deeply") from None
            else:
                self._answered_at = asyncio.get_running_loop().time()
                self.trouble = None
                return answer
        raise AssertionError("a retry policy has at least one attempt")

    def _note(self, error: Transient, attempt: int) -> None:
        """A refused connection is trouble at once, a failed answer only the second time."""
        if (
            not self._answers
            and (attempt > 1 or isinstance(error, Disconnected))
            and not isinstance(error, RateLimited)
        ):
            self.trouble = str(error)

    @property
    def _has_answered(self) -> bool:
        """Whether it was there once: then it gets the patience of passing trouble, whatever the trouble looks like."""
        return self._answered_at > float("-inf")

    @property
    def _answers(self) -> bool:
        """Whether it answered a moment ago."""
        return asyncio.get_running_loop().time() - self._answered_at < _ALIVE_SECONDS

    def _made(self, headers: Mapping[str, str], asked_at: float) -> Made:
        """When the answer that arrives now was made. What it tells of the time is remembered."""
        copy = copy_of(headers)
        age = max(copy.age, self.clock.heard(headers.get("Date"), asked_at, copy.date_is_old))
        at_us = to_microseconds(self.clock.earliest(asked_at)) - round(age * 1e6)
        return Made(at_us, age, copy.kept, copy.longest)

    def _delay(self, attempt: int) -> float:
        """Full jitter: anything up to the doubled delay, so that workers that failed together come back apart."""
        return self._retry.random.uniform(0, min(self._retry.longest_delay, self._retry.first_delay * 2**attempt))

    async def _given_up(self, error: Transient, path: str, attempts: int) -> Exception:
        """Whose fault is it? Somebody's answer a moment ago, or a look at the exchange's status, decides."""
        advice = f"{error} ({attempts} attempts)"
        if isinstance(error, RateLimited):
            advice += "; set KALSHI_INGEST_REQUESTS_PER_SECOND lower"
        if self._answers:
            return type(error)(advice)
        if (obstacle := await self._obstacle(error, attempts, path)) is not None:
            return obstacle.error()
        if path == STATUS_PATH or await self._refusal_of_status() is None:
            return type(error)(advice)
        return OutOfReach(f"the exchange is out of reach: {advice}; run again later, nothing is lost")

    async def _obstacle(self, error: Transient, attempts: int, path: str) -> Obstacle | None:
        """What keeps every request from the exchange, if this error shows such a thing."""
        if isinstance(error, Unreached):
            return error.obstacle
        if not isinstance(error, WebPage) or attempts < _WEB_PAGES:
            return None
        alone = path != STATUS_PATH and not isinstance(await self._refusal_of_status(), WebPage)
        return None if alone else web_page(self._base_url + path, self._address)

    async def _judged(self, error: Rejected, path: str) -> IngestError:
        """Is it this request that is refused, or whoever asks from here? Only the latter has to be told at once."""
        if error.status not in _REFUSES_ALL or self._answers:
            return error
        if path != STATUS_PATH and not isinstance(await self._refusal_of_status(), Permanent):
            return error
        return refused_everywhere(error, self._base_url, signed=self.signed)

    async def _refusal_of_status(self) -> IngestError | None:
        """What the exchange's status says to whoever asks for it; None when it is told."""
        try:
            await self._once(STATUS_PATH, {}, Tally())
        except (Transient, Permanent) as error:
            return error
        return None

    async def _once(self, path: str, params: Mapping[str, str], tally: Tally) -> tuple[Any, Made]:
        sent_at = await self.pacer.turn(self.costs.of(path))
        tally.requests += 1
        self.sent += 1
        asked_at, headers = self.clock.steady(), None
        if self._signer is not None:  # a signature of another time is refused
            headers = self._signer.headers("GET", self._base_path + path, int(self.clock().timestamp() * 1000))
        try:
            async with self._session.get(
                self._base_url + path,
                params=params,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                proxy=self._address.proxy_url,
            ) as response:
                body = await bounded(response, MAX_BODY_BYTES, f"GET {path}")
                if response.status == 200:
                    return decoded(body, path), self._made(response.headers, asked_at)
                if path == STATUS_PATH and (told := told_while_closed(body)) is not None:
                    return told, Made(to_microseconds(self.clock.earliest(asked_at)))
                if response.status == PROXY_WANTS_PASSWORD and self._address.proxy is not None:
                    raise Unreached(f"GET {path}: status {response.status}", in_proxy(response.status, self._address))
                error = refusal(response, body, path)
                if response.status in MOVED:
                    location = response.headers.get("Location")
                    error = Rejected(
                        in_moving(response.status, location, self._base_url + path, self._address).text, response.status
                    )
        except TimeoutError:
            raise Disconnected(f"GET {path}: no complete answer within the time allowed") from None
        except aiohttp.ClientError as failure:
            raise Unreached(
                f"GET {path}: {described(failure, self._address)}", in_connecting(failure, self._address)
            ) from None
        if isinstance(error, RateLimited):
            self.rate_limited += 1
            self.pacer.slow_down(sent_at, error.retry_after)
        raise error
