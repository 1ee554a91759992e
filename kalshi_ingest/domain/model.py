"""The records that travel through the program: plain, frozen, exact, in UTC.

Numbers are integers in the smallest unit the exchange can express, so that no binary float ever touches a
price or a count: prices in millionths of a dollar (`FixedPointDollars` has up to 6 decimals), counts in
hundredths of a contract (`FixedPointCount` has 2). Times inside a trade or a candle are microseconds since
1970-01-01T00:00Z, the exchange's own resolution.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

PRICE_UNITS = 1_000_000
"""Price units per dollar."""

COUNT_UNITS = 100
"""Count units per contract."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z of an aware datetime, exactly."""
    since = moment - EPOCH  # dividing it by a timedelta takes five times as long, and every trade comes through here
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def to_datetime(microseconds: int) -> datetime:
    """The aware UTC datetime of `microseconds` since 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=microseconds)


class Trade(NamedTuple):
    """One trade. Comparing two trades compares (`created_us`, `trade_id`) first: the order of the API's lists."""

    created_us: int
    trade_id: bytes
    """16 bytes of a UUID-shaped id that follows no RFC version."""
    price: int
    """Yes price, millionths of a dollar, 0 to 1,000,000."""
    size: int
    """Hundredths of a contract, above 0."""
    side: int
    """+1 when the taker bought yes, -1 when the taker bought no."""
    is_block: bool


class Candle(NamedTuple):
    """The trades of one market in [`start_us`, `start_us` + period), summed up so that two halves can be merged.

    A *sweep key* is price times side. Inside one created_time the lower key was executed first: a taker of yes
    eats the book upwards, a taker of no eats it downwards in yes prices. The price is the key's absolute value.
    """

    start_us: int
    open_us: int
    open_key: int
    close_us: int
    close_key: int
    high: int
    low: int
    volume: int
    notional: int
    """Sum of price times count, in price units times count units."""
    trades: int


class Tier(StrEnum):
    """Where the exchange keeps rows: recent ones in the live tier, older ones in the historical tier."""

    LIVE = "live"
    HISTORICAL = "historical"


@dataclass(frozen=True, slots=True)
class Series:
    """One series, e.g. KXHIGHCHI. `raw` is the exchange's own JSON text."""

    ticker: str
    title: str
    category: str
    frequency: str
    settlement_sources: tuple[tuple[str, str], ...] | None
    """(name, url) of each source, in the exchange's order; None when it names none."""
    raw: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event: one city's climate day."""

    ticker: str
    series_ticker: str
    event_date: date
    title: str
    raw: str


@dataclass(frozen=True, slots=True)
class Market:
    """One market. Strikes are degrees Fahrenheit; prices dollars; counts contracts; None means not stated."""

    ticker: str
    event_ticker: str
    event_date: date
    title: str
    subtitle: str
    strike_type: str | None
    floor_strike: Decimal | None
    cap_strike: Decimal | None
    open_time: datetime
    close_time: datetime
    settled_at: datetime | None
    status: str
    """The API's filter word: unopened, open, paused, closed, settled."""
    api_status: str
    """The word on the wire."""
    result: str | None
    settlement_value: Decimal | None
    expiration_value: str | None
    volume: int | None
    """Hundredths of a contract."""
    open_interest: Decimal | None
    last_price: Decimal | None
    rules_primary: str
    raw: str


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """How far a market has got: what changes while it trades and with each stage of its life."""

    api_status: str
    """The word on the wire; words that are not known come through."""
    volume: int | None
    """The exchange's own volume, hundredths of a contract."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One market's trades: the unit of work. What a walk has to know of a market, and no more."""

    ticker: str
    series_ticker: str
    event_date: date
    open_time: datetime
    close_time: datetime
    settled: bool
    """Whether the exchange will change nothing about this market any more."""
    volume: int | None
    """The exchange's own volume, hundredths of a contract; final only when `settled`."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The moving border between the tiers: markets by settlement time, trades by trade time."""

    markets: datetime
    trades: datetime


def tiers_of(unit: Unit, cutoff: Cutoff, since: datetime | None = None) -> tuple[Tier, ...]:
    """The tiers that can hold trades of `unit` (created `since` then, if that is given), the live one first.

    Trades are split by trade time and lie in [open_time, close_time], so a life that spans the cutoff needs
    both. Live comes first because rows move from live to historical: one that moves during the walk is then
    seen at least once, never missed.
    """
    if max(unit.open_time, since or unit.open_time) >= cutoff.trades:
        return (Tier.LIVE,)
    if unit.close_time < cutoff.trades:
        return (Tier.HISTORICAL,)
    return (Tier.LIVE, Tier.HISTORICAL)
