"""Both sides of a channel's test, on a virtual clock: the exchange's and ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.exchange.subscriptions import Event, Gap, Traded
from kalshi_ingest.exchange.websocket import Channel, channel_url
from tests.exchange.websocket_serving import TRADE_ID, Connection, Exchange, Message

KEY_ID = "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"
KEY = generate_private_key(65537, 2048)
TRADED = Traded("A", UUID(TRADE_ID).bytes, 1669149841123)
SUBSCRIBED = Gap("subscribed: nothing before was announced")


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Stage:
    """Both sides of a test: the server, the running channel, what it told, and the markets that are wanted."""

    exchange: Exchange
    channel: Channel
    running: asyncio.Task[None]
    wanted: set[str]
    events: list[Event] = field(default_factory=list)

    async def until(self, happened: Callable[[], object], seconds: float = 120) -> None:
        """Let virtual time pass until something holds."""
        end = asyncio.get_running_loop().time() + seconds
        while not happened():
            assert not self.running.done(), "run() never ends by itself"
            assert asyncio.get_running_loop().time() < end, f"did not happen within {seconds} s; told: {self.events}"
            await asyncio.sleep(0.1 if seconds <= 120 else 1)

    async def in_step(self, connection: int = 1) -> Connection:
        """Wait until everything is subscribed on the n-th connection."""
        await self.until(lambda: self.channel.stats.connected and len(self.exchange.connections) >= connection)
        return self.exchange.last

    async def told(self) -> list[Event]:
        """What was told since the last time, once everything under way has arrived."""
        await asyncio.sleep(0.2)
        events = self.events[:]
        self.events.clear()
        return events

    def gaps(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Gap)]


Scene = Callable[[Stage], Awaitable[Any]]


@asynccontextmanager
async def staged(exchange: Exchange, signer: Signer, wanted: set[str]) -> AsyncIterator[Stage]:
    events: list[Event] = []
    async with exchange.serving() as api_url, aiohttp.ClientSession() as http:
        channel = Channel(http, channel_url(api_url), signer.at(utc_now), events.append, Random(1))
        running = asyncio.create_task(channel.run(lambda: wanted))
        try:
            yield Stage(exchange, channel, running, wanted, events)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def error(code: object, **more: object) -> Message:
    return {"type": "error", **more, "msg": {"code": code, "msg": "hunter2 was here"}}
