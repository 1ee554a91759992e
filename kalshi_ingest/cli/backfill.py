"""`backfill`: what was asked for, checked; then the job, its display and its summary."""

import asyncio
import importlib
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Annotated, TextIO

import structlog

from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.backfill.live_display import Display
from kalshi_ingest.backfill.summary import is_complete, summary
from kalshi_ingest.cli.common import database_url, exchange_of, say
from kalshi_ingest.cli.dates import FORMS, dates_of
from kalshi_ingest.cli.options import DATABASE, EXCHANGE, LOGS, command, command_line, names, option
from kalshi_ingest.cli.signals import current, stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES, active_city, city_of_series
from kalshi_ingest.errors import DatabaseAway, Unusable
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE, INTERRUPTED
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange, opened
from kalshi_ingest.settings import Settings

_GRACE_SECONDS = 6.0
"""After a stop: for the commit under way and the last words in the ingestion log, which the job itself limits."""

log = structlog.get_logger()


@command(*EXCHANGE, *DATABASE, *LOGS)
def backfill(
    settings: Settings,
    *,
    start: Annotated[str, option(f"first event date: {FORMS}", metavar="D")],
    end: Annotated[str, option("last event date, inclusive, in the same forms", metavar="D")],
    city: Annotated[tuple[str, ...], names("a city; all six by default")] = (),
    series: Annotated[tuple[str, ...], names("any other Kalshi series ticker", "TICKER")] = (),
    parquet: Annotated[
        str | None, option("at the end also export what is held of these cities to DIR", metavar="DIR")
    ] = None,
) -> int:
    """`backfill`: 0 when all that was asked for is proved complete, 1 when something is not, 130 when stopped."""
    exchange = exchange_of(settings)
    dates = dates_of(start, end, exchange)
    wanted = wanted_series(city, series, dates)
    told = command_line(["backfill"], start=str(dates.start), end=str(dates.end), city=city, series=series)
    export = None
    if parquet is not None:
        # Loaded only when it is wanted, because Parquet takes 60 MB; and now, so that a bad place is refused at once.
        with current().deferred():
            archive = importlib.import_module("kalshi_ingest.cli.export")
        export = archive.prepared_export(parquet, [each.label for each in wanted])
        told += f" --parquet {archive.Place.at(parquet)}"  # as shown: a URI may carry a password
    with database_url(settings) as url:
        code = asyncio.run(run_backfill(exchange, url, wanted, dates, told))
        if export is None or code == INTERRUPTED:
            return code
        say("")
        return asyncio.run(export(url)) or code


async def run_backfill(
    exchange: Exchange, url: str, wanted: Sequence[Wanted], dates: Dates, told: str, *, out: TextIO | None = None
) -> int:
    """The job with its display and summary, until it ends or a signal stops it; the summary goes to `out`."""
    stop = stop_on_signals("stopping: finishing the commit under way (once more to stop at once)")
    async with AsyncExitStack() as stack:
        session = await run_until(stop, stack.enter_async_context(opened(exchange, url, utc_now)))
        if session is None:
            return INTERRUPTED
        job = Backfill(session.tools, wanted, dates, told)
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
        say(summary(progress, seconds=time.monotonic() - started, interrupted=interrupted), out)
    if interrupted:
        return INTERRUPTED
    return COMPLETE if is_complete(progress) else INCOMPLETE


async def _to_its_end(job: Backfill, stop: asyncio.Event) -> bool | None:
    """True; None when the database was away at a stop, which leaves things as a kill would."""
    try:
        await job.run(stop)
    except DatabaseAway as error:
        if not stop.is_set():
            raise
        log.warning("stopped without the database", reason=str(error))
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
