"""`follow`: the long-running service, its endpoints and its end."""

import asyncio
import gc
import math
from datetime import date
from functools import partial
from typing import Annotated, Literal

import structlog

from kalshi_ingest.cli.backfill import wanted_series
from kalshi_ingest.cli.common import database_url, exchange_of
from kalshi_ingest.cli.dates import start_of
from kalshi_ingest.cli.options import DATABASE, EXCHANGE, HTTP, LOGS, WEATHER, command, command_line, names, option
from kalshi_ingest.cli.signals import stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.follow.periodic_jobs import Weather
from kalshi_ingest.follow.service import Asked, FollowService
from kalshi_ingest.follow.state import FollowState, SeriesState
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.postgres.embedded.restart import start_again
from kalshi_ingest.settings import Settings
from kalshi_ingest.weather.minutes.sources import Addresses
from kalshi_ingest.web.app import serving
from kalshi_ingest.web.door import raise_file_limit

_STOP_SECONDS = 6.5
"""What a stop may take before everything is given up; the checkpoints are kept either way."""

log = structlog.get_logger()


@command(*EXCHANGE, *DATABASE, *WEATHER, *HTTP, *LOGS)
def follow(
    settings: Settings,
    *,
    city: Annotated[tuple[str, ...], names("a city; all six by default")] = (),
    series: Annotated[tuple[str, ...], names("any other Kalshi series ticker", "TICKER")] = (),
    start: Annotated[
        str | None,
        option("first event date to fetch (default: the first that is unfinished, else yesterday's)", metavar="D"),
    ] = None,
    weather: Annotated[
        Literal["none", "settlement", "minutes"],
        option("what to poll beside the markets: official maxima, or minute weather too (default settlement)"),
    ] = "settlement",
    stale_after: Annotated[
        float | None,
        option(
            "seconds after which a city's data counts as stale and /readyz answers 503"
            " (default 15, plus the lifetime of a cache before the exchange)",
            metavar="SECONDS",
        ),
    ] = None,
) -> int:
    """`follow`: 0 when it was stopped; errors at the start as everywhere."""
    if stale_after is not None and not 0 < stale_after < math.inf:
        raise Unusable(f"--stale-after {stale_after} is out of range: more than 0 seconds")
    # Held against no clock: this machine's may be set minutes after its start, and a start to come is an empty gap.
    first = start_of(start) if start else None
    wanted = wanted_series(city, series, Dates(first or date.min, date.max))
    polled = None if weather == "settlement" else weather
    told = command_line(["follow"], start=str(first) if first else None, city=city, series=series, weather=polled)
    asked = Asked(wanted, first, _weather(weather, wanted, settings), told)
    state = FollowState({each.series_ticker: SeriesState(each) for each in wanted}, utc_now(), stale_after=stale_after)
    raise_file_limit()
    with database_url(settings) as url:
        revive = None if settings.database_url is not None else partial(start_again, settings.data_dir)
        service = FollowService(asked, exchange_of(settings), url, state, revive=revive)
        return asyncio.run(_run(service, state, url, (settings.http_host, settings.http_port)))


async def _run(service: FollowService, state: FollowState, url: str, address: tuple[str, int]) -> int:
    notice = "finishing the commit under way (once more to stop at once)"
    stop = stop_on_signals(notice, code=COMPLETE)
    gc.freeze()
    async with serving(state, url, *address, now=state.now) as shown:
        log.info("service_started", address=shown, series=list(state.series))
        await run_until(stop, service.run(stop), grace=_STOP_SECONDS)
    log.info("stopped")
    return COMPLETE


def _weather(what: str, wanted: list[Wanted], settings: Settings) -> Weather | None:
    cities = [city for city in CITIES if city.series_ticker in {each.series_ticker for each in wanted}]
    if what == "none" or not cities:
        return None
    key = settings.visual_crossing_key
    addresses = Addresses(settings.iem_url, settings.visual_crossing_url, key.get_secret_value() if key else None)
    return Weather(cities, settings.iem_url, settings.ncei_url, addresses if what == "minutes" else None)
