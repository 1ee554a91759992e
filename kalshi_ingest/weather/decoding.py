"""What the settlement services' answers are read with, and read into. Missing is None, never 0."""

import hashlib
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from kalshi_ingest.domain.settlement import Reported
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.client import first_words

_LOWEST, _HIGHEST = -80, 150


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of an answer that could not be read."""

    loc_id: str | None
    day: date | None
    """The climate day it is about; None where that cannot be read either."""
    line: str
    """Service, station, day and what is wrong."""


@dataclass(slots=True)
class Answer:
    """What one request brought: what could be read, and what could not."""

    reports: list[Reported] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def json_of(body: bytes, what: str) -> Any:
    """The decoded body; raises `BadPayload`, which names `what` was asked for."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        start = first_words(body[:200].decode(errors="replace"), 80)
        raise BadPayload(f"{what}: the answer is no JSON: {start}") from None


def listed(decoded: object, name: str, what: str) -> list[Any]:
    """The list under `name`."""
    found = decoded.get(name) if isinstance(decoded, dict) else None
    if not isinstance(found, list):
        raise BadPayload(f"{what}: {name} is no list")
    return found


def temperature(value: object, field: str) -> Decimal | None:
    """°F from a number or a text, which may be padded; None for `M`, `MM`, an empty text and null."""
    text = str(value).strip() if value is not None and not isinstance(value, bool) else ""
    if isinstance(value, bool):
        raise BadPayload(f"{field} is {value!r}, no temperature")
    if text in ("", "M", "MM"):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadPayload(f"{field} is {value!r}, no temperature") from None
    if not number.is_finite() or not _LOWEST <= number <= _HIGHEST:
        raise BadPayload(f"{field} is {text}, an impossible temperature")
    return number


def kept(row: dict[str, Any]) -> tuple[str, str]:
    """(SHA-256 in hex of a JSON object's content, whatever the order of its keys; the object as JSON)."""
    raw = orjson.dumps(row)
    if b"\\u0000" in raw:
        raise BadPayload("a text in it holds the character NUL")
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest(), raw.decode()
