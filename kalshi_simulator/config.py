"""What a synthetic world holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kalshi_simulator.climate import CITIES
from kalshi_simulator.wire import DAY, from_micros

CITIES_OF_THE_PRODUCT = ("KXHIGHCHI", "KXHIGHMIA", "KXHIGHAUS", "KXHIGHLAX", "KXHIGHDEN", "KXHIGHPHIL")
ARCHIVE_AGE = timedelta(days=60)
"""How far the exchange's cutoff trails: about sixty days were observed, always at midnight UTC."""

_HIGHEST_MEAN = 3_000
"""Ten times the recorded mean: markets of up to thirty pages. Templates are held in memory; `giant` has no such bound.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """A seeded world: the same config gives the same bytes.

    `now` (UTC) is the moment the world begins at; it decides which markets exist, trade, are closed or settled.
    `cutoff` (UTC midnight) parts the historical from the live tier. Left out, it moves with the clock: the last
    midnight that is `archive_age` ago, on every `cutoff_days`-th day only (the exchange's stands still for two days
    and then jumps two; which days those are is seeded).
    """

    start: date
    end: date
    now: datetime
    seed: int = 1
    cities: tuple[str, ...] = CITIES_OF_THE_PRODUCT
    cutoff: datetime | None = None
    archive_age: timedelta = ARCHIVE_AGE
    cutoff_days: int = 1
    trades_per_market: float = 150.0
    oddities: bool = True
    giant: int = 0

    def __post_init__(self) -> None:
        unknown = [series for series in self.cities if series not in CITIES]
        if unknown:
            raise ValueError(f"unknown series {', '.join(unknown)}; known are {', '.join(CITIES)}")
        if self.now.tzinfo is None or (self.cutoff is not None and self.cutoff.tzinfo is None):
            raise ValueError("now and cutoff need a time zone")
        if self.archive_age < timedelta(0) or self.cutoff_days < 1:
            raise ValueError("archive_age must not be negative, and cutoff_days at least 1")
        if not 0 < self.trades_per_market <= _HIGHEST_MEAN:
            raise ValueError(f"trades_per_market must be above 0 and at most {_HIGHEST_MEAN}")

    def trailing_cutoff(self, day: int) -> datetime:
        """The cutoff while the newest midnight that is old enough begins this day (days since 1970, UTC)."""
        return from_micros((day - (day + self.seed) % self.cutoff_days) * DAY)
