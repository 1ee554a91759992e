"""The words in which `coverage` answers, shared by the terminal and the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kalshi_ingest.coverage.rules.findings import PROOFS, DayState, Figures, Finding, Level, Report
from kalshi_ingest.domain.words import counted

KINDS = {
    "never_asked": "dates that were never asked for",
    "day_missing": "dates that are listed and not held",
    "events_missing": "events that are listed and not held",
    "markets_missing": "markets that are listed and not held",
    "event_lost": "events whose row is lost",
    "market_lost": "markets whose row is lost",
    "stray": "trades of unknown markets",
    "bins": "events whose bins do not add up",
    "yes": "events without exactly one winner",
    "no_result": "events with a market settled without a result",
    "unsettled": "markets that have not settled",
    "never_fetched": "markets never fetched",
    "failed": "markets whose fetch failed",
    "walking": "markets whose fetch broke off",
    "open": "markets not fetched since they settled",
    "unproved": "markets that nothing proves complete",
    "verdict": "checkpoints that contradict themselves",
    "trades_lost": "markets with fewer trades than proved",
    "trades_differ": "markets with other trades than proved",
    "candles": "markets whose candles are not what the trades make",
    "settlement_missing": "climate days without a settlement",
    "settlement_preliminary": "climate days with a partial report only",
    "minutes_missing": "climate days whose minute weather was never fetched",
    "minutes_failed": "climate days whose minute weather could not be fetched",
    "minutes_open": "climate days whose minute weather was fetched too early",
    "minutes_lost": "climate days with other minute weather than claimed",
    "short": "markets short of the exchange's own volume",
    "over": "markets over the exchange's own volume",
    "unknown": "markets of which the exchange states no volume",
    "unlisted": "dates without the exchange's list",
    "more_than_listed": "dates with more than the exchange listed",
    "outside_hours": "markets with trades outside their trading hours",
    "settlement_disagrees": "events whose official maximum lies outside the bin that paid",
    "settlement_latest_only": "events that paid on a correction, not on the first full-day report",
    "settlement_conflict": "climate days whose sources differ by 2 °F or more",
    "minutes_hourly": "climate days whose minute weather is hourly reports alone",
    "minutes_filled": "cities with too many copies among the minute weather",
    "minutes_short": "cities with slots that no source has",
    "settlement_source_not_held": "events settled by The Weather Company in another bin than the reports' own",
    "none_listed": "dates on which the exchange lists no event",
    "bin_count": "events with an unusual number of bins",
    "thresholds": "early events with a few brackets",
    "second_event": "dates with a second event",
    "scalar": "events settled between yes and no",
    "strikes_subtitle": "events with strikes read from a subtitle",
    "strikes_neighbours": "events with strikes read from the other markets",
    "volume_moved": "markets whose volume the exchange changed since",
}
"""Kind of finding → what it is about, in the plural; the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a calendar says of a day: a class of the pages' style sheet, their sign, words, the terminal's letter."""

    kind: str
    sign: str
    meaning: str
    letter: str = " "


MARKS = {
    DayState.COMPLETE: Mark("c", "✓", "complete", "."),
    DayState.WARNING: Mark("w", "!", "held, with a warning", "!"),
    DayState.HOLE: Mark("h", "✕", "a hole", "X"),
    DayState.OPEN: Mark("o", "○", "still open", "o"),
    DayState.NONE: Mark("n", "∅", "none listed", "-"),
}
FUTURE, OUTSIDE = Mark("f", "", "not yet listed"), Mark("n", "-", "not among the dates asked for")
"""Days that are not judged; the report of `coverage` leaves them blank."""


def headline(report: Report) -> str:
    """The answer in one line."""
    total = report.total
    if not report.complete:
        where = _subjects(report, {finding.label for finding in report.at(Level.HOLE)})
        return f"{counted(total.holes, 'hole')} {f'in {where}' if where else 'outside every series'}"
    if not total.markets_held:
        return "Nothing is held, and nothing is expected"
    held = ", ".join(
        (counted(total.events_held, "event"), counted(total.markets_held, "market"), counted(total.trades, "trade"))
    )
    warned = f", {counted(total.warnings, 'warning')}" if total.warnings else ""
    still = f", {counted(total.days_open, 'date')} still open" if total.days_open else ""
    labels = {judged.subject.label for judged in report.series if judged.days}
    return f"Complete: {_subjects(report, labels)}, {held}, no holes{warned}{still}"


def scope_line(report: Report) -> str:
    """Which event dates were judged, and when."""
    return f"event dates {report.start} to {report.end}, judged on {report.today} (UTC)"


def _subjects(report: Report, labels: Iterable[str]) -> str:
    """`2 cities`, `1 city and 1 other series`."""
    wanted = set(labels)
    cities = sum(judged.subject.city is not None for judged in report.series if judged.subject.label in wanted)
    others = sum(judged.subject.city is None for judged in report.series if judged.subject.label in wanted)
    named = [f"{cities} {'city' if cities == 1 else 'cities'}"] if cities else []
    named += [f"{others} other series"] if others else []
    return " and ".join(named)


def by_kind(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings by kind, in the order of KINDS."""
    grouped: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
    for finding in findings:
        grouped.setdefault(finding.kind, []).append(finding)
    return {kind: found for kind, found in grouped.items() if found}


def share(part: int, whole: int) -> str:
    """`12` when all is there, `11/12` when not."""
    return f"{part:,}" if part == whole else f"{part:,}/{whole:,}"


def percent(value: float | None) -> str:
    """`3.4 %`; `-` for no value. Never rounded up to 100 %."""
    if value is None:
        return "-"
    shown = int(value * 1000) / 10
    return f"{shown:.1f} %"


def traded(figures: Figures) -> str:
    """Markets with any candle: `3,917 (95.4 %)`. Some are never traded, so this is no hole."""
    number = figures.markets_with_candles
    return f"{number:,} ({percent(number / figures.markets_held)})" if figures.markets_held else "0"


def about_weather(report: Report) -> list[str]:
    """What has to be said about weather that is not there at all: it does not count as held."""
    missing = [
        name
        for name, figures in (("settlements", report.settlements), ("minute weather", report.minutes))
        if figures is None
    ]
    return [f"Not ingested, so not judged: {', '.join(missing)}."] if missing else []


def proofs(figures: Figures) -> list[int]:
    """Markets by what is proved about their trades, in the order of PROOFS."""
    return [getattr(figures, name) for name in PROOFS]
