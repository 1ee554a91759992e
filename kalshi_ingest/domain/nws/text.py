"""What the texts of the National Weather Service have in common: the WMO heading, and months by name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

LOWEST_F, HIGHEST_F = -80, 150
"""A maximum beyond these, °F, is impossible."""

REPORT_YEARS = range(1990, 2101)
"""Of a report or a form; the program's oldest event is of 2021."""

_WMO = re.compile(r"^([A-Z]{4}\d{2}) ([A-Z]{4}) (\d{2})(\d{2})(\d{2})(?: ([A-Z]{3}))?[ \t]*$", re.MULTILINE)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class WmoHeading:
    """The line that begins a product. It has day, hour and minute of issue in UTC, but neither month nor year."""

    code: str
    """TTAAii, e.g. CDUS43."""
    office: str
    """Who issued it, four letters."""
    time: str
    """DDHHMM."""
    suffix: str | None
    """CCA, CCB … for a correction."""

    def issued_on(self, candidates: Iterable[date]) -> datetime | None:
        """The issue time (UTC), on the first of these UTC dates that is the heading's day; None: on none of them."""
        day, hour, minute = int(self.time[:2]), int(self.time[2:4]), int(self.time[4:])
        if hour > 23 or minute > 59:
            return None
        found = next((each for each in candidates if each.day == day), None)
        return None if found is None else datetime(found.year, found.month, day, hour, minute, tzinfo=UTC)

    def product_id(self, issued_at: datetime, pil: str) -> str:
        """`YYYYMMDDHHMM-CCCC-WMOTTAAii-PIL`, as IEM numbers the product; the time is the UTC issue time."""
        number = f"{issued_at:%Y%m%d%H%M}-{self.office}-{self.code}-{pil}"
        return f"{number}-{self.suffix}" if self.suffix else number


def wmo_heading(text: str) -> WmoHeading | None:
    """The WMO heading in a text in capitals; None when there is none."""
    found = _WMO.search(text)
    return None if found is None else WmoHeading(found[1], found[2], found[3] + found[4] + found[5], found[6])


def month_number(name: str) -> int:
    """1 to 12 for a month's name in capitals, whole or shortened. Raises ValueError for any other word."""
    return _MONTHS.index(name[:3]) + 1
