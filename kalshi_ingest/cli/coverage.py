"""`coverage`: what should be there and is not. `--fix` fetches it, `--candles` asks the exchange about candles."""

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
import structlog

from kalshi_ingest import terminal
from kalshi_ingest.cli.backfill import Order, run_backfill
from kalshi_ingest.cli.common import database_url, exchange_of, say
from kalshi_ingest.cli.confirming import confirmed, screen
from kalshi_ingest.cli.dates import end_of, start_of
from kalshi_ingest.cli.options import DATABASE, EXCHANGE, FLAT, LOGS, command, names, option
from kalshi_ingest.cli.signals import stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.coverage.candle_audit import audit
from kalshi_ingest.coverage.candle_audit_report import AuditReport
from kalshi_ingest.coverage.fix_plan import FixPlan, fix_plan
from kalshi_ingest.coverage.job import examine, forget_distrusted, nothing_to_judge, page_path, series_in, write_page
from kalshi_ingest.coverage.queries.candle_audit import Scope as AuditScope
from kalshi_ingest.coverage.report_json import as_json
from kalshi_ingest.coverage.report_text import as_text
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.findings import Report
from kalshi_ingest.domain.cities import city_of_series, find_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE, INTERRUPTED
from kalshi_ingest.http.client import ANONYMOUS_REQUESTS_PER_SECOND
from kalshi_ingest.ingest.cancellation import run_until
from kalshi_ingest.ingest.resources import migrate_schema, open_database, open_resources
from kalshi_ingest.postgres.rights import JUDGE
from kalshi_ingest.settings import Settings
from kalshi_ingest.web.coverage_page import as_page

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `coverage`."""

    start: Annotated[str | None, option("first event date (default: the first that any run asked for)")] = None
    end: Annotated[str | None, option("last event date, inclusive (default: the last that any run asked for)")] = None
    city: Annotated[tuple[str, ...], names("a city; default: the six, and all else that is held")] = ()
    series: Annotated[tuple[str, ...], names("any other series", "TICKER")] = ()
    json: Annotated[bool, option("as one JSON object, with every hole")] = False
    html: Annotated[str | None, option("also write one self-contained page with a calendar", metavar="FILE")] = None
    fix: Annotated[
        bool,
        option("forget what cannot be trusted, run the backfill that closes the holes, check again; asks first"),
    ] = False
    yes: Annotated[bool, option("with --fix: do not ask first")] = False
    candles: Annotated[int | None, option("compare N markets' candles with the exchange's own", metavar="N")] = None
    seed: Annotated[int, option("which N markets; the same seed takes the same (default 0)", metavar="N")] = 0


_DEFAULT = Asked()


@command(*EXCHANGE, *DATABASE, *LOGS)
def coverage(settings: Settings, *, asked: Annotated[Asked, FLAT] = _DEFAULT) -> int:
    """`coverage`: 0 when nothing is missing, 1 when something is, or when the exchange's candles differ."""
    scope = _scope(asked)
    if asked.yes and not asked.fix:
        raise Unusable("--yes answers the question of --fix: add --fix, or leave it out")
    if asked.candles is not None and asked.candles < 1:
        raise Unusable(f"--candles {asked.candles} is out of range: 1 or more markets")
    if asked.html is not None:
        page_path(asked.html)  # refused now, rather than after an hour of fetching
    with database_url(settings) as url:
        return asyncio.run(_coverage(asked, settings, url, scope))


async def _coverage(asked: Asked, settings: Settings, url: str, scope: Scope) -> int:
    report = await _stoppable(_first_look(settings, url, scope))
    if report is not None and asked.fix:
        report = await _fixed(settings, url, scope, report, agreed=asked.yes)
    if report is None:
        return INTERRUPTED
    audited: AuditReport | None = None
    if asked.candles is not None:
        audited = await _stoppable(_audit(settings, url, report, asked.candles, asked.seed))
        if audited is None:
            return INTERRUPTED
    if asked.html is not None:
        write_page(as_page(report), page_path(asked.html))
    _print(report, audited, as_object=asked.json)
    return COMPLETE if report.complete and (audited is None or audited.passed) else INCOMPLETE


