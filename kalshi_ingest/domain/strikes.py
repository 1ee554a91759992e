"""Strikes of an event's markets, filled in where the exchange left them out.

Market rows lack strike type and strikes on 2021-era markets, on the winner of every event from 2025-01-16 to
2025-02-09, and sometimes elsewhere. What is on the wire always wins; else the subtitle states them ("43° to 44°");
else the ticker and the other markets of the event do (B55.5 is a bin around 55.5; a T market lies beyond the
bins). Whatever remains in doubt stays unknown.

Meaning, for a temperature T in whole degrees Fahrenheit: `between` floor ≤ T ≤ cap, `less` T < cap,
`greater` T > floor. So "42° or below" is `less` with cap 43, and "81° or above" is `greater` with floor 80.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeVar

from kalshi_ingest.domain.model import Market
from kalshi_ingest.domain.tickers import parse_market_ticker
from kalshi_ingest.errors import BadPayload

StrikeSource = Literal["wire", "subtitle", "neighbours"]

_Guess = tuple[str, Decimal | None, Decimal | None]
"""Strike type, floor, cap."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BinRow:
    """What one market's row says about its strikes."""

    ticker: str
    strike_type: str | None
    floor: Decimal | None
    cap: Decimal | None
    subtitle: str
    """`yes_sub_title`, or `subtitle` where that is empty; may be empty."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A market's strikes and where they come from; all None when they are not known."""

    strike_type: str | None
    """The exchange's word: less, between, greater …"""
    floor: Decimal | None
    cap: Decimal | None
    source: StrikeSource | None
    """wire: only the row's own fields. subtitle, neighbours: at least one of the values comes from there."""


UNKNOWN = Strike(None, None, None, None)

_NEEDS: dict[str, tuple[bool, bool]] = {
    "between": (True, True),
    "less": (False, True),
    "less_or_equal": (False, True),
    "greater": (True, False),
    "greater_or_equal": (True, False),
}
"""Strike type → whether a floor and whether a cap belongs to it. Types of other series need neither."""

_NUMBER = r"(?P<{}>[-\N{{MINUS SIGN}}]?[0-9]{{1,6}}(?:\.[0-9]{{1,6}})?) ?°? ?F?"
_LOW, _HIGH = _NUMBER.format("low"), _NUMBER.format("high")
_PHRASES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("between", re.compile(rf"{_LOW} ?(?:to|-|\N{{EN DASH}}) ?{_HIGH}", re.IGNORECASE)),
    ("at most", re.compile(rf"{_HIGH} or (?:below|lower|less)", re.IGNORECASE)),
    ("at least", re.compile(rf"{_LOW} or (?:above|higher|more)", re.IGNORECASE)),
    ("less", re.compile(rf"(?:below|under|less than|<) ?{_HIGH}", re.IGNORECASE)),
    ("greater", re.compile(rf"(?:above|over|greater than|more than|>) ?{_LOW}", re.IGNORECASE)),
)
"""The first three occur in every recorded event; the last two are how the market titles and rules put it."""


def resolve(bins: Sequence[BinRow]) -> list[Strike]:
    """The strikes of all markets of one event, in the order given.

    Give the whole event: neighbours can only help if they are there. Values on the wire are never changed, and
    a guess that contradicts one of them, or overlaps another market's range, is not used.
    """
    known = [_from_row(row) for row in bins]
    guesses = [
        _agreed(row, _from_neighbours(row.ticker, _without(bins, n), _without(known, n)), "neighbours")
        if known[n] is None
        else None
        for n, row in enumerate(bins)
    ]
    best = [strike or guess for strike, guess in zip(known, guesses, strict=True)]
    return [
        known[n] or _unless_overlapping(guesses[n], _without(best, n)) or _as_given(row) for n, row in enumerate(bins)
    ]


def _from_row(row: BinRow) -> Strike | None:
    """What the row alone proves: its own fields, or these together with its subtitle; None if not enough."""
    if row.strike_type is not None:
        floor_needed, cap_needed = _NEEDS.get(row.strike_type, (False, False))
        if (row.floor is not None or not floor_needed) and (row.cap is not None or not cap_needed):
            return _as_given(row)
    return _agreed(row, _from_subtitle(row.subtitle), "subtitle")


