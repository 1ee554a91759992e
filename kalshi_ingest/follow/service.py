"""The service: sessions one by one, whatever is lost in between, until it is stopped."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date
from random import Random
from typing import Any

import structlog

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import DatabaseWentBack, IngestError, Permanent, SeriesTaken, ServiceUnusable, Unusable
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.follow.daily_run import DailyRun
from kalshi_ingest.follow.durability_check import prove_held
from kalshi_ingest.follow.faults import MOST_IN_A_ROW, Faults, describe, is_fault
from kalshi_ingest.follow.intervals import PollIntervals
from kalshi_ingest.follow.periodic_jobs import PeriodicJobs, Weather
from kalshi_ingest.follow.session import FollowSession
from kalshi_ingest.follow.state import FollowState, Phase
from kalshi_ingest.http.client import new_session
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.cancellation import run_until, task_group
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange, migrate_schema, open_resources
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.sqlstate import is_of_database

RETRY = RetryPolicy(attempts=4, first_delay=0.3, longest_delay=3.0, read_timeout=10.0, total_timeout=30.0)
"""Less patient than a backfill: an outage has to be seen soon, and what failed is repeated anyway."""

Revive = Callable[[], Coroutine[Any, Any, None]]
"""Starts a database that is this program's own again; raises an `IngestError` that says why it does not start."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants followed."""

    wanted: Sequence[Wanted]
    start: date | None
    """First event date to fetch; None: from the first that is unfinished, on an empty database from yesterday."""
    weather: Weather | None
    command: str
    """As the ingestion log shows it."""


