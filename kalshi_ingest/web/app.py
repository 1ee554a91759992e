"""The service's endpoints over HTTP: for machines `/livez`, `/readyz`, `/metrics`, for a person the page at `/`."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import metadata

import orjson
import structlog
from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import Unusable
from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.web.db_connection import Away, Link
from kalshi_ingest.web.db_health import watch
from kalshi_ingest.web.door import Door
from kalshi_ingest.web.metrics import registry_of
from kalshi_ingest.web.pace import RecentPace
from kalshi_ingest.web.status_page import as_page
from kalshi_ingest.web.templating import Templates
from kalshi_ingest.web.view import Choice, View, held

_PAGE_SECONDS = 6.0
"""For everything that the page asks of the database."""
_CLOSING_SECONDS = 0.5
"""For answers under way when the service stops."""

_STATE = web.AppKey("state", FollowState)
_DOOR = web.AppKey("door", Door)
_HEADERS = web.AppKey("headers", dict[str, str])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving(
    state: FollowState, database_url: str, host: str, port: int, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[str]:
    """Serve until the block ends, and watch the database; yields `http://host:port` (port 0: a free one).

    `now` gives the exchange's time. Raises `Unusable` when the address cannot be had.
    """
    pace, link = RecentPace(), Link(database_url, "page", _PAGE_SECONDS)
    app = _Endpoints(state, link, pace, now).application()
    app[_DOOR] = door = Door()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_CLOSING_SECONDS)
    await runner.setup()
    try:
        found = await _listen(door, runner, host, port)
        watching = asyncio.create_task(watch(state, database_url, pace), name="database watch")
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{found}"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await door.close()
        await runner.cleanup()
        link.close()


async def _listen(door: Door, runner: web.AppRunner, host: str, port: int) -> int:
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    try:
        return await door.open(runner.server, host, port)
    except OSError as error:
        settings = "choose another with KALSHI_INGEST_HTTP_HOST and KALSHI_INGEST_HTTP_PORT"
        if error.errno == errno.EADDRINUSE:
            raise Unusable(f"port {port} of {host} is taken by another program: {settings}") from None
        if error.errno == errno.EACCES:
            raise Unusable(f"this user may not listen on port {port} of {host}: {settings}") from None
        raise Unusable(f"cannot listen on {host}, port {port}: {settings}") from None


class _Endpoints:
    """Only the page asks the database anything; the others answer from the state, at once."""

    def __init__(self, state: FollowState, link: Link, pace: RecentPace, now: Callable[[], datetime]) -> None:
        self._state = state
        self._link = link
        self._pace = pace
        self._now = now
        self._version = metadata.version("kalshi-ingest")
        self._templates = Templates()
        self._registry = registry_of(state, self._version)

    def application(self) -> web.Application:
        """Reading only: any other method is refused."""
        app = web.Application(middlewares=[_guarded])
        app[_STATE] = self._state
        app[_HEADERS] = _headers(self._templates.script_source())
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/", self._page)
        return app

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._state.not_ready()
        body: dict[str, object] = {"ready": not reasons}
        if reasons:
            body |= {"reasons": reasons, "phase": self._state.phase.value}
        return web.Response(
            status=503 if reasons else 200, body=orjson.dumps(body) + b"\n", content_type="application/json"
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encoder, content_type = choose_encoder("")
        response = web.Response(body=encoder(self._registry), headers={hdrs.CONTENT_TYPE: content_type})
        response.enable_compression()
        return response

    async def _page(self, request: web.Request) -> web.Response:
        choice = Choice.of(request.query.get("ticker"), request.query.get("period"))
        now = self._now()
        found, away = None, ""
        try:
            found = await held(self._link, self._state, now, choice)
        except Away as error:
            away = str(error)
        view = View(self._state, self._version, now, self._pace.per_second, choice, found, away)
        response = web.Response(text=as_page(self._templates, view), content_type="text/html", charset="utf-8")
        response.enable_compression()
        return response


def _headers(script_source: str) -> dict[str, str]:
    """What every answer carries; only `script_source` may run."""
    return {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src 'self'; script-src {script_source}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Server": "kalshi_ingest",
    }


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same headers on every answer, errors in a few words that repeat nothing, one request a connection."""
    response: web.StreamResponse
    request.app[_DOOR].heard(request.transport)
    try:
        response = await handler(request)
    except web.HTTPException as refused:
        allowed = {hdrs.ALLOW: refused.headers[hdrs.ALLOW]} if hdrs.ALLOW in refused.headers else {}
        response = web.Response(status=refused.status, text=f"{refused.reason}\n", headers=allowed)
    except Exception:
        request.app[_STATE].faults += 1
        log.exception("service_answer_failed", path=request.path[:100])
        response = web.Response(status=500, text="Internal Server Error\n")
    response.headers.update(request.app[_HEADERS])
    response.force_close()
    return response
