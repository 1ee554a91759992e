"""Evidence by hand: what a clean database holds of some cities and days, to be broken in one place at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import (
    Claim,
    Evidence,
    HeldEvent,
    HeldMarket,
    Listed,
    MinuteDay,
    Rows,
    WeatherRows,
)
from kalshi_ingest.domain.checkpoint import State, Verdict
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.cross_check import PaidMarket, SettledEvent
from kalshi_ingest.domain.settlement import Settlement, Source
from kalshi_ingest.domain.tickers import event_ticker

START = date(2025, 11, 1)
DAYS = 3
CITIES = ("chicago", "miami", "austin", "la", "denver", "philadelphia")
TODAY = date(2025, 11, 20)
NOW = datetime(2025, 11, 20, tzinfo=UTC)
SCOPE = Scope(NOW)
CHICAGO = "KXHIGHCHI"
EVENT = "KXHIGHCHI-25NOV02"
LOSER = f"{EVENT}-B53.5"
WINNER = f"{EVENT}-B55.5"
DAY = date(2025, 11, 2)
WHOLE = MinuteDay("complete", 288, 0, 0, None, 288, 0)
"""A climate day of minutes with nothing to say about it."""
SETTLED = Settlement(55, Source.CLI, False, 55, 55, None, 55, None, None, None, None, None, 2)
"""An official maximum that lies in the bin that pays in `add_day`."""
BINS: tuple[tuple[str, str, int | None, int | None], ...] = (
    ("T53", "less", None, 53),
    ("B53.5", "between", 53, 54),
    ("B55.5", "between", 55, 56),
    ("B57.5", "between", 57, 58),
    ("B59.5", "between", 59, 60),
    ("T60", "greater", 60, None),
)


@dataclass
class Held:
    """Evidence that can be changed; `evidence()` freezes it."""

    series: dict[str, str | None] = field(default_factory=dict)
    asked: tuple[date, date] | None = None
    listed: dict[tuple[str, date], Listed] = field(default_factory=dict)
    events: dict[str, HeldEvent] = field(default_factory=dict)
    markets: dict[str, HeldMarket] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    weather: dict[str, WeatherRows] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        return Evidence(
            self.series,
            self.asked,
            self.listed,
            list(self.events.values()),
            list(self.markets.values()),
            self.claims,
            self.rows,
            self.weather,
        )

    def market(self, ticker: str, **changes: Any) -> None:
        self.markets[ticker] = replace(self.markets[ticker], **changes)

    def claim(self, ticker: str, **changes: Any) -> None:
        self.claims[ticker] = replace(self.claims[ticker], **changes)

    def row(self, ticker: str, **changes: Any) -> None:
        self.rows[ticker] = replace(self.rows[ticker], **changes)

    def add_day(self, series: str, day: date, *, named: str | None = None, winner: str = "B55.5") -> None:
        """One settled event with six bins, proved exact."""
        event = event_ticker(named or series, day)
        self.events[event] = HeldEvent(event, series, day)
        for suffix, kind, floor, cap in BINS:
            self.add_market(series, event, day, suffix, (kind, floor, cap), "yes" if suffix == winner else "no")
        before = self.listed.get((series, day), Listed(0, 0))
        self.listed[series, day] = Listed(before.events + 1, before.markets + len(BINS))

    def add_market(
        self,
        series: str,
        event: str,
        day: date,
        suffix: str,
        strikes: tuple[str, int | None, int | None],
        result: str | None,
    ) -> None:
        ticker = f"{event}-{suffix}"
        floor, cap = (None if value is None else Decimal(value) for value in strikes[1:])
        opens = datetime(day.year, day.month, day.day, 15, tzinfo=UTC) - timedelta(days=1)
        closes = opens + timedelta(hours=38)
        self.markets[ticker] = HeldMarket(
            ticker, event, series, day, strikes[0], floor, cap, "wire", opens, closes, closes, "settled", result, 5000
        )
        self.claims[ticker] = Claim(series, day, State.COMPLETE, Verdict.EXACT, 1, 10, 5000, 5000, None)
        first, last = opens + timedelta(hours=1), closes - timedelta(hours=1)
        self.rows[ticker] = Rows(10, 5000, first, last, 8, 6, 5000, 5000, 0, 0, 0, None)

    def lose_day(self, series: str, day: date) -> None:
        """Take every row of a date away, also the list of it."""
        self.listed.pop((series, day), None)
        gone = (series, day)
        self.events = {key: each for key, each in self.events.items() if (each.series_ticker, each.event_date) != gone}
        lost = {
            key for key, market in self.markets.items() if (market.series_ticker, market.event_date) == (series, day)
        }
        for ticker in lost:
            self.forget(ticker)

    def forget(self, ticker: str) -> None:
        """Take away all that is held of a market."""
        for rows in (self.markets, self.claims, self.rows):
            rows.pop(ticker, None)

    def add_weather(self, *cities: str) -> None:
        """Settlements that agree with what was paid, and full days of minutes, for every event date."""
        dates = sorted({event.event_date for event in self.events.values()})
        for city in cities:
            series = find_city(city).series_ticker
            paid = [self._paid(event) for event in self.events.values() if event.series_ticker == series]
            self.weather[city] = WeatherRows(dict.fromkeys(dates, SETTLED), paid, dict.fromkeys(dates, WHOLE))

    def _paid(self, event: HeldEvent) -> SettledEvent:
        won = (
            PaidMarket(each.ticker, each.strike_type, each.floor_strike, each.cap_strike, "55.00")
            for each in self.markets.values()
            if each.event_ticker == event.event_ticker and each.result == "yes"
        )
        return SettledEvent(event.series_ticker, event.event_ticker, event.event_date, tuple(won))

    def settlement(self, city: str, day: date, **changes: Any) -> None:
        """Change the settlement of one climate day."""
        held = self.weather[city]
        changed = replace(held.settlements[day], **changes)
        self.weather[city] = replace(held, settlements={**held.settlements, day: changed})

    def minutes(self, city: str, day: date, **changes: Any) -> None:
        """Change the minutes of one climate day."""
        held = self.weather[city]
        changed = replace(held.minutes.get(day, WHOLE), **changes)
        self.weather[city] = replace(held, minutes={**held.minutes, day: changed})

    def lose_weather(self, city: str, *days: date) -> None:
        """Take away the settlements and minutes of some climate days."""
        held = self.weather[city]
        self.weather[city] = replace(
            held,
            settlements={day: each for day, each in held.settlements.items() if day not in days},
            minutes={day: each for day, each in held.minutes.items() if day not in days},
        )


def clean(cities: Sequence[str] = CITIES, start: date = START, days: int = DAYS) -> Held:
    """What a finished backfill leaves."""
    held = Held(asked=(start, start + timedelta(days=days - 1)))
    for key in cities:
        city = find_city(key)
        held.series[city.series_ticker] = key
        for n in range(days):
            held.add_day(city.series_ticker, start + timedelta(days=n))
    return held
