"""The simulated exchange as an HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from kalshi_simulator.bad_answers import NEEDS_BODY, ON_THE_WAY, answer_badly, too_many
from kalshi_simulator.budget import Budgets, Limits
from kalshi_simulator.cache import Cache
from kalshi_simulator.channel import Channel
from kalshi_simulator.clock import http_date
from kalshi_simulator.control import control_routes
from kalshi_simulator.exchange import Answer, Call, Exchange
from kalshi_simulator.fault_plan import FaultPlan
from kalshi_simulator.faults import Faults
from kalshi_simulator.maintenance import gateway_page
from kalshi_simulator.refusals import RefusedError, not_found
from kalshi_simulator.routes import ROUTES
from kalshi_simulator.seeds import stream
from kalshi_simulator.signatures import Doorkeeper
from kalshi_simulator.stats import Stats
from kalshi_simulator.weather.config import WeatherConfig
from kalshi_simulator.weather.server import WeatherServer, WeatherUrls
from kalshi_simulator.wire import SECOND
from kalshi_simulator.world import World

BASE_PATH = "/trade-api/v2"
CHANNEL_PATH = "/trade-api/ws/v2"
_STATUS_ROUTE = "exchange_status"
_CLIENT_LEFT = 499
Hook = Callable[[str, str | None], Awaitable[None] | None]
"""Called with the route's name and the ticker asked for, if any."""


class Simulator:
    """Serves a world over real HTTP, within limits and with faults.

    `on_request` is called before each answer, `on_answered` after it was written; both may be coroutines.
    `clock` counts real seconds for budgets and stats; what the exchange shows, and the `Date` of its answers, follow
    the world's own clock. Nothing listens before `start`. The weather services answer on the same port, with limits
    and statistics of their own.
    """

    def __init__(
        self,
        world: World,
        limits: Limits | None = None,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.monotonic,
        weather: WeatherConfig | None = None,
    ) -> None:
        self.world = world
        self.stats = Stats()
        self.weather = WeatherServer(world, weather or WeatherConfig(), clock)
        self.on_request: Hook | None = None
        self.on_answered: Hook | None = None
        self.limits = limits or Limits()
        self._faults = faults or Faults()
        self._clock = clock
        self._budgets = Budgets(self.limits, clock)
        self._cache = Cache(self.limits.cache_seconds, clock)
        self._plan = FaultPlan(self._faults, self.stats)
        self._exchange = Exchange(world, self.limits, self._budgets, self._plan)
        self._doorkeeper = Doorkeeper(self.limits.public_key_pem)
        self._channel = Channel(world, self._doorkeeper, self._faults, self.stats)
        self._rest_lag = round(self._faults.channel.rest_lag_seconds * SECOND)
        self._jitter = stream(self._faults.seed, "latency")
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the API's base URL; port 0 takes a free one."""
        app = web.Application()
        app.on_response_prepare.append(self._date)
        for name, pattern, answer in ROUTES:
            app.router.add_get(BASE_PATH + pattern, partial(self._handle, name, answer))
        app.add_routes(control_routes(self.world, self.stats))
        app.add_routes(self.weather.routes())
        app.router.add_get(CHANNEL_PATH, self._channel.handle)
        app.router.add_get(BASE_PATH + "/{rest:.*}", partial(self._handle, "unknown", _unknown))
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        self._runner = runner
        bound = runner.addresses[0][1]
        return f"http://{host}:{bound}{BASE_PATH}"

    async def stop(self) -> None:
        """Close all connections; answers under way are dropped."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The API's base URL while the simulator is listening."""
        if self._runner is None:
            raise RuntimeError("the simulator is not started")
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}{BASE_PATH}"

    @property
    def channel_url(self) -> str:
        """The address of the WebSocket while the simulator is listening."""
        return "ws" + self.url.removeprefix("http").removesuffix(BASE_PATH) + CHANNEL_PATH

    @property
    def weather_urls(self) -> WeatherUrls:
        """The base URLs of the weather services while the simulator is listening."""
        return WeatherUrls.below(self.url.removesuffix(BASE_PATH))

    async def _handle(self, route: str, answer: Answer, request: web.Request) -> web.StreamResponse:
        ticker = request.match_info.get("ticker") or request.query.get("ticker")
        self.stats.saw(route, ticker, self._clock())
        await _call(self.on_request, route, ticker)
        response = await self._respond(route, answer, request, ticker)
        self.stats.by_status[response.status] += 1
        if self.on_answered is not None:
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
            await _call(self.on_answered, route, ticker)
        return response

    async def _respond(
        self, route: str, answer: Answer, request: web.Request, ticker: str | None
    ) -> web.StreamResponse:
        resumes = self._faults.maintenance.resumes(self.world.clock.now)
        if resumes is not None and route != _STATUS_ROUTE:
            return gateway_page()
        cached = self._cache.covers(route)
        if cached and (repeated := self._cache.repeated(request.path_qs)) is not None:
            self.stats.cache_hits += 1
            return repeated
        try:
            signed = self._doorkeeper.is_signed(request.headers, request.method, request.path)
            allowed = self._budgets.take(signed=signed)
            self.stats.judged(self._clock(), allowed=allowed)
            if self.limits.latency > 0:
                await asyncio.sleep(self.limits.latency * self._jitter.uniform(0.5, 1.5))
            if not allowed:
                return too_many(self._faults.retry_after)
            call = Call(request.match_info, request.query, signed)
            kind = self._fault_on_the_way(route, ticker)
            if kind is None:
                if cached:
                    return self._cache.keep(request.path_qs, self._answered(answer, call), self._now())
                return _good(self._answered(answer, call), 200 if resumes is None else self._faults.maintenance.status)
            body = self._answered(answer, call) if kind in NEEDS_BODY else b""
            with contextlib.suppress(ConnectionError):  # the client may leave before a slow or huge end
                return await answer_badly(kind, request, body, self._faults)
            return web.Response(status=_CLIENT_LEFT)
        except RefusedError as refused:
            return web.Response(status=refused.status, body=refused.body, content_type="application/json")

    def _answered(self, answer: Answer, call: Call) -> bytes:
        with self.world.clock.one_moment(behind=self._rest_lag):
            return answer(self._exchange, call)

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        if "Age" not in response.headers:  # the cache keeps the one of when its answer was made
            response.headers["Date"] = self._now()

    def _now(self) -> str:
        return http_date(self.world.clock.micros // SECOND)

    def _fault_on_the_way(self, route: str, ticker: str | None) -> str | None:
        kind = self._plan.random_kind()
        if kind is not None:
            self._plan.commit(kind)
            return kind
        targeted = self._plan.targeted(ticker) if route in ("trades", "historical_trades") else None
        if targeted is None or targeted not in ON_THE_WAY:
            return None
        self._plan.commit(targeted, ticker)
        return targeted


def _good(body: bytes, status: int) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _unknown(_: Exchange, __: Call) -> bytes:
    raise not_found()


async def _call(hook: Hook | None, route: str, ticker: str | None) -> None:
    if hook is not None:
        waiting = hook(route, ticker)
        if waiting is not None:
            await waiting
