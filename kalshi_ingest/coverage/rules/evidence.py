"""What a database holds, as `coverage` judges it: plain values, read in one snapshot.

Counts of contracts are hundredths, prices micro-dollars, times UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cross_check import SettledEvent
from kalshi_ingest.domain.settlement import Settlement


@dataclass(frozen=True, slots=True)
class Listed:
    """What the exchange listed for one series and event date; 0 events: it was asked, and there is none."""

    events: int
    markets: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A market's checkpoint: what is claimed to be stored of it."""

    series_ticker: str
    event_date: date
    state: State
    verdict: Verdict | None
    """None unless complete."""
    pages: int
    trades: int
    contracts: int
    exchange_volume: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Rows:
    """What the tables of trades and candles hold of one market, and what is wrong with its candles."""

    trades: int
    contracts: int
    first_trade: datetime | None
    last_trade: datetime | None
    candles_1m: int
    candles_5m: int
    contracts_1m: int
    contracts_5m: int
    missing_candles: int
    """Periods, of either length, that hold trades but no candle."""
    surplus_candles: int
    """Candles, of either length, whose period holds no trade, or that do not start where a period starts."""
    wrong_candles: int
    """Candles that differ from those that the stored trades make."""
    first_fault: str | None
    """The first of these in words, e.g. `5m 2025-05-02 14:05: close`; None when there is none."""


NO_ROWS = Rows(0, 0, None, None, 0, 0, 0, 0, 0, 0, 0, None)


def rows_as_claimed(claims: Mapping[str, Claim]) -> dict[str, Rows]:
    """Rows of which nothing is wrong, as many as the checkpoints claim: for a judgement that does not count them."""
    return {
        ticker: Rows(claim.trades, claim.contracts, None, None, 0, 0, claim.contracts, claim.contracts, 0, 0, 0, None)
        for ticker, claim in claims.items()
    }


@dataclass(frozen=True, slots=True)
class HeldMarket:
    ticker: str
    event_ticker: str
    series_ticker: str
    event_date: date
    strike_type: str | None
    floor_strike: Decimal | None
    cap_strike: Decimal | None
    strike_source: str | None
    open_time: datetime
    close_time: datetime
    settled_at: datetime | None
    status: str
    result: str | None
    volume: int | None


@dataclass(frozen=True, slots=True)
class HeldEvent:
    event_ticker: str
    series_ticker: str
    event_date: date


@dataclass(frozen=True, slots=True)
class MinuteDay:
    """What is claimed about the five-minute slots of one climate day, and what was counted in the table (`_held`).

    Slots observed have an observation of their own, slots filled a copy, slots missing neither.
    """

    state: str
    """open, complete or failed."""
    observed: int
    filled: int
    missing: int
    error: str | None
    observed_held: int
    filled_held: int
    hourly: bool = False


@dataclass(frozen=True, slots=True)
class WeatherRows:
    """The weather of one city, by climate day."""

    settlements: Mapping[date, Settlement]
    paid: Sequence[SettledEvent]
    """The city's events whose markets all have a result."""
    minutes: Mapping[date, MinuteDay]
    """Days that were ever fetched."""


NO_WEATHER = WeatherRows({}, (), {})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is held for some series and a range of event dates."""

    series: Mapping[str, str | None]
    """Series ticker → city key, of every series that is held or was ever asked for."""
    asked: tuple[date, date] | None
    """First and last event date that a run asked for, or that any row has; None in an empty database. A run that the
    exchange answered with other dates only, or that was forgotten, is left out."""
    listed: Mapping[tuple[str, date], Listed]
    events: Sequence[HeldEvent]
    markets: Sequence[HeldMarket]
    claims: Mapping[str, Claim]
    """Ticker → checkpoint; also of tickers without a row in markets."""
    rows: Mapping[str, Rows]
    """Ticker → trades and candles; markets without any are left out, tickers without a row in markets are not."""
    weather: Mapping[str, WeatherRows]
    """City key → weather; a city without any row of weather is left out; events do not count as such."""
