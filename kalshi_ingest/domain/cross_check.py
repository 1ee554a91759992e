"""The official maximum against what the exchange paid: compared and explained, never overwritten."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from kalshi_ingest.domain.settlement import Settlement

TWC_SINCE = date(2026, 8, 14)
"""From this event date on The Weather Company states the settling number, before it the National Weather Service."""

_NUMBER = re.compile(r"\s*(-?\d{1,4}(?:\.\d{1,6})?)(?![\d.])")


class Verdict(StrEnum):
    """Whether the official maximum lies in the bin that paid."""

    AGREE = "agree"
    DISAGREE = "disagree"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class PaidMarket:
    """A market that settled yes."""

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
    """Newest CLI, corrections included."""
    expiration_f: Decimal | None
    """The number that the exchange says it settled on; None: it does not say."""
    paid: str | None
    """Ticker of the market that paid."""
    reason: str | None
    """Why they disagree, likely, or why it cannot be told. None: they agree."""

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
    latest = None if settlement is None else settlement.tmax_cli_f
    expiration = _leading_number(next((m.expiration_value for m in paid if m.expiration_value), None))
    inside = None if winner is None or official is None else in_bin(winner, official)
    verdict, reason = Verdict.CANNOT_TELL, None
    if winner is None:
        reason = f"{len(paid) or 'no'} markets of the event paid"
    elif official is None:
        reason = "no full-day maximum is held"
    elif inside is None:
        reason = f"the strikes of {winner.ticker} are not known"
    elif inside:
        verdict = Verdict.AGREE
    else:
        verdict, reason = Verdict.DISAGREE, _likely(winner, event_date, official, latest)
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


def _likely(winner: PaidMarket, event_date: date, official: int, latest: int | None) -> str:
    if latest is not None and latest != official:
        if in_bin(winner, latest):
            return f"it paid on a correction: the first full-day report says {official}, the latest {latest}"
        return f"the report was corrected ({official}, then {latest}), and it paid on neither"
    if event_date >= TWC_SINCE or "Weather Company" in (winner.authority or ""):
        return "settled by The Weather Company, which may hold another number than the report"
    return "unknown"


def _leading_number(text: str | None) -> Decimal | None:
    found = _NUMBER.match(text or "")
    return None if found is None else Decimal(found[1])
