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
_MOST_DAYS = 36_500
_DAYS_AGO = re.compile(r"(\d{1,5})d", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)


def asked_dates(start: str | None, end: str | None, days: int | None, exchange: Exchange) -> Dates:
    """The event dates of `--start` or `--days`, and `--end`; without any of them yesterday.

    Raises `Unusable` for what is not a date, reversed or in the future. Before a date is refused for lying in the
    future the exchange is asked for its time: this machine's may be wrong.
    """
    yesterday = utc_now().date() - timedelta(days=1)
    last = yesterday if end is None else end_of(end)
    if start is not None and days is not None:
        raise Unusable("--start and --days exclude each other: leave one out")
    if days is not None:
        if not 1 <= days <= _MOST_DAYS:
            raise Unusable(f"--days {days} is out of range: 1 to {_MOST_DAYS}")
        first = last - timedelta(days=days - 1)
    elif start is not None:
        first = start_of(start)
        if end is None and _MONTH.fullmatch(start):
            last = min(end_of(start), yesterday)
    elif end is None:
        first = last
    else:
        raise Unusable("--end needs --start or --days beside it")
    if first > last and end is None:
        raise Unusable(f"--start {first} lies after yesterday, {last}: name the --end too")
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
