"""Event and market tickers: one anchored pattern each; whatever does not match is refused, never guessed.

An event ticker is a series part, a hyphen and the local climate day as YYMMMDD (`KXHIGHCHI-25NOV14`). Splitting
on hyphens is wrong: a second event of one day was named `HIGHCHI-2-24FEB28`, one early event `HIGHMIA--23MAY11`,
and strikes can be negative (`HIGHCHI-24JAN14-T-1`). The series part is only text: which series an event belongs
to is stated by the event's own `series_ticker`.
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from kalshi_ingest.domain.plausible import LONGEST_TICKER
from kalshi_ingest.errors import BadPayload

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_EVENT = (
    r"(?P<series>[A-Z][A-Z0-9]*(?:-[0-9]{0,3})?)"
    r"-(?P<year>[0-9]{2})(?P<month>" + "|".join(_MONTHS) + r")(?P<day>[0-9]{2})"
)
_EVENT_TICKER = re.compile(_EVENT)
_ENDING = re.compile(r"(?:-[A-Za-z0-9._+-]+)?")
"""What a market's ticker adds to its event's: a bin, a team, a number; nothing where an event has one market only."""
_MARKET_TICKER = re.compile(
    rf"(?P<event>{_EVENT})(?:-(?:(?P<kind>[BT])(?P<number>-?[0-9]{{1,6}}(?:\.[0-9]{{1,6}})?)|[A-Z0-9.]+))?"
)


@dataclass(frozen=True, slots=True)
class EventTicker:
    """An event ticker taken apart."""

    series_part: str
    """What stands before the date: `KXHIGHCHI`, `HIGHCHI-2`, `HIGHMIA-`."""
    event_date: date
    """The local climate day that the event is about."""


@dataclass(frozen=True, slots=True)
class MarketTicker:
    """A market ticker taken apart."""

    event_ticker: str
    event_date: date
    kind: Literal["B", "T"] | None
    """B: a bin between two bounds. T: an open-ended bin, at either end. None: another series' way of naming."""
    number: Decimal | None
    """B: the bin's midpoint. T: the bound (degrees Fahrenheit in the temperature series). None: no such number."""


def event_ticker(series_part: str, event_date: date) -> str:
    """The ticker of `series_part`'s event for a date from 2000 to 2099."""
    month = _MONTHS[event_date.month - 1]
    return f"{series_part}-{event_date.year % 100:02d}{month}{event_date.day:02d}"


def parse_event_ticker(ticker: str) -> EventTicker:
    """Take an event ticker apart. Raises BadPayload for anything but a series part and a real YYMMMDD date."""
    match = _EVENT_TICKER.fullmatch(ticker)
    if match is None or len(ticker) > LONGEST_TICKER:
        raise BadPayload(f"event_ticker {ticker[:80]!r} is not SERIES-YYMMMDD")
    return EventTicker(match["series"], _event_date(match, ticker))


def check_market_ticker(ticker: str, event_ticker: str) -> None:
    """Raises BadPayload unless `ticker` can be the name of a market of that event, which its name begins with."""
    ending = ticker.removeprefix(event_ticker)
    if not ticker.startswith(event_ticker) or len(ticker) > LONGEST_TICKER or _ENDING.fullmatch(ending) is None:
        raise BadPayload(
            f"ticker {ticker[:80]!r} is not {event_ticker[:80]!r}, its event's, with an ending like -B55.5"
        )


def event_date_of(ticker: object) -> date | None:
    """The event date in a ticker, of an event or of a market; None when there is none."""
    match = _EVENT_TICKER.match(ticker) if isinstance(ticker, str) else None
    if match is None or not isinstance(ticker, str) or ticker[match.end() : match.end() + 1] not in ("", "-"):
        return None
    try:
        return _event_date(match, ticker)
    except BadPayload:
        return None


def parse_market_ticker(ticker: str) -> MarketTicker:
    """Take a market ticker apart: an event ticker and, usually, `-B` or `-T` with a number.

    Another ending without a hyphen, or none, gives kind None. Raises BadPayload for anything else.
    """
    match = _MARKET_TICKER.fullmatch(ticker)
    if match is None:
        raise BadPayload(f"ticker {ticker[:80]!r} is not SERIES-YYMMMDD with a bin such as -B55.5 or -T62")
    event_date = _event_date(match, ticker)
    number = None if match["number"] is None else Decimal(match["number"])
    kind: Literal["B", "T"] | None = None
    if number is not None:
        kind = "B" if match["kind"] == "B" else "T"
    return MarketTicker(match["event"], event_date, kind, number)


def _event_date(match: re.Match[str], ticker: str) -> date:
    month = _MONTHS.index(match["month"]) + 1
    try:
        return date(2000 + int(match["year"]), month, int(match["day"]))
    except ValueError:
        raise BadPayload(f"ticker {ticker[:80]!r} carries a date that does not exist") from None
