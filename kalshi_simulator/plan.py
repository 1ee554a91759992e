"""Plans every event of a synthetic world: dates, bins, winner, and the oddities it shows.

The oddities follow the exchange's recorded listings: legacy tickers, a second Chicago event on one date,
five-bin days, blank settlement values, `scalar` results, one market whose volume exceeds its trades.
A plan holds numbers only; wire rows and tapes are made from it on request.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from kalshi_simulator import lifecycle
from kalshi_simulator.bins import Bin, bins_from, winning_bin
from kalshi_simulator.climate import CITIES, City, high_temperature
from kalshi_simulator.config import WorldConfig
from kalshi_simulator.seeds import stream
from kalshi_simulator.wire import HOUR, MINUTE, SECOND, day_start

_FIVE_BIN_DAYS = {
    date(2023, 12, 26): ("KXHIGHNY", "KXHIGHCHI"),
    date(2023, 12, 27): ("KXHIGHNY", "KXHIGHCHI", "KXHIGHMIA"),
    date(2023, 12, 28): ("KXHIGHNY", "KXHIGHCHI", "KXHIGHMIA"),
}
_FIVE_BINS_AGAIN = date(2025, 9, 1)
_SECOND_CHICAGO_EVENT = date(2024, 2, 28)
_DOUBLE_DASH = date(2023, 5, 11)


@dataclass(slots=True, eq=False)
class MarketPlan:
    """One market: its bin, and how its tape is cut from its event's template."""

    ticker: str
    event: EventPlan
    index: int
    """Place of the bin, coldest first."""
    keep: float
    """Share of the template's trades this market has; the oldest are left out."""
    quiet: bool
    """Nobody ever traded it (about 6 % of markets)."""
    exactly_1000: bool
    """Exactly one full page of trades, where the template is long enough."""
    short: bool
    """Its volume exceeds its trades for ever, as one finalized market of the exchange does."""

    @property
    def bin(self) -> Bin:
        """The bounds in °F."""
        return self.event.bins[self.index]

    @property
    def wins(self) -> bool:
        """Whether the settled temperature lies in this bin."""
        return self.index == self.event.winner


@dataclass(slots=True, eq=False)
class EventPlan:
    """One city's day. Moments are Unix microseconds."""

    ticker: str
    city: City
    day: date
    created: int
    opens: int
    closes: int
    settles: int
    bins: tuple[Bin, ...]
    winner: int
    temperature: int
    variant: float
    """Picks the tape template; 0 ≤ variant < 1."""
    scalar: bool = False
    blank_value: bool = False
    strike_date: bool = True
    markets: list[MarketPlan] = field(default_factory=list)


def plan_events(config: WorldConfig) -> list[EventPlan]:
    """Every event of the world, newest created first."""
    events: list[EventPlan] = []
    for place, series in enumerate(config.cities):
        city = CITIES[series]
        day = max(config.start, city.first_event)
        while day <= config.end:
            events.append(_plan_event(config, city, day, place, second=False))
            if config.oddities and series == "KXHIGHCHI" and day == _SECOND_CHICAGO_EVENT:
                events.append(_plan_event(config, city, day, place, second=True))
            day += timedelta(days=1)
    events.sort(key=lambda event: (event.created, event.ticker), reverse=True)
    return events


def event_code(day: date) -> str:
    """The date as tickers carry it: 2025-11-14 → `25NOV14`."""
    return day.strftime("%y%b%d").upper()


def _event_ticker(config: WorldConfig, city: City, day: date, *, second: bool) -> str:
    prefix = city.series
    if config.oddities and city.legacy is not None and day < lifecycle.RENAMED:
        prefix = city.legacy
    if second:
        prefix += "-2"
    if config.oddities and city.series == "KXHIGHMIA" and day == _DOUBLE_DASH:
        prefix += "-"
    return f"{prefix}-{event_code(day)}"


def _middle_bins(config: WorldConfig, city: City, day: date, rng: random.Random) -> int:
    draw = rng.random()
    if not config.oddities:
        return 4
    if city.series in _FIVE_BIN_DAYS.get(day, ()):
        return 3
    return 3 if day >= _FIVE_BINS_AGAIN and draw < 0.02 else 4


def _plan_event(config: WorldConfig, city: City, day: date, place: int, *, second: bool) -> EventPlan:
    rng = stream(config.seed, "event", city.series, day.toordinal(), second)
    temperature = high_temperature(config.seed, city, day)
    middle = _middle_bins(config, city, day, rng)
    forecast = temperature + rng.gauss(0, 2.3)
    bins = bins_from(round(forecast) - middle + rng.randrange(2), middle)
    previous = day_start(day - timedelta(days=1))
    following = day_start(day + timedelta(days=1))
    # One second per series, so that no two events of a world are created at the same instant.
    created = previous + 9 * HOUR + 33 * MINUTE + (2 * place + 20 * second) * SECOND + rng.randrange(2 * SECOND)
    event = EventPlan(
        ticker=_event_ticker(config, city, day, second=second),
        city=city,
        day=day,
        created=created,
        opens=lifecycle.opens(day),
        closes=lifecycle.closes(city, day),
        settles=following + 12 * HOUR + rng.randrange(2 * HOUR),
        bins=bins,
        winner=winning_bin(bins, temperature),
        temperature=temperature,
        variant=rng.random(),
    )
    scalar, blank, undated = rng.random(), rng.random(), rng.random()
    if config.oddities:
        event.scalar = day >= lifecycle.SETTLEMENT_VALUES and scalar < 1 / 400
        event.blank_value = not event.scalar and blank < 1 / 150
        event.strike_date = not (day.year <= 2025 and undated < 0.14)
    for index, entry in enumerate(bins):
        event.markets.append(_plan_market(config, event, index, f"{event.ticker}-{entry.suffix}", rng))
    return event


def _plan_market(config: WorldConfig, event: EventPlan, index: int, ticker: str, rng: random.Random) -> MarketPlan:
    keep = rng.uniform(0.6, 1.0)  # one template, but no two days with as many trades
    tail = index in (0, len(event.bins) - 1)
    quiet = rng.random() < (0.16 if tail else 0.02) and index != event.winner
    full_page, short = rng.random(), rng.random()
    return MarketPlan(
        ticker=ticker,
        event=event,
        index=index,
        keep=keep,
        quiet=quiet,
        exactly_1000=config.oddities and full_page < 0.05,
        short=config.oddities and not quiet and short < 1 / 3000,
    )
