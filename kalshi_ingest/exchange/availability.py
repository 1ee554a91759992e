"""Whether the exchange answers: decides whose fault a failed request is, and the error for the user."""

import asyncio
from collections.abc import Awaitable, Callable

from kalshi_ingest.errors import (
    Disconnected,
    IngestError,
    OutOfReach,
    Permanent,
    RateLimited,
    Rejected,
    ServerFailed,
    ServiceUnusable,
    Transient,
)
from kalshi_ingest.http.address import Address
from kalshi_ingest.http.obstacles import MOVED, Unreached, web_page

STATUS_PATH = "/exchange/status"

_ALIVE_SECONDS = 5.0
"""An answer this young shows that the exchange is there, whatever became of one request."""
_REFUSES_ALL = MOVED | {401, 403, 404, 405, 410}
"""Statuses that may mean that every request is refused."""
_WEB_PAGES = 3
"""So many web pages in place of JSON are more than a slip of a gateway."""


class WebPage(ServerFailed):
    """An answer that is not JSON because somebody else gave it, or a gateway in trouble."""


class Availability:
    """What all requests together show of the exchange."""

    def __init__(
        self, address: Address, *, signed: bool, ask_status: Callable[[], Awaitable[IngestError | None]]
    ) -> None:
        """`ask_status` asks for the exchange's status once, and returns what went wrong; None: it answered."""
        self.trouble: str | None = None
        """Why the exchange is being asked again, as long as nothing is answered; None when it answers."""
        self._address = address
        self._signed = signed
        self._ask_status = ask_status
        self._answered_at = float("-inf")

    def answered(self) -> None:
        self._answered_at = asyncio.get_running_loop().time()
        self.trouble = None

    def failed(self, error: Transient, attempt: int) -> None:
        """Note a failed attempt. A refused connection is trouble at once, a failed answer only the second time."""
        told = (attempt > 1 or isinstance(error, Disconnected)) and not isinstance(error, RateLimited)
        if told and not self._answers:
            self.trouble = str(error)

    @property
    def _answers(self) -> bool:
        return asyncio.get_running_loop().time() - self._answered_at < _ALIVE_SECONDS

    async def first_obstacle(self, error: Transient, path: str, attempts: int) -> IngestError | None:
        """What keeps every request from an exchange that has never answered, if this error shows such a thing.

        Once it was there, it gets the patience of passing trouble, whatever the trouble looks like.
        """
        return await self._obstacle(error, path, attempts) if self._answered_at == float("-inf") else None

    async def given_up(self, error: Transient, path: str, attempts: int) -> IngestError:
        """Whose fault is it? Somebody's answer a moment ago, or a look at the exchange's status, decides."""
        advice = f"{error} ({attempts} attempts)"
        if isinstance(error, RateLimited):
            advice += "; set KALSHI_INGEST_REQUESTS_PER_SECOND lower"
        if self._answers:
            return type(error)(advice)
        if (obstacle := await self._obstacle(error, path, attempts)) is not None:
            return obstacle
        if path == STATUS_PATH or await self._ask_status() is None:
            return type(error)(advice)
        return OutOfReach(f"the exchange is out of reach: {advice}; run again later, nothing is lost")

    async def refused(self, error: Rejected, path: str) -> IngestError:
        """Is this request refused, or every request from here? Only the latter is an error of its own."""
        if error.status not in _REFUSES_ALL or self._answers:
            return error
        if path != STATUS_PATH and not isinstance(await self._ask_status(), Permanent):
            return error
        return _refused_everywhere(error, self._address.url, signed=self._signed)

    async def _obstacle(self, error: Transient, path: str, attempts: int) -> IngestError | None:
        """What keeps every request from the exchange, if this error shows such a thing."""
        if isinstance(error, Unreached):
            return error.obstacle
        if not isinstance(error, WebPage) or attempts < _WEB_PAGES:
            return None
        alone = path != STATUS_PATH and not isinstance(await self._ask_status(), WebPage)
        return None if alone else web_page(self._address.url + path, self._address)


def _refused_everywhere(error: Rejected, base_url: str, *, signed: bool) -> ServiceUnusable:
    """What it means that whoever asks from here is refused like this, and what to change."""
    if error.status in MOVED:
        return ServiceUnusable(str(error))
    if error.status not in (401, 403):
        advice = f"there is no API at {base_url}: check KALSHI_INGEST_API_URL, or upgrade this program"
    elif signed:
        return ServiceUnusable(
            f"the exchange refuses the API key: {error}; check KALSHI_INGEST_API_KEY_ID, KALSHI_INGEST_PRIVATE_KEY_PATH"
            " and this machine's clock, and that the exchange serves this network"
        )
    else:
        advice = "it may not serve this network: check that, or set an API key"
    return ServiceUnusable(f"the exchange refuses to answer: {error}; {advice}")
