"""Whether an event's markets cover every whole degree once: `less` to cap - 1, `between`, `greater` from floor + 1."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from kalshi_ingest.coverage.rules.evidence import HeldMarket

_ENDLESS = Decimal("Infinity")


def fault(markets: Sequence[HeldMarket]) -> str | None:
    """What keeps the bins of one event from covering every temperature exactly once; None when nothing does."""
    unknown = [market.ticker for market in markets if _range(market) is None]
    if unknown:
        return f"the strikes of {', '.join(sorted(unknown))} are not known"
    ranges = sorted((found, market.ticker) for market in markets if (found := _range(market)) is not None)
    if not ranges:
        return "it has no market"
    if ranges[0][0][0] != -_ENDLESS:
        return f"no market covers temperatures below {ranges[0][0][0]}"
    for ((_, high), ticker), ((low, _), following) in pairwise(ranges):
        if low <= high:
            return f"{ticker} and {following} both cover {low if low > -_ENDLESS else 'the lowest temperatures'}"
        if low > high + 1:
            return f"no market covers {_degrees(high + 1, low - 1)}, between {ticker} and {following}"
    if ranges[-1][0][1] != _ENDLESS:
        return f"no market covers temperatures above {ranges[-1][0][1]}"
    return None


def _degrees(low: Decimal, high: Decimal) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _range(market: HeldMarket) -> tuple[Decimal, Decimal] | None:
    """The lowest and highest whole degree covered; None when it is not known."""
    floor, cap = market.floor_strike, market.cap_strike
    match market.strike_type:
        case "between" if floor is not None and cap is not None and floor <= cap:
            return floor, cap
        case "less" if cap is not None:
            return -_ENDLESS, cap - 1
        case "greater" if floor is not None:
            return floor + 1, _ENDLESS
        case _:
            return None
