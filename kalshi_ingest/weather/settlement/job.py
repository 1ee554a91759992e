"""`weather settlement`: the official maxima of some cities and climate days, compared with what the exchange paid.

Every city and source commits by itself, with a record of what was requested, so the next run resumes with what is
missing. A service that is down or a report that cannot be read delays no others.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import uuid4

import structlog

from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.settlement import Reported, Source
from kalshi_ingest.ingest.cancellation import run_until, task_group
from kalshi_ingest.ingest.restarting import with_restarts
from kalshi_ingest.ingest.run_log import Entry, invoker, run_log
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import Connection, Database
from kalshi_ingest.weather.settlement import queries
from kalshi_ingest.weather.settlement.fetch import Batch, Fetching, Services
from kalshi_ingest.weather.settlement.plan import days_of, due
from kalshi_ingest.weather.settlement.report import SettlementReport, report_of
from kalshi_ingest.weather.sources.decoding import Answer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SettlementRequest:
    """Climate days from `start` to `end`, both included."""

    cities: Sequence[City]
    start: date
    end: date
    command: str
    """As the ingestion log shows it; begins with `weather settlement`."""
    again: bool = False
    """Request answered days too, however old."""


async def first_day(database: Database, cities: Sequence[City], now: datetime) -> date:
    """The default first day: the first event date held of these cities, else a week ago."""
    series = [city.series_ticker for city in cities]
    return await database.run(queries.first_event_date, series) or (now - timedelta(days=7)).date()


class SettlementJob:
    def __init__(
        self, asked: SettlementRequest, ask: Services, database: Database, clock: Callable[[], datetime]
    ) -> None:
        self.interrupted = False
        self.unreadable: list[str] = []
        """Parts of answers that could not be read, each in one line."""
        self.fetching = Fetching(ask, clock, self._keep)
        self._asked = asked
        self._database = database
        self._clock = clock
        self._run = ingestion_log.Run(uuid4(), asked.command, invoker(), clock(), asked.start, asked.end)
        self._days = {city: days_of(city, asked.start, asked.end, self._run.started_at) for city in asked.cities}
        self._stations = [city.station.loc_id for city in asked.cities]
        self._series = [city.series_ticker for city in asked.cities]

    async def run(self, stop: asyncio.Event) -> SettlementReport:
        """Fetch what is due, or until `stop`, and report on the requested days.

        Raises `Unusable` when another run fetches settlements of one of the cities, `OutOfReach` when the database
        stays away.
        """
        await self._database.locks.take(
            {f"weather settlement {each.series_ticker}": f"fetching settlements of {each.key}" for each in self._days}
        )
        return await with_restarts([self._database], lambda: self._once(stop), self._start_over)

    async def _once(self, stop: asyncio.Event) -> SettlementReport:
        async with run_log(self._database, self._run, self._entries, self._clock, stop) as log:
            log.interrupted = self.interrupted = await run_until(stop, self._work()) is None
            report = await self._database.run(self._report)
        if not self.interrupted:
            await self._database.verify()
        return report

    def _start_over(self) -> None:
        self.fetching.failed.clear()
        self.unreadable.clear()

    async def _work(self) -> bool:
        """True when done; `run_until` gives None for a stop."""
        polls = await self._database.run(
            lambda connection: queries.polls(connection, self._stations, self._asked.start, self._asked.end)
        )
        reports, forms, form_texts, summaries = (
            {city: due(city, days, source, {} if self._asked.again else polls) for city, days in self._days.items()}
            for source in (Source.CLI, Source.IEM_CF6, Source.CF6, Source.GHCND)
        )

        async def from_iem() -> None:
            await self.fetching.reports(reports)
            await self.fetching.forms(forms)
            await self.fetching.form_texts(form_texts)

        async with task_group() as group:
            group.create_task(from_iem())
            group.create_task(self.fetching.summaries(summaries))
        if self.fetching.unusable is not None:
            raise self.fetching.unusable
        return True

    async def _keep(self, batch: Batch) -> None:
        """Store the reports, and record each day as answered or failed."""
        wanted = set(batch.days)
        answers = [each for each in batch.answers if isinstance(each, Answer)]
        reported = [r for each in answers for r in each.reports if r.observation.date_local in wanted]
        failure = next((each for each in batch.answers if isinstance(each, str)), None)
        errors: dict[date, str | None] = dict.fromkeys(batch.days, failure)
        garbled = self._garbled(answers, reported, batch.days)
        errors |= {day: failure or line for day, line in garbled.items() if day in wanted}
        now = self._clock()
        polled = queries.PollOutcome(batch.city.station.loc_id, batch.source, now, errors)
        await self._database.run(lambda connection: queries.store(connection, reported, polled, now))
        log.info(
            "settlements_stored", city=batch.city.key, source=str(batch.source), days=len(wanted), rows=len(reported)
        )

    def _garbled(
        self, answers: Sequence[Answer], reported: Sequence[Reported], asked: Sequence[date]
    ) -> dict[date, str]:
        """Days without a full-day value for which a report, perhaps theirs, could not be read."""
        observations = [each.observation for each in reported]
        whole = {each.date_local for each in observations if each.is_full_day and not each.is_unread}
        found: dict[date, str] = {}
        for each in (part for answer in answers for part in answer.unreadable):
            if each.line not in self.unreadable:  # a form is about many days
                self.unreadable.append(each.line)
            about = asked if each.day is None else [each.day]
            found |= {day: each.line for day in about if day not in whole}
        return found

    async def _report(self, connection: Connection) -> SettlementReport:
        asked = self._asked
        return report_of(
            self._days,
            await queries.settlements(connection, self._stations, asked.start, asked.end),
            await queries.settled_events(connection, self._series, asked.start, asked.end),
            self._run.started_at,
            failed=self.fetching.failed,
            unreadable=self.unreadable,
        )

    def _entries(self) -> dict[str, Entry]:
        fetching, failed, partial = self.fetching, self.fetching.failed, None
        if failed:
            first, reason = next(iter(failed.items()))
            partial = f"{len(failed)} requests failed; the first: {first}: {reason}"
        return {
            city.series_ticker: Entry(
                ingestion_log.SeriesCount(requests=fetching.requests[city.key], retries=fetching.retries[city.key]),
                failed,
                self.unreadable,
                partial,
            )
            for city in self._asked.cities
        }
