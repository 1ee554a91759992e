"""What the progress of a backfill says while the exchange does not answer: that it is asked again, and why."""

import asyncio
import io
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from kalshi_ingest.backfill.live_display import Display
from kalshi_ingest.errors import IngestError
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_simulator import Simulator
from tests.support.backfills import small_world
from tests.support.patience import until

NOBODY = "http://127.0.0.1:9/trade-api/v2"
PATIENT = RetryPolicy(attempts=1_000, first_delay=0.01, longest_delay=0.02)


class Screen(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        return True


@asynccontextmanager
async def shown(url: str, stream: io.StringIO) -> AsyncIterator[Client]:
    """A display at work, and somebody who asks the exchange for something."""
    async with aiohttp.ClientSession() as http:
        client = Client(http, url, Pacer(1_000), retry=PATIENT)
        progress = [SeriesProgress(Wanted("KXHIGHCHI", "chicago"))]
        tasks = [
            asyncio.create_task(Display(progress, client, stream).run()),
            asyncio.create_task(_ask(client)),
        ]
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _ask(client: Client) -> None:
    with suppress(IngestError):
        await client.get("/series/KXHIGHCHI", {}, lambda answer: answer)


def _told(logged: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """The progress that is logged every few seconds does not count."""
    return [line for line in logged if line["event"] == "exchange_unreachable"]


async def test_a_log_says_once_that_the_exchange_does_not_answer() -> None:
    with capture_logs() as logged:
        async with shown(NOBODY, io.StringIO()) as client:
            await until(lambda: bool(_told(logged)))
            sent = client.sent
            await until(lambda: client.sent > sent + 50)
    (line,) = _told(logged)
    assert "GET /series/KXHIGHCHI" in line["reason"]


async def test_a_terminal_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    async with shown(NOBODY, screen):
        await until(lambda: "The exchange does not answer, trying again: GET" in screen.getvalue())


async def test_an_exchange_that_answers_is_no_trouble() -> None:
    async with Simulator(small_world()) as simulator, shown(simulator.url, io.StringIO()) as client:
        client.availability.trouble = "it was away"
        await until(lambda: client.trouble is None)
