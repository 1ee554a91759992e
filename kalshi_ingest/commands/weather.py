"""`weather settlement`, `weather minutes`, `weather grid`."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import date, datetime
from typing import Any

import orjson

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.commands.common import database_url, date_of, say
from kalshi_ingest.commands.signals import stop_on_signals
from kalshi_ingest.domain.cities import CITIES, City, active_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE, INTERRUPTED
from kalshi_ingest.http.client import learn_time
from kalshi_ingest.http.server_clock import ServerClock
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.jobs.minute_sources import Addresses, Iem, opened_source
from kalshi_ingest.jobs.minutes import Asked as Wanted
from kalshi_ingest.jobs.minutes import MinuteRun, plan
from kalshi_ingest.jobs.minutes_report import plan_text, report
from kalshi_ingest.jobs.session import migrated, with_database
from kalshi_ingest.jobs.settlement import Asked, SettlementJob, first_day
from kalshi_ingest.jobs.settlement_fetch import services
from kalshi_ingest.settings import Settings
from kalshi_ingest.store.database import Database
from kalshi_ingest.store.grid import refresh
from kalshi_ingest.store.rights import LOOK, OBSERVE, Need

Work = Callable[[Database, asyncio.Event], Coroutine[Any, Any, int]]

_GRACE_SECONDS = 5.0
"""After a stop: for the last words in the ingestion log, and to read what is held by now."""

_OTHERS_OPTIONS = {
    "settlement": ("dry_run", "source"),
    "minutes": (),
    "grid": ("dry_run", "source", "start", "end", "city"),
}
"""What a user could believe to be heeded, and is not: `settlement --dry-run` would send requests."""


def weather(arguments: argparse.Namespace, settings: Settings) -> int:
    """`weather`: 0 when all that was asked for is held, 1 when something is missing (listed)."""
    cities = [active_city(name) for name in arguments.city] or [city for city in CITIES if not city.retired]
    for option in _OTHERS_OPTIONS[arguments.what]:
        if getattr(arguments, option):
            raise Unusable(f"--{option.replace('_', '-')} is no option of weather {arguments.what}")
    work = {"settlement": _settlement, "minutes": _minutes, "grid": _grid}[arguments.what]
    with database_url(settings) as url:
        return asyncio.run(
            _opened(url, lambda database, stop: work(arguments, settings, database, cities, stop), arguments.what)
        )


async def _opened(url: str, work: Work, what: str) -> int:
    stays = "the grid stays as it was" if what == "grid" else "what is committed stays"
    stop = stop_on_signals(f"stopping: {stays}")
    database = await run_until(stop, _database(url, LOOK if what == "grid" else OBSERVE))
    if database is None:
        return INTERRUPTED
    try:
        code = await run_until(stop, work(database, stop), grace=_GRACE_SECONDS)
        return INTERRUPTED if code is None else code
    finally:
        await database.close()


async def _database(url: str, need: Need) -> Database:
    await migrated(url)
    return await with_database(url, need)


def asked_days(arguments: argparse.Namespace, first: date, now_: datetime) -> tuple[date, date]:
    """The climate days asked for; the last defaults to today, the first to `first`."""
    end = date_of(arguments.end, "--end") if arguments.end else now_.date()
    start = date_of(arguments.start, "--start") if arguments.start else min(first, end)
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


def _command(what: str, start: date, end: date, names: Sequence[str]) -> str:
    """As the ingestion log tells it."""
    return " ".join([f"weather {what}", f"--start {start}", f"--end {end}", *(f"--city {name}" for name in names)])


async def _settlement(
    arguments: argparse.Namespace, settings: Settings, database: Database, cities: Sequence[City], stop: asyncio.Event
) -> int:
    clock = await _clock(settings.iem_url)
    start, end = asked_days(arguments, await first_day(database, cities, clock()), clock())
    command = _command("settlement", start, end, arguments.city)
    asked = Asked(cities, start, end, command, again=arguments.again)
    async with services(settings.iem_url, settings.ncei_url) as ask:
        job = SettlementJob(asked, ask, database, clock)
        settled = await job.run(stop)
    say(_json(settled.as_dict()) if arguments.json else settled.as_text())
    if job.interrupted:
        return INTERRUPTED
    return COMPLETE if settled.complete else INCOMPLETE


async def _minutes(
    arguments: argparse.Namespace, settings: Settings, database: Database, cities: Sequence[City], stop: asyncio.Event
) -> int:
    key = settings.visual_crossing_key
    addresses = Addresses(settings.iem_url, settings.visual_crossing_url, key.get_secret_value() if key else None)
    async with opened_source(addresses, arguments.source) as source:
        clock = await _clock(settings.iem_url if source.name == Iem.name else settings.visual_crossing_url)
        start, end = asked_days(arguments, await first_day(database, cities, clock()), clock())
        planned = await plan(database, source, Wanted(cities, start, end, arguments.again), clock())
        say(plan_text(planned, source), sys.stderr if arguments.json else None)
        if arguments.dry_run:
            return COMPLETE
        started = time.monotonic()
        job = MinuteRun(database, source, planned, clock, _command("minutes", start, end, arguments.city))
        progress = await run_until(stop, job.run())
        outcome = await report(database, planned, progress or job.progress, source, time.monotonic() - started)
    say(_json(outcome.as_dict()) if arguments.json else "\n" + outcome.as_text())
    return INTERRUPTED if progress is None else outcome.exit_code


async def _grid(
    arguments: argparse.Namespace, _: Settings, database: Database, __: Sequence[City], stop: asyncio.Event
) -> int:
    done = await run_until(stop, refresh(database))
    if done is None:
        return INTERRUPTED
    told = {"rows": done.rows, "seconds": round(done.seconds, 1)}
    say(_json(told) if arguments.json else f"The grid holds {done.rows:,} rows, refreshed in {done.seconds:.1f} s.")
    return COMPLETE


def _json(told: object) -> str:
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()
