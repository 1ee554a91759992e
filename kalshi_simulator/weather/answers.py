"""What a weather route gives back, and how it reads a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import orjson
from aiohttp import web

from kalshi_simulator.weather.whole import Weather

JSON = "application/json"
TEXT = "text/plain"


class WeatherRefusedError(Exception):
    """A service refuses a request."""

    def __init__(self, status: int, body: str, content_type: str = TEXT) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.content_type = content_type


@dataclass(frozen=True, slots=True)
class Page:
    """A 200. A body in pieces is streamed."""

    body: bytes | Iterator[str]
    content_type: str


WeatherAnswer = Callable[[Weather, web.Request], Page]


@dataclass(frozen=True, slots=True)
class Route:
    """One service. `throttle` names the group that shares one throttle by address."""

    provider: str
    service: str
    path: str
    answer: WeatherAnswer
    throttle: str | None = None


def as_json(body: object) -> bytes:
    """JSON in the order given."""
    return orjson.dumps(body)


def unprocessable(message: str) -> WeatherRefusedError:
    """IEM's answer to a parameter that it cannot use."""
    return WeatherRefusedError(422, message)


def listed(request: web.Request, name: str) -> list[str]:
    """A parameter that may be repeated or hold commas."""
    return [part for text in request.query.getall(name, []) for part in text.split(",") if part]


def zoned(request: web.Request, name: str) -> datetime:
    """A time that has to carry a zone, as UTC; IEM answers 422 to any other."""
    try:
        moment = datetime.fromisoformat(request.query.get(name, ""))
    except ValueError:
        raise unprocessable(f"{name}: Input should be a valid datetime") from None
    if moment.tzinfo is None:
        raise unprocessable(f"{name}: Input should have timezone info")
    return moment.astimezone(UTC)


def year_of(request: web.Request) -> int:
    """The `year` of a station-year service."""
    try:
        year = int(request.query.get("year", "2019"))
    except ValueError:
        raise unprocessable("year: Input should be a valid integer") from None
    if not date.min.year <= year <= date.max.year:
        raise unprocessable("year: out of range")
    return year


def choice(request: web.Request, name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    text = request.query.get(name, default)
    if text not in allowed:
        raise unprocessable(f"{name}: String should match pattern '^({'|'.join(allowed)})$'")
    return text
