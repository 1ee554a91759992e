"""What the server asks of a world, and the rule that parts the two tiers.

A world holds series, events, markets and tapes in wire form. The server adds HTTP, paging, filters,
budgets and faults; it never looks inside a world.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.tapes import Tape
from kalshi_simulator.wire import Row, to_micros


class Tier(Enum):
    """Where a row is served: markets are parted by settlement time, trades by trade time."""

    LIVE = "live"
    HISTORICAL = "historical"


class MarketEntry(Protocol):
    """One market as lists need it. Moments are Unix microseconds."""

    @property
    def ticker(self) -> str: ...
    @property
    def event_ticker(self) -> str: ...
    @property
    def series_ticker(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def updated(self) -> int:
        """Last change of metadata; trades do not move it."""

    @property
    def closes(self) -> int: ...
    @property
    def settled(self) -> int | None:
        """When it was settled, or None before that."""

    @property
    def status(self) -> str:
        """Field vocabulary: initialized, active, inactive, closed, determined, …, finalized."""

    def row(self) -> Row:
        """The live tier's JSON object."""


class EventEntry(Protocol):
    """One event as lists need it. Moments are Unix microseconds."""

    @property
    def ticker(self) -> str: ...
    @property
    def series_ticker(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def markets(self) -> Sequence[MarketEntry]: ...
    def row(self) -> Row:
        """The JSON object without nested markets."""


class World(Protocol):
    """Everything an exchange knows. Sequences are newest created first, then by ticker descending."""

    cutoff: datetime
    """Settled before it: historical. Settable, so that a test can move it during a walk."""

    clock: SimulatedClock
    """The present moment. Where data does not move on, only the server's own answers follow it."""

    @property
    def summary(self) -> str:
        """One line for a person who starts the simulator."""

    def series_rows(self) -> Sequence[Row]: ...
    def events(self, series: str | None) -> Sequence[EventEntry]: ...
    def event(self, ticker: str) -> EventEntry | None: ...
    def entries(self, series: str | None) -> Sequence[MarketEntry]: ...
    def entry(self, ticker: str) -> MarketEntry | None: ...
    def tape(self, ticker: str) -> Tape | None:
        """The tape of a market, or None for an unknown one."""


def in_tier(entry: MarketEntry, tier: Tier, cutoff: datetime, overlap: timedelta) -> bool:
    """Whether a market is served by a tier; `overlap` keeps archived markets in the live tier for a while."""
    settled = entry.settled
    if tier is Tier.HISTORICAL:
        return settled is not None and settled < to_micros(cutoff)
    return settled is None or settled >= to_micros(cutoff - overlap)


def tier_range(tape: Tape, tier: Tier, cutoff: datetime, overlap: timedelta) -> tuple[int, int]:
    """The rows of a tape that a tier serves, as start and stop index."""
    if tier is Tier.HISTORICAL:
        return tape.since(to_micros(cutoff)), len(tape)
    return 0, tape.since(to_micros(cutoff - overlap))
