"""A database whose machine vanishes: connections stay open, and nothing comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.service import Asked, FollowService
from kalshi_ingest.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange
from kalshi_ingest.web.app import serving
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.support.backfills import fetch
from tests.support.patience import COMES, ENDS

NOON = datetime(2026, 6, 10, 18, tzinfo=UTC)


@dataclass
class Wire:
    """Forwards bytes between clients and the server, as long as it is not cut."""

    url: str
    """The database as clients see it."""
    cut: bool = False
    _carriers: set["asyncio.Task[None]"] = field(default_factory=set)

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self.cut:
                    sink.write(data)
                    await sink.drain()
        except ConnectionError:
            return
        finally:
            sink.close()
            with suppress(ConnectionError):
                await sink.wait_closed()

    def keep(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self.carry(source, sink))
        self._carriers.add(task)
        task.add_done_callback(self._carriers.discard)

    async def end(self) -> None:
        for each in self._carriers:
            each.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncIterator[Wire]:
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    socket_path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server, from_server = await asyncio.open_unix_connection(socket_path)
        wire.keep(reader, from_server)
        wire.keep(to_server, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire(f"postgresql://postgres@127.0.0.1:{port}{parts.path}")
    try:
        yield wire
    finally:
        server.close()
        await wire.end()


async def until(not_ready: bool, state: FollowState, seconds: float = COMES) -> None:
    async with asyncio.timeout(seconds):
        while bool(state.not_ready()) is not not_ready:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_silent_database_is_given_up_and_found_again(database_url: str) -> None:
    config = WorldConfig(start=date(2026, 6, 9), end=date(2026, 6, 11), now=NOON, cities=("KXHIGHCHI",))
    wanted = [Wanted("KXHIGHCHI", "chicago")]
    state = FollowState({"KXHIGHCHI": SeriesState(wanted[0])}, NOON, stale_after=5)
    intervals = PollIntervals(poll=0.1, database_silence=8, away=0.2)
    stop = asyncio.Event()
    async with Simulator(SyntheticWorld(config)) as simulator, wire_to(database_url) as wire:
        exchange = Exchange(simulator.url, requests_per_second=200)
        service = FollowService(Asked(wanted, None, None, "follow"), exchange, wire.url, state, intervals)
        async with serving(state, wire.url, "127.0.0.1", 0):
            running = asyncio.create_task(service.run(stop))
            await until(False, state)
            wire.cut = True
            await until(True, state)
            async with asyncio.timeout(COMES):
                while state.phase is not Phase.DATABASE_AWAY:
                    await asyncio.sleep(0.05)
            assert state.losses["database"] == 1
            wire.cut = False
            await until(False, state)
            stop.set()
            await asyncio.wait_for(running, ENDS)
    statuses = await fetch(database_url, "select distinct status from ingestion_log")
    assert [row[0] for row in statuses] == ["success"]
