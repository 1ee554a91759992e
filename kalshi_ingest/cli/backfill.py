"""`backfill`: what was asked for, checked; then the job, its display and its summary."""

import asyncio
import importlib
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, TextIO

import structlog

from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.backfill.live_display import Display
from kalshi_ingest.backfill.summary import is_complete, summary
from kalshi_ingest.cli.common import database_url, exchange_of, say
from kalshi_ingest.cli.dates import FORMS, asked_dates
from kalshi_ingest.cli.options import DATABASE, EXCHANGE, FLAT, LOGS, command, command_line, names, option
from kalshi_ingest.cli.signals import current, stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES, active_city, city_of_series
from kalshi_ingest.errors import DatabaseAway, Unusable
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE, INTERRUPTED
from kalshi_ingest.follow.queries import first_dates
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange, migrate_schema, open_database, open_resources
from kalshi_ingest.settings import Settings

_GRACE_SECONDS = 6.0
"""After a stop: for the commit under way and the last words in the ingestion log, which the job itself limits."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `backfill`."""

    start: Annotated[
        str | None, option(f"first event date: {FORMS}; default: the first that is not complete yet", metavar="D")
    ] = None
    end: Annotated[
        str | None, option("last event date, inclusive, in the same forms; default: yesterday", metavar="D")
    ] = None
    days: Annotated[int | None, option("instead of --start: so many event dates up to --end", metavar="N")] = None
    city: Annotated[tuple[str, ...], names("a city; all six by default")] = ()
    series: Annotated[tuple[str, ...], names("any other Kalshi series ticker", "TICKER")] = ()
    parquet: Annotated[
        str | None, option("at the end also export what is held of these cities to DIR", metavar="DIR")
    ] = None


@dataclass(frozen=True, slots=True)
class Order:
    """One run of the job."""

    wanted: Sequence[Wanted]
    dates: Dates
    told: str
    """As the ingestion log keeps it."""
    open_allowed: bool = False
    """Whether a market that has not settled yet is a note, because the last date was not named."""
    out: TextIO | None = None
    """Where the summary goes; None: standard output."""


_DEFAULT = Options()


@command(*EXCHANGE, *DATABASE, *LOGS)
def backfill(settings: Settings, *, options: Annotated[Options, FLAT] = _DEFAULT) -> int:
    """`backfill`: 0 when all that was asked for is proved complete, 1 when something is not, 130 when stopped."""
    exchange = exchange_of(settings)
    asked = asked_dates(options.start, options.end, options.days, exchange)
    wanted = wanted_series(options.city, options.series, asked)
    export, shown = None, None
    if options.parquet is not None:
        # Loaded only when it is wanted, because Parquet takes 60 MB; and now, so that a bad place is refused at once.
        with current().deferred():
            archive = importlib.import_module("kalshi_ingest.cli.export")
        export = archive.prepared_export(options.parquet, [each.label for each in wanted])
        shown = str(archive.ArchiveStorage.at(options.parquet))  # a URI may carry a password
    with database_url(settings) as url:
        code = asyncio.run(_run(options, exchange, url, asked, wanted, shown))
        if export is None or code == INTERRUPTED:
            return code
        say("")
        return asyncio.run(export(url)) or code


async def _run(
    options: Options, exchange: Exchange, url: str, asked: Dates, wanted: Sequence[Wanted], parquet: str | None
) -> int:
    """The runs that were asked for: one, or without a start one per date from which on something is missing."""
    starts: dict[date, list[Wanted]] | None = {asked.start: list(wanted)}
    if options.start is None and options.days is None:
        starts = await run_until(stop_on_signals(), _starts(url, wanted, asked.end))
    code = COMPLETE
    for start, some in sorted(starts.items()) if starts is not None else ():
        told = command_line(
            ["backfill"],
            start=str(start),
            end=str(asked.end),
            city=options.city,
            series=options.series,
            parquet=parquet,
        )
        order = Order(some, Dates(start, asked.end), told, open_allowed=options.end is None)
        ended = await run_backfill(exchange, url, order)
        if ended == INTERRUPTED:
            return INTERRUPTED
        code = max(code, ended)
    return INTERRUPTED if starts is None else code


async def _starts(url: str, wanted: Sequence[Wanted], end: date) -> dict[date, list[Wanted]]:
    """From which event date on something may be missing of what is held, with the series of which that is so."""
    await migrate_schema(url)
    database = await open_database(url)
    try:
        found = await database.run(first_dates, [each.series_ticker for each in wanted])
    finally:
        await database.close()
    if not found:
        example = f"kalshi-ingest backfill --start {end - timedelta(days=29)}"
        raise Unusable(f"nothing is held yet: say from which event date on, for example {example}")
    starts: dict[date, list[Wanted]] = {}
    for each in wanted:
        if each.series_ticker in found:
            starts.setdefault(min(found[each.series_ticker], end), []).append(each)
    return starts


async def run_backfill(exchange: Exchange, url: str, order: Order) -> int:
    """The job with its display and summary, until it ends or a signal stops it."""
    stop = stop_on_signals("finishing the commit under way (once more to stop at once)")
    async with AsyncExitStack() as stack:
        session = await run_until(stop, stack.enter_async_context(open_resources(exchange, url, utc_now)))
        if session is None:
            return INTERRUPTED
        job = Backfill(session.context, order.wanted, order.dates, order.told)
        progress = list(job.progress.values())
        started = time.monotonic()
        showing = asyncio.create_task(Display(progress, session.client, sys.stderr).run())
        try:
            ended = await run_until(stop, _to_its_end(job, stop), grace=_GRACE_SECONDS)
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
        interrupted = job.interrupted or ended is None
        seconds = time.monotonic() - started
        text = summary(progress, seconds=seconds, interrupted=interrupted, open_allowed=order.open_allowed)
        say(text, order.out)
    if interrupted:
        return INTERRUPTED
    return COMPLETE if is_complete(progress, open_allowed=order.open_allowed) else INCOMPLETE


async def _to_its_end(job: Backfill, stop: asyncio.Event) -> bool | None:
    """True; None when the database was away at a stop, which leaves things as a kill would."""
    try:
        await job.run(stop)
    except DatabaseAway as error:
        if not stop.is_set():
            raise
        log.warning("stopped_without_database", reason=str(error))
        return None
    return True


def wanted_series(cities: Sequence[str], series: Sequence[str], dates: Dates) -> list[Wanted]:
    """The series asked for. By default every active city that had begun by the last date."""
    named = [active_city(name) for name in cities]
    for ticker in series:
        known = city_of_series(ticker.upper())
        if known is not None:
            named.append(active_city(known.key))
    for city in named:
        if dates.end < city.first_event_date:
            raise Unusable(
                f"{city.name}'s first event date is {city.first_event_date}: nothing to fetch up to {dates.end}"
            )
    if not cities and not series:
        named = [city for city in CITIES if not city.retired and city.first_event_date <= dates.end]
        if not named:
            first = min(city.first_event_date for city in CITIES if not city.retired)
            raise Unusable(f"the first event date of any city is {first}: nothing to fetch up to {dates.end}")
    wanted = [Wanted(city.series_ticker, city.key) for city in named]
    for ticker in series:
        if city_of_series(ticker.upper()) is None:
            wanted.append(Wanted(ticker.upper(), None))
    return list(dict.fromkeys(wanted))
