"""The simulated exchange, as a process of its own, started the way a user starts it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import aiohttp
import psutil

END = date(2025, 11, 14)
"""Every world ends here: long settled, wholly in the historical tier, so every run asks for the same pages."""

API_PATH = "/trade-api/v2"


@dataclass(frozen=True, slots=True)
class World:
    """What the simulator serves. About six markets per city and day."""

    days: int
    trades_per_market: float
    limit: float = 0
    """Requests a second that are allowed; 0: any number."""
    latency: float = 0
    giant: int = 0
    plain: bool = True
    """Without the oddities of the real exchange and the real weather services."""

    @property
    def start(self) -> date:
        """The first event date."""
        return END - timedelta(days=self.days - 1)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running simulator."""

    url: str
    world: World
    process: psutil.Process
    weather: Sequence[str] = ()
    """The options that lead a command to its weather services."""

    def cpu_seconds(self) -> float:
        """CPU used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def stats(self) -> dict[str, Any]:
        """What it has seen since it started."""
        return await self._read("stats")

    async def weather_stats(self) -> dict[str, Any]:
        """What its weather services have seen since they started."""
        return await self._read("weather")

    async def _read(self, what: str) -> dict[str, Any]:
        address = f"{self.url.removesuffix(API_PATH)}/_simulator/{what}"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            stats: dict[str, Any] = await response.json()
            return stats


@asynccontextmanager
async def exchange(world: World) -> AsyncIterator[Exchange]:
    """Run a simulator for an `async with` block."""
    command = [sys.executable, "-m", "kalshi_ingest", "simulate", "--port", "0", *(["--plain"] * world.plain)]
    command += ["--start", str(world.start), "--end", str(END), "--giant", str(world.giant)]
    command += ["--trades-per-market", str(world.trades_per_market)]
    command += ["--limit", str(world.limit), "--latency", str(world.latency)]
    async with serving(command) as (url, weather, pid):
        yield Exchange(url, world, psutil.Process(pid), weather)


@asynccontextmanager
async def serving(command: Sequence[str]) -> AsyncIterator[tuple[str, Sequence[str], int]]:
    """Run a simulator's command for an `async with` block: its address, the weather's options, its process."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line, _, services = [(await process.stdout.readline()).decode() for _ in range(3)]
        url = next((word.rstrip(":,") for word in line.split() if word.startswith("http")), None)
        if url is None:
            raise RuntimeError(f"the simulator did not start: {line!r}")
        yield url, services.removeprefix("weather: ").partition(" (")[0].split(), process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
