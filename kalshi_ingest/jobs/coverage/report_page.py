"""The report of `coverage` as one HTML page that needs nothing else: no script, no request, light and dark."""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from kalshi_ingest.domain.coverage.findings import PROOFS, Figures, Finding, Level, Report
from kalshi_ingest.domain.coverage.remedies import work_left
from kalshi_ingest.jobs.coverage.page_picture import SYMBOLS, calendar, legend
from kalshi_ingest.jobs.coverage.page_style import STYLE
from kalshi_ingest.jobs.coverage.weather_tables import MINUTES, SETTLEMENTS, Row, minute_rows, settlement_rows
from kalshi_ingest.jobs.coverage.words import (
    KINDS,
    about_weather,
    by_kind,
    headline,
    percent,
    proofs,
    scope_line,
    share,
    traded,
)

_SHOWN = 500
"""Findings of one kind on the page; `--json` has all."""


def as_page(report: Report) -> str:
    """The whole page. Every text in it is escaped."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>Coverage: {_text(headline(report))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{SYMBOLS}",
        *_head(report),
        "<main>",
        *_calendars(report),
        *_tables(report),
        *_findings("Holes", report.at(Level.HOLE), opened=True),
        *_remedies(report),
        *_findings("Warnings", report.at(Level.WARNING), opened=False),
        *_findings("Notes", report.at(Level.NOTE), opened=False),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _head(report: Report) -> Iterator[str]:
    kind, mark = ("good", "✓") if report.complete else ("bad", "✕")
    yield f'<header class="{kind}"><p class="label">Coverage of Kalshi&#39;s daily high temperature markets</p>'
    yield f'<h1><span class="mark" aria-hidden="true">{mark}</span> {_text(headline(report))}</h1>'
    yield f"<p>{_text(_capital(scope_line(report)))}. {_text(' '.join(about_weather(report)))}</p></header>"


def _calendars(report: Report) -> Iterator[str]:
    # Cities with one small picture each stand side by side.
    small = all(len({day.year for day in judged.days}) < 2 for judged in report.series)
    yield f"<section><h2>Calendar of event dates, markets only</h2>{legend(report)}"
    yield f'<div class="cities{" small" if small else ""}">'
    for judged in report.series:
        yield calendar(judged)
    yield "</div></section>"


def _tables(report: Report) -> Iterator[str]:
    yield "<section><h2>What is held, of what should be</h2>"
    yield _table(
        ("dates", "open", "events", "markets", "settled", "one yes", "holes", "warnings"),
        lambda each: (
            share(each.days_complete + each.days_open, each.days_expected),
            each.days_open,
            share(each.events_held, each.events_expected),
            share(each.markets_held, each.markets_expected),
            share(each.markets_settled, each.markets_held),
            share(each.events_one_yes, each.events_settled),
            each.holes,
            each.warnings,
        ),
        report,
    )
    yield "<h2>What is proved about each market&#39;s trades</h2>"
    yield _table(tuple(name.replace("_", " ") for name in PROOFS), proofs, report)
    yield "<h2>Trades and candles</h2>"
    yield _table(
        ("trades", "contracts", "1-minute candles", "5-minute candles", "markets with any", "trading minutes with one"),
        lambda each: (
            each.trades,
            f"{each.contracts / 100:,.0f}",
            each.candles_1m,
            each.candles_5m,
            traded(each),
            percent(each.candle_share),
        ),
        report,
    )
    for title, header, rows in (
        ("Settlements, by climate day", SETTLEMENTS, settlement_rows(report)),
        ("Minute weather, by climate day and slot of five minutes", MINUTES, minute_rows(report)),
    ):
        if rows:
            yield f"<h2>{title}</h2>"
            yield _shown(header, rows)
    yield "</section>"


def _table(header: Sequence[str], cells: Callable[[Figures], Sequence[object]], report: Report) -> str:
    rows = [(judged.subject.label, cells(judged.figures)) for judged in report.series]
    return _shown(header, [*rows, ("total", cells(report.total))])


def _shown(header: Sequence[str], rows: Sequence[Row]) -> str:
    """One row per series, the last one the total."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in header)
    *body, foot = (_row(*row) for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr><th scope="col">series</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _row(label: str, cells: Sequence[object]) -> str:
    return f'<tr><th scope="row">{_text(label)}</th>{"".join(_cell(cell) for cell in cells)}</tr>'


def _cell(cell: object) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    # A share that is not whole stands out by weight, not by colour alone.
    name = ' class="part"' if "/" in text else ' class="nil"' if text == "0" else ""
    return f"<td{name}>{_text(text)}</td>"


def _findings(title: str, findings: Sequence[Finding], *, opened: bool) -> Iterator[str]:
    if not findings:
        return
    yield f'<section><h2>{title} <span class="count">{len(findings):,}</span></h2>'
    for kind, found in by_kind(findings).items():
        name = _text(_capital(KINDS.get(kind, kind)))
        yield f"<details{' open' if opened else ''}>"
        yield f'<summary>{name} <span class="count">{len(found):,}</span></summary><ul>'
        yield from (_item(finding) for finding in found[:_SHOWN])
        yield "</ul>"
        if len(found) > _SHOWN:
            yield f"<p>and {len(found) - _SHOWN:,} more: <code>coverage --json</code> lists all</p>"
        yield "</details>"
    yield "</section>"


def _item(finding: Finding) -> str:
    return (
        f'<li><span class="who">{_text(finding.label)}</span> <code>{_text(finding.place)}</code> '
        f'<span class="what">{_text(finding.text)}</span></li>'
    )


def _remedies(report: Report) -> Iterator[str]:
    work = work_left(report)
    if work:
        yield "<section><h2>What closes the holes</h2>"
        yield f'<pre tabindex="0">{_text(chr(10).join(each.command for each in work))}</pre></section>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(text: str) -> str:
    return escape(text)
