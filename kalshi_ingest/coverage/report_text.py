"""The report of `coverage` as text: the answer first, then counts, a calendar, and what is wrong."""

import textwrap
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

from kalshi_ingest.coverage.report_tables import (
    COUNTS,
    MINUTES,
    MINUTES_OPTIONAL,
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
from kalshi_ingest.text_table import table

_WIDTH = 100
_HOLES_SHOWN = 20
_OTHERS_SHOWN = 3
_MISTAKEN = (
    "Dates that were asked for by mistake need not be fetched: `kalshi-ingest status --runs` lists the runs, "
    "`kalshi-ingest status --forget ID` takes one back."
)
_RULER = "1...5....10...15...20...25...30"
_COLOURS = {DayState.HOLE: "1;31", DayState.WARNING: "33", DayState.OPEN: "36", DayState.COMPLETE: "32"}
"""ANSI colours of the calendar's letters; the letters alone say the same."""


def as_text(report: Report, *, colour: bool = False) -> str:
    """The whole report; `colour` for a terminal that shows ANSI colours. Lists are cut, `--json` has all."""
    parts = [f"{headline(report)}.", scope_line(report), "", _counts(report), "", _proof(report), "", _candles(report)]
    parts += _weather(report)
    parts += [*(["", *said] if (said := about_weather(report)) else [])]
    parts += ["", *_calendar(report, colour)]
    parts += _section("Holes", report.at(Level.HOLE), _HOLES_SHOWN)
    parts += _section("Warnings", report.at(Level.WARNING), _OTHERS_SHOWN)
    parts += _section("Notes", report.at(Level.NOTE), _OTHERS_SHOWN)
    if report.total.markets_held and any(each.kind == "never_asked" for each in report.findings):
        parts += ["", *_wrapped(_MISTAKEN, "")]
    commands = [work.command for work in work_left(report)]
    if commands:
        parts += ["", "What closes the holes:", *(f"  {command}" for command in commands)]
    return "\n".join(parts)


def _counts(report: Report) -> str:
    return _table(("series", *COUNTS), series_rows(report, count_cells), optional=("open", "holes"))


def _proof(report: Report) -> str:
    header = ("series", *(name.replace("_", " ") for name in PROOFS), "trades", "contracts")
    return _table(header, series_rows(report, lambda each: (*proofs(each), *trade_cells(each))), optional=header[2:-2])


def _candles(report: Report) -> str:
    header = ("series", "candles 1m", "candles 5m", "markets with any", "trading minutes with one")
    return _table(header, series_rows(report, candle_cells))


def _weather(report: Report) -> Iterator[str]:
    """What is not ingested has no table."""
    if rows := settlement_rows(report):
        yield from ("", _table(("settlements", *SETTLEMENTS), rows, optional=SETTLEMENTS[1:]))
    if rows := minute_rows(report):
        yield from ("", _table(("minute weather", *MINUTES), rows, optional=MINUTES_OPTIONAL))


def _table(header: Sequence[str], rows: Sequence[Row], optional: Sequence[str] = ()) -> str:
    """The last row is the total; shares are aligned to the right like numbers."""
    names, lines = list(header), [[label, *cells] for label, cells in rows]
    for column in range(1, len(names)):
        if isinstance(lines[-1][column], str):
            width = max(len(names[column]), *(len(str(line[column])) for line in lines))
            for line in lines:
                line[column] = str(line[column]).rjust(width)
            names[column] = names[column].rjust(width)
    return table(names, lines[:-1], total=lines[-1], optional=optional)


def _calendar(report: Report, colour: bool) -> Iterator[str]:
    """One letter a day, a line per month; months in which every day is alike share a line."""
    present = {state for judged in report.series for state in judged.days.values()}
    legend = ", ".join(f"{mark.letter} {mark.meaning}" for state, mark in MARKS.items() if state in present)
    yield f"Calendar of event dates, markets only: {legend}"
    for judged in report.series:
        if judged.days:
            yield ""
            yield f"{judged.subject.label:<22}{_RULER}"
            yield from _months(judged, colour)
        else:
            yield f"\n{judged.subject.label}: no event date to judge"


def _months(judged: Judged, colour: bool) -> Iterator[str]:
    months: dict[date, list[tuple[date, DayState]]] = {}
    for day, state in judged.days.items():
        months.setdefault(day.replace(day=1), []).append((day, state))
    for alike, group in groupby(months.items(), key=lambda month: _only_state(*month)):
        found = list(group)
        if alike is not None and len(found) > 1:
            first, last = found[0][0], found[-1][0]
            number = sum(len(days) for _, days in found)
            line = _paint(MARKS[alike].letter * 31, alike, colour)
            yield f"  {first:%Y-%m} to {last:%Y-%m}  {line}  {counted(number, 'date')}: {MARKS[alike].meaning}"
        else:
            for month, days in found:
                yield f"  {month:%Y-%m}             {_line(dict(days), month, colour)}"


def _only_state(month: date, days: Sequence[tuple[date, DayState]]) -> DayState | None:
    """The state of every day of a month; None when they differ or some are not judged."""
    states = {state for _, state in days}
    return states.pop() if len(states) == 1 and len(days) == monthrange(month.year, month.month)[1] else None


def _line(days: dict[date, DayState], month: date, colour: bool) -> str:
    states = [days.get(month + timedelta(days=n)) for n in range(31)]
    return "".join(" " if each is None else _paint(MARKS[each].letter, each, colour) for each in states).rstrip()


def _paint(text: str, state: DayState, colour: bool) -> str:
    code = _COLOURS.get(state)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def _section(title: str, findings: Sequence[Finding], shown: int) -> list[str]:
    if not findings:
        return []
    lines = ["", f"{title}: {len(findings):,}"]
    for kind, found in by_kind(findings).items():
        lines += _wrapped(f"{KINDS.get(kind, kind)}: {_by_series(found)}", "  ")
        for finding in found[:shown]:
            lines += _wrapped(f"{finding.label}  {finding.place}  {finding.text}", "    ")
        if len(found) > shown:
            lines.append(f"    and {len(found) - shown:,} more (--json lists all)")
    return lines


def _by_series(findings: Sequence[Finding]) -> str:
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.label] = counts.get(finding.label, 0) + 1
    return ", ".join(f"{label} {number:,}" for label, number in counts.items())


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
