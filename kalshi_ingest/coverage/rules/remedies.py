"""What closes the holes of a report: few commands over few ranges of dates."""

import shlex
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain

from kalshi_ingest.coverage.rules.findings import Finding, Level, Remedy, Report, Subject

_COMMANDS = {
    Remedy.FETCH: "backfill",
    Remedy.REFETCH: "coverage --fix",
    Remedy.SETTLEMENT: "weather settlement",
    Remedy.MINUTES: "weather minutes",
    Remedy.MINUTES_AGAIN: "weather minutes --again",
}


@dataclass(frozen=True, slots=True)
class Work:
    """One command that closes holes."""

    remedy: Remedy
    subjects: Sequence[Subject]
    start: date
    end: date
    markets: int = 0
    """Markets whose trades have to be asked for, as far as the findings tell."""

    @property
    def command(self) -> str:
        """As the user types it."""
        names = [
            f"--city {each.city.key}" if each.city else f"--series {shlex.quote(each.series_ticker)}"
            for each in self.subjects
        ]
        if self.remedy is Remedy.LOAD:  # takes whole folders, not dates
            return f"kalshi-ingest load --input DIR {' '.join(names)}"
        dates = f"--start {self.start} --end {self.end}"
        return f"kalshi-ingest {_COMMANDS[self.remedy]} {dates} {' '.join(names)}"


def work_left(report: Report) -> list[Work]:
    """The commands that close every hole that has a remedy, fetching last.

    A city gets one range where all dates between are judged: what is proved is not asked again, and a list costs the
    same for any range. Ranges of `--again`, which does ask again, stay apart. Cities with the same range share a
    command.
    """
    subjects = {judged.subject.series_ticker: judged.subject for judged in report.series}
    judged_days = {judged.subject.series_ticker: judged.days for judged in report.series}
    spans: dict[tuple[Remedy, str], list[tuple[date, date]]] = defaultdict(list)
    by_day: dict[tuple[Remedy, str], dict[date, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    for finding in report.at(Level.HOLE):
        if finding.remedy is None or finding.day is None or finding.series_ticker not in subjects:
            continue
        by_day[finding.remedy, finding.series_ticker][finding.day].append(finding)
        if finding.last_day:
            spans[finding.remedy, finding.series_ticker].append((finding.day, finding.last_day))
    shared: dict[tuple[Remedy, date, date], list[Subject]] = defaultdict(list)
    markets: dict[tuple[Remedy, date, date], int] = defaultdict(int)
    for (remedy, series), found in spans.items():
        known_days = () if remedy is Remedy.MINUTES_AGAIN else judged_days[series]
        found_by_day = by_day[remedy, series]
        days = sorted(found_by_day)
        for start, end in _joined(found, known_days):
            shared[remedy, start, end].append(subjects[series])
            within = days[bisect_left(days, start) : bisect_right(days, end)]
            markets[remedy, start, end] += _markets(chain.from_iterable(found_by_day[day] for day in within))
    order = [Remedy.REFETCH, Remedy.LOAD, Remedy.SETTLEMENT, Remedy.MINUTES, Remedy.MINUTES_AGAIN, Remedy.FETCH]
    work = [Work(key[0], who, *key[1:], markets[key]) for key, who in shared.items()]
    return sorted(work, key=lambda each: (order.index(each.remedy), each.start, each.end))


def _markets(findings: Iterable[Finding]) -> int:
    """Markets that findings name, each once, and those that are missing without a name."""
    found = list(findings)
    return len({each.ticker for each in found if each.ticker}) + sum(each.markets for each in found)


def _joined(spans: Iterable[tuple[date, date]], known: Iterable[date]) -> list[tuple[date, date]]:
    """`spans` in order, joined where nothing but `known` dates lies between."""
    days = set(known)
    joined: list[tuple[date, date]] = []
    for start, end in sorted(spans):
        if joined and _all_between(joined[-1][1], start, days):
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _all_between(end: date, start: date, days: set[date]) -> bool:
    return all(end + timedelta(days=n) in days for n in range(1, (start - end).days))
