"""Which tiers can hold a market's trades."""

from datetime import datetime

from kalshi_ingest.domain.model import Cutoff, Tier, Unit


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
