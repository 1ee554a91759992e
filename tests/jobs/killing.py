"""Backfills in processes of their own, killed with SIGKILL at chosen instants."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from kalshi_ingest.simulator import Simulator, SyntheticWorld
from kalshi_ingest.simulator.stats import Stats
from tests.jobs.harness import WORKERS, fetch

_REPOSITORY = Path(__file__).resolve().parents[2]
_TRADES = ("trades", "historical_trades")


class Forker:
    """The warm parent process of `forker.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def start(self, api_url: str, database_url: str) -> int:
        """Fork a backfill; returns its process id."""
        assert self._process.stdin is not None
        order = {"api_url": api_url, "database_url": database_url, "workers": WORKERS}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._number()

    async def wait(self) -> int:
        """The exit code of the backfill that was started last; minus the signal that killed it."""
        return os.waitstatus_to_exitcode(await self._number())

    async def _number(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.wait_for(self._process.stdout.readline(), 60))


@contextlib.asynccontextmanager
async def warm_forker() -> AsyncIterator[Forker]:
    """A forker for a `with` block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.jobs.forker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
    )
    try:
        yield Forker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Killer:
    """Starts backfills of one database and kills each at an instant that `random` chooses.

    Each run has an exchange of its own, so that what a killed one still had on the wire is not taken for the next's.
    Half of the kills follow a request, half an answer; one in eight falls into the planning.
    """

    world: SyntheticWorld
    forker: Forker
    database_url: str
    random: Random
    wasted: list[int] = field(default_factory=list)
    """Per kill: trade pages that were asked for and did not get into the tables."""
    _pid: int | None = None
    _forked: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _planning: bool = False
    _after_answer: bool = False
    _left: int = 0
    _begun: bool = False
    _killed: Stats = field(default_factory=Stats)
    _stored: int = 0

    async def run(self, *, kill: bool) -> int:
        """One backfill, to its end or to its violent end: its exit code."""
        self._arm(kill)
        async with Simulator(self.world) as simulator:
            simulator.on_request, simulator.on_answered = self._requested, self._answered
            self._pid = await self.forker.start(simulator.url, self.database_url)
            self._forked.set()
            code = await self.forker.wait()
            self._pid = None
            simulator.on_request = simulator.on_answered = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if code == -signal.SIGKILL:
            self.wasted.append(0)
            self._killed = simulator.stats
        return code

    def _arm(self, kill: bool) -> None:
        self._planning = self.random.random() < 1 / 8
        self._after_answer = self.random.random() < 1 / 2
        self._left = self.random.randint(1, 4 if self._planning else 9) if kill else 0
        self._begun = False
        self._forked.clear()

    async def _requested(self, route: str, _: str | None) -> None:
        await self._forked.wait()
        if not self._begun:
            # This run holds the lock by now, so the killed one's last transaction is committed or gone.
            self._begun = True
            stored, self._stored = self._stored, await self._pages_stored()
            if self.wasted:
                self.wasted[-1] = self._killed.trade_pages.total() - (self._stored - stored)
        self._count(route, answered=False)

    def _answered(self, route: str, _: str | None) -> None:
        self._count(route, answered=True)

    def _count(self, route: str, *, answered: bool) -> None:
        if self._left == 0 or answered != self._after_answer or (route in _TRADES) == self._planning:
            return
        self._left -= 1
        if self._left == 0:
            delay = self.random.uniform(0, 0.015)
            self._timer = asyncio.get_running_loop().call_later(delay, self._kill)

    def _kill(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)

    async def _pages_stored(self) -> int:
        query = "select coalesce(sum(pages), 0)::bigint from checkpoints"
        return int((await fetch(self.database_url, query))[0][0])
