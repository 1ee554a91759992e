"""The judgement: what should exist, what is held and proved of it, and every hole by name.

Expected is what the calendar and the exchange's lists say, never what happens to be there. Rows, checkpoints and trades
without a market can name something that was lost elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from kalshi_ingest.coverage.rules.cases import Cases, Scope, fill_calendar, gather, placed
from kalshi_ingest.coverage.rules.days import USUAL_BINS, DayCase, check_day
from kalshi_ingest.coverage.rules.evidence import NO_WEATHER, Evidence
from kalshi_ingest.coverage.rules.figures import figures_of
from kalshi_ingest.coverage.rules.findings import (
    DayState,
    Figures,
    Finding,
    Judged,
    Level,
    Remedy,
    Report,
    Subject,
    at_day,
    spans,
    total,
)
from kalshi_ingest.coverage.rules.markets import check_market
from kalshi_ingest.coverage.rules.minutes import check_minutes, minute_figures
from kalshi_ingest.coverage.rules.settlements import check_settlements, settlement_figures
from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures, SettlementFigures
from kalshi_ingest.domain.calendar import climate_day_of
from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.domain.words import counted

_SETTLES_WITHIN = timedelta(days=30)
"""After its event date; a later settlement is too odd to tell the time by."""

_WEATHER = ("settlement_", "minutes_")
"""How the kinds of findings about the weather begin."""


def judge(evidence: Evidence, scope: Scope) -> Report:
    """Judge `evidence`, whose rows come in any order.

    A city is judged from its first event date on, another series on the dates that some row or list names, New York,
    which is retired, between the first and the last date held.
    """
    scope = replace(scope, now=_no_earlier(scope.now, evidence))
    start, end = expected_range(evidence, scope)
    subjects = _subjects(evidence, scope)
    cases = gather(evidence, subjects, scope, (start, end))
    ingested = (
        any(each.settlements for each in evidence.weather.values()),
        any(each.minutes for each in evidence.weather.values()),
    )
    judged: list[Judged] = []
    findings: list[Finding] = []
    for subject in subjects:
        days = cases[subject.series_ticker]
        fill_calendar(subject, days, scope, (start, end))
        settlements, minutes, weather = _weather(subject, days, evidence, scope.now, ingested)
        found = list(_findings(subject, days, weather))
        states = _states(days, found)
        figures = figures_of(days, states, found)
        judged.append(Judged(subject, figures, states, settlements, minutes))
        findings += found
    stray = list(_stray(evidence, scope))
    sums = total(Figures, (each.figures for each in judged))
    return Report(
        start=start,
        end=end,
        today=scope.today,
        series=judged,
        total=replace(sums, holes=sums.holes + len(stray)),
        findings=[*findings, *stray],
        settlements=total(SettlementFigures, (each.settlements for each in judged)) if ingested[0] else None,
        minutes=total(MinuteFigures, (each.minutes for each in judged)) if ingested[1] else None,
    )


def _no_earlier(now: datetime, evidence: Evidence) -> datetime:
    """`now`, or the last settlement that is held: a clock that is behind would leave out days that are over."""
    settled = [
        market.settled_at
        for market in evidence.markets
        if market.settled_at is not None and abs(market.settled_at.date() - market.event_date) <= _SETTLES_WITHIN
    ]
    return max([now, *settled])


def expected_range(evidence: Evidence, scope: Scope) -> tuple[date, date]:
    """The first and last event date to judge: as in the scope, else what runs asked for, else all there can be."""
    first = min(city.first_event_date for city in CITIES if not city.retired)
    asked = evidence.asked or (first, scope.today - timedelta(days=1))
    start = scope.start or min(asked[0], scope.end or asked[0])
    return start, scope.end or max(start, asked[1])


def _subjects(evidence: Evidence, scope: Scope) -> list[Subject]:
    """Cities in their usual order, then other series by ticker."""
    known = set(evidence.series)
    wanted = known | {city.series_ticker for city in CITIES if not city.retired}
    if scope.series is not None:
        wanted = set(scope.series)
    cities = [Subject(city.series_ticker, city.key, city) for city in CITIES if city.series_ticker in wanted]
    others = wanted - {subject.series_ticker for subject in cities}
    return cities + [Subject(ticker, ticker, None) for ticker in sorted(others)]


def _stray(evidence: Evidence, scope: Scope) -> Iterator[Finding]:
    """Trades and candles that belong to no series anybody knows; said only when everything is judged."""
    if scope.series is not None:
        return
    held = {market.ticker for market in evidence.markets}
    for ticker in sorted(evidence.rows.keys() - evidence.claims.keys() - held):
        if placed(ticker, evidence) is None:
            text = f"{evidence.rows[ticker].trades:,} trades of a market that nothing else here knows"
            yield Finding(Level.HOLE, "stray", "unknown", "", None, None, text, None, None, ticker)


def _findings(subject: Subject, days: Cases, weather: Sequence[Finding]) -> Iterator[Finding]:
    """Everything there is to say about one series, by date and ticker."""
    found = [*_of_spans(subject, days), *weather]
    for case in days.values():
        found += check_day(case)
        for market in case.markets:
            found += check_market(market)
    if subject.retired:
        found = [_for_retired(finding) for finding in found]
    yield from sorted(found, key=lambda each: (each.day or date.min, each.event_ticker or "", each.ticker or ""))


def _of_spans(subject: Subject, days: Cases) -> Iterator[Finding]:
    """What is said of runs of dates: never asked for, held without a list, none listed."""
    past = [case for _, case in sorted(days.items()) if case.day < case.today]
    for first, last in spans([case.day for case in past if case.unasked]):
        number = (last - first).days + 1
        text = f"{counted(number, 'date')} never asked for"
        markets = number * USUAL_BINS if subject.city else 0
        finding = at_day(subject, (first, last), Level.HOLE, "never_asked", text, Remedy.FETCH)
        yield replace(finding, markets=markets)
    for first, last in spans([case.day for case in past if case.held and case.listed is None]):
        text = "what is held cannot be counted against the exchange's list: no run has read it for these dates"
        yield at_day(subject, (first, last), Level.WARNING, "unlisted", text, Remedy.FETCH)
    for first, last in spans([case.day for case in past if case.none_listed]):
        yield at_day(subject, (first, last), Level.NOTE, "none_listed", "the exchange lists no event")


_Weather = tuple[SettlementFigures | None, MinuteFigures | None, Sequence[Finding]]
"""The weather of one series; None: not ingested, or not asked for."""


def _weather(subject: Subject, days: Cases, evidence: Evidence, now: datetime, ingested: tuple[bool, bool]) -> _Weather:
    """New York's minutes are not asked for, its settlements only once there are any."""
    held = evidence.weather.get(subject.label, NO_WEATHER)
    city, found = subject.city, list[Finding]()
    settlements: SettlementFigures | None = None
    minutes: MinuteFigures | None = None
    if city is None:
        return settlements, minutes, found
    latest = climate_day_of(city, now)
    asked = [day for day, case in sorted(days.items()) if not case.none_listed and day <= latest]
    if ingested[0] and (held.settlements or not city.retired):
        settlements = settlement_figures(city, asked, held, now)
        found += check_settlements(subject, asked, held, now)
    if ingested[1] and not city.retired:
        minutes = minute_figures(city, asked, held, now)
        found += check_minutes(subject, asked, held, now)
    return settlements, minutes, found


