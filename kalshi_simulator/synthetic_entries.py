"""Markets and events of a synthetic world as lists see them, at the world's present moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kalshi_simulator import lifecycle
from kalshi_simulator.config import WorldConfig
from kalshi_simulator.giant import GiantTape
from kalshi_simulator.market_row import SURPLUS, Phase, Trading, market_row
from kalshi_simulator.plan import EventPlan, MarketPlan
from kalshi_simulator.series_event_rows import event_row, stray_event_row
from kalshi_simulator.tapes import CutTape
from kalshi_simulator.wire import DAY, SECOND, Row


class Present(Protocol):
    """What an entry needs of its world."""

    @property
    def config(self) -> WorldConfig: ...
    @property
    def micros(self) -> int:
        """The present moment, Unix microseconds."""

    def cut_tape(self, plan: MarketPlan) -> CutTape | GiantTape:
        """The trades a market has by now."""


def open_interest(volume: int, place: int, total: int) -> int:
    """Contracts still open after the first `place` of `total` trades; may fall, as on the exchange."""
    return volume * (90 * total - 40 * place) // (100 * total) if total else 0


class SyntheticMarket:
    """One market; its status follows the world's clock."""

    __slots__ = ("_world", "created", "plan", "ticker")

    def __init__(self, plan: MarketPlan, world: Present) -> None:
        self.plan = plan
        self.ticker = plan.ticker
        self.created = plan.event.created
        self._world = world

    @property
    def event_ticker(self) -> str:
        """Ticker of its event."""
        return self.plan.event.ticker

    @property
    def series_ticker(self) -> str:
        """Ticker of its series, which for legacy tickers is no prefix of its own."""
        return self.plan.event.city.series

    @property
    def closes(self) -> int:
        """End of trading."""
        return self.plan.event.closes

    @property
    def settled(self) -> int | None:
        """When it was settled, or None before that."""
        settles = self.plan.event.settles
        return settles if settles <= self._world.micros else None

    @property
    def status(self) -> str:
        """Field vocabulary."""
        return self._phase().status

    @property
    def updated(self) -> int:
        """Last change of metadata."""
        return self._phase().updated

    def row(self) -> Row:
        """The live tier's JSON object."""
        tape = self._world.cut_tape(self.plan)
        phase = self._phase()
        volume = tape.volume
        surplus = SURPLUS if self.plan.short and phase.status == "finalized" else 0
        trading = Trading(
            volume=volume + surplus,
            volume_24h=tape.volume_since(self._world.micros - DAY),
            open_interest=open_interest(volume, len(tape), len(tape)),
            last_price=tape.last_price(),
        )
        return market_row(self.plan, phase, trading, oddities=self._world.config.oddities)

    def _phase(self) -> Phase:
        event, now = self.plan.event, self._world.micros
        determined = event.settles - lifecycle.settlement_timer(event.day) * SECOND
        opened = event.opens + SECOND + event.created % SECOND // 5
        if now >= event.settles:
            return Phase("finalized", event.settles + 30_647)
        if now >= determined:
            return Phase("determined", determined)
        if now >= event.closes:
            return Phase("closed", event.closes)
        if now >= event.opens:
            return Phase("active", opened)
        return Phase("initialized", event.created)


class SyntheticEvent:
    """One city's day with its markets, by ticker descending."""

    __slots__ = ("_world", "created", "markets", "plan", "series_ticker", "ticker")

    def __init__(self, plan: EventPlan, world: Present) -> None:
        self.plan = plan
        self.ticker = plan.ticker
        self.series_ticker = plan.city.series
        self.created = plan.created
        self._world = world
        self.markets = [
            SyntheticMarket(market, world)
            for market in sorted(plan.markets, key=lambda market: market.ticker, reverse=True)
        ]

    def row(self) -> Row:
        """The JSON object without nested markets."""
        return event_row(self.plan, max(market.updated for market in self.markets))


class StrayEvent:
    """An event without markets that does not belong among the daily highs."""

    __slots__ = ("created", "markets", "series_ticker", "ticker")

    def __init__(self, ticker: str, series_ticker: str, created: int) -> None:
        self.ticker = ticker
        self.series_ticker = series_ticker
        self.created = created
        self.markets: Sequence[SyntheticMarket] = ()

    def row(self) -> Row:
        """The JSON object."""
        return stray_event_row(self.ticker, self.series_ticker)
