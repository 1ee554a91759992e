"""Asks the exchange: paced, signed, retried; every answer dated and made into JSON or into the error that it means."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import orjson

from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.errors import BadPayload, IngestError, Permanent, RateLimited, Rejected, ServerFailed, Transient
from kalshi_ingest.exchange.availability import STATUS_PATH, Availability, WebPage
from kalshi_ingest.exchange.caching import Made, copy_of
from kalshi_ingest.exchange.costs import Costs
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.body import text_of
from kalshi_ingest.http.client import Answer, HttpSession, Pacer, Transport
from kalshi_ingest.http.obstacles import MOVED, in_moving
from kalshi_ingest.http.retry import RetryPolicy, may_pass, retried, retry_after
from kalshi_ingest.http.server_clock import ServerClock

T = TypeVar("T")

MAX_BODY_BYTES = 16 * 2**20
"""The largest honest answer, 1,000 markets, is about 2.5 MB."""

_EXCERPT = 120
_LONGEST_RETRY_AFTER = 60.0
_MOST_GARBLED = 4
"""Bodies that came whole and are not JSON: one wrong value in a list would be asked for again for half a minute."""


class Garbled(ServerFailed):
    """An answer that came whole and is not JSON. The next one may be, but patience will not make it so."""


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
        session: HttpSession,
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
        self._address = address_of("the exchange", base_url, setting="KALSHI_INGEST_API_URL")
        self.base_url = self._address.url
        """The API's address."""
        self._base_path = urlsplit(self.base_url).path
        self._sign = None if signer is None else signer.at(self.clock)
        self._retry = retry or RetryPolicy()
        self._transport = Transport(session, self._address, self._retry, MAX_BODY_BYTES)
        self.availability = Availability(self._address, signed=self.signed, ask_status=self._refusal_of_status)

    @property
    def signed(self) -> bool:
        """Whether requests draw on an account's budget."""
        return self._sign is not None

    @property
    def sent(self) -> int:
        """Requests sent so far, retries included."""
        return self.pacer.traffic.sent

    @property
    def trouble(self) -> str | None:
        """Why the exchange is being asked again, as long as nothing is answered; None when it answers."""
        return self.availability.trouble

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
        counts, garbled = tally or Tally(), 0

        async def once() -> Told[T]:
            value, made = await self._once(path, params, counts)
            answer = Told(read(value), made)
            self.availability.answered()
            return answer

        async def failed(error: Transient, attempt: int) -> float:
            nonlocal garbled
            if (obstacle := await self.availability.first_obstacle(error, path, attempt)) is not None:
                raise obstacle from None
            garbled += isinstance(error, Garbled)
            if attempt == self._retry.attempts or garbled == _MOST_GARBLED:
                raise await self.availability.given_up(error, path, attempt) from error
            counts.retries += 1
            self.availability.failed(error, attempt)
            return 0.0 if isinstance(error, RateLimited) else self._retry.delay(attempt)  # then the pacer waits

        try:
            return await retried(once, failed)
        except Rejected as error:
            raise await self.availability.refused(error, path) from None
        except RecursionError:
            raise BadPayload(f"GET {path}: the answer is nested too deeply") from None

    async def _once(self, path: str, params: Mapping[str, str], tally: Tally) -> tuple[Any, Made]:
        sent_at = await self.pacer.turn(self.costs.of(path))
        tally.requests += 1
        asked_at = self.clock.steady()
        headers = None if self._sign is None else self._sign(self._base_path + path)
        answer = await self._transport.get(path, params, headers)
        if answer.status == 200:
            return _decoded(answer.body, path), self._made(answer.headers, asked_at)
        if path == STATUS_PATH and (told := _told_while_closed(answer.body)) is not None:
            return told, Made(to_microseconds(self.clock.earliest(asked_at)))
        if answer.status in MOVED:
            asked = self.base_url + path
            moved = in_moving(answer.status, answer.headers.get("Location"), asked, self._address)
            raise Rejected(str(moved), answer.status)
        error = _refusal(answer, path)
        if isinstance(error, RateLimited):
            self.pacer.slow_down(sent_at, error.retry_after)
        raise error

    def _made(self, headers: Mapping[str, str], asked_at: float) -> Made:
        """When the answer that arrives now was made. What it tells of the time is remembered."""
        copy = copy_of(headers)
        age = max(copy.age, self.clock.heard(headers.get("Date"), asked_at, copy.date_is_old))
        at_us = to_microseconds(self.clock.earliest(asked_at)) - round(age * 1e6)
        return Made(at_us, age, copy.kept, copy.longest)

    async def _refusal_of_status(self) -> IngestError | None:
        """What the exchange's status says to whoever asks for it; None when it is told."""
        try:
            await self._once(STATUS_PATH, {}, Tally())
        except (Transient, Permanent) as error:
            return error
        return None


def _told_while_closed(body: bytes) -> Any:
    """The exchange's status, which may come with a server error while it is closed; None for any other body."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) and "exchange_active" in told else None


def _decoded(body: bytes, path: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if body.lstrip()[:1] == b"<":
        raise WebPage(f"GET {path}: status 200 with a body that is not JSON but a web page: {text_of(body, _EXCERPT)}")
    try:  # one report tells of raw control characters inside the exchange's texts, which strict JSON forbids
        lenient = json.loads(body, strict=False, parse_constant=_finite, parse_float=_finite)
        orjson.dumps(lenient)  # it would take half surrogate pairs too, which no column can hold
        return lenient
    except (ValueError, TypeError, RecursionError) as error:
        kind = Garbled if body.strip() else ServerFailed
        raise kind(
            f"GET {path}: status 200 with a body that is not JSON: {error!s:.80}: {text_of(body, _EXCERPT)}"
        ) from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a JSON number")
    return number


def _refusal(answer: Answer, path: str) -> IngestError:
    """The error that an answer of another status than 200 means."""
    code, reason = _reason(answer.body)
    message = f"GET {path}: status {answer.status}" + (f": {reason}" if reason else "")
    if answer.status == 429:
        wait = retry_after(answer.headers)
        return RateLimited(message, None if wait is None else min(wait, _LONGEST_RETRY_AFTER))
    return ServerFailed(message) if may_pass(answer.status) else Rejected(message, answer.status, code)


def _reason(body: bytes) -> tuple[str, str]:
    """(code, text) of an error body: flat, nested object, nested string, or a gateway's page."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", text_of(body, _EXCERPT)
    error = (decoded.get("error") or decoded) if isinstance(decoded, dict) else decoded
    if not isinstance(error, dict):
        return "", str(error or "")[:200]
    words = [str(error[key]) for key in ("message", "details") if error.get(key)]
    code = str(error.get("code") or "")[:200]
    return code, ": ".join(words)[:200] or code
