"""The exchange's fixed-point strings as exact integers, and its times as microseconds."""

import re
from datetime import datetime

from kalshi_ingest.domain.model import COUNT_UNITS, PRICE_UNITS, to_microseconds
from kalshi_ingest.domain.plausible import MOST_IN_A_TRADE, MOST_IN_ALL
from kalshi_ingest.errors import BadPayload

_PRICE = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_COUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,2}))?", re.ASCII)
# `fromisoformat` reads much more than that: week dates, commas, nine digits of a fraction without hyphens.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)


def price(text: object) -> int:
    """One price string in millionths of a dollar; raises `BadPayload` for what is not a price in [0, 1]."""
    matched = _PRICE.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        raise BadPayload(f"{text!r:.60} is not a price: expected dollars with up to 6 decimals, as a string")
    price = int(matched[1]) * PRICE_UNITS + int((matched[2] or "").ljust(6, "0"))
    if price > PRICE_UNITS:
        raise BadPayload(f"price {text!r:.60} lies outside [0, 1]")
    return price


def count(text: object) -> int:
    """One count string in hundredths of a contract, 0 included, of any number of trades; else `BadPayload`."""
    return _count(text, MOST_IN_ALL)


def count_of_trade(text: object) -> int:
    """As `count`, of a single trade."""
    return _count(text, MOST_IN_A_TRADE)


def _count(text: object, most: int) -> int:
    matched = _COUNT.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        raise BadPayload(f"{text!r:.60} is not a count: expected contracts with up to 2 decimals, as a string")
    count = int(matched[1]) * COUNT_UNITS + int((matched[2] or "").ljust(2, "0"))
    if count > most:
        raise BadPayload(f"count {text!r:.60} is impossible: more than {most // COUNT_UNITS:,} contracts")
    return count


def moment(text: object) -> datetime:
    """The aware UTC datetime of an RFC 3339 string with `Z` and up to 9 fraction digits, else `BadPayload`.

    Microseconds are the finest that PostgreSQL holds: digits below them are cut, so that a time never moves ahead.
    """
    if not isinstance(text, str) or _MOMENT.fullmatch(text) is None:
        raise BadPayload(f"{text!r:.60} is not a UTC time with up to nanoseconds")
    try:
        return datetime.fromisoformat(text)  # which cuts below the microsecond
    except ValueError:
        raise BadPayload(f"{text!r:.60} is not a UTC time with up to nanoseconds") from None


def microseconds(text: object) -> int:
    """Microseconds since 1970-01-01T00:00Z of an RFC 3339 string, as `moment` reads it."""
    return to_microseconds(moment(text))
