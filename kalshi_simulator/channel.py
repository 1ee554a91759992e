"""The WebSocket: a signed handshake, commands, and trades and lifecycle messages as the simulated time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from aiohttp import WSCloseCode, WSMsgType, web

from kalshi_simulator.channel_commands import Subscription, Subscriptions
from kalshi_simulator.channel_faults import ChannelFaults
from kalshi_simulator.channel_feed import Feed
from kalshi_simulator.channel_messages import TRADE, Message
from kalshi_simulator.faults import Faults
from kalshi_simulator.maintenance import gateway_page
from kalshi_simulator.refusals import RefusedError, unauthorized
from kalshi_simulator.signatures import Doorkeeper
from kalshi_simulator.stats import Stats
from kalshi_simulator.wire import SECOND, Row, dump
from kalshi_simulator.world import World

_TICK = 0.05
"""Real seconds between two looks at the world."""


class Channel:
    """Lets connections in. Each then looks at the world by itself."""

    def __init__(self, world: World, doorkeeper: Doorkeeper, faults: Faults, stats: Stats) -> None:
        self._world = world
        self._doorkeeper = doorkeeper
        self._faults = faults
        self._stats = stats

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The handshake: 503 during maintenance, 401 without a good signature."""
        if self._faults.maintenance.resumes(self._world.clock.now) is not None:
            self._stats.channel["refused"] += 1
            return gateway_page()
        try:
            if not self._doorkeeper.is_signed(request.headers, request.method, request.path):
                raise unauthorized()
        except RefusedError as refused:
            self._stats.channel["refused"] += 1
            return web.Response(status=refused.status, body=refused.body, content_type="application/json")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._stats.channel["connections"] += 1
        await _Connection(socket, self._world, self._faults, self._stats).run()
        return socket


class _Connection:
    """One connection, until either side ends it."""

    def __init__(self, socket: web.WebSocketResponse, world: World, faults: Faults, stats: Stats) -> None:
        self._socket = socket
        self._world = world
        self._maintenance = faults.maintenance
        self._faults: ChannelFaults = faults.channel
        self._stats = stats
        self._subscriptions = Subscriptions()
        self._lag = round(faults.channel.channel_lag_seconds * SECOND)
        self._pushed = 0

    async def run(self) -> None:
        tasks = [asyncio.create_task(part()) for part in (self._listen, self._push, self._beat)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, ConnectionError):  # the client may leave at any time
                raise error

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                for reply in self._subscriptions.answer(message.data):
                    await self._send(reply)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._faults.heartbeat_seconds)
            await self._socket.ping(b"heartbeat")

    async def _push(self) -> None:
        """Tell what happened, look by look; comes back when the connection was closed from this side."""
        clock = self._world.clock
        with clock.one_moment(behind=self._lag):
            feed = Feed(self._world)
        while self._maintenance.resumes(clock.now) is None:
            with clock.one_moment(behind=self._lag):
                happened = feed.advance(partial(self._subscriptions.wants, TRADE))
            for message in happened:
                for subscription in list(self._subscriptions.by_sid.values()):
                    if subscription.covers(message.channel, message.ticker):
                        await self._tell(subscription, message)
                        if self._pushed == self._faults.close_after > 0:
                            self._stats.channel["closed"] += 1
                            await self._close()
                            return
            await asyncio.sleep(_TICK)
        await self._close()

    async def _tell(self, subscription: Subscription, message: Message) -> None:
        """One message to one subscription, with the faults that are due."""
        faults, counts = self._faults, self._stats.channel
        body = subscription.numbered(message.kind) | {"msg": message.body}
        self._pushed += 1
        counts["messages"] += 1
        subscription.pushed += 1
        if _due(subscription.pushed, faults.drop_every):
            counts["dropped"] += 1
        else:
            await self._send(body)
        if _due(subscription.pushed, faults.repeat_every):
            counts["repeated"] += 1
            await self._send(body)
        if subscription.pushed == faults.overflow_after > 0:
            counts["overflows"] += 1
            await self._send(self._subscriptions.overflow(subscription))

    async def _send(self, body: Mapping[str, object]) -> None:
        # Numbers are given just before; no other task may run in between, else they would leave out of order.
        row: Row = {**body, "sending_ts_ms": self._world.clock.micros // 1000}
        await self._socket.send_str(dump(row).decode())

    async def _close(self) -> None:
        await self._socket.close(code=WSCloseCode.GOING_AWAY)


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0
