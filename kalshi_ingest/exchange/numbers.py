"""The exchange's fixed-point strings as exact integers, and its times as microseconds.

Both sides of a conversion are remembered, because a market's tape repeats a few hundred prices and counts.
"""

import re
from datetime import datetime

from kalshi_ingest.domain.model import COUNT_UNITS, PRICE_UNITS, to_microseconds
from kalshi_ingest.domain.plausible import MOST_IN_A_TRADE, MOST_IN_ALL
from kalshi_ingest.errors import BadPayload

_PRICE = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_COUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,2}))?", re.ASCII)
# `fromisoformat` reads much more than that: week dates, commas, nine digits of a fraction without hyphens.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_REMEMBERED = 2_000
"""Ten times as many would make a service grow for months, and a backfill hardly faster."""


class Prices(dict[str, int]):
    """Price string to millionths of a dollar; asking for a string that is no price in [0, 1] raises `BadPayload`."""

    def __missing__(self, text: object) -> int:
        matched = _PRICE.fullmatch(text) if isinstance(text, str) else None
        if matched is None or not isinstance(text, str):
            raise BadPayload(f"{text!r:.60} is no price: expected dollars with up to 6 decimals, as a string")
        price = int(matched[1]) * PRICE_UNITS + int((matched[2] or "").ljust(6, "0"))
        if price > PRICE_UNITS:
            raise BadPayload(f"price {text!r:.60} lies outside [0, 1]")
        if len(self) < _REMEMBERED:
            self[text] = price
        return price


class Counts(dict[str, int]):
    """Count string to hundredths of a contract; a string that is no count raises `BadPayload`. May be 0."""

    def __init__(self, most: int = MOST_IN_A_TRADE) -> None:
        """`most`: the largest count that can be, hundredths."""
        super().__init__()
        self._most = most

    def __missing__(self, text: object) -> int:
        matched = _COUNT.fullmatch(text) if isinstance(text, str) else None
        if matched is None or not isinstance(text, str):
            raise BadPayload(f"{text!r:.60} is no count: expected contracts with up to 2 decimals, as a string")
        count = int(matched[1]) * COUNT_UNITS + int((matched[2] or "").ljust(2, "0"))
        if count > self._most:
            raise BadPayload(f"count {text!r:.60} is impossible: more than {self._most // COUNT_UNITS:,} contracts")
        if len(self) < _REMEMBERED:
            self[text] = count
        return count


def price(text: object) -> int:
    """One price string in millionths of a dollar; whatever is no price in [0, 1] raises `BadPayload`."""
    return Prices().__missing__(text)


def count(text: object) -> int:
    """One count string in hundredths of a contract, 0 included, of any number of trades; else `BadPayload`."""
    return Counts(MOST_IN_ALL).__missing__(text)


def moment(text: object) -> datetime:
    """The aware UTC datetime of an RFC 3339 string with `Z` and up to 9 fraction digits, else `BadPayload`.

    Microseconds are the finest that PostgreSQL holds: digits below them are cut, so that a time never moves ahead.
    """
    if not isinstance(text, str) or _MOMENT.fullmatch(text) is None:
        raise BadPayload(f"{text!r:.60} is no UTC time with up to nanoseconds")
    try:
        return datetime.fromisoformat(text)  # which cuts below the microsecond
    except ValueError:
        raise BadPayload(f"{text!r:.60} is no UTC time with up to nanoseconds") from None


def microseconds(text: object) -> int:
    """Microseconds since 1970-01-01T00:00Z of an RFC 3339 string, as `moment` reads it."""
    return to_microseconds(moment(text))
