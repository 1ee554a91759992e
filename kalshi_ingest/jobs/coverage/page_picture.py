"""The calendar on the page of `coverage`: one small picture per city and year, a row per month, a cell per day."""

import calendar as gregorian
from collections.abc import Iterator
from datetime import date
from html import escape

from kalshi_ingest.domain.coverage.findings import DayState, Judged, Report
from kalshi_ingest.jobs.coverage.words import STATES, count

_CELL = 10
_LEFT, _TOP = 30, 14
_WIDTH = _LEFT + 31 * _CELL
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IDS = {
    DayState.COMPLETE: "c",
    DayState.WARNING: "w",
    DayState.HOLE: "h",
    DayState.OPEN: "o",
    DayState.NONE: "n",
}

SYMBOLS = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
    '<symbol id="c" viewBox="0 0 10 10"><rect class="c" x="1" y="1" width="8" height="8" rx="1.5"/></symbol>'
    '<symbol id="w" viewBox="0 0 10 10"><rect class="w" x="1" y="1" width="8" height="8" rx="1.5"/>'
    '<path class="ink" d="M5 2.6v2.8M5 6.7v.9"/></symbol>'
    '<symbol id="h" viewBox="0 0 10 10"><rect class="h" x="1" y="1" width="8" height="8" rx="1.5"/>'
    '<path class="ink" d="M3 3l4 4M7 3l-4 4"/></symbol>'
    '<symbol id="o" viewBox="0 0 10 10"><circle class="o" cx="5" cy="5" r="3.2"/></symbol>'
    '<symbol id="n" viewBox="0 0 10 10"><path class="n" d="M3 5h4"/></symbol>'
    "</defs></svg>"
)
"""One shape per state, so that colour is not needed to tell them apart. Put once into the page."""


def legend(report: Report) -> str:
    """The shapes and what they mean."""
    present = {state for judged in report.series for state in judged.days.values()}
    items = "".join(
        f'<li><svg viewBox="0 0 10 10" aria-hidden="true"><use href="#{_IDS[state]}"/></svg>{escape(meaning)}</li>'
        for state, (_, meaning) in STATES.items()
        if state in present
    )
    return f'<ul class="legend">{items}</ul>'


def calendar(judged: Judged) -> str:
    """All years of one city; every day carries its date and state as a tooltip."""
    subject = judged.subject
    name = escape(subject.city.name if subject.city else subject.label)
    ticker = escape(subject.series_ticker)
    holes = sum(state is DayState.HOLE for state in judged.days.values())
    said = (
        f"{count(holes, 'date')} with a hole"
        if holes
        else "no hole in its markets"
        if judged.days
        else "no event date to judge"
    )
    years = sorted({day.year for day in judged.days})
    pictures = "".join(_year(judged, year, name) for year in years)
    head = f'<h3>{name} <span class="ticker">{ticker}</span> <span class="said">{said}</span></h3>'
    return f'<article>{head}<div class="years">{pictures}</div></article>'


def _year(judged: Judged, year: int, name: str) -> str:
    days = {day: state for day, state in judged.days.items() if day.year == year}
    months = range(min(days).month, max(days).month + 1)
    counts = ", ".join(
        f"{number} {state}" for state in STATES if (number := sum(each is state for each in days.values()))
    )
    height = _TOP + len(months) * _CELL
    return (
        f'<figure><figcaption>{year}</figcaption><svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{name} {year}: {counts}">{"".join(_axes(year, months))}{"".join(_days(days, months))}'
        "</svg></figure>"
    )


def _axes(year: int, months: range) -> Iterator[str]:
    for day in (1, 5, 10, 15, 20, 25, 30):
        yield f'<text class="top" x="{_LEFT + (day - 0.5) * _CELL:g}" y="9">{day}</text>'
    for month in months:
        y = _TOP + (month - months.start) * _CELL
        yield f'<text x="{_LEFT - 5}" y="{y + 8}" class="side">{_MONTHS[month - 1]}</text>'
        width = gregorian.monthrange(year, month)[1] * _CELL
        yield f'<rect class="month" x="{_LEFT}" y="{y + 0.6:g}" width="{width}" height="8.8"/>'


def _days(days: dict[date, DayState], months: range) -> Iterator[str]:
    for day, state in days.items():
        x, y = _LEFT + (day.day - 1) * _CELL, _TOP + (day.month - months.start) * _CELL
        tip = f"{day:%a} {day}: {STATES[state][1]}"
        yield f'<use href="#{_IDS[state]}" x="{x}" y="{y}" width="10" height="10"><title>{tip}</title></use>'
