"""Decoding of the settlement services' answers. Missing is None, never 0."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.plausible import LARGEST_ROW, SLACK
from kalshi_ingest.domain.settlement import Reported
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.sources.client import first_words

_LOWEST, _HIGHEST = -80, 150
_NUMBER = re.compile(r"-?\d{1,3}(?:\.\d0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unreadable:
    loc_id: str | None
    """None where that is unreadable too."""
    day: date | None
    """Its climate day; None where that is unreadable too: any requested day."""
    line: str
    """Service, station, day and what is wrong."""


@dataclass(slots=True)
class Answer:
    reports: list[Reported] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def json_of(body: bytes, what: str) -> Any:
    """The decoded body; raises `BadPayload`, which names `what` was asked for."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        start = first_words(body[:200].decode(errors="replace"), 80)
        raise BadPayload(f"{what}: the answer is not JSON: {start}") from None


def listed(decoded: object, name: str, what: str) -> list[Any]:
    found = decoded.get(name) if isinstance(decoded, dict) else None
    if not isinstance(found, list):
        raise BadPayload(f"{what}: {name} is not a list")
    return found


def temperature(value: object, field: str) -> Decimal | None:
    """°F from a number or a text, which may be padded; None for `M`, `MM`, an empty text and null."""
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else "no number"
    if text in ("", "M", "MM"):
        return None
    if _NUMBER.fullmatch(text) is None:
        raise BadPayload(f"{field} is {value!r:.60}, not a temperature")
    number = Decimal(text)
    if not _LOWEST <= number <= _HIGHEST:
        raise BadPayload(f"{field} is {text}, an impossible temperature")
    return number


def day_of(value: object) -> date | None:
    """The date of a text YYYY-MM-DD; None for anything else."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        return None


def check_issued(city: City, day: date, issued_at: datetime, now: datetime) -> None:
    """Raises `BadPayload` for a report that was issued before its climate day began, or in the future."""
    if not climate_day_utc(city, day)[0] <= issued_at <= now + SLACK:
        raise BadPayload(f"its issue time {issued_at:%Y-%m-%d %H:%M}Z is impossible for {day}")


def kept(row: dict[str, Any]) -> tuple[str, str]:
    """(SHA-256 in hex of a JSON object's content, whatever the order of its keys; the object as JSON)."""
    try:
        raw = orjson.dumps(row)
    except orjson.JSONEncodeError as error:
        raise BadPayload(f"the row cannot be kept as JSON: {error}") from None
    if len(raw) > LARGEST_ROW:
        raise BadPayload(f"the row is an object of {len(raw):,} bytes")
    if b"\\u0000" in raw:
        raise BadPayload("a text in it holds the character NUL")
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest(), raw.decode()
