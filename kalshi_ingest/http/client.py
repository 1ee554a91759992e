"""One GET to a service, timed, bounded and through the right proxy: the only place that sends requests over HTTP."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias, final

import aiohttp

from kalshi_ingest.errors import Disconnected
from kalshi_ingest.http.address import Address
from kalshi_ingest.http.body import bounded
from kalshi_ingest.http.obstacles import (
    PROXY_WANTS_PASSWORD,
    Unreached,
    described,
    in_connecting,
    in_proxy,
)
from kalshi_ingest.http.proxies import proxy_for
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import AGREEING, ServerClock, told_age

HttpSession: TypeAlias = aiohttp.ClientSession
"""The connections that clients of several services may share."""

Params: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]

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


@final
class Transport:
    """Sends GETs to one service. Redirects are not followed. The caller paces, counts, signs and judges."""

    def __init__(
        self,
        session: HttpSession,
        address: Address,
        retry: RetryPolicy,
        most_bytes: int,
    ) -> None:
        """`most_bytes`: the largest body that is taken."""
        self._address = address
        self._session = session
        self._most_bytes = most_bytes
        self._timeout = aiohttp.ClientTimeout(
            total=retry.total_timeout, sock_connect=retry.connect_timeout, sock_read=retry.read_timeout
        )

    async def get(self, path: str, params: Params, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer to GET `path`.

        `Disconnected` when none came, `Unreached` when it is known what stands before the service, `BadPayload` for a
        body that is too large.
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
    """Let `clock` learn the time at a service, as soon as its answers agree.

    Any answer tells it, a refusal too. A service that does not answer leaves the clock as it is: the requests to follow
    say so.
    """
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
