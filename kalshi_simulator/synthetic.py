"""A seeded world of daily-high markets: years of events, millions of trades, built in a moment.

Only the plans of events are made up front. Market rows are written when a list asks for them, trades when
a page does; see `templates` for why that is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zlib import crc32

import orjson

from kalshi_simulator.climate import CITIES
from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.config import WorldConfig
from kalshi_simulator.giant import GiantTape
from kalshi_simulator.plan import EventPlan, MarketPlan, plan_events
from kalshi_simulator.seeds import digest
from kalshi_simulator.series_event_rows import city_series, neighbours
from kalshi_simulator.synthetic_entries import StrayEvent, SyntheticEvent, SyntheticMarket
from kalshi_simulator.tapes import CutTape
from kalshi_simulator.templates import TemplateLibrary
from kalshi_simulator.wire import DAY, HOUR, Row, day_start
from kalshi_simulator.world import EventEntry, MarketEntry

_LARGE_WORLD = 500


class SyntheticWorld:
    """All of an exchange's daily-high markets between two dates, as of the present moment of its clock.

    The clock stands still at the config's `now` unless it is given or made to run. As time passes or is set, markets
    are made, open, close and settle, and trades appear. `cutoff` and `now` are settable, and a cutoff that was set
    no longer moves by itself.
    """

    def __init__(self, config: WorldConfig, clock: SimulatedClock | None = None) -> None:
        self.config = config
        self.clock = clock or SimulatedClock(config.now)
        self._cutoff = config.cutoff
        self._archive_age = config.archive_age // timedelta(microseconds=1)
        self._trailing = 0, config.now
        self._library = TemplateLibrary(config.seed, config.trades_per_market)
        plans = plan_events(config)
        self._events: list[SyntheticEvent | StrayEvent] = [SyntheticEvent(plan, self) for plan in plans]
        self._add_stray()
        self._by_ticker = {event.ticker: event for event in self._events}
        self._markets = [market for event in self._events for market in event.markets]
        self._market_by_ticker = {market.ticker: market for market in self._markets}
        self._events_of: dict[str, list[SyntheticEvent | StrayEvent]] = {}
        self._markets_of: dict[str, list[SyntheticMarket]] = {}
        for event in self._events:
            self._events_of.setdefault(event.series_ticker, []).append(event)
            self._markets_of.setdefault(event.series_ticker, []).extend(event.markets)
        self._short = [market for market in self._markets if market.plan.short]
        self._mark_one_short()
        self.giant_market = self._choose_giant(plans)
        self._giant: GiantTape | None = None

    @property
    def now(self) -> datetime:
        """The moment this world shows (UTC)."""
        return self.clock.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.clock.now = moment

    @property
    def micros(self) -> int:
        """`now` as Unix microseconds."""
        return self.clock.micros

    @property
    def cutoff(self) -> datetime:
        """What was settled or traded before it is in the historical tier (UTC)."""
        if self._cutoff is not None:
            return self._cutoff
        day = (self.clock.micros - self._archive_age) // DAY
        if self._trailing[0] != day:  # made once a day: lists ask for it with every row
            self._trailing = day, self.config.trailing_cutoff(day)
        return self._trailing[1]

    @cutoff.setter
    def cutoff(self, moment: datetime) -> None:
        self._cutoff = moment

    @property
    def summary(self) -> str:
        """One line for a person who starts the simulator."""
        return (
            f"{len(self._markets):,} markets of {len(self.config.cities)} series,"
            f" event dates {self.config.start} to {self.config.end}"
        )

    @property
    def short_markets(self) -> frozenset[str]:
        """Settled markets whose volume exceeds the sum of their trades for ever."""
        return frozenset(market.ticker for market in self._short if market.status == "finalized")

    # The truth, for comparisons.

    def market_tickers(self) -> list[str]:
        """Every market that exists by now, newest created first."""
        return [market.ticker for market in self.entries(None)]

    def market(self, ticker: str) -> Row:
        """The market's wire row in live form."""
        with self.clock.one_moment():
            return self._market_by_ticker[ticker].row()

    def trades(self, ticker: str) -> list[Row]:
        """All trades of a market in wire form, newest first, whatever tier serves them."""
        tape = self.cut_tape(self._market_by_ticker[ticker].plan)
        rows: list[Row] = orjson.loads(b"[" + tape.rows(0, len(tape)) + b"]")
        return rows

    def trade_count(self, ticker: str) -> int:
        """How many trades a market has, without making them."""
        return len(self.cut_tape(self._market_by_ticker[ticker].plan))

    # What the server asks for.

    def series_rows(self) -> Sequence[Row]:
        """The chosen cities, their legacy objects, and a few strangers."""
        return [row for series in self.config.cities for row in city_series(CITIES[series])] + neighbours()

    def events(self, series: str | None) -> Sequence[EventEntry]:
        """Events that exist by now, newest created first."""
        found = self._events if series is None else self._events_of.get(series, [])
        return found[_not_yet(found, self.micros) :]

    def event(self, ticker: str) -> EventEntry | None:
        """One event, if it exists by now."""
        event = self._by_ticker.get(ticker)
        return event if event is not None and event.created <= self.micros else None

    def entries(self, series: str | None) -> Sequence[MarketEntry]:
        """Markets that exist by now, newest created first."""
        found = self._markets if series is None else self._markets_of.get(series, [])
        return found[_not_yet(found, self.micros) :]

    def entry(self, ticker: str) -> MarketEntry | None:
        """One market, if it exists by now."""
        market = self._market_by_ticker.get(ticker)
        return market if market is not None and market.created <= self.micros else None

    def tape(self, ticker: str) -> CutTape | GiantTape | None:
        """The tape of a market, or None for an unknown one."""
        market = self._market_by_ticker.get(ticker)
        return None if market is None else self.cut_tape(market.plan)

    def cut_tape(self, plan: MarketPlan) -> CutTape | GiantTape:
        """The trades a planned market has by now."""
        if plan.ticker == self.giant_market:
            if self._giant is None:
                self._giant = GiantTape(plan, self.config.seed, self.config.giant)
            return self._giant
        event = plan.event
        template = self._library.tape(len(event.bins), event.winner, event.variant, plan.index)
        return CutTape(plan, template, self.config.seed, self.micros)

    def _add_stray(self) -> None:
        if not self.config.oddities or not self.config.cities:
            return
        series = self.config.cities[0]
        name = digest(32, self.config.seed, "stray event", series)
        ticker = f"test_{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
        created = day_start(max(self.config.start, CITIES[series].first_event)) - DAY + 17 * HOUR
        self._events.append(StrayEvent(ticker, series, created))
        self._events.sort(key=lambda event: (event.created, event.ticker), reverse=True)

    def _mark_one_short(self) -> None:
        """A large world has at least one market that stays short of its volume."""
        if not self.config.oddities or len(self._markets) <= _LARGE_WORLD or self.short_markets:
            return
        settled = [m for m in self._markets if m.settled is not None and not m.plan.quiet]
        if settled:
            chosen = min(settled, key=lambda market: crc32(market.ticker.encode()))
            chosen.plan.short = True
            self._short.append(chosen)

    def _choose_giant(self, plans: list[EventPlan]) -> str | None:
        if self.config.giant <= 0:
            return None
        settled = [event for event in plans if event.settles <= self.micros]
        if not settled:
            raise ValueError("a giant market needs a settled event, and this world has none")
        event = min(settled, key=lambda plan: crc32(plan.ticker.encode()))
        return next(plan.ticker for plan in event.markets if plan.wins)


def _not_yet(found: Sequence[SyntheticMarket | SyntheticEvent | StrayEvent], now: int) -> int:
    """How many leading entries are not created yet."""
    low, high = 0, len(found)
    while low < high:
        middle = (low + high) // 2
        if found[middle].created > now:
            low = middle + 1
        else:
            high = middle
    return low
