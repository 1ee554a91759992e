"""The tables of the report, as the terminal and the page both show them."""

from collections.abc import Callable, Sequence

from kalshi_ingest.coverage.rules.findings import Figures, Report
from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures, SettlementFigures
from kalshi_ingest.coverage.wording import percent, share, traded

Row = tuple[str, Sequence[object]]
"""A city, or `total`, and its cells."""

COUNTS = ("dates", "open", "events", "markets", "settled", "one yes", "holes")
"""What is held of what should be; names of the columns."""

SETTLEMENTS = (
    *("full days", "pending", "partial", "CLI", "CF6", "IEM CF6", "GHCND"),
    *("agree", "first only", "latest only", "disagree", "source not held", "cannot tell"),
    *("apart 2+ °F", "apart 1 °F"),
)
"""Names of the columns; all but the first are left out of the terminal when they hold nothing."""

MINUTES = (
    *("whole days", "pending", "never fetched", "failed", "too early", "hourly", "short"),
    *("observed", "filled", "missing", "filled %"),
)
MINUTES_OPTIONAL = MINUTES[1:7]


def count_cells(each: Figures) -> Sequence[object]:
    return (
        share(each.days_complete + each.days_open, each.days_expected),
        each.days_open,
        share(each.events_held, each.events_expected),
        share(each.markets_held, each.markets_expected),
        share(each.markets_settled, each.markets_held),
        share(each.events_one_yes, each.events_settled),
        each.holes,
    )


def trade_cells(each: Figures) -> Sequence[object]:
    return each.trades, f"{each.contracts / 100:,.0f}"


def candle_cells(each: Figures) -> Sequence[object]:
    """Candles of one and of five minutes, markets with any, and the share of trading minutes with one."""
    return each.candles_1m, each.candles_5m, traded(each), percent(each.candle_share)


def series_rows(report: Report, cells: Callable[[Figures], Sequence[object]]) -> list[Row]:
    """One row per series, the total last."""
    rows = [(judged.subject.label, cells(judged.figures)) for judged in report.series]
    return [*rows, ("total", cells(report.total))]


def settlement_rows(report: Report) -> list[Row]:
    """One row per city of which settlements are asked, the total last; none when there is no such city."""
    rows = [(judged.subject.label, _settlements(judged.settlements)) for judged in report.series if judged.settlements]
    return [*rows, ("total", _settlements(report.settlements))] if rows and report.settlements else []


def minute_rows(report: Report) -> list[Row]:
    """One row per city of which minutes are asked, the total last; none when there is no such city."""
    rows = [(judged.subject.label, _minutes(judged.minutes)) for judged in report.series if judged.minutes]
    return [*rows, ("total", _minutes(report.minutes))] if rows and report.minutes else []


def _settlements(each: SettlementFigures) -> Sequence[object]:
    return (
        share(each.days_settled, each.days_expected),
        *(each.days_pending, each.days_preliminary, each.cli, each.cf6, each.iem_cf6, each.ghcnd),
        *(each.agree, each.first_only, each.latest_only, each.disagree, each.source_not_held, each.cannot_tell),
        *(each.conflicts, each.differ_by_one),
    )


def _minutes(each: MinuteFigures) -> Sequence[object]:
    return (
        share(each.days_whole, each.days_expected),
        *(each.days_pending, each.days_never_fetched, each.days_failed),
        *(each.days_open, each.days_hourly, each.days_short),
        *(each.slots_observed, each.slots_filled, each.slots_missing),
        percent(each.filled_share),
    )
