"""The weather services over HTTP, beside the exchange on the same port: throttles, quotas, statistics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property, partial
from typing import NamedTuple

from aiohttp import web

from kalshi_simulator.seeds import stream
from kalshi_simulator.weather.answers import JSON, Route, WeatherRefusedError, as_json
from kalshi_simulator.weather.config import WeatherConfig
from kalshi_simulator.weather.routes_iem import IEM_ROUTES
from kalshi_simulator.weather.routes_others import NCEI_ROUTES, VISUAL_CROSSING_ROUTES, timeline_query
from kalshi_simulator.weather.stats import WeatherStats
from kalshi_simulator.weather.whole import Weather
from kalshi_simulator.world import World

_PREFIXES = {"iem": "/iem", "ncei": "/ncei", "visual_crossing": "/visualcrossing"}
WeatherHook = Callable[[str], Awaitable[None] | None]
"""Called with the name of the service."""


class WeatherUrls(NamedTuple):
    """Base URLs: what stands for the providers' own hosts."""

    iem: str
    ncei: str
    visual_crossing: str

    @classmethod
    def below(cls, root: str) -> WeatherUrls:
        """At `root`, such as `http://127.0.0.1:8765`."""
        return cls(*(root + prefix for prefix in _PREFIXES.values()))


class WeatherServer:
    """Answers for all providers. `clock` counts seconds for throttles and statistics.

    `on_request` is called before each answer, `on_answered` after it was written; both may be coroutines. The
    weather itself is made at the first request.
    """

    def __init__(self, world: World, config: WeatherConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.stats = WeatherStats()
        self.on_request: WeatherHook | None = None
        self.on_answered: WeatherHook | None = None
        self._world = world
        self._clock = clock
        self._last: dict[tuple[str, str | None], float] = {}
        self._busy = stream(config.seed, "busy")
        self._at_visual_crossing = 0

    @cached_property
    def weather(self) -> Weather:
        """The weather served."""
        return Weather(self._world, self.config)

    def routes(self) -> list[web.RouteDef]:
        """Every service, and `GET /_simulator/weather`, `POST /_simulator/weather/reset`."""
        found = [
            web.get(_PREFIXES[route.provider] + route.path, partial(self._handle, route))
            for route in (*IEM_ROUTES, *NCEI_ROUTES, *VISUAL_CROSSING_ROUTES)
        ]
        found.append(web.get("/_simulator/weather", self._read))
        found.append(web.post("/_simulator/weather/reset", self._reset))
        return found

    async def _read(self, _: web.Request) -> web.Response:
        return web.Response(body=as_json(self.stats.as_json()), content_type=JSON)

    async def _reset(self, _: web.Request) -> web.Response:
        self.stats.reset()
        return web.Response(body=b"{}", content_type=JSON)

    async def _handle(self, route: Route, request: web.Request) -> web.StreamResponse:
        self.stats.saw(route.provider, route.service, self._clock())
        of_visual_crossing = route.provider == "visual_crossing"
        self._at_visual_crossing += of_visual_crossing
        self.stats.most_at_once = max(self.stats.most_at_once, self._at_visual_crossing)
        try:
            await _call(self.on_request, route.service)
            response = await self._respond(route, request)
        finally:
            self._at_visual_crossing -= of_visual_crossing
        self.stats.by_status[route.service][response.status] += 1
        await _call(self.on_answered, route.service)
        return response

    async def _respond(self, route: Route, request: web.Request) -> web.StreamResponse:
        try:
            self._admit(route, request)
            page = route.answer(self.weather, request)
        except WeatherRefusedError as refused:
            response = web.Response(status=refused.status, text=refused.body, content_type=refused.content_type)
            return await _write(request, response)
        if isinstance(page.body, bytes):
            return await _write(request, web.Response(body=page.body, content_type=page.content_type))
        return await _stream(request, page.body, page.content_type)

    def _admit(self, route: Route, request: web.Request) -> None:
        """Refuse what comes too soon, without a valid key or above a quota."""
        if route.throttle is not None:
            self._throttle(route.throttle, request.remote)
        if route.provider == "iem" and self.config.busy_rate and self._busy.random() < self.config.busy_rate:
            raise WeatherRefusedError(503, "ERROR: server over capacity, please try later")
        if route.provider == "visual_crossing":
            self._admit_to_visual_crossing(request)

    def _throttle(self, group: str, address: str | None) -> None:
        pause, now = self.config.throttle_seconds, self._clock()
        last = self._last.get((group, address))
        if pause is not None and last is not None and now - last < pause:
            raise WeatherRefusedError(429, "Too many requests from your IP address, please slow down.")
        self._last[group, address] = now

    def _admit_to_visual_crossing(self, request: web.Request) -> None:
        key = request.query.get("key", "")
        if key != self.config.visual_crossing_key:
            raise WeatherRefusedError(401, f"No account found with API key '{key}'")
        if self._at_visual_crossing > self.config.visual_crossing_concurrency:
            raise WeatherRefusedError(429, "Maximum concurrent jobs has been exceeded.")
        cost, day = timeline_query(request).cost, self.weather.now.date().isoformat()
        most = self.config.visual_crossing_records
        if most is not None and self.stats.records[day] + cost > most:
            raise WeatherRefusedError(
                429, "You have exceeded the maximum number of daily result records for your account."
            )
        self.stats.records[day] += cost


async def _write(request: web.Request, response: web.Response) -> web.Response:
    with contextlib.suppress(ConnectionError):  # the client may have left
        await response.prepare(request)
        await response.write_eof()
    return response


async def _stream(request: web.Request, pieces: Iterator[str], content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece.encode())
            await asyncio.sleep(0)  # other requests get their turn during a long answer
        await response.write_eof()
    return response


async def _call(hook: WeatherHook | None, service: str) -> None:
    if hook is not None:
        waiting = hook(service)
        if waiting is not None:
            await waiting
