"""What is held of one city, in the few numbers that a person asks for first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

NEVER_FETCHED = "never fetched"
"""In place of a state: the market has no checkpoint."""


@dataclass(frozen=True, slots=True)
class CandleSpan:
    candles: int
    first: datetime
    """Start of the first period, UTC."""
    last: datetime
    """Start of the last period, UTC."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An event date of which something is not held."""

    day: date
    listed_events: int | None
    """By the exchange's own list; None when no list of that date was ever stored."""
    held_events: int
    listed_markets: int | None
    held_markets: int


@dataclass(frozen=True, slots=True)
class Unproved:
    """A market that is held but not proved complete."""

    ticker: str
    state: str
    """walking, open, failed, or never fetched."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Traded:
    """How much a market traded, by the trades held."""

    ticker: str
    trades: int
    contracts: Decimal
    verdict: str | None


@dataclass(frozen=True, slots=True)
class CityFacts:
    """One city, or one other series under its own ticker."""

    series: Mapping[str, str]
    """Series ticker → the exchange's title of it."""
    events: int
    markets: int
    first_event_date: date | None
    last_event_date: date | None
    trades: int
    contracts: Decimal
    first_trade: datetime | None
    last_trade: datetime | None
    candles: Mapping[int, CandleSpan]
    """Minutes → candles of that length; lengths without any are left out."""
    states: Mapping[str, int]
    """Verdict of the proved markets, state of the others (`never fetched` without a checkpoint) → markets."""
    unproved: Sequence[Unproved]
    gaps: Sequence[Gap]
    most_traded: Sequence[Traded]
    """The ten with most trades, most first."""
