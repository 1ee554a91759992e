"""The official maximum against what the exchange paid: compared and explained, never overwritten."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from kalshi_ingest.domain.settlement import Settlement, Source

TWC_SINCE = date(2026, 8, 14)
"""From this event date on The Weather Company states the settling number, before it the National Weather Service."""

_NUMBER = re.compile(r"\s*(-?\d{1,4}(?:\.\d{1,6})?)(?![\d.])")


class Verdict(StrEnum):
    """Which of the official numbers lies in the bin that paid."""

    AGREE = "agree"
    """The first full-day report and the latest."""
    FIRST_ONLY = "first only"
    """The first, as the rules want; it was corrected out of the bin afterwards."""
    LATEST_ONLY = "latest only"
    """A correction, not the first."""
    DISAGREE = "disagree"
    """Neither, though the National Weather Service states the settling number."""
    SOURCE_NOT_HELD = "source not held"
    """Neither, and The Weather Company, which is not read here, states the settling number: not an error."""
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class PaidMarket:
    ticker: str
    strike_type: str | None
    floor: Decimal | None
    cap: Decimal | None
    expiration_value: str | None
    """The settling temperature in the exchange's words."""
    authority: str | None = None
    """Who states the settling number, as the market's rules name it."""


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """An event all of whose markets have a result."""

    series_ticker: str
    event_ticker: str
    event_date: date
    paid: tuple[PaidMarket, ...]


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """One settled event; temperatures in °F."""

    event_ticker: str
    event_date: date
    verdict: Verdict
    official_f: int | None
    latest_f: int | None
    """Newest CLI, corrections included; the official maximum where another source fills the day."""
    expiration_f: Decimal | None
    """The number that the exchange says it settled on; None: it does not say."""
    paid: str | None
    reason: str | None
    """The likely reason why they differ, or why that is not known. None: they agree."""

    @property
    def values_differ(self) -> bool:
        """Whether the exchange settled on another number than the official one, if only within the bin."""
        return None not in (self.official_f, self.expiration_f) and self.official_f != self.expiration_f

    @property
    def text(self) -> str:
        """Both numbers and the reason, for a person."""
        paid = f"{self.paid} paid" + (f" on {self.expiration_f} °F" if self.expiration_f is not None else "")
        why = f" ({self.reason})" if self.reason else ""
        return f"{paid}, the official maximum is {self.official_f} °F{why}"


def cross_check(
    event_ticker: str, event_date: date, paid: Sequence[PaidMarket], settlement: Settlement | None
) -> CrossCheck:
    """Compare one settled event, of which `paid` are the markets that settled yes, with its climate day."""
    winner = paid[0] if len(paid) == 1 else None
    official = None if settlement is None or settlement.is_preliminary else settlement.tmax_final_f
    # Where another source fills the day, the newest CLI that is held is a partial one.
    latest = settlement.tmax_cli_f if settlement is not None and settlement.source is Source.CLI else official
    stated = _NUMBER.match(next((m.expiration_value for m in paid if m.expiration_value), ""))
    expiration = None if stated is None else Decimal(stated[1])
    inside = None if winner is None or official is None else in_bin(winner, official)
    verdict, reason = Verdict.CANNOT_TELL, None
    if winner is None:
        reason = f"{len(paid) or 'no'} markets of the event paid"
    elif official is None:
        reason = "no full-day maximum is held"
    elif inside is None:
        reason = f"the strikes of {winner.ticker} are not known"
    else:
        twc = event_date >= TWC_SINCE or "Weather Company" in (winner.authority or "")
        latest_inside = inside if latest is None else in_bin(winner, latest)
        verdict = _verdict(inside, latest_inside, settled_by_twc=twc)
        first_known = settlement is not None and settlement.tmax_cli_first_f is not None
        reason = _reason(verdict, official, latest, first_known=first_known)
    ticker = None if winner is None else winner.ticker
    return CrossCheck(event_ticker, event_date, verdict, official, latest, expiration, ticker, reason)


def in_bin(market: PaidMarket, degrees: int) -> bool | None:
    """Whether the market covers this temperature: between inclusive, less and greater strict. None: not known."""
    floor, cap = market.floor, market.cap
    match market.strike_type:
        case "between" if floor is not None and cap is not None:
            return floor <= degrees <= cap
        case "less" if cap is not None:
            return degrees < cap
        case "greater" if floor is not None:
            return degrees > floor
        case _:
            return None


def _verdict(first: bool, latest: bool | None, *, settled_by_twc: bool) -> Verdict:
    if first:
        return Verdict.AGREE if latest else Verdict.FIRST_ONLY
    if latest:
        return Verdict.LATEST_ONLY
    return Verdict.SOURCE_NOT_HELD if settled_by_twc else Verdict.DISAGREE


def _reason(verdict: Verdict, official: int, latest: int | None, *, first_known: bool) -> str | None:
    match verdict:
        case Verdict.AGREE:
            return None
        case Verdict.FIRST_ONLY:
            return f"the latest report says {latest}"
        case Verdict.LATEST_ONLY:
            return f"it paid on a correction: the first full-day report says {official}, the latest {latest}"
    if latest is not None and latest != official:
        both = f"the report was corrected ({official}, then {latest}), and it paid on neither"
    else:
        both = "" if first_known else "whether this was the first full-day report is not known"
    twc = "settled by The Weather Company, whose number is not held"
    parts = [part for part in (both, twc if verdict is Verdict.SOURCE_NOT_HELD else "") if part]
    return "; ".join(parts) or "unknown"
