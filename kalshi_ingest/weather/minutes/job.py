"""`weather minutes`: fetch the climate days that are not proved complete, and store each with its claim."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import uuid4

import structlog

from kalshi_ingest.domain.calendar import climate_day_of, event_dates
from kalshi_ingest.domain.cities import City, active_city
from kalshi_ingest.domain.minutes import is_late
from kalshi_ingest.errors import BadPayload, OutOfReach, Permanent, Unusable
from kalshi_ingest.ingest.restarting import with_restarts
from kalshi_ingest.ingest.run_log import Entry, invoker, run_log
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.minutes.queries import Claim, claims, fail_days, write_days
from kalshi_ingest.weather.minutes.sources import Fetched, Lacking, Piece, Source
from kalshi_ingest.weather.sources.visual_crossing import CrowdedError, QuotaSpentError

_TIMES_OUT_OF_REACH = 2
"""Pieces in a row that a service may fail to answer before the run ends."""

_TIMES_UNREADABLE = 3
"""Pieces in a row that may be unreadable before such a piece is not divided any more."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MinutesRequest:
    """Climate days from `start` to `end`, both included."""

    cities: Sequence[City]
    start: date
    end: date
    again: bool = False
    """Fetch complete days too, and let a worse answer replace a better one."""


@dataclass(frozen=True, slots=True)
class Plan:
    asked: MinutesRequest
    expected: Lacking
    """The days asked for that have begun."""
    lacking: Lacking
    """Those that are not proved complete."""
    pieces: Sequence[Piece]


