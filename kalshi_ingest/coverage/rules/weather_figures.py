"""Counts of the weather of one city, or of all. `expected` is what should exist, never what is there."""

from dataclasses import dataclass

from kalshi_ingest.domain.calendar import SLOTS_A_DAY


@dataclass(frozen=True, slots=True)
class SettlementFigures:
    """Climate days by what is known of their official maximum, and settled events by what they paid on."""

    days_expected: int = 0
    """Days with a full-day maximum, and those that should have one by now."""
    days_settled: int = 0
    """With a full-day maximum; the next four say from which source."""
    cli: int = 0
    cf6: int = 0
    iem_cf6: int = 0
    ghcnd: int = 0
    days_preliminary: int = 0
    """Days that should be settled and have a partial report only."""
    days_missing: int = 0
    """Days that should be settled and have no value at all."""
    days_pending: int = 0
    """Days without a full-day maximum that ended less than half a day ago, or have not: not expected yet."""
    agree: int = 0
    """From here to `cannot_tell`: settled events by the `Verdict` of `domain.cross_check`."""
    first_only: int = 0
    latest_only: int = 0
    disagree: int = 0
    source_not_held: int = 0
    cannot_tell: int = 0
    conflicts: int = 0
    """Settled days whose sources differ by 2 °F or more."""
    differ_by_one: int = 0
    """Settled days whose sources differ by 1 °F, as rounding makes them."""


@dataclass(frozen=True, slots=True)
class MinuteFigures:
    """Climate days by what is held of their 288 five-minute slots, as their claims say."""

    days_expected: int = 0
    """Days that the sources should have all of by now."""
    days_whole: int = 0
    """Fetched, and no slot missing."""
    days_short: int = 0
    """Fetched after the source had all of it, with slots that stay missing."""
    days_open: int = 0
    """Fetched too early to be complete, and not since."""
    days_hourly: int = 0
    """Fetched days that consist of hourly reports; for two weeks better readings may still come."""
    days_failed: int = 0
    days_never_fetched: int = 0
    days_pending: int = 0
    """Days that ended less than two days ago, or have not: not expected yet."""
    slots_observed: int = 0
    slots_filled: int = 0
    """Slots that hold a copy of the previous observation."""
    slots_missing: int = 0
    """Expected slots with neither, those of days never fetched among them."""

    @property
    def slots_expected(self) -> int:
        return SLOTS_A_DAY * self.days_expected

    @property
    def filled_share(self) -> float | None:
        """Copies per *expected* slot, 0 to 1; None when no day is expected."""
        return self.slots_filled / self.slots_expected if self.days_expected else None
