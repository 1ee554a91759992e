"""Whether the database still holds what the service has stored: checked continuously, for readiness depends on it."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress

from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.ingest.cancellation import task_group
from kalshi_ingest.postgres.database import Database

_INTERVAL = 2.0
_LOOK = 0.05
"""How soon a lost connection counts, even if it is being reopened."""


async def prove_held(databases: Sequence[Database], state: FollowState) -> None:
    """Keep `state.database_proved_at` current until cancelled, also while nothing is written.

    Raises `DatabaseWentBack` when something that was committed is not there.
    """
    proof = _Proof(databases, state)
    try:
        async with task_group() as group:
            group.create_task(proof.watch())
            group.create_task(proof.renew())
    finally:
        state.database_proved_at = -math.inf


class _Proof:
    def __init__(self, databases: Sequence[Database], state: FollowState) -> None:
        self._databases = databases
        self._state = state
        self._lost_at = -math.inf
        self._lost = asyncio.Event()

    async def watch(self) -> None:
        """From the moment a connection is lost, nothing is proved."""
        while True:
            if not all(database.connected for database in self._databases):
                self._lost_at = self._state.clock()
                self._state.database_proved_at = -math.inf
                self._lost.set()
            await asyncio.sleep(_LOOK)

    async def renew(self) -> None:
        while True:
            self._lost.clear()
            began = self._state.clock()
            for database in self._databases:
                await database.verify()
            if began > self._lost_at:
                self._state.database_proved_at = began
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._lost.wait()