def _for_retired(finding: Finding) -> Finding:
    """As for any city, but nothing can be fetched, so nothing may be forgotten, and proof can no longer be had."""
    if finding.remedy is Remedy.SETTLEMENT:
        return replace(finding, level=Level.WARNING, remedy=None)
    if finding.remedy not in (Remedy.FETCH, Remedy.REFETCH):
        return finding
    level = Level.WARNING if finding.kind == "unproved" else finding.level
    return replace(finding, level=level, remedy=Remedy.LOAD)


def _states(days: Cases, findings: Sequence[Finding]) -> dict[date, DayState]:
    """What the calendar shows, by date. Weather has no part in it: it is the calendar of the markets."""
    worst: dict[date, Level] = {}
    for finding in findings:
        counts = finding.level is not Level.NOTE and not finding.kind.startswith(_WEATHER)
        if counts and finding.day and finding.last_day:
            for n in range((finding.last_day - finding.day).days + 1):
                day = finding.day + timedelta(days=n)
                worst[day] = Level.HOLE if Level.HOLE in (finding.level, worst.get(day)) else Level.WARNING
    return {day: _state(case, worst.get(day)) for day, case in sorted(days.items())}


def _state(case: DayCase, worst: Level | None) -> DayState:
    if worst is Level.HOLE:
        return DayState.HOLE
    if case.none_listed and case.day < case.today:
        return DayState.NONE
    unsettled = any(each.market and each.market.status != "settled" for each in case.markets)
    waiting = any(each.outcome is State.OPEN for each in case.markets)
    if case.none_listed or case.unasked or (case.young and (unsettled or waiting)):
        return DayState.OPEN
    return DayState.WARNING if worst is Level.WARNING else DayState.COMPLETE
