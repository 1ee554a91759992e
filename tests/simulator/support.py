"""Worlds and HTTP helpers for the simulator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from aiohttp import ClientSession

from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig

Row = dict[str, Any]

NOW = datetime(2025, 11, 14, 20, 0, tzinfo=UTC)
CUTOFF = datetime(2025, 11, 5, tzinfo=UTC)


def small_world(**changes: Any) -> SyntheticWorld:
    """Six cities over a month that ends in open markets; the cutoff lies inside."""
    settings: dict[str, Any] = {
        "start": date(2025, 10, 20),
        "end": date(2025, 11, 16),
        "now": NOW,
        "cutoff": CUTOFF,
        "trades_per_market": 40,
    }
    return SyntheticWorld(WorldConfig(**(settings | changes)))


@cache
def still_world() -> SyntheticWorld:
    """The small world for tests that change nothing in it; made once."""
    return small_world()


class Api:
    """GETs of one simulated exchange."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, path: str, **query: Any) -> Any:
        """The body of an answer that must be 200."""
        status, body = await self.ask(path, **query)
        assert status == 200, (path, query, status, body)
        return body

    async def ask(self, path: str, **query: Any) -> tuple[int, Any]:
        """Status and decoded body."""
        async with self.session.get(self.url + path, params=query) as response:
            return response.status, await response.json()

    async def pages(self, path: str, name: str, **query: Any) -> list[list[Row]]:
        """All pages of a list, until its cursor is empty."""
        pages: list[list[Row]] = []
        cursor = ""
        seen: set[str] = set()
        while True:
            body = await self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            pages.append(body[name])
            cursor = body["cursor"]
            if not cursor:
                return pages
            assert cursor not in seen
            seen.add(cursor)

    async def walk(self, path: str, name: str, **query: Any) -> list[Row]:
        """All rows of a list."""
        return [row for page in await self.pages(path, name, **query) for row in page]


@asynccontextmanager
async def served(simulator: Simulator) -> AsyncIterator[Api]:
    """A started simulator and a session to ask it."""
    url = await simulator.start()
    try:
        async with ClientSession() as session:
            yield Api(session, url)
    finally:
        await simulator.stop()
