"""Control over HTTP for a simulator that runs as its own process; outside the API, free of limits."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from aiohttp import web

from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.stats import Stats
from kalshi_simulator.wire import dump
from kalshi_simulator.world import World


def control_routes(world: World, stats: Stats) -> list[web.RouteDef]:
    """Statistics and their reset, the cutoff, and the clock (`clock_routes`).

    `GET /_simulator/stats`, `POST /_simulator/reset`, `POST /_simulator/cutoff {"cutoff": …}`.
    """

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
        *clock_routes(world.clock),
    ]


def clock_routes(clock: SimulatedClock) -> list[web.RouteDef]:
    """`GET /_simulator/clock`, and `POST` with `{"speed": …}`, `{"now": …}` or both: jump there, go on so fast.

    Both answer with `now`, `speed`, and the real time (`wall`) at the same instant: at speed 1 they keep their
    distance, so a moment of one can be told in the other.
    """

    def state() -> web.Response:
        now, wall = clock.now, datetime.now(UTC)
        return _json({"now": now.isoformat(), "speed": clock.speed, "wall": wall.isoformat()})

    async def read(_: web.Request) -> web.Response:
        return state()

    async def change(request: web.Request) -> web.Response:
        try:
            wanted = orjson.loads(await request.read())
            now = datetime.fromisoformat(wanted["now"]) if "now" in wanted else None
            clock.set(now, wanted.get("speed"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _json(
                {"error": f'want {{"now": RFC 3339 text, "speed": number}} or one of them: {error}'}, status=400
            )
        return state()

    return [web.get("/_simulator/clock", read), web.post("/_simulator/clock", change)]


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=dump(body), status=status, content_type="application/json")
