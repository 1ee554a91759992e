"""What a synthetic world holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from kalshi_ingest.simulator.climate import CITIES

CITIES_OF_THE_PRODUCT = ("KXHIGHCHI", "KXHIGHMIA", "KXHIGHAUS", "KXHIGHLAX", "KXHIGHDEN", "KXHIGHPHIL")
ARCHIVE_AGE = timedelta(days=60)
"""How far the exchange's cutoff trails: about sixty days were observed, always at midnight UTC."""

_HIGHEST_MEAN = 1_500
"""Templates end at about 2,650 trades, so a higher mean cannot be met; `giant` has no such bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """A seeded world: the same config gives the same bytes.

    `now` (UTC) decides which markets exist, trade, are closed or settled. `cutoff` (UTC midnight) parts the
    historical from the live tier; left out, it is sixty days before `now`, floored to midnight.
    """

    start: date
    end: date
    now: datetime
    seed: int = 1
    cities: tuple[str, ...] = CITIES_OF_THE_PRODUCT
    cutoff: datetime | None = None
    trades_per_market: float = 150.0
    oddities: bool = True
    giant: int = 0

    def __post_init__(self) -> None:
        unknown = [series for series in self.cities if series not in CITIES]
        if unknown:
            raise ValueError(f"unknown series {', '.join(unknown)}; known are {', '.join(CITIES)}")
        if self.now.tzinfo is None or (self.cutoff is not None and self.cutoff.tzinfo is None):
            raise ValueError("now and cutoff need a time zone")
        if not 0 < self.trades_per_market <= _HIGHEST_MEAN:
            raise ValueError(f"trades_per_market must be above 0 and at most {_HIGHEST_MEAN}")

    def archive_cutoff(self) -> datetime:
        """The cutoff in force at the start."""
        if self.cutoff is not None:
            return self.cutoff
        return datetime.combine((self.now - ARCHIVE_AGE).astimezone(UTC).date(), time(0), tzinfo=UTC)
