"""`weather settlement`, `weather minutes`, `weather grid`."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

import orjson
from cyclopts import Parameter

from kalshi_ingest.cli.common import database_url, say
from kalshi_ingest.cli.dates import end_of, start_of
from kalshi_ingest.cli.options import DATABASE, FLAT, LOGS, WEATHER, command, command_line, names, option
from kalshi_ingest.cli.signals import stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES, City, active_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE, INTERRUPTED
from kalshi_ingest.http.client import learn_time
from kalshi_ingest.http.server_clock import ServerClock
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.rights import LOOK, OBSERVE, Need
from kalshi_ingest.settings import Settings
from kalshi_ingest.weather.grid.queries import refresh
from kalshi_ingest.weather.minutes.job import MinuteRun, MinutesRequest, plan
from kalshi_ingest.weather.minutes.report import plan_text, report
from kalshi_ingest.weather.minutes.sources import Addresses, Iem, opened_source
from kalshi_ingest.weather.settlement.fetch import services
from kalshi_ingest.weather.settlement.job import SettlementJob, SettlementRequest, first_day

Work = Callable[[Database, asyncio.Event], Coroutine[Any, Any, int]]

_GRACE_SECONDS = 5.0
"""After a stop: for the last words in the ingestion log, and to read what is held by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `weather settlement` and `weather minutes` have in common."""

    start: Annotated[str | None, option("first climate day (default: the first event date held)", metavar="D")] = None
    end: Annotated[str | None, option("last climate day, inclusive (default: today)", metavar="D")] = None
    city: Annotated[tuple[str, ...], names("a city; all six by default")] = ()
    json: Annotated[bool, option("the outcome as one JSON object")] = False
    again: Annotated[bool, option("fetch what is held too")] = False

    @property
    def cities(self) -> list[City]:
        """Those asked for. Raises `Unusable` for one that is unknown or retired."""
        return [active_city(name) for name in self.city] or [city for city in CITIES if not city.retired]


_DEFAULT = Options()


@command(*DATABASE, *WEATHER, *LOGS)
def settlement(settings: Settings, *, options: Annotated[Options, FLAT] = _DEFAULT) -> int:
    """`weather settlement`: 0 when all that was asked for is held, 1 when something is missing (listed)."""
    cities = options.cities

    async def work(database: Database, stop: asyncio.Event) -> int:
        clock = await _clock(settings.iem_url)
        start, end = asked_days(options, await first_day(database, cities, clock()), clock())
        told = command_line(["weather settlement"], start=str(start), end=str(end), city=options.city)
        async with services(settings.iem_url, settings.ncei_url) as ask:
            job = SettlementJob(SettlementRequest(cities, start, end, told, again=options.again), ask, database, clock)
            settled = await job.run(stop)
        say(_json(settled.as_dict()) if options.json else settled.as_text())
        if job.interrupted:
            return INTERRUPTED
        return COMPLETE if settled.complete else INCOMPLETE

    return _run(settings, work, OBSERVE, "what is committed stays")


@command(*DATABASE, *WEATHER, *LOGS)
def minutes(
    settings: Settings,
    *,
    options: Annotated[Options, FLAT] = _DEFAULT,
    dry_run: Annotated[bool, option("only say what would be fetched and its cost")] = False,
    source: Annotated[
        Literal["iem", "visualcrossing"] | None, option("default: iem, or with a key visualcrossing")
    ] = None,
) -> int:
    """`weather minutes`: 0 when all that was asked for is held, 1 when something is missing (listed)."""
    cities = options.cities
    key = settings.visual_crossing_key
    addresses = Addresses(settings.iem_url, settings.visual_crossing_url, key.get_secret_value() if key else None)

    async def work(database: Database, stop: asyncio.Event) -> int:
        async with opened_source(addresses, source) as service:
            clock = await _clock(settings.iem_url if service.name == Iem.name else settings.visual_crossing_url)
            start, end = asked_days(options, await first_day(database, cities, clock()), clock())
            planned = await plan(database, service, MinutesRequest(cities, start, end, options.again), clock())
            say(plan_text(planned, service), sys.stderr if options.json else None)
            if dry_run:
                return COMPLETE
            started = time.monotonic()
            told = command_line(["weather minutes"], start=str(start), end=str(end), city=options.city)
            job = MinuteRun(database, service, planned, clock, told)
            progress = await run_until(stop, job.run())
            outcome = await report(database, planned, progress or job.progress, service, time.monotonic() - started)
        say(_json(outcome.as_dict()) if options.json else "\n" + outcome.as_text())
        return INTERRUPTED if progress is None else outcome.exit_code

    return _run(settings, work, OBSERVE, "what is committed stays")


@command(*DATABASE, *LOGS)
def grid(
    settings: Settings,
    *,
    json: Annotated[bool, option("the outcome as one JSON object")] = False,
    again: Annotated[bool, Parameter(show=False)] = False,  # accepted: the grid is always refreshed whole
) -> int:
    """`weather grid`: 0 when it was refreshed."""
    del again

    async def work(database: Database, stop: asyncio.Event) -> int:
        done = await run_until(stop, refresh(database))
        if done is None:
            return INTERRUPTED
        told = {"rows": done.rows, "seconds": round(done.seconds, 1)}
        say(_json(told) if json else f"The grid holds {done.rows:,} rows, refreshed in {done.seconds:.1f} s.")
        return COMPLETE

    return _run(settings, work, LOOK, "the grid stays as it was")


def _run(settings: Settings, work: Work, need: Need, stays: str) -> int:
    with database_url(settings) as url:
        return asyncio.run(_opened(url, work, need, stays))


async def _opened(url: str, work: Work, need: Need, stays: str) -> int:
    stop = stop_on_signals(f"stopping: {stays}")
    database = await run_until(stop, _database(url, need))
    if database is None:
        return INTERRUPTED
    try:
        code = await run_until(stop, work(database, stop), grace=_GRACE_SECONDS)
        return INTERRUPTED if code is None else code
    finally:
        await database.close()


async def _database(url: str, need: Need) -> Database:
    await migrate_schema(url)
    return await open_database(url, need)


def asked_days(options: Options, first: date, now_: datetime) -> tuple[date, date]:
    """The climate days asked for; the last defaults to today, the first to `first`."""
    end = end_of(options.end) if options.end else now_.date()
    start = start_of(options.start) if options.start else min(first, end)
    if start > end:
        raise Unusable(f"--start {start} lies after --end {end}")
    if start > now_.date():
        raise Unusable(f"--start {start} lies in the future: the newest climate day is {now_.date()} (UTC)")
    return start, end


async def _clock(url: str) -> ServerClock:
    """The time at the service, which decides what is over: this machine's clock may be days off."""
    clock = ServerClock(utc_now)
    await learn_time(clock, url)
    return clock


def _json(told: object) -> str:
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()
