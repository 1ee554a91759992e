"""`demo`: a simulated exchange in a process of its own, backfill and weather from it, and the proof of both."""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

from kalshi_ingest import children, terminal
from kalshi_ingest.cli.backfill import Order, run_backfill
from kalshi_ingest.coverage.job import examine
from kalshi_ingest.coverage.report_text import as_text
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange, open_database
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.settings import API_PATH
from kalshi_ingest.text_table import table
from kalshi_ingest.weather.grid.queries import refresh
from kalshi_ingest.weather.minutes.job import MinuteRun, MinutesRequest, plan
from kalshi_ingest.weather.minutes.report import report
from kalshi_ingest.weather.minutes.sources import Addresses, opened_source
from kalshi_ingest.weather.settlement.fetch import services
from kalshi_ingest.weather.settlement.job import SettlementJob, SettlementRequest

REQUESTS_PER_SECOND = 100.0
"""What the simulated exchange allows: five times a basic account, so that the demo ends within a minute."""

_BUSIEST = """
select markets.ticker, markets.strike_type as strike,
       coalesce(markets.floor_strike::text, '') as floor, coalesce(markets.cap_strike::text, '') as cap,
       markets.result, checkpoints.verdict, checkpoints.trades_stored as trades, candles_1m as "1m"
from checkpoints join markets using (ticker)
cross join lateral (select count(*) as candles_1m from candles
                    where candles.ticker = markets.ticker and period_minutes = 1) as made
order by checkpoints.trades_stored desc, ticker limit 6
"""


async def run(url: str, data_dir: Path, days: int, now: datetime, stop: asyncio.Event) -> int | None:
    """Empty the demo's database, backfill `days` event dates of all six cities, show the outcome and check it.

    The exit code; None when `stop` came first.
    """
    dates = Dates(now.date() - timedelta(days=days + 2), now.date() - timedelta(days=3))
    async with AsyncExitStack() as stack:
        api_url = await run_until(stop, _prepared(stack, url, dates))
        if api_url is None:
            return None
        _say(f"1. A simulated exchange answers at {api_url}, {REQUESTS_PER_SECOND:g} requests a second at most.")
        _say(f"2. Backfill of six cities, event dates {dates.start} to {dates.end}, into an embedded PostgreSQL:\n")
        wanted = [Wanted(city.series_ticker, city.key) for city in CITIES if not city.retired]
        exchange = Exchange(api_url, requests_per_second=REQUESTS_PER_SECOND)
        code = await run_backfill(exchange, url, Order(wanted, dates, "demo"))
        if stop.is_set():
            return None
        _say("\n3. The weather that settles them, at the services' own pace of a request a second:\n")
        await run_until(stop, _weather(url, api_url.removesuffix(API_PATH), dates, now))
    complete = await run_until(stop, _outcome(url, Scope(now, dates.start, dates.end)))
    if complete is None:
        return None
    _say(f"\nLook around with: {_program()} database psql --data-dir {shlex.quote(str(data_dir))}")
    return code or (0 if complete else 1)


def settled_dates(dates: Dates) -> tuple[date, date]:
    """First and last climate day whose settlements the demo holds: to the day after the last event.

    Western markets close on the next date of Chicago's clock, by which users join them with settlements.
    """
    return dates.start, dates.end + timedelta(days=1)


async def _prepared(stack: AsyncExitStack, url: str, dates: Dates) -> str:
    """An empty database and a simulated exchange: its URL."""
    await _empty(url)
    return await stack.enter_async_context(_simulator(dates))


async def _outcome(url: str, scope: Scope) -> bool:
    """Show what is there now; whether it is complete."""
    _say("\n4. The busiest markets, as a query sees them:\n")
    await _show(url)
    _say("\n5. What `kalshi-ingest coverage` says: what should be there, against what is:\n")
    judged = await examine(url, scope)
    colour = terminal.colours(sys.stdout)
    _say(as_text(judged, colour=colour), painted=colour)
    return judged.complete


async def _weather(url: str, services_url: str, dates: Dates, now: datetime) -> None:
    """Settlements, minutes and the grid, as the `weather` commands fetch them."""
    iem_url, cities = services_url + "/iem", [city for city in CITIES if not city.retired]
    database = await open_database(url)
    try:
        async with services(iem_url, services_url + "/ncei") as ask:
            asked = SettlementRequest(cities, *settled_dates(dates), "weather settlement (demo)")
            settled = await SettlementJob(asked, ask, database, lambda: now).run(asyncio.Event())
        _say(settled.as_text())
        async with opened_source(Addresses(iem_url, services_url, None), None) as source:
            planned = await plan(database, source, MinutesRequest(cities, dates.start, dates.end), now)
            clock = asyncio.get_running_loop().time
            started = clock()
            run = MinuteRun(database, source, planned, lambda: now, "weather minutes (demo)")
            outcome = await report(database, planned, await run.run(), source, clock() - started)
            _say("\n" + outcome.as_text())
        grid = await refresh(database)
        _say(f"\nThe one-minute grid of them holds {grid.rows:,} rows.")
    finally:
        await database.close()


def _program() -> str:
    """This program as the user can call it from here."""
    path = Path(sys.argv[0])
    if path.name != "kalshi-ingest":
        return "python -m kalshi_ingest"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


async def _empty(url: str) -> None:
    """Every demo shows the same, so it starts from nothing; the database is the demo's own."""
    database = Database(url)
    await database.open()
    emptied = "drop schema if exists wx cascade; drop schema public cascade; create schema public"
    try:
        await database.alone(lambda connection: connection.execute(emptied))
    finally:
        await database.close()


@asynccontextmanager
async def _simulator(dates: Dates) -> AsyncIterator[str]:
    words = ["--start", str(dates.start), "--end", str(dates.end), "--limit", str(REQUESTS_PER_SECOND)]
    process = await asyncio.create_subprocess_exec(
        *children.command_of("kalshi_ingest", "simulate", "--port", "0", *words),
        env=children.environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = (await process.stdout.readline()).decode() if process.stdout else ""
        found = next((word.rstrip(":") for word in line.split() if word.startswith("http")), None)
        if found is None:
            raise OutOfReach("the simulated exchange did not start")
        yield found
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _show(url: str) -> None:
    database = await open_database(url)
    try:
        rows = await database.run(lambda connection: connection.fetch(_BUSIEST))
        if rows:
            _say(table(list(rows[0].keys()), [list(row.values()) for row in rows]))
    finally:
        await database.close()


def _say(text: str, *, painted: bool = False) -> None:
    terminal.write(sys.stdout, terminal.safe(text, painted=painted) + "\n")
