"""A wire to PostgreSQL that is cut right after the server has committed, before the client hears of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

from tests.support import postgres


class Wire:
    """Counts the commits that the server made and the client was not told of."""

    def __init__(self, socket: Path, random: Random, share: float) -> None:
        self.cut = 0
        self._socket = socket
        self._random = random
        self._share = share
        self._carrying: set[asyncio.Task[None]] = set()

    async def carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        server, to_server = await asyncio.open_unix_connection(str(self._socket))
        doomed = asyncio.Event()
        both = [
            asyncio.create_task(self._upwards(client, to_server, doomed)),
            asyncio.create_task(self._downwards(server, to_client, doomed)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            to_client.transport.abort()
            try:
                # The old session lives on for a moment: nobody may take it for gone before it is.
                await asyncio.sleep(self._random.uniform(0, 0.03))
            finally:
                to_server.transport.abort()

    async def end(self) -> None:
        """Serve no connection any more."""
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _upwards(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await client.read(65_536):
                if b"COMMIT;" in data and self._random.random() < self._share:
                    doomed.set()
                server.write(data)
                await server.drain()

    async def _downwards(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await server.read(65_536):
                if doomed.is_set():
                    self.cut += b"COMMIT\0" in data
                    return
                client.write(data)
                await client.drain()


@contextlib.asynccontextmanager
async def cut_at_commits(url: str, random: Random, share: float) -> AsyncIterator[tuple[str, Wire]]:
    """The URL of the same database over a wire that is cut at a `share` of the commits."""
    parts = urlsplit(url)
    folder = Path(parse_qs(parts.query)["host"][0])
    with postgres.scratch_dir() as place:
        wire = Wire(folder / ".s.PGSQL.5432", random, share)
        server = await asyncio.start_unix_server(wire.carry, str(place / ".s.PGSQL.5432"))
        async with server:
            try:
                yield url.replace(str(folder), str(place)), wire
            finally:
                await wire.end()
