"""A shared cache before the exchange, as public notes report it: an answer is repeated for some seconds.

Seen on market data, also where the request was signed: `cache-control: public, max-age=15` and `x-kalshi-cache-hits`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

NOT_CACHED = frozenset({"exchange_status", "exchange_schedule", "account_limits", "endpoint_costs", "unknown"})
"""Routes that hold no market data."""
_MOST = 4_096
"""Answers kept at a time; the oldest make room."""


@dataclass(slots=True)
class _Kept:
    body: bytes
    date: str
    made_at: float
    hits: int = 0


class Cache:
    """Answers by URL, for `seconds` of the `clock`, which counts real seconds. 0 seconds: there is no cache."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def covers(self, route: str) -> bool:
        """Whether answers of this route are kept."""
        return self._seconds > 0 and route not in NOT_CACHED

    def repeated(self, url: str) -> web.Response | None:
        """The answer to `url` once more, with the `Date` of when it was made; None when there is none any more."""
        kept = self._kept.get(url)
        if kept is None or self._clock() - kept.made_at >= self._seconds:
            return None
        kept.hits += 1
        return self._response(kept)

    def keep(self, url: str, body: bytes, date: str) -> web.Response:
        """Keep an answer made now, and pass it on."""
        self._kept.pop(url, None)
        if len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
        kept = self._kept[url] = _Kept(body, date, self._clock())
        return self._response(kept)

    def _response(self, kept: _Kept) -> web.Response:
        headers = {
            "Age": str(int(self._clock() - kept.made_at)),
            "Cache-Control": f"public, max-age={self._seconds:.0f}",
            "Date": kept.date,
            "X-Kalshi-Cache-Hits": str(kept.hits),
        }
        return web.Response(body=kept.body, content_type="application/json", headers=headers)
