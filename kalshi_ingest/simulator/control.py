"""Control over HTTP for a simulator that runs as its own process; outside the API, free of limits."""

from __future__ import annotations

from datetime import datetime

import orjson
from aiohttp import web

from kalshi_ingest.simulator.stats import Stats
from kalshi_ingest.simulator.wire import dump
from kalshi_ingest.simulator.world import World


def control_routes(world: World, stats: Stats) -> list[web.RouteDef]:
    """`GET /_simulator/stats`, `POST /_simulator/cutoff {"cutoff": …}`, `POST /_simulator/reset`."""

    async def read(_: web.Request) -> web.Response:
        return _json(stats.as_json())

    async def reset(_: web.Request) -> web.Response:
        stats.reset()
        return _json({})

    async def move(request: web.Request) -> web.Response:
        try:
            cutoff = datetime.fromisoformat(orjson.loads(await request.read())["cutoff"])
        except (ValueError, KeyError, TypeError):
            return _json({"error": 'want {"cutoff": RFC 3339 text}'}, status=400)
        if cutoff.tzinfo is None:
            return _json({"error": "the cutoff needs a time zone"}, status=400)
        world.cutoff = cutoff
        return _json({"cutoff": cutoff.isoformat()})

    return [
        web.get("/_simulator/stats", read),
        web.post("/_simulator/reset", reset),
        web.post("/_simulator/cutoff", move),
    ]


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=dump(body), status=status, content_type="application/json")
