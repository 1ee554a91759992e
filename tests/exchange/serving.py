"""Real HTTP for tests: a server that answers from a script, and a client that asks it, on one virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import aiohttp
from aiohttp import web

from kalshi_ingest.exchange.client import Client
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import ServerClock

GRACE = 0.003
"""Real seconds a virtual clock waits for bytes on the loopback before it jumps."""

PREFIX = "/trade-api/v2"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


@dataclass(frozen=True)
class Reply:
    """One plain answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Seen:
    """One request as the server saw it, and when (virtual seconds)."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float


class Script:
    """Answers requests to each path from a list, its last entry for ever; unknown paths get 404."""

    def __init__(self, **paths: Sequence[Reply | Handler]) -> None:
        self._paths = {"/" + name.replace("__", "/"): list(answers) for name, answers in paths.items()}
        self.seen: list[Seen] = []

    def seen_at(self, path: str) -> list[Seen]:
        """The requests to one path."""
        return [request for request in self.seen if request.path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        self.seen.append(Seen(path, dict(request.query), dict(request.headers), asyncio.get_running_loop().time()))
        answers = self._paths.get(path)
        if answers is None:
            return web.Response(status=404, body=b'{"error":{"code":"not_found","message":"not found"}}')
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Reply):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer(request)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server on a free port; its API's base URL."""
    app = web.Application()
    app.router.add_get("/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_serving(answer: Talk) -> AsyncIterator[str]:
    """A server that writes what it likes after having read a request's head."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PREFIX}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def asking(
    url: str,
    retry: RetryPolicy | None = None,
    signer: Signer | None = None,
    rate: float = 1000.0,
    clock: ServerClock | None = None,
) -> AsyncIterator[Client]:
    """A client with its own session."""
    async with aiohttp.ClientSession() as session:
        patience = replace(retry or RetryPolicy(), random=Random(1))
        yield Client(session, url, Pacer(rate), retry=patience, signer=signer, clock=clock)