@dataclass(slots=True)
class Progress:
    stored: int = 0
    """Station-days written, or found no better than what is stored."""
    kept: int = 0
    """Of these, the days left as they were, because what was fetched is worse."""
    requests: Counter[City] = field(default_factory=Counter)
    """Requests that were answered; one for several cities counts for each."""
    records: int = 0
    rejected: dict[City, Counter[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Cities and days → why they could not be fetched."""
    ended: str | None = None
    """Why the run ended before its last request."""
    out_of_reach: bool = False


async def plan(database: Database, source: Source, asked: MinutesRequest, now: datetime) -> Plan:
    """What a run would fetch. Raises `Unusable` for a retired city or days that have not begun."""
    for city in asked.cities:
        active_city(city.key)
    dates = event_dates(asked.start, asked.end)
    expected = {city: [day for day in dates if day <= climate_day_of(city, now)] for city in asked.cities}
    if not any(expected.values()):
        raise Unusable(f"nothing can be observed yet on {asked.start} or later: that lies in the future")
    held = await held_claims(database, asked)
    lacking = {
        city: [day for day in days if asked.again or not _is_proved(city, held.get((city.station.loc_id, day)))]
        for city, days in expected.items()
    }
    lacking = {city: days for city, days in lacking.items() if days}
    return Plan(asked, expected, lacking, source.pieces(lacking))


async def held_claims(database: Database, asked: MinutesRequest) -> dict[tuple[str, date], Claim]:
    loc_ids = [city.station.loc_id for city in asked.cities]
    return await database.run(claims, loc_ids, asked.start, asked.end)


class MinuteRun:
    """One run of `weather minutes` over a plan. `progress` can be read at any time."""

    def __init__(
        self, database: Database, source: Source, planned: Plan, clock: Callable[[], datetime], command: str
    ) -> None:
        """`command` as the user gave it, for the ingestion log."""
        self.progress = Progress()
        self._database = database
        self._source = source
        self._plan = planned
        self._clock = clock
        self._outdated = False
        """The plan rests on claims that the database no longer holds."""
        self._waiting: deque[Piece] = deque()
        self._unanswered = 0
        self._unreadable = 0
        """Pieces in a row that could not be read and were not divided."""
        asked = planned.asked
        self._run = ingestion_log.Run(uuid4(), command, invoker(), clock(), asked.start, asked.end)
        self._names = {city: city.series_ticker for city in asked.cities}

    async def run(self) -> Progress:
        """Fetch and store everything. Cancelling it is safe: what is stored is claimed, the rest is not.

        Raises `Unusable` for a refused key and when another run works on one of the stations, `OutOfReach` when the
        database is gone. What the service does not give is in `progress`.
        """
        await self._database.locks.take(
            {f"weather minutes {each.series_ticker}": f"fetching minutes of {each.key}" for each in self._names}
        )
        await with_restarts([self._database], self._once, self._start_over)
        return self.progress

    async def _once(self) -> None:
        async with run_log(self._database, self._run, self._entries, self._clock):
            if self._outdated:
                self._plan = await plan(self._database, self._source, self._plan.asked, self._clock())
                self._outdated = False
            self._waiting = deque(self._plan.pieces)
            await self._work()
        await self._database.verify()

    def _start_over(self) -> None:
        self._outdated = True
        self._unanswered = 0
        self.progress.failed.clear()
        self.progress.ended, self.progress.out_of_reach = None, False

    async def _work(self) -> None:
        workers = [asyncio.create_task(self._worker()) for _ in range(self._source.workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self) -> None:
        while self._waiting and self.progress.ended is None:
            await self._take(self._waiting.popleft())

    async def _take(self, piece: Piece) -> None:
        asked_at = self._clock()
        try:
            fetched = await self._source.fetch(piece, asked_at)
        except QuotaSpentError as error:
            # What is left may still pay for a smaller piece.
            if parts := piece.parts():
                self._waiting.extendleft(reversed(parts))
            else:
                when = "when the records are renewed: tomorrow for a daily limit"
                self._end(f"{str(error).rstrip('.')}; run the same command again {when}")
        except CrowdedError as error:
            self._end(f"{error} Run the same command again later")
        except OutOfReach as error:
            await self._fail(piece, str(error))
            self._unanswered += 1
            if self._unanswered >= _TIMES_OUT_OF_REACH or not self._waiting:
                self.progress.out_of_reach = True
                self._end(str(error))
        except Permanent as error:
            self._unanswered = 0
            if parts := self._parts(piece, error):
                self._waiting.extendleft(reversed(parts))
            else:
                self._unreadable += isinstance(error, BadPayload)
                await self._fail(piece, str(error))
        else:
            self._unanswered = self._unreadable = 0
            await self._store(piece, fetched, asked_at)

    def _parts(self, piece: Piece, error: Permanent) -> list[Piece]:
        """The smaller pieces to try, so that what is wrong with a station, or with one day of it, costs no others.

        A refused station is refused for each of its days. A service whose answers have changed their form is not asked
        for every single day.
        """
        if len(piece.days) > 1:
            return piece.parts()
        return piece.parts() if isinstance(error, BadPayload) and self._unreadable < _TIMES_UNREADABLE else []

    def _end(self, reason: str) -> None:
        if self.progress.ended is None:
            self.progress.ended = reason
            log.warning("minutes_ended_early", source=self._source.name, reason=reason)

    async def _store(self, piece: Piece, fetched: Fetched, asked_at: datetime) -> None:
        days = [
            (each, "complete" if is_late(each.city, each.day, asked_at, hourly=each.hourly) else "open")
            for each in fetched.days
        ]
        progress, again = self.progress, self._plan.asked.again
        progress.kept += await self._database.run(
            lambda connection: write_days(connection, days, asked_at, again=again)
        )
        progress.stored += len(days)
        progress.records += fetched.records
        for city in piece.days:
            progress.requests[city] += fetched.requests
        for minutes, _ in days:
            progress.rejected.setdefault(minutes.city, Counter()).update(minutes.rejected)
        wanted = sum(map(len, self._plan.lacking.values()))
        log.info("minutes_stored", what=str(piece), station_days=f"{progress.stored}/{wanted}", records=fetched.records)

    async def _fail(self, piece: Piece, error: str) -> None:
        self.progress.failed[str(piece)] = error
        log.warning("minutes_failed", what=str(piece), reason=error)
        for city, days in piece.days.items():
            loc_id, code = city.station.loc_id, self._source.code
            await self._database.run(fail_days, loc_id, days, code, f"{piece}: {error}", self._clock())

    def _entries(self) -> dict[str, Entry]:
        failed, partial = self.progress.failed, self.progress.ended
        if failed and partial is None:
            first, reason = next(iter(failed.items()))
            partial = f"{len(failed)} failed; the first: {first}: {reason}"
        return {
            name: Entry(ingestion_log.SeriesCount(requests=self.progress.requests[city]), failed, partial=partial)
            for city, name in self._names.items()
        }


def _is_proved(city: City, claim: Claim | None) -> bool:
    if claim is None or claim.state != "complete":
        return False
    return not claim.hourly or is_late(city, claim.date_local, claim.fetched_at, hourly=True)
