"""What `coverage` asks of a city's settlements: a full-day maximum for every climate day, in the bin that paid."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime

from kalshi_ingest.coverage.rules.evidence import WeatherRows
from kalshi_ingest.coverage.rules.findings import Finding, Level, Remedy, Subject, at_day, spans
from kalshi_ingest.coverage.rules.weather_figures import SettlementFigures
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.cross_check import CrossCheck, Verdict, cross_check
from kalshi_ingest.domain.settlement import SETTLING, Settlement, is_due

_NOTHING, _PARTIAL, _PENDING = "missing", "preliminary", "pending"
_FOUND = {
    Verdict.DISAGREE: (Level.WARNING, "settlement_disagrees"),
    Verdict.LATEST_ONLY: (Level.WARNING, "settlement_latest_only"),
    Verdict.SOURCE_NOT_HELD: (Level.NOTE, "settlement_source_not_held"),
}
"""Verdict → level and kind of what is said of the event; the others are only counted."""


def check_settlements(subject: Subject, days: Sequence[date], held: WeatherRows, now: datetime) -> Iterator[Finding]:
    """Days without a full-day maximum, and doubts about the others. `days`: all that can have one, in order."""
    if subject.city is None:
        return
    lacking = {day: what for day in days if (what := _lack(subject.city, day, held, now)) is not None}
    for what, text in (
        (_NOTHING, "no settlement of the climate day is held"),
        (_PARTIAL, "only a partial report of the climate day is held"),
    ):
        for span in spans([day for day in days if lacking.get(day) == what]):
            yield at_day(subject, span, Level.HOLE, f"settlement_{what}", text, Remedy.SETTLEMENT)
    for day in days:
        settlement = held.settlements.get(day)
        if day not in lacking and settlement is not None and settlement.conflict == "warning":
            yield at_day(subject, (day, day), Level.WARNING, "settlement_conflict", _conflict(settlement))
    for check in _checks(days, held):
        if check.verdict in _FOUND:
            where = (subject.label, subject.series_ticker, check.event_date, check.event_date)
            level, kind = _FOUND[check.verdict]
            yield Finding(level, kind, *where, check.text, None, check.event_ticker, check.paid)


def settlement_figures(city: City, days: Sequence[date], held: WeatherRows, now: datetime) -> SettlementFigures:
    lacks = Counter(_lack(city, day, held, now) for day in days)
    settled = [held.settlements[day] for day in days if day in held.settlements]
    settled = [each for each in settled if not each.is_preliminary]
    sources = Counter(each.source for each in settled)
    conflicts = Counter(each.conflict for each in settled)
    verdicts = Counter(check.verdict for check in _checks(days, held))
    return SettlementFigures(
        days_expected=len(days) - lacks[_PENDING],
        days_settled=lacks[None],
        **{source.name.lower(): sources[source] for source in SETTLING},
        days_preliminary=lacks[_PARTIAL],
        days_missing=lacks[_NOTHING],
        days_pending=lacks[_PENDING],
        **{verdict.name.lower(): verdicts[verdict] for verdict in Verdict},
        conflicts=conflicts["warning"],
        differ_by_one=conflicts["note"],
    )


def _lack(city: City, day: date, held: WeatherRows, now: datetime) -> str | None:
    """Why the day does not count as settled; None: it does."""
    settlement = held.settlements.get(day)
    if settlement is not None and not settlement.is_preliminary:
        return None
    if not is_due(city, day, now):
        return _PENDING
    return _NOTHING if settlement is None or settlement.tmax_final_f is None else _PARTIAL


def _checks(days: Sequence[date], held: WeatherRows) -> list[CrossCheck]:
    judged = set(days)
    return [
        cross_check(event.event_ticker, event.event_date, event.paid, held.settlements.get(event.event_date))
        for event in held.paid
        if event.event_date in judged
    ]


def _conflict(settlement: Settlement) -> str:
    """The maximum that counts beside what every full-day source says."""
    said = (settlement.tmax_cli_f, settlement.tmax_cf6_f, settlement.tmax_iem_cf6_f, settlement.tmax_ghcnd_f)
    told = ", ".join(f"{source} {value}" for source, value in zip(SETTLING, said, strict=True) if value is not None)
    note = f" ({settlement.note})" if settlement.note else ""
    return f"the official maximum is {settlement.tmax_final_f} °F, the newest of each source: {told}{note}"
