"""What the status page's calendars say of each event date: judged by the rules of `coverage`.

The page takes the checkpoints' word for the rows, where `coverage` counts every trade and rebuilds every candle, which
takes seconds. So only `coverage` notices lost rows.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import Evidence, rows_as_claimed
from kalshi_ingest.coverage.rules.findings import DayState, Finding, Level
from kalshi_ingest.coverage.rules.judge import expected_range, judge
from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.domain.words import counted
from kalshi_ingest.web.formatting import shortened

_LONGEST = 200
_LEVELS = {DayState.HOLE: Level.HOLE, DayState.WARNING: Level.WARNING}


@dataclass(frozen=True, slots=True)
class JudgedDay:
    """One series and event date."""

    state: DayState
    why: str
    """In words; empty where the state says it all."""


Days = Mapping[tuple[str, date], JudgedDay]
"""(series ticker, event date) → judgement; dates that `coverage` would not judge are left out."""


def judged_days(evidence: Evidence, series_tickers: Sequence[str], window: tuple[date, date], now: datetime) -> Days:
    """Judge the dates of `window`, both included, as far as `coverage` does; `evidence` needs no trades and candles."""
    believed = replace(evidence, rows=rows_as_claimed(evidence.claims))
    first, last = expected_range(believed, Scope(now))
    scope = Scope(now, max(first, window[0]), min(last, window[1]), series_tickers)
    report = judge(believed, scope)
    findings: dict[tuple[str, date], list[Finding]] = defaultdict(list)
    for finding in report.findings:
        for day in _dates(finding):
            findings[finding.series_ticker, day].append(finding)
    markets = Counter((market.series_ticker, market.event_date) for market in evidence.markets)
    proved = Counter(
        (each.series_ticker, each.event_date) for each in evidence.claims.values() if each.state is State.COMPLETE
    )
    return {
        (at := (series.subject.series_ticker, day)): JudgedDay(
            state, _why(state, findings.get(at, ()), markets[at], proved[at])
        )
        for series in report.series
        for day, state in series.days.items()
    }


def _dates(finding: Finding) -> list[date]:
    if finding.day is None or finding.last_day is None:
        return []
    return [finding.day + timedelta(days=n) for n in range((finding.last_day - finding.day).days + 1)]


def _why(state: DayState, findings: Sequence[Finding], markets: int, proved: int) -> str:
    if state in _LEVELS:
        found = [each for each in findings if each.level is _LEVELS[state]]
        named = found[0].ticker or found[0].event_ticker
        text = f"{named}: {found[0].text}" if named else found[0].text
        text = shortened(text, _LONGEST)
        return text if len(found) == 1 else f"{text}; and {len(found) - 1:,} more"
    if state is DayState.OPEN and markets:
        return f"{proved} of {counted(markets, 'market')} proved complete"
    return f"{counted(markets, 'market')}, every one exact" if state is DayState.COMPLETE else ""
