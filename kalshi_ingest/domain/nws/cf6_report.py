"""The text of the NWS monthly form F-6 (CF6): the maximum of every day of its month so far.

The form is issued again at least daily, each time with all days, so that corrections land in it later. Layout: the
columns that IEM's published parser cuts a row into; the days stand between the second and the third rule of `====`.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from kalshi_ingest.domain.nws.text import HIGHEST_F, LOWEST_F, REPORT_YEARS, WmoHeading, month_number, wmo_heading
from kalshi_ingest.errors import BadPayload

_PIL = re.compile(r"^(CF6[A-Z0-9]{3})[ \t]*$", re.MULTILINE)
_MONTH = re.compile(r"^[ \t]*MONTH:[ \t]*(?:([A-Z]{3,9})|(\d{1,2}))[ \t]*$", re.MULTILINE)
_YEAR = re.compile(r"^[ \t]*YEAR:[ \t]*(\d{4})[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*={16,}[ \t]*$", re.MULTILINE)
_DAY, _MAXIMUM = slice(0, 2), slice(2, 6)
"""The first two of 19 columns: 2 characters wide, and 4."""
_SHORTEST_ROW = 71
"""Characters of a row that reaches its last columns; those that may be blank are not counted."""
_TWO_MONTHS = 62


@dataclass(frozen=True, slots=True)
class FormDay:
    day: date
    maximum_f: int | None
    """Maximum, whole °F; None: reported as missing (M)."""
    line: str


@dataclass(frozen=True, slots=True)
class Cf6Report:
    """One issuance, as its text states it."""

    product_id: str
    """`YYYYMMDDHHMM-CCCC-WMOTTAAii-PIL`, as IEM numbers it; the time is the UTC issue time."""
    pil: str
    """CF6 and the station's three letters."""
    issued_at: datetime
    """UTC, to the minute: day and time from the WMO heading, month and year from the rows."""
    days: tuple[FormDay, ...]
    """In order. The last may be the day of issue, with what was known of it."""


def parse_cf6(text: str) -> Cf6Report:
    """Read one form. Raises `BadPayload`, which names the part that cannot be read."""
    text = text.replace("\r", "").upper()
    heading, table = _parts(text)
    wmo, pil = wmo_heading(heading), _PIL.search(heading)
    if wmo is None or pil is None:
        raise BadPayload("the WMO heading cannot be read")
    month = _month(heading)
    days = tuple(_row(month, line) for line in table.splitlines() if len(line.split()) > 1)
    if not days:
        raise BadPayload(f"the form of {month:%Y-%m} has no day")
    for before, after in pairwise(days):
        if after.day <= before.day:
            raise BadPayload(f"the row of {after.day} follows that of {before.day}")
    issued_at = _issue_time(wmo, month, days)
    return Cf6Report(wmo.product_id(issued_at, pil[1]), pil[1], issued_at, days)


def month_of(text: str) -> date | None:
    """The first day of the month of a text that may be garbled otherwise; None when it cannot be read."""
    try:
        return _month(text.replace("\r", "").upper())
    except BadPayload:
        return None


def _parts(text: str) -> tuple[str, str]:
    """What stands before the first rule, and the rows; what follows them has lines with numbers too."""
    rules = list(_RULE.finditer(text))
    if len(rules) < 3:
        raise BadPayload(f"the form is cut short: {len(rules)} of the three rules around its days are there")
    return text[: rules[0].start()], text[rules[1].end() : rules[2].start()]


def _month(heading: str) -> date:
    """The first of the month that the lines MONTH and YEAR name."""
    month, year = _MONTH.search(heading), _YEAR.search(heading)
    if month is None or year is None:
        raise BadPayload(f"the line {'MONTH' if month is None else 'YEAR'} cannot be read")
    try:
        if int(year[1]) in REPORT_YEARS:
            return date(int(year[1]), int(month[2]) if month[2] else month_number(month[1]), 1)
    except ValueError:
        pass
    raise BadPayload(f"{month[1] or month[2]} {year[1]} is not a month")


def _row(month: date, line: str) -> FormDay:
    try:
        day = month.replace(day=int(line[_DAY]))
    except ValueError:
        raise BadPayload(f"the row {line[:20]!r} does not begin with a day of {month:%Y-%m}") from None
    if len(line.rstrip()) < _SHORTEST_ROW:
        raise BadPayload(f"the row of {day} is cut short")
    stated = line[_MAXIMUM].strip()
    if stated in ("M", "MM"):
        return FormDay(day, None, line)
    if not re.fullmatch(r"-?\d{1,3}", stated, re.ASCII):
        raise BadPayload(f"the maximum of {day} is {stated!r}, not a temperature")
    if not LOWEST_F <= int(stated) <= HIGHEST_F:
        raise BadPayload(f"the maximum {stated} °F of {day} is impossible")
    return FormDay(day, int(stated), line)


def _issue_time(wmo: WmoHeading, month: date, days: tuple[FormDay, ...]) -> datetime:
    """The first moment with the heading's day that is not before the last day with a maximum.

    A form of all of a month that is corrected more than a month later would be dated too early, never too late: a day
    may be taken for partial that is full, and not the other way round.
    """
    stated = [each.day for each in days if each.maximum_f is not None]
    first = stated[-1] if stated else month
    issued_at = wmo.issued_on(first + timedelta(days=n) for n in range(_TWO_MONTHS))
    if issued_at is None:
        raise BadPayload(f"the WMO heading's time {wmo.time} is not a time")
    return issued_at