async def _stoppable(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None when a signal came first. A backfill handles the signals itself, so each asks again."""
    return await run_until(stop_on_signals(), work)


async def _first_look(settings: Settings, url: str, scope: Scope) -> Report:
    if settings.database_url is None:  # the embedded database is the program's own, so it needs no asking
        await migrate_schema(url)
    await (await open_database(url, JUDGE)).close()
    report = await examine(url, scope)
    if idle := nothing_to_judge(report, named=scope.series is not None):
        raise Unusable(
            f"nothing to judge of {idle} from {report.start} to {report.end}: no event date is held, was asked for or "
            "is expected; `kalshi-ingest backfill` fetches a city or a series"
        )
    return report


async def _fixed(settings: Settings, url: str, scope: Scope, report: Report, *, agreed: bool) -> Report | None:
    """Fetch what a backfill can bring and judge again; None when a signal came.

    At a terminal the person is asked first, unless `agreed`; after a no the report is what it was.
    """
    planned = fix_plan(report)
    if not planned.fetches:
        return report
    going = await _stoppable(_agreed(settings, url, planned, agreed=agreed))
    if not going:
        return report if going is False else None
    if planned.forgotten and await _stoppable(_forget(settings, url, report)) is None:
        return None
    for each in planned.fetches:
        exchange = exchange_of(settings)
        code = await run_backfill(exchange, url, Order(each.wanted, each.dates, "coverage --fix", out=sys.stderr))
        if code == INTERRUPTED:
            return None
    return await _stoppable(examine(url, scope))


async def _agreed(settings: Settings, url: str, planned: FixPlan, *, agreed: bool) -> bool:
    """Say what is about to happen and, at a terminal, ask whether it may."""
    pace = settings.requests_per_second or ANONYMOUS_REQUESTS_PER_SECOND
    if settings.requests_per_second is None and settings.api_key_id is not None:
        # Only the exchange knows the account's limit.
        async with open_resources(exchange_of(settings), url, utc_now) as session:
            pace = session.client.pacer.requests_per_second
    out = screen()
    if out is None:
        log.info("fix_planned", **planned.fields(pace))
        return True
    say(planned.text(pace), out)
    return agreed or await confirmed("Go ahead?", out)


async def _forget(settings: Settings, url: str, report: Report) -> bool:
    """A proof, be it a doubtful one, is not given up for an exchange that does not answer."""
    async with open_resources(exchange_of(settings), url, utc_now) as session:
        await session.context.api.cutoff()
        await forget_distrusted(session.context.writing, report)
    return True


async def _audit(settings: Settings, url: str, report: Report, markets: int, seed: int) -> AuditReport:
    async with open_resources(exchange_of(settings), url, utc_now, need=JUDGE) as session:
        scope = AuditScope(series_in(report), report.start, report.end)
        return await audit(session.context, scope, markets, seed)


def _print(report: Report, audited: AuditReport | None, *, as_object: bool) -> None:
    if as_object:
        told = orjson.loads(as_json(report))
        if audited is not None:
            told["candles_audit"] = audited.as_dict()
        say(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    colour = terminal.colours(sys.stdout)
    say(as_text(report, colour=colour), painted=colour)
    if audited is not None:
        say("\n" + audited.as_text())


def _scope(asked: Asked) -> Scope:
    start = start_of(asked.start) if asked.start else None
    end = end_of(asked.end) if asked.end else None
    if start and end and start > end:
        raise Unusable(f"--start {start} lies after --end {end}")
    named = [find_city(name).series_ticker for name in asked.city]
    for ticker in asked.series:
        known = city_of_series(ticker.upper())
        named.append(known.series_ticker if known else ticker.upper())
    return Scope(utc_now(), start, end, list(dict.fromkeys(named)) or None)
