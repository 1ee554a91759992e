"""The report of `coverage` as one HTML page that needs nothing else: no script, no request, light and dark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kalshi_ingest.coverage.report_tables import (
    COUNTS,
    MINUTES,
    SETTLEMENTS,
    Row,
    candle_cells,
    count_cells,
    minute_rows,
    series_rows,
    settlement_rows,
    trade_cells,
)
from kalshi_ingest.coverage.rules.findings import PROOFS, DayState, Finding, Judged, Level, Report
from kalshi_ingest.coverage.rules.remedies import work_left
from kalshi_ingest.coverage.wording import KINDS, MARKS, about_weather, by_kind, headline, proofs, scope_line
from kalshi_ingest.domain.words import counted
from kalshi_ingest.web.days import years
from kalshi_ingest.web.formatting import capital
from kalshi_ingest.web.templating import Templates

_SHOWN = 500
"""Findings of one kind on the page; `--json` has all."""

Table = tuple[str, Sequence[str], Sequence[Row]]
"""Title, names of the columns but the first, and rows, the last one the total; no rows, no table."""


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    number: int
    kinds: Sequence[tuple[str, Sequence[Finding]]]
    opened: bool = False
    commands: Sequence[str] = ()
    """What closes them."""


def as_page(report: Report) -> str:
    present = {state for judged in report.series for state in judged.days.values()}
    calendars = [years(judged.days) for judged in report.series]
    cities = [
        {"name": _name(judged), "ticker": judged.subject.series_ticker, "said": _said(judged), "years": found}
        for judged, found in zip(report.series, calendars, strict=True)
    ]
    return Templates().render(
        "coverage",
        complete=report.complete,
        headline=headline(report),
        scope=f"{capital(scope_line(report))}. {' '.join(about_weather(report))}",
        marks=[mark for state, mark in MARKS.items() if state in present],
        cities=cities,
        side_by_side=all(len(found) < 2 for found in calendars),
        tables=list(_tables(report)),
        findings=list(_findings(report)),
        most=_SHOWN,
    )


def _name(judged: Judged) -> str:
    return judged.subject.city.name if judged.subject.city else judged.subject.label


def _said(judged: Judged) -> str:
    holes = sum(state is DayState.HOLE for state in judged.days.values())
    if holes:
        return f"{counted(holes, 'date')} with a hole"
    return "no hole in its markets" if judged.days else "no event date to judge"


def _tables(report: Report) -> Iterator[Table]:
    held = series_rows(report, lambda each: (*count_cells(each), each.warnings))
    yield "What is held, of what should be", (*COUNTS, "warnings"), held
    proved = series_rows(report, proofs)
    yield "What is proved about each market's trades", [name.replace("_", " ") for name in PROOFS], proved
    names = ("trades", "contracts", "1-minute candles", "5-minute candles")
    traded = series_rows(report, lambda each: (*trade_cells(each), *candle_cells(each)))
    yield "Trades and candles", (*names, "markets with any", "trading minutes with one"), traded
    yield "Settlements, by climate day", SETTLEMENTS, settlement_rows(report)
    yield "Minute weather, by climate day and slot of five minutes", MINUTES, minute_rows(report)


def _findings(report: Report) -> Iterator[_Section]:
    commands = [each.command for each in work_left(report)]
    for title, level in (("Holes", Level.HOLE), ("Warnings", Level.WARNING), ("Notes", Level.NOTE)):
        found = report.at(level)
        kinds = [(KINDS.get(kind, kind), each) for kind, each in by_kind(found).items()]
        hole = level is Level.HOLE
        yield _Section(title, len(found), kinds, opened=hole, commands=commands if hole else ())
