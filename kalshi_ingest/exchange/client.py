"""One GET to the exchange: paced, signed, bounded, timed out, retried; the only place that knows HTTP."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import orjson

from kalshi_ingest.errors import (
    BadPayload,
    Disconnected,
    OutOfReach,
    Permanent,
    RateLimited,
    Rejected,
    ServerFailed,
    Transient,
)
from kalshi_ingest.exchange.clock import ExchangeClock
from kalshi_ingest.exchange.pacing import Pacer
from kalshi_ingest.exchange.signing import Signer

MAX_BODY_BYTES = 16 * 2**20
"""The largest honest answer, 1,000 markets, is about 2.5 MB."""

STATUS_PATH = "/exchange/status"

T = TypeVar("T")

_ALIVE_SECONDS = 5.0
"""An answer this young shows that the exchange is there, whatever became of one request."""

_RETRIED_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is repeated, and how long each phase of it may take (seconds)."""

    attempts: int = 7
    first_delay: float = 0.5
    longest_delay: float = 20.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 90.0


@dataclass(slots=True)
class Tally:
    """Counts the requests sent on somebody's behalf."""

    requests: int = 0
    retries: int = 0


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
        random: Random | None = None,
    ) -> None:
        self.pacer = pacer
        self.clock = ExchangeClock()
        """The time at the exchange, by its answers so far."""
        self.default_cost = 1.0
        """Cost of a path that `costs` does not name."""
        self.costs: Mapping[str, float] = {}
        """Cost of single paths, in the unit that the pacer's rate counts."""
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
        self._random = random or Random()
        self._timeout = aiohttp.ClientTimeout(
            total=self._retry.total_timeout,
            sock_connect=self._retry.connect_timeout,
            sock_read=self._retry.read_timeout,
        )
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
        not. Any other 4xx raises `Rejected` at once.
        """
        tally = tally or Tally()
        for attempt in range(1, self._retry.attempts + 1):
            try:
                answer = read(await self._once(path, params, tally))
            except Transient as error:
                if attempt == self._retry.attempts:
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
        """One failed answer among others is no trouble yet, a refused connection is."""
        silent = asyncio.get_running_loop().time() - self._answered_at >= _ALIVE_SECONDS
        if silent and (attempt > 1 or isinstance(error, Disconnected)) and not isinstance(error, RateLimited):
            self.trouble = str(error)

    def _delay(self, attempt: int) -> float:
        """Full jitter: anything up to the doubled delay, so that workers that failed together come back apart."""
        return self._random.uniform(0, min(self._retry.longest_delay, self._retry.first_delay * 2**attempt))

    async def _given_up(self, error: Transient, path: str, attempts: int) -> Exception:
        """Whose fault is it? Somebody's answer a moment ago, or a look at the exchange's status, decides."""
        advice = f"{error} ({attempts} attempts)"
        if isinstance(error, RateLimited):
            advice += "; set KALSHI_INGEST_REQUESTS_PER_SECOND lower"
        if asyncio.get_running_loop().time() - self._answered_at < _ALIVE_SECONDS:
            return type(error)(advice)
        try:
            if path != STATUS_PATH:
                await self._once(STATUS_PATH, {}, Tally())
        except (Transient, Permanent):
            return OutOfReach(f"the exchange is out of reach: {advice}; run again later, nothing is lost")
        return type(error)(advice)

    async def _once(self, path: str, params: Mapping[str, str], tally: Tally) -> Any:
        sent_at = await self.pacer.turn(self.costs.get(path, self.default_cost))
        tally.requests += 1
        self.sent += 1
        moment = int(self.clock().timestamp() * 1000)  # a signature of another time is refused
        headers = self._signer.headers("GET", self._base_path + path, moment) if self._signer else None
        try:
            async with self._session.get(
                self._base_url + path, params=params, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                body = await _bounded(response, path)
                if response.status == 200:
                    told = _decoded(body, path)
                    if "Age" not in response.headers:  # a cache tells when its answer was made, not what time it is
                        self.clock.heard(response.headers.get("Date"))
                    return told
                if path == STATUS_PATH and (told := _told_while_closed(body)) is not None:
                    return told
                error = _refusal(response, body, path)
        except TimeoutError:
            raise Disconnected(f"GET {path}: no complete answer within the time allowed") from None
        except aiohttp.ClientError as failure:
            raise Disconnected(f"GET {path}: {str(failure) or type(failure).__name__}") from None
        if isinstance(error, RateLimited):
            self.rate_limited += 1
            self.pacer.slow_down(sent_at, error.retry_after)
        raise error


def _told_while_closed(body: bytes) -> Any:
    """The exchange's status, which may come with a server error while it is closed; None for any other body."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) and "exchange_active" in told else None


async def _bounded(response: aiohttp.ClientResponse, path: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            response.close()
            raise BadPayload(f"GET {path}: the answer is larger than {MAX_BODY_BYTES // 2**20} MB")
    return b"".join(chunks)


def _decoded(body: bytes, path: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:  # one report tells of raw control characters inside the exchange's texts, which strict JSON forbids
        decoded = json.loads(body, strict=False, parse_constant=_finite, parse_float=_finite)
        orjson.dumps(decoded)  # it would take half surrogate pairs too, which no column can hold
        return decoded
    except (ValueError, TypeError, RecursionError):
        raise ServerFailed(f"GET {path}: status 200 with a body that is no JSON: {_excerpt(body)}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no JSON number")
    return number


def _refusal(response: aiohttp.ClientResponse, body: bytes, path: str) -> Exception:
    code, reason = _reason(body)
    message = f"GET {path}: status {response.status}" + (f": {reason}" if reason else "")
    if response.status == 429:
        return RateLimited(message, _seconds(response.headers.get("Retry-After")))
    if response.status in _RETRIED_STATUSES or response.status >= 500:
        return ServerFailed(message)
    return Rejected(message, response.status, code)


def _reason(body: bytes) -> tuple[str, str]:
    """(code, text) of an error body: flat, nested object, nested string, or a gateway's page."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", _excerpt(body)
    error = (decoded.get("error") or decoded) if isinstance(decoded, dict) else decoded
    if not isinstance(error, dict):
        return "", str(error or "")[:200]
    words = [str(error[key]) for key in ("message", "details") if error.get(key)]
    code = str(error.get("code") or "")[:200]
    return code, ": ".join(words)[:200] or code


def _excerpt(body: bytes) -> str:
    text = re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode(errors="replace"))
    return " ".join(text.split())[:120]


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, min(float(header), 60.0)) if header else None
    except ValueError:
        return None
