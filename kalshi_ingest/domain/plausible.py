"""What a moment, a number or a name from outside can be at all: the bounds, once.

They are wide: whatever was recorded lies well inside. What lies outside is a fault of the sender (Go's zero time, a
sentinel, a number of another unit), and a row that carries it is refused where it enters. What the database held
before is judged by the same bounds.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

EXCHANGE_BEGAN = datetime(2021, 1, 1, tzinfo=UTC)
"""Kalshi opened in July 2021: nothing was listed, traded or settled before this."""

SLACK = timedelta(days=1)
"""By how much a moment that has passed may lie after what is taken for now."""

MOST_IN_A_TRADE = 10**10
"""Hundredths of a contract: a hundred million contracts, five thousand times the largest trade that was recorded."""
MOST_IN_ALL = 10**13
"""Hundredths of a contract, of all trades of one market."""

LARGEST_STRIKE = Decimal(10) ** 12
STRIKE_DECIMALS = 6

LONGEST_TICKER = 100
LONGEST_TEXT = 20_000
"""Characters of one text; the longest rules that were recorded have 2,500."""
LARGEST_ROW = 500_000
"""Bytes of one object as JSON, all of its fields together."""

_AROUND_EVENT = timedelta(days=3 * 366)
"""How far the moments of a market may lie from its event date: some are listed years ahead."""
_AROUND_LIFE = timedelta(days=7)
"""How far a trade may lie outside its market's trading hours. No recorded one does, but hours are changed later."""
_FURTHEST_EVENT = timedelta(days=5 * 366)

# Control characters but tab and newline, and those that turn the direction of text around.
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def market_moments(event_date: date) -> tuple[datetime, datetime]:
    """From when to when a market of an event of this date can open, close and settle."""
    noon = datetime.combine(event_date, time(12), tzinfo=UTC)
    return max(EXCHANGE_BEGAN, noon - _AROUND_EVENT), noon + _AROUND_EVENT


def trade_moments(event_date: date, open_time: datetime, close_time: datetime) -> tuple[datetime, datetime]:
    """From when to when a market can have traded.

    The days around the event date always count, so that a wrong row of the market cannot make its honest trades fail.
    """
    earliest, latest = market_moments(event_date)
    noon = datetime.combine(event_date, time(12), tzinfo=UTC)
    first, last = min(max(open_time, earliest), noon), max(min(close_time, latest), noon)
    return max(earliest, first - _AROUND_LIFE), min(latest, last + _AROUND_LIFE)


def is_event_date(day: date, today: date) -> bool:
    """Whether an event can be about `day`."""
    return EXCHANGE_BEGAN.date() <= day <= today + _FURTHEST_EVENT


def is_strike(number: Decimal) -> bool:
    """Whether a number can be a strike: finite, not beyond `LARGEST_STRIKE`, with at most `STRIKE_DECIMALS`."""
    if not number.is_finite() or abs(number) > LARGEST_STRIKE:
        return False
    exponent = number.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -STRIKE_DECIMALS


def cleaned(text: str) -> str:
    """A text of the exchange without control characters, which no column and no terminal should hold."""
    return _CONTROL.sub("", text)
