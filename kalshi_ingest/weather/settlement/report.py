"""The settlements held of the requested days, and whether they agree with what the exchange paid."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.cross_check import CrossCheck, SettledEvent, Verdict, cross_check
from kalshi_ingest.domain.settlement import Settlement, is_due

_LISTED = 20
_COLUMNS = ("days", "full day", "preliminary", "missing", "pending")
_LISTS = {
    Verdict.DISAGREE: "disagree with the bin that paid",
    Verdict.LATEST_ONLY: "paid on a correction, not on the first full-day report",
    Verdict.FIRST_ONLY: "paid on the first full-day report, corrected out of the bin afterwards",
    Verdict.SOURCE_NOT_HELD: "settled by The Weather Company, which is not read here, in another bin than the reports'",
}
_ALWAYS = (Verdict.AGREE, Verdict.DISAGREE, Verdict.CANNOT_TELL)
"""Verdicts with a column of their own even where no event has them."""


@dataclass(slots=True)
class CityReport:
    city: str
    days: int = 0
    """Requested climate days that have begun and can have an event."""
    full_day: int = 0
    pending: int = 0
    """Days without a full-day maximum that ended less than half a day ago, or have not."""
    preliminary: list[date] = field(default_factory=list)
    """Days older than that with a partial report only."""
    missing: list[date] = field(default_factory=list)
    """Days older than that without any value."""
    sources: Counter[str] = field(default_factory=Counter)
    """Full days by the source of their maximum."""
    conflicts: dict[date, str] = field(default_factory=dict)
    """Days whose full-day sources differ → note or warning."""
    checks: list[CrossCheck] = field(default_factory=list)

    def verdicts(self) -> Counter[Verdict]:
        return Counter(check.verdict for check in self.checks)


@dataclass(frozen=True, slots=True)
class SettlementReport:
    cities: Sequence[CityReport]
    failed: Mapping[str, str]
    """Failed request → why."""
    unreadable: Sequence[str]

    @property
    def complete(self) -> bool:
        """True when every day that can have one has a full-day maximum, and every request was answered."""
        return not self.failed and not any(each.missing or each.preliminary for each in self.cities)

    def as_dict(self) -> dict[str, object]:
        return {
            "complete": self.complete,
            "cities": [_as_dict(each) for each in self.cities],
            "failed": dict(self.failed),
            "unreadable": list(self.unreadable),
        }

    def as_text(self) -> str:
        """For people: a table, and the first twenty of each list."""
        found = {check.verdict for each in self.cities for check in each.checks}
        verdicts = [each for each in Verdict if each in _ALWAYS or each in found]
        header = ("city", *_COLUMNS, *map(str, verdicts), "conflicts", "sources")
        rows = [header, *(_row(each, verdicts) for each in self.cities)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += _listed("missing", [f"{c.city} {day}" for c in self.cities for day in c.missing])
        lines += _listed("preliminary only", [f"{c.city} {day}" for c in self.cities for day in c.preliminary])
        checks = [(c.city, check) for c in self.cities for check in c.checks]
        for verdict, words in _LISTS.items():
            lines += _listed(words, [f"{c} {k.event_date}: {k.text}" for c, k in checks if k.verdict is verdict])
        other = [f"{c} {k.event_date}: {k.text}" for c, k in checks if k.verdict not in _LISTS and k.values_differ]
        lines += _listed("settled on another number in the same bin", other)
        lines += _listed("failed", [f"{what}: {why}" for what, why in self.failed.items()])
        lines += _listed("not readable", self.unreadable)
        return "\n".join(lines)


def report_of(
    days: Mapping[City, Sequence[date]],
    held: Mapping[tuple[str, date], Settlement],
    events: Sequence[SettledEvent],
    now: datetime,
    *,
    failed: Mapping[str, str],
    unreadable: Sequence[str],
) -> SettlementReport:
    """Report on what is `held` of the requested `days` at the time `now`."""
    reports = []
    for city, asked in days.items():
        report = CityReport(city.key, len(asked))
        for day in asked:
            _count(report, day, held.get((city.station.loc_id, day)), due=is_due(city, day, now))
        report.checks = [
            cross_check(
                event.event_ticker, event.event_date, event.paid, held.get((city.station.loc_id, event.event_date))
            )
            for event in events
            if event.series_ticker == city.series_ticker
        ]
        reports.append(report)
    return SettlementReport(reports, failed, unreadable)


def _count(report: CityReport, day: date, settlement: Settlement | None, *, due: bool) -> None:
    if settlement is not None and not settlement.is_preliminary:
        report.full_day += 1
        report.sources[str(settlement.source)] += 1
        if settlement.conflict is not None:
            report.conflicts[day] = settlement.conflict
    elif not due:
        report.pending += 1
    elif settlement is not None and settlement.tmax_final_f is not None:
        report.preliminary.append(day)
    else:
        report.missing.append(day)


def _row(report: CityReport, columns: Sequence[Verdict]) -> tuple[str, ...]:
    verdicts = report.verdicts()
    counts = (report.days, report.full_day, len(report.preliminary), len(report.missing), report.pending)
    checked = tuple(verdicts[verdict] for verdict in columns)
    sources = ", ".join(f"{name} {count:,}" for name, count in report.sources.most_common())
    numbers = (*counts, *checked, len(report.conflicts))
    return report.city, *(f"{number:,}" for number in numbers), sources


def _listed(what: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        cut = f", the first {_LISTED}" if len(items) > _LISTED else ""
        yield f"{what} ({len(items):,}{cut}):"
        yield from (f"  {item}" for item in items[:_LISTED])


def _as_dict(report: CityReport) -> dict[str, object]:
    verdicts = report.verdicts()
    return {
        "city": report.city,
        "days": report.days,
        "full_day": report.full_day,
        "pending": report.pending,
        "preliminary": [str(day) for day in report.preliminary],
        "missing": [str(day) for day in report.missing],
        "sources": dict(sorted(report.sources.items())),
        "conflicts": {str(day): conflict for day, conflict in report.conflicts.items()},
        "verdicts": {str(verdict): verdicts[verdict] for verdict in Verdict},
        "disagreements": _checks(report, Verdict.DISAGREE),
        "first_only": _checks(report, Verdict.FIRST_ONLY),
        "latest_only": _checks(report, Verdict.LATEST_ONLY),
        "source_not_held": _checks(report, Verdict.SOURCE_NOT_HELD),
        "cannot_tell": _checks(report, Verdict.CANNOT_TELL),
        "other_number_same_bin": [
            _check(each) for each in report.checks if each.verdict is Verdict.AGREE and each.values_differ
        ],
    }


def _checks(report: CityReport, verdict: Verdict) -> list[dict[str, object]]:
    return [_check(each) for each in report.checks if each.verdict is verdict]


def _check(check: CrossCheck) -> dict[str, object]:
    return {
        "event_ticker": check.event_ticker,
        "date": str(check.event_date),
        "paid": check.paid,
        "official_f": check.official_f,
        "latest_f": check.latest_f,
        "expiration_f": None if check.expiration_f is None else str(check.expiration_f),
        "reason": check.reason,
    }
