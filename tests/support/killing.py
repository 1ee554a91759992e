"""Backfills that are killed at an instant of their choice: at a request, at an answer, or in the planning."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from kalshi_simulator import Faults, Simulator, SyntheticWorld
from kalshi_simulator.stats import Stats
from tests.support.backfills import WORKERS, fetch
from tests.support.killable import KillableRun

_TRADES = ("trades", "historical_trades")


@dataclass
class Killer:
    """Starts backfills of one database and kills each at an instant that `random` chooses.

    Each run has an exchange of its own, so that what a killed one still had on the wire is not taken for the next's.
    Half of the kills follow a request, half an answer; one in eight falls into the planning.
    """

    world: SyntheticWorld
    backfills: KillableRun
    database_url: str
    random: Random
    reach: int = 9
    """At how many requests for trades, or answers to them, a run is killed at the latest."""
    faults: Callable[[], Faults] = Faults
    """What the exchange of each run gets wrong."""
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
        async with Simulator(self.world, faults=self.faults()) as simulator:
            simulator.on_request, simulator.on_answered = self._requested, self._answered
            order = {"api_url": simulator.url, "database_url": self.database_url, "workers": WORKERS}
            self._pid = await self.backfills.start(order)
            self._forked.set()
            code = await self.backfills.wait()
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
        self._left = self.random.randint(1, 4 if self._planning else self.reach) if kill else 0
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
