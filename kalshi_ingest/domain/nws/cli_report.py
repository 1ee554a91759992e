"""The text of the NWS daily climate report (CLI): what it says, when it was issued, whether it is of the whole day.

Form: NWS directive 10-1004, and the recorded reports. Times inside the report are local standard time.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.nws.text import HIGHEST_F, LOWEST_F, REPORT_YEARS, WmoHeading, month_number, wmo_heading
from kalshi_ingest.errors import BadPayload

AS_OF_AFTER_THE_DAY = "the text says `valid as of`, though it was issued after the end of its day"
NO_AS_OF_DURING_THE_DAY = "the text has no line `valid as of`, though it was issued before the end of its day"

_PIL = re.compile(r"^(CLI[A-Z0-9]{3})[ \t]*$", re.MULTILINE)
_DATE = r"([A-Z]{3,9})\.?\s+(\d{1,2}),?\s+(\d{4})\b"
_ISSUED = re.compile(rf"^.{{0,40}}\b(?:MON|TUE|WED|THU|FRI|SAT|SUN)[A-Z]*,?\s+{_DATE}", re.MULTILINE)
_CLIMATE_DATE = re.compile(rf"CLIMATE\s+SUMMARY\s+FOR\s+{_DATE}")
_AS_OF = re.compile(r"\bVALID\b[^.]{0,40}?\bAS\s+OF\b")
_TEMPERATURE = re.compile(r"^[ \t]*TEMPERATURE[ \t]*(?:\(.*)?$", re.MULTILINE)
_NEXT_BLOCK = re.compile(r"^[ \t]*(?:PRECIPITATION|SNOWFALL|DEGREE|WIND|\.{10,}|THE )", re.MULTILINE)
_TODAY = re.compile(r"^[ \t]*TODAY[ \t]*$", re.MULTILINE)
_ANY_MAXIMUM = re.compile(r"^[ \t]*MAX", re.MULTILINE)
_MAXIMUM = re.compile(
    r"^[ \t]*MAXIMUM[ \t]+(?:(?P<value>[-+]?\d{1,3})(?P<marks>(?:[ \t]?(?:\([RE]\)|[RE]))*)|MM?)(?=\s|$)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be read in a text that may be garbled; None for each part that cannot be read."""

    product_id: str | None
    pil: str | None
    issued_at: datetime | None
    climate_date: date | None
    says_as_of: bool


@dataclass(frozen=True, slots=True)
class CliReport:
    """One issuance, as its text states it."""

    product_id: str
    """`YYYYMMDDHHMM-CCCC-WMOTTAAii-PIL`, as IEM numbers it; the time is the UTC issue time."""
    pil: str
    """CLI and the station's three letters."""
    issued_at: datetime
    """UTC, to the minute, from the WMO heading."""
    climate_date: date
    maximum_f: int | None
    """Maximum, whole °F; None: reported as missing (M, MM), or not reached yet in a report of the morning."""
    is_estimate: bool
    """The value carries the E of an estimate."""
    says_as_of: bool
    """The heading says that it is valid as of some hour of its day: a partial report."""


def parse_cli(text: str) -> CliReport:
    """Read one report. Raises `BadPayload`, which names the part that cannot be read."""
    text = text.replace("\r", "").upper()
    heading, block = _parts(text)
    wmo, pil = wmo_heading(heading), _PIL.search(heading)
    if wmo is None or pil is None:
        raise BadPayload("the WMO heading cannot be read")
    issued_at = _issue_time(wmo, heading)
    says_as_of = bool(_AS_OF.search(heading))
    maximum = _MAXIMUM.search(block)
    if maximum is None and (_ANY_MAXIMUM.search(block) or not (says_as_of or _TODAY.search(block))):
        raise BadPayload("the maximum cannot be read")
    value = None if maximum is None or maximum["value"] is None else int(maximum["value"])
    if value is not None and not LOWEST_F <= value <= HIGHEST_F:
        raise BadPayload(f"the maximum {value} °F is impossible")
    marks = "" if maximum is None else maximum["marks"] or ""
    return CliReport(
        product_id=wmo.product_id(issued_at, pil[1]),
        pil=pil[1],
        issued_at=issued_at,
        climate_date=_climate_date(heading),
        maximum_f=value,
        is_estimate="E" in marks,
        says_as_of=says_as_of,
    )


def outline(text: str) -> Outline:
    """What can still be read in a text that `parse_cli` refuses."""
    text = text.replace("\r", "").upper()
    start = _TEMPERATURE.search(text)
    heading = text[: start.start()] if start else text
    wmo, pil = wmo_heading(heading), _PIL.search(heading)
    issued_at = climate_date = None
    with suppress(BadPayload):
        issued_at = None if wmo is None else _issue_time(wmo, heading)
    with suppress(BadPayload):
        climate_date = _climate_date(heading)
    product_id = wmo.product_id(issued_at, pil[1]) if wmo and pil and issued_at else None
    return Outline(product_id, pil and pil[1], issued_at, climate_date, bool(_AS_OF.search(heading)))


def finality(city: City, day: date, issued_at: datetime, says_as_of: bool | None = None) -> tuple[bool, str | None]:
    """(whether a report covers the whole climate day, why it may not count).

    It does when it was issued at or after the end of the day; what a text says of itself (`says_as_of`, None where
    there is no text) has to agree. Where the two disagree the report is taken for partial, and flagged.
    """
    after_the_day = issued_at >= climate_day_utc(city, day)[1]
    if says_as_of is None:
        return after_the_day, None
    if after_the_day and says_as_of:
        return False, AS_OF_AFTER_THE_DAY
    if not after_the_day and not says_as_of:
        return False, NO_AS_OF_DURING_THE_DAY
    return after_the_day, None


def _parts(text: str) -> tuple[str, str]:
    """What stands before the temperatures, and the block of temperatures itself: other blocks have maxima too."""
    start = _TEMPERATURE.search(text)
    if start is None:
        raise BadPayload("the block TEMPERATURE is missing")
    end = _NEXT_BLOCK.search(text, start.end())
    return text[: start.start()], text[start.end() : end.start() if end else len(text)]


def _issue_time(wmo: WmoHeading, heading: str) -> datetime:
    """The WMO heading has day, hour and minute in UTC; the line below with the local time knows month and year."""
    local = _ISSUED.search(heading)
    if local is None:
        raise BadPayload("the line with the issue time cannot be read")
    near = _date(local, "issue time")
    issued_at = wmo.issued_on((near, near + timedelta(days=1), near - timedelta(days=1)))
    if issued_at is None:
        raise BadPayload(f"the WMO heading's time {wmo.time} does not belong to the issue date {near}")
    return issued_at


def _climate_date(heading: str) -> date:
    found = _CLIMATE_DATE.search(heading)
    if found is None:
        raise BadPayload("the climate date cannot be read")
    return _date(found, "climate date")


def _date(found: re.Match[str], what: str) -> date:
    try:
        if int(found[3]) in REPORT_YEARS:
            return date(int(found[3]), month_number(found[1]), int(found[2]))
    except ValueError:
        pass
    raise BadPayload(f"the {what} {found[1]} {found[2]} {found[3]} is not a date")
