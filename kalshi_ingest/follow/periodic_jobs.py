"""What the service does beside the markets, each on a schedule of its own: settlements and, if wanted, minutes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import structlog

from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.follow.faults import Faults, describe, is_fault
from kalshi_ingest.follow.intervals import PollIntervals, passed
from kalshi_ingest.follow.state import FollowState, PeriodicJobState
from kalshi_ingest.ingest.resources import open_database
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.rights import OBSERVE
from kalshi_ingest.weather.grid.queries import refresh
from kalshi_ingest.weather.minutes.job import MinuteRun, MinutesRequest, plan
from kalshi_ingest.weather.minutes.sources import Addresses, opened_source
from kalshi_ingest.weather.settlement.fetch import services
from kalshi_ingest.weather.settlement.job import SettlementJob, SettlementRequest, first_day

_USUAL = timedelta(days=10)
"""How far back a job looks; once a day, and at the start, it looks back to the first day held."""
_DAY_SECONDS = 86_400.0

PeriodicJob = Callable[[Database, date, Callable[[], datetime], asyncio.Event], Awaitable[str | None]]
"""(database, first day, the exchange's time, stop) → why it is incomplete, or None."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Weather:
    """Where the weather comes from, and what of it is wanted."""

    cities: Sequence[City]
    iem_url: str
    ncei_url: str
    minutes: Addresses | None = None
    """None: minute weather is not wanted."""


class PeriodicJobs:
    """Runs them one by one. One that fails is reported and repeated; it never disturbs the markets."""

    def __init__(
        self, weather: Weather, database_url: str, state: FollowState, intervals: PollIntervals, faults: Faults
    ) -> None:
        self._weather = weather
        self._database_url = database_url
        self._state = state
        self._intervals = intervals
        self._faults = faults
        self._ran_us: dict[str, int] = {}
        self._whole_us: dict[str, int] = {}

    async def run(self, clock: Callable[[], datetime], stop: asyncio.Event) -> None:
        """Run what is due, until cancelled; `clock` is the exchange's time, `stop` lets one end in order."""
        periodic_jobs: dict[str, tuple[float, PeriodicJob]] = {
            "settlement": (self._intervals.settlement, self._settlement)
        }
        if self._weather.minutes is not None:
            periodic_jobs["minutes"] = (self._intervals.minutes, partial(self._minutes, self._weather.minutes))
        while True:
            for name, (interval, work) in periodic_jobs.items():
                if self._is_due(name, interval, clock):
                    await self._do(name, work, clock, stop)
            await asyncio.sleep(1.0)

    def start_over(self) -> None:
        """What was done may be lost: do all of it again."""
        self._whole_us.clear()
        for known in self._state.periodic_jobs.values():
            known.ran_at = None

    def _is_due(self, name: str, interval: float, clock: Callable[[], datetime]) -> bool:
        known = self._state.periodic_jobs.setdefault(name, PeriodicJobState())
        if known.ran_at is None:
            return True
        waited = self._state.clock() - known.ran_at
        by_exchange = passed(to_microseconds(clock()), self._ran_us.get(name, 0))
        return waited >= self._intervals.job_pause and max(waited, by_exchange) >= interval

    async def _do(
        self,
        name: str,
        work: PeriodicJob,
        clock: Callable[[], datetime],
        stop: asyncio.Event,
    ) -> None:
        now = clock()
        whole = passed(to_microseconds(now), self._whole_us.get(name, 0)) >= _DAY_SECONDS
        error: str | None
        try:
            error = await self._with_database(work, whole, clock, stop)
        except Exception as failure:
            error = str(failure) or type(failure).__name__
            if is_fault(failure):
                error = describe(failure)
                self._faults.record(name, failure)
        known = self._state.periodic_jobs[name]
        known.error, known.ran_at = error, self._state.clock()
        self._ran_us[name] = to_microseconds(clock())
        if error is not None:
            log.warning("periodic_job_failed", job=name, reason=error)
            return
        known.succeeded_at = known.ran_at
        if whole:
            self._whole_us[name] = to_microseconds(now)

    async def _with_database(
        self, work: PeriodicJob, whole: bool, clock: Callable[[], datetime], stop: asyncio.Event
    ) -> str | None:
        now = clock()
        start = (now - _USUAL).date()
        database = await open_database(self._database_url, OBSERVE)
        try:
            if whole:
                start = min(start, await first_day(database, self._weather.cities, now))
            return await work(database, start, clock, stop)
        finally:
            await database.close()

    async def _settlement(
        self, database: Database, start: date, clock: Callable[[], datetime], stop: asyncio.Event
    ) -> str | None:
        """Official maxima; why they are incomplete, or None."""
        end = clock().date()
        asked = SettlementRequest(
            self._weather.cities, start, end, f"weather settlement --start {start} --end {end} (follow)"
        )
        async with services(self._weather.iem_url, self._weather.ncei_url) as ask:
            job = SettlementJob(asked, ask, database, clock)
            await job.run(stop)
        failed = job.fetching.failed
        return f"{len(failed)} requests failed; the first: {next(iter(failed.items()))}" if failed else None

    async def _minutes(
        self,
        addresses: Addresses,
        database: Database,
        start: date,
        clock: Callable[[], datetime],
        _: asyncio.Event,
    ) -> str | None:
        """Minute observations, then the grid; why they are incomplete, or None."""
        end = clock().date()
        async with opened_source(addresses, None) as source:
            planned = await plan(database, source, MinutesRequest(self._weather.cities, start, end), clock())
            if not planned.pieces:
                return None
            command = f"weather minutes --start {start} --end {end} (follow)"
            done = await MinuteRun(database, source, planned, clock, command).run()
        await refresh(database)
        if done.failed:
            return f"{len(done.failed)} requests failed; the first: {next(iter(done.failed.items()))}"
        return done.ended
