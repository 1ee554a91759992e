"""Dates as a person writes them: 2026-11-03, yesterday, 30d, 2026-11."""

import asyncio
import re
from calendar import monthrange
from datetime import date, timedelta

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import Unusable
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.resources import Exchange, time_at

FORMS = "YYYY-MM-DD, today, yesterday, 30d (days ago) or YYYY-MM (a whole month)"
_DAYS_AGO = re.compile(r"(\d{1,5})d", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)


def dates_of(start: str, end: str, exchange: Exchange) -> Dates:
    """The event dates of `--start` and `--end`. Raises `Unusable` for what is not a date, reversed or in the future.

    Before a date is refused for lying in the future the exchange is asked for its time: this machine's may be wrong.
    """
    first, last = start_of(start), end_of(end)
    if first > last:
        raise Unusable(f"--start {first} lies after --end {last}")
    # Tomorrow's events are listed and traded from ten in the morning, New York time, of the day before.
    newest = utc_now().date() + timedelta(days=1)
    if last > newest:
        newest = asyncio.run(time_at(exchange, utc_now)).date() + timedelta(days=1)
    if last > newest:
        raise Unusable(f"--end {last} lies in the future: the newest event date that can exist is {newest}")
    return Dates(first, last)


def start_of(text: str, option: str = "--start") -> date:
    """The date that `text` names, of a month its first; `option` names it in the error."""
    return _span(text, option, utc_now().date())[0]


def end_of(text: str, option: str = "--end") -> date:
    """The same, of a month its last, of the present month yesterday."""
    today = utc_now().date()
    first, last = _span(text, option, today)
    return max(first, today - timedelta(days=1)) if first <= today < last else last


def _span(text: str, option: str, today: date) -> tuple[date, date]:
    try:
        if found := _MONTH.fullmatch(text):
            year, month = int(found[1]), int(found[2])
            return date(year, month, 1), date(year, month, monthrange(year, month)[1])
        day = _day(text, today)
    except (ValueError, OverflowError):
        day = None
    if day is None:
        raise Unusable(f"{option} {text} is not a date: write {FORMS}")
    return day, day


def _day(text: str, today: date) -> date | None:
    if text == "today":
        return today
    if text == "yesterday":
        return today - timedelta(days=1)
    if found := _DAYS_AGO.fullmatch(text):
        return today - timedelta(days=int(found[1]))
    day = date.fromisoformat(text)
    return day if day.isoformat() == text else None
