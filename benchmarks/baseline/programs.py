"""The program under test and the simulator, each as a process of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.bench_exchange import API_PATH, serving

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Program:
    """A `kalshi-ingest` of any checkout, run in an empty folder so that it finds no settings but those given."""

    path: Path
    home: Path

    async def start(self, *words: str, **settings: str) -> asyncio.subprocess.Process:
        """Start a command."""
        return await asyncio.create_subprocess_exec(
            self.path, *words, cwd=self.home, env=self._environment(settings), stdin=-3, stdout=-1, stderr=-1
        )

    async def run(self, *words: str, **settings: str) -> Ended:
        """Run a command to its end. Raises TimeoutError after ten minutes."""
        process = await self.start(*words, **settings)
        return await ended(process)

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KALSHI_", "XDG_"))}
        given = {f"KALSHI_INGEST_{name}": value for name, value in settings.items()}
        return inherited | {"HOME": str(self.home), "COLUMNS": "100", "TZ": "UTC"} | given


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for a command's end."""
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running simulator."""

    url: str
    weather: tuple[str, ...]
    """The options that lead a command to its weather services."""

    async def clock(self, **change: str | float) -> str:
        """The simulated moment, after a change of `now` or `speed`."""
        address = f"{self.url.removesuffix(API_PATH)}/_simulator/clock"
        async with aiohttp.ClientSession() as session:
            asked = session.post(address, json=change) if change else session.get(address)
            async with asked as response:
                return str((await response.json())["now"])


@asynccontextmanager
async def simulating(program: Path, *words: str) -> AsyncIterator[Exchange]:
    """Run a simulator for an `async with` block."""
    async with serving([str(program), "simulate", "--port", "0", "--limit", "0", *words]) as (url, weather, _):
        yield Exchange(url, tuple(weather))
