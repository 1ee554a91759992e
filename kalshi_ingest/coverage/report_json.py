"""The report of `coverage` as JSON, for programs.

    complete            true when there is no hole
    start, end, today   event dates judged, and the day of the judgement (UTC); YYYY-MM-DD
    settlement, minutes "judged", or "not ingested" when no city has any such row
    total               the figures below, summed
    series              [{series_ticker, city, figures, days}]
        figures         counts, named as in `coverage.rules.findings.Figures`; `contracts` is text with two
                        decimals; `candle_share` is the share of trading minutes with a one-minute candle, or null;
                        `settlements` and `minutes` as in `coverage.rules.weather_figures`, null when not
                        ingested or not asked of this series; `filled_share` is per expected slot
        days            {YYYY-MM-DD: complete, warning, hole, open or none listed}
    holes, warnings, notes
                        [{kind, label, series_ticker, day, last_day, event_ticker, ticker, text, remedy}]
        remedy          fetch, refetch, load, settlement, minutes, minutes again, or null
    remedies            [{remedy, series, start, end, command}]: what closes the holes, in this order

Keys stay; new ones may come. Kinds of findings are listed in `kalshi_ingest.coverage.wording.KINDS`.
"""

import dataclasses

import orjson

from kalshi_ingest.coverage.rules.findings import Figures, Finding, Judged, Level, Report
from kalshi_ingest.coverage.rules.remedies import work_left
from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures, SettlementFigures

_FINDING = ("kind", "label", "series_ticker", "day", "last_day", "event_ticker", "ticker", "text", "remedy")


def as_json(report: Report) -> str:
    """The whole report, nothing cut, two spaces deep."""
    content = {
        "complete": report.complete,
        "start": report.start,
        "end": report.end,
        "today": report.today,
        "settlement": "not ingested" if report.settlements is None else "judged",
        "minutes": "not ingested" if report.minutes is None else "judged",
        "total": _figures(report.total, report.settlements, report.minutes),
        "series": [_series(judged) for judged in report.series],
        **{f"{level}s": [_finding(each) for each in report.at(level)] for level in Level},
        "remedies": [
            {
                "remedy": work.remedy,
                "series": [subject.series_ticker for subject in work.subjects],
                "start": work.start,
                "end": work.end,
                "command": work.command,
            }
            for work in work_left(report)
        ],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def _series(judged: Judged) -> dict[str, object]:
    subject = judged.subject
    return {
        "series_ticker": subject.series_ticker,
        "city": subject.city.key if subject.city else None,
        "figures": _figures(judged.figures, judged.settlements, judged.minutes),
        "days": judged.days,
    }


def _figures(
    figures: Figures, settlements: SettlementFigures | None, minutes: MinuteFigures | None
) -> dict[str, object]:
    whole, part = divmod(figures.contracts, 100)
    found: dict[str, object] = {
        **dataclasses.asdict(figures),
        "contracts": f"{whole}.{part:02d}",
        "candle_share": figures.candle_share,
        "settlements": None if settlements is None else dataclasses.asdict(settlements),
        "minutes": None,
    }
    if minutes is not None:
        more = {"slots_expected": minutes.slots_expected, "filled_share": minutes.filled_share}
        found["minutes"] = dataclasses.asdict(minutes) | more
    return found


def _finding(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in _FINDING}
