"""A database that stops answering in the middle: its packets go nowhere, and nobody says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Wire:
    """A TCP port in front of a server's socket. Of each connection it forwards so many pieces of what the client
    sends; from then on, it swallows everything in both directions."""

    socket_path: str
    pieces: int
    swallowing: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was swallowed."""
    _at_work: set["asyncio.Task[None]"] = field(default_factory=set)

    async def accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One connection."""
        server, to_server = await asyncio.open_unix_connection(self.socket_path)
        cut = asyncio.Event()
        for work in (self._forward(client, to_server, cut), self._answer(server, to_client, cut)):
            task = asyncio.create_task(work)
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _forward(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        with suppress(ConnectionError):
            left = self.pieces
            while data := await client.read(65536):
                if left == 0:
                    cut.set()
                    self.swallowing.set()
                    continue
                left -= 1
                to_server.write(data)
                await to_server.drain()
        to_server.close()

    async def _answer(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await server.read(65536):
                if not cut.is_set():
                    to_client.write(data)
                    await to_client.drain()
        to_client.close()

    async def end(self) -> None:
        """Close what is left."""
        for each in self._at_work:
            each.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)


@asynccontextmanager
async def wire_to(database_url: str, pieces: int) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the database of a URL with a socket, and the URL of the database behind it."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    wire = Wire(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}", pieces)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        server.close()
        await wire.end()


def _starting_up() -> bytes:
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


@asynccontextmanager
async def recovering() -> AsyncIterator[tuple[asyncio.Event, str]]:
    """A server that is replaying its log after a crash, for as long as anybody asks; set once somebody did."""
    asked = asyncio.Event()

    async def answer(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await client.readexactly(4), "big")
                request = await client.readexactly(length - 4)
                if request[:4] in _NOT_HERE:
                    to_client.write(b"N")
                    continue
                asked.set()
                to_client.write(_starting_up())
                await to_client.drain()
                break
        to_client.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield asked, f"postgresql://postgres@127.0.0.1:{server.sockets[0].getsockname()[1]}/recovering"
    finally:
        server.close()


_NOT_HERE = {(80877103).to_bytes(4, "big"), (80877104).to_bytes(4, "big")}
"""Requests for TLS and for GSS encryption."""


@asynccontextmanager
async def mute() -> AsyncIterator[tuple[asyncio.Event, str]]:
    """A web server that takes requests and never answers; set once it took one. With its URL."""
    asked, at_work = asyncio.Event(), set[asyncio.StreamWriter]()

    async def listen(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        at_work.add(to_client)
        with suppress(ConnectionError):
            while await client.read(65536):
                asked.set()
        to_client.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield asked, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in at_work:
            each.close()
