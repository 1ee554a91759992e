"""The dates that `coverage` judges, each with everything that is held or known of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from kalshi_ingest.coverage.rules.days import DayCase
from kalshi_ingest.coverage.rules.evidence import NO_ROWS, Evidence
from kalshi_ingest.coverage.rules.findings import Subject
from kalshi_ingest.coverage.rules.markets import MarketCase
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.domain.tickers import parse_market_ticker
from kalshi_ingest.errors import BadPayload

Cases = dict[date, DayCase]
"""Event date → case, of one series."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to judge. Dates are event dates, both inclusive."""

    now: datetime
    """The moment of the judgement. Events of the last two days may still be on their way to settlement."""
    start: date | None = None
    """None: the first date that any run asked for."""
    end: date | None = None
    """None: the last one."""
    series: Sequence[str] | None = None
    """Series tickers; None: the six active cities, and everything else that is held or was asked for."""

    @property
    def today(self) -> date:
        """In UTC."""
        return self.now.astimezone(UTC).date()


def gather(
    evidence: Evidence, subjects: Sequence[Subject], scope: Scope, dates: tuple[date, date]
) -> Mapping[str, Cases]:
    """Series ticker → event date → everything held or known of it."""
    by_ticker = {subject.series_ticker: subject for subject in subjects}
    cases: dict[str, Cases] = {ticker: {} for ticker in by_ticker}

    def case(series: str, day: date) -> DayCase | None:
        if series not in by_ticker or not dates[0] <= day <= dates[1]:
            return None
        days = cases[series]
        if day not in days:
            days[day] = DayCase(by_ticker[series], day, scope.today)
        return days[day]

    for (series, day), listed in evidence.listed.items():
        if found := case(series, day):
            found.listed = listed
    for event in evidence.events:
        if found := case(event.series_ticker, event.event_date):
            found.events.append(event)
    for market in sorted(evidence.markets, key=lambda market: market.ticker):
        if found := case(market.series_ticker, market.event_date):
            held = (evidence.claims.get(market.ticker), evidence.rows.get(market.ticker, NO_ROWS), scope.today)
            place = (found.subject, found.day, market.event_ticker, market.ticker)
            found.markets.append(MarketCase(*place, market, *held))
    for ticker, series, day in _orphans(evidence):
        if found := case(series, day):
            held = (evidence.claims.get(ticker), evidence.rows.get(ticker, NO_ROWS), scope.today)
            found.markets.append(MarketCase(found.subject, day, _event_of(ticker), ticker, None, *held))
    return cases


def _orphans(evidence: Evidence) -> Iterator[tuple[str, str, date]]:
    """Ticker, series and date of what has a checkpoint, trades or candles, but no row in markets."""
    held = {market.ticker for market in evidence.markets}
    for ticker in sorted((evidence.claims.keys() | evidence.rows.keys()) - held):
        claim = evidence.claims.get(ticker)
        if claim is not None:
            yield ticker, claim.series_ticker, claim.event_date
        elif found := placed(ticker, evidence):
            yield ticker, *found


def placed(ticker: str, evidence: Evidence) -> tuple[str, date] | None:
    """Series and date by the ticker, for rows that have nothing else; None when the series is unknown."""
    try:
        parsed = parse_market_ticker(ticker)
    except BadPayload:
        return None
    name = parsed.event_ticker.partition("-")[0]
    cities = {city.series_ticker for city in CITIES}
    series = next((each for each in (name, f"KX{name}") if each in evidence.series or each in cities), None)
    return None if series is None else (series, parsed.event_date)


def _event_of(ticker: str) -> str:
    try:
        return parse_market_ticker(ticker).event_ticker
    except BadPayload:
        return ticker


def fill_calendar(subject: Subject, days: Cases, scope: Scope, dates: tuple[date, date]) -> None:
    """Add the dates that should be there though nothing names them: the calendar, up to today."""
    if subject.city is None:
        return
    start, end = max(dates[0], subject.city.first_event_date), min(dates[1], scope.today)
    if subject.retired:
        start, end = (max(start, min(days)), min(end, max(days))) if days else (end, start)
    for n in range((end - start).days + 1):
        day = start + timedelta(days=n)
        if day not in days:
            days[day] = DayCase(subject, day, scope.today)