class FollowService:
    """Follows until it is stopped. `state` can be read at any time."""

    def __init__(
        self,
        asked: Asked,
        exchange: Exchange,
        database_url: str,
        state: FollowState,
        intervals: PollIntervals | None = None,
        *,
        revive: Revive | None = None,
    ) -> None:
        """`revive` is called each time that the database is lost."""
        self._asked = asked
        self._exchange = replace(
            exchange, retry=exchange.retry or RETRY, clock=state.exchange_clock, traffic=state.traffic
        )
        self._database_url = database_url
        self._state = state
        self._intervals = intervals or PollIntervals()
        self._daily_run = DailyRun(asked.wanted, asked.command, state)
        self._faults = Faults(state)
        self._periodic_jobs: PeriodicJobs | None = None
        if asked.weather is not None:
            self._periodic_jobs = PeriodicJobs(asked.weather, database_url, state, self._intervals, self._faults)
        self._revive = revive
        self._random = Random()
        self._start = asked.start
        self._proved_usable = False
        """Exchange, database and settings were good once: from then on neither of them ends the service."""
        self._round_over = False
        """The session at work listed everything that was asked for."""

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`.

        Raises `Unusable` for what the user has to change here, and `OutOfReach` for a database that is not there at the
        start. Whatever the exchange answers is waited out. Later neither ends it: it waits for what was lost, and
        resumes. Unexpected exceptions are survived as well; only a row of them without progress in between
        ends it, with the last one.
        """
        while not stop.is_set():
            pause = self._intervals.away
            try:
                if await run_until(stop, self._is_available()):
                    await self._session(stop)
                    continue
            except Exception as error:
                if is_fault(error):
                    pause = self._record_fault(error)
                elif self._is_fatal(error):
                    raise
                else:
                    pause = await self._record_loss(error, stop)
            await self._pause(pause, stop)
        self._state.phase = Phase.STOPPING

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds * self._random.uniform(0.5, 1.0)):
                await stop.wait()

    def _is_fatal(self, error: Exception) -> bool:
        """Only what is wrong at the start: a database is there or it is not, a setting is right or wrong. An exchange
        that does not answer, or refuses, may be in maintenance or behind a network that asks to sign in first. Another
        run on the same series ends some day, be it only a session that its server still keeps.
        """
        fatal = is_of_database(error) or isinstance(error, Unusable)
        return not self._proved_usable and fatal and not isinstance(error, SeriesTaken | ServiceUnusable)

    async def _is_available(self) -> bool:
        """Whether the database is there, with the schema brought up to date, and the exchange says that it is open."""
        await migrate_schema(self._database_url, self._intervals.database_silence)
        return await self._exchange_is_open()

    async def _session(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            patience = self._intervals.database_silence
            everything = open_resources(self._exchange, self._database_url, utc_now, patience)
            opening = stack.enter_async_context(everything)
            session = await run_until(stop, opening)
            if session is None:
                return
            self._round_over, began = False, self._state.clock()
            following = FollowSession(
                session, self._daily_run, self._state, self._intervals, self._faults, proved_usable=self._proved_usable
            )
            try:
                await following.run(self._start, stop, self._periodic_jobs, on_first_round=self._record_first_round)
            except IngestError as error:
                if self._is_fatal(error) or is_of_database(error):
                    raise
                await self._record_loss(error, stop)
            finally:
                if self._round_over and self._state.clock() - began >= self._intervals.longest_fault:
                    self._faults.end_row()
            await self._wait_for_exchange((session.context.writing, session.context.planning), stop)

    async def _wait_for_exchange(self, databases: Sequence[Database], stop: asyncio.Event) -> None:
        """Until the exchange is open again. Meanwhile these databases prove that they hold what was stored in them.

        Raises `DatabaseWentBack` when they do not.
        """
        async with task_group() as group:
            proving = group.create_task(prove_held(databases, self._state))
            is_open: bool | None = False
            while not stop.is_set() and not is_open:
                await self._pause(self._intervals.away, stop)
                try:
                    is_open = await run_until(stop, self._exchange_is_open())
                except IngestError as error:
                    if self._is_fatal(error):
                        raise
                    await self._record_loss(error, stop)
            proving.cancel()

    def _record_first_round(self) -> None:
        """All that was asked for has been listed: the settings are good, and a later session begins where this ends."""
        self._proved_usable = self._round_over = True
        self._start = None

    async def _exchange_is_open(self) -> bool:
        """Ask before anything else is opened, so that an exchange in maintenance gets one request at a time."""
        async with new_session() as http:
            pacer = self._exchange.pacer()
            client = Client(http, self._exchange.url, pacer, retry=self._exchange.retry, clock=self._exchange.clock)
            try:
                if await Api(client).is_trading():
                    return True
            except Permanent as error:
                if self._proved_usable:
                    raise
                raise ServiceUnusable(f"this is not the exchange: {error}; check KALSHI_INGEST_API_URL") from None
        if self._state.phase is not Phase.MAINTENANCE:
            log.info("exchange_maintenance")
        self._state.phase, self._state.reason = Phase.MAINTENANCE, "the exchange says that it is closed"
        return False

    def _record_fault(self, fault: Exception) -> float:
        """Seconds to wait until everything is opened again; raises the fault when there were too many."""
        self._faults.record("session", fault)
        in_a_row = self._faults.count()
        if in_a_row >= MOST_IN_A_ROW:
            raise fault
        self._state.phase, self._state.reason = Phase.FAULT, describe(fault)
        return min(self._intervals.longest_fault, self._intervals.fault * 2.0 ** (in_a_row - 1))

    async def _record_loss(self, error: Exception, stop: asyncio.Event) -> float:
        """Seconds to wait until everything is opened again; raises a fault at reviving when there were too many."""
        if isinstance(error, DatabaseWentBack):
            self._state.reset_freshness()
            if self._periodic_jobs is not None:
                self._periodic_jobs.start_over()
        what = "database" if is_of_database(error) else "exchange"
        phase = Phase.EXCHANGE_AWAY if what == "exchange" else Phase.DATABASE_AWAY
        if isinstance(error, SeriesTaken):
            what, phase = "series", Phase.STANDBY
        if self._state.phase not in (phase, Phase.MAINTENANCE):
            self._state.losses[what] += 1
        if (self._state.phase, self._state.reason) != (phase, str(error)):
            log.warning(f"{what}_unavailable", reason=str(error))
        self._state.phase, self._state.reason = phase, str(error)
        if what == "database" and self._revive is not None:
            try:
                await run_until(stop, self._revive())
            except IngestError as failure:
                self._state.reason = f"{error}; {failure}"
                log.warning("database_restart_failed", reason=str(failure))
            except Exception as fault:
                return self._record_fault(fault)
        return self._intervals.away
