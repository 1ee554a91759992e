"""A server that passes on what another one answers, with what a test has spoilt in it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

Spoil = Callable[[str, "dict[str, str]", bytes], bytes]
"""(path, query, body) → what is answered instead."""


class Relay:
    """`spoil` None: everything is passed on as it is."""

    def __init__(self, target: str) -> None:
        self.spoil: Spoil | None = None
        self._target = target.rstrip("/")

    async def answer(self, request: web.Request) -> web.Response:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._target + request.path_qs, allow_redirects=False) as response,
        ):
            body = await response.read()
            if response.status == 200 and self.spoil is not None:
                body = self.spoil(request.path, dict(request.query), body)
            kept = {name: response.headers[name] for name in ("Date", "Content-Type") if name in response.headers}
            return web.Response(status=response.status, body=body, headers=kept)


@asynccontextmanager
async def relaying(target: str) -> AsyncIterator[tuple[Relay, str]]:
    """(the relay, its address) in front of a server, for a `with` block."""
    relay = Relay(target)
    app = web.Application()
    app.router.add_get("/{rest:.*}", relay.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield relay, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
