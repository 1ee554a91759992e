"""What `coverage` finds, each with its place, and the figures beside it.

A hole should exist and is not held or not proved. A warning is a doubt that fetching again does not settle. A note is a
known peculiarity of the exchange that might pass for a hole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum
from typing import TypeVar

from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures, SettlementFigures
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cities import City


class Level(StrEnum):
    HOLE = "hole"
    WARNING = "warning"
    NOTE = "note"


class Remedy(StrEnum):
    FETCH = "fetch"
    """The next backfill of its date asks for it again."""
    REFETCH = "refetch"
    """A backfill would pass it over, or resume from what is wrong: forget its checkpoint and candles first."""
    LOAD = "load"
    """A retired city: nothing is fetched, an archive may hold it."""
    SETTLEMENT = "settlement"
    MINUTES = "minutes"
    MINUTES_AGAIN = "minutes again"
    """`weather minutes --again`: the rows of a day contradict the claim that it is complete."""


class DayState(StrEnum):
    """What the calendar shows for one city and event date."""

    COMPLETE = "complete"
    WARNING = "warning"
    HOLE = "hole"
    OPEN = "open"
    """Not settled yet, or not even listed yet; nothing that should be there is missing."""
    NONE = "none listed"
    """The exchange was asked and lists no event."""


@dataclass(frozen=True, slots=True)
class Subject:
    series_ticker: str
    label: str
    """The city's key, or the series ticker where there is no city."""
    city: City | None

    @property
    def retired(self) -> bool:
        """Whether nothing is fetched for it any more."""
        return self.city is not None and self.city.retired


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    kind: str
    """A short stable word."""
    label: str
    """The city's key, or the series ticker."""
    series_ticker: str
    day: date | None
    """Event date, the first of them where the finding is about several; None where it is unknown."""
    last_day: date | None
    """The last event date; the same as `day` for most findings."""
    text: str
    remedy: Remedy | None = None
    """What would close it; None for what nothing needs to or can close."""
    event_ticker: str | None = None
    ticker: str | None = None
    markets: int = 0
    """Markets that are missing and that no finding names: fetching brings so many, as far as anybody knows."""

    @property
    def place(self) -> str:
        """The most exact name of where it is: market, event, dates."""
        if self.ticker or self.event_ticker:
            return self.ticker or self.event_ticker or ""
        return str(self.day) if self.day == self.last_day else f"{self.day} to {self.last_day}"


def at_day(
    subject: Subject, days: tuple[date, date], level: Level, kind: str, text: str, remedy: Remedy | None = None
) -> Finding:
    return Finding(level, kind, subject.label, subject.series_ticker, *days, text, remedy)


NEVER_FETCHED = "never_fetched"
"""Of a market without a checkpoint."""

PROOFS = (*Verdict, State.OPEN, State.WALKING, State.FAILED, NEVER_FETCHED)
"""What can be known about a market's trades; fields of Figures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of one series, or of all. `expected` is what should exist, never what is there."""

    days_expected: int = 0
    """Event dates with an event, or that may have one; dates still open included."""
    days_complete: int = 0
    """Of these: nothing missing. Warnings do not count against a date."""
    days_open: int = 0
    events_expected: int = 0
    """By the exchange's own lists; one for a date that was never asked for."""
    events_held: int = 0
    markets_expected: int = 0
    """By the exchange's own lists; none for a date that was never asked for: its number is not known."""
    markets_held: int = 0
    markets_settled: int = 0
    events_settled: int = 0
    """Events held whose markets all settled, and that have to have one winner."""
    events_one_yes: int = 0
    """Of these: exactly one market settled yes."""
    exact: int = 0
    short: int = 0
    over: int = 0
    unknown: int = 0
    open: int = 0
    walking: int = 0
    failed: int = 0
    never_fetched: int = 0
    trades: int = 0
    contracts: int = 0
    """Hundredths of a contract."""
    candles_1m: int = 0
    candles_5m: int = 0
    markets_with_candles: int = 0
    trading_minutes: int = 0
    """Minutes from open to close, over all markets held."""
    strikes_from_subtitle: int = 0
    strikes_from_neighbours: int = 0
    holes: int = 0
    warnings: int = 0

    @property
    def candle_share(self) -> float | None:
        """Share of the trading minutes that hold a candle, 0 to 1; None without any trading minute."""
        return self.candles_1m / self.trading_minutes if self.trading_minutes else None


Counts = TypeVar("Counts", Figures, SettlementFigures, MinuteFigures)


def total(kind: type[Counts], figures: Iterable[Counts | None]) -> Counts:
    """The sum, field by field."""
    each = [one for one in figures if one is not None]
    return kind(**{field.name: sum(getattr(one, field.name) for one in each) for field in fields(kind)})


@dataclass(frozen=True, slots=True)
class Judged:
    """One series and what was found about it as a whole."""

    subject: Subject
    figures: Figures
    days: Mapping[date, DayState]
    """Every event date that was judged; dates before the first event, and not asked about, are left out."""
    settlements: SettlementFigures | None
    """None: not ingested, or not asked of this series."""
    minutes: MinuteFigures | None


@dataclass(frozen=True, slots=True)
class Report:
    start: date | None
    """First event date judged; None where there is none."""
    end: date | None
    today: date
    series: Sequence[Judged]
    """Cities in their usual order, then other series by ticker."""
    total: Figures
    findings: Sequence[Finding]
    """By series, date and ticker."""
    settlements: SettlementFigures | None
    """Of all cities. None: none has a row of settlements, so nothing is said about them."""
    minutes: MinuteFigures | None

    def at(self, level: Level) -> list[Finding]:
        return [finding for finding in self.findings if finding.level is level]

    @property
    def complete(self) -> bool:
        return self.total.holes == 0

    @property
    def refetch_tickers(self) -> list[str]:
        """The markets whose checkpoint and candles have to be forgotten before a backfill helps."""
        found = {finding.ticker for finding in self.findings if finding.remedy is Remedy.REFETCH}
        return sorted(ticker for ticker in found if ticker is not None)


def contracts(hundredths: int) -> str:
    """Hundredths of a contract as text: `7,090.11`."""
    sign, size = ("-" if hundredths < 0 else ""), abs(hundredths)
    return f"{sign}{size // 100:,}.{size % 100:02d}"


def spans(days: Sequence[date]) -> list[tuple[date, date]]:
    """`days`, in order, as ranges of consecutive dates, both ends included."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found