def _as_given(row: BinRow) -> Strike:
    """The row's own fields, be they incomplete; UNKNOWN when it has none."""
    if row.strike_type is None and row.floor is None and row.cap is None:
        return UNKNOWN
    return Strike(row.strike_type, row.floor, row.cap, "wire")


def _agreed(row: BinRow, guess: _Guess | None, source: StrikeSource) -> Strike | None:
    """`guess` as a strike, unless the row's own fields say otherwise."""
    if guess is None:
        return None
    fields = (row.strike_type, row.floor, row.cap)
    if any(own is not None and own != guessed for own, guessed in zip(fields, guess, strict=True)):
        return None
    return Strike(*guess, source)


def _from_subtitle(subtitle: str) -> _Guess | None:
    text = " ".join(subtitle.replace("*", "").split())
    for phrase, pattern in _PHRASES:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        number = {name: Decimal(digits.replace("\N{MINUS SIGN}", "-")) for name, digits in match.groupdict().items()}
        if phrase == "between":
            return ("between", number["low"], number["high"]) if number["low"] <= number["high"] else None
        if phrase in ("less", "greater"):
            return phrase, number.get("low"), number.get("high")
        if any(value != value.to_integral_value() for value in number.values()):
            return None  # "80.5° or above" has no strict bound in whole degrees that means the same
        if phrase == "at most":
            return "less", None, number["high"] + 1
        return "greater", number["low"] - 1, None
    return None


def _from_neighbours(ticker: str, others: Sequence[BinRow], known: Sequence[Strike | None]) -> _Guess | None:
    """What the ticker says in the light of the event's other markets, whose known strikes are `known`."""
    kind, number = _bin_of(ticker)
    if number is None:
        return None
    if kind == "B":
        # The number is the bin's midpoint. Bins are two degrees wide (43 to 44) unless this event shows others.
        widths = {
            s.cap - s.floor
            for s in known
            if s is not None and s.strike_type == "between" and s.floor is not None and s.cap is not None
        }
        if len(widths) > 1:
            return None
        half = widths.pop() / 2 if widths else Decimal("0.5")
        floor, cap = number - half, number + half
        return ("between", floor, cap) if floor == floor.to_integral_value() else None
    # A T market is the open end beyond the bins: the lower one has its number as cap, the upper one as floor.
    middles = [middle for kind, middle in (_bin_of(row.ticker) for row in others) if kind == "B" and middle is not None]
    if middles and number < min(middles):
        return "less", None, number
    if middles and number > max(middles):
        return "greater", number, None
    return None


def _bin_of(ticker: str) -> tuple[str | None, Decimal | None]:
    try:
        parsed = parse_market_ticker(ticker)
    except BadPayload:
        return None, None
    return parsed.kind, parsed.number


def _unless_overlapping(guess: Strike | None, others: Sequence[Strike | None]) -> Strike | None:
    """`guess`, unless one of the other markets covers a temperature that it covers too."""
    if guess is None:
        return None
    low, high = _range(guess)
    for other in others:
        if other is not None:
            other_low, other_high = _range(other)
            if low <= other_high and other_low <= high:
                return None
    return guess


def _range(strike: Strike) -> tuple[Decimal, Decimal]:
    """The lowest and highest whole degree covered; an empty range for a type that is not a range."""
    if strike.strike_type not in _NEEDS:
        return Decimal("Infinity"), Decimal("-Infinity")
    low = Decimal("-Infinity") if strike.floor is None else strike.floor
    high = Decimal("Infinity") if strike.cap is None else strike.cap
    return low + (strike.strike_type == "greater"), high - (strike.strike_type == "less")


def _without(items: Sequence[_T], n: int) -> list[_T]:
    return [*items[:n], *items[n + 1 :]]


def of_markets(markets: Sequence[Market]) -> list[Strike]:
    """Each market's strikes, in their order, read from its own row or derived from the other markets of its event."""
    found: dict[str, Strike] = {}
    for event_ticker in {market.event_ticker for market in markets}:
        bins = [market for market in markets if market.event_ticker == event_ticker]
        rows = [
            BinRow(each.ticker, each.strike_type, each.floor_strike, each.cap_strike, each.subtitle) for each in bins
        ]
        found |= {each.ticker: strike for each, strike in zip(bins, resolve(rows), strict=True)}
    return [found[market.ticker] for market in markets]
