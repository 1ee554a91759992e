"""Visual Crossing's timeline: five-minute observations of one pinned station, paid for by the row."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, final
from urllib.parse import quote

import orjson

from kalshi_ingest.domain.calendar import SLOTS_A_DAY
from kalshi_ingest.domain.cities import Station
from kalshi_ingest.domain.minutes import VISUAL_CROSSING, Observation
from kalshi_ingest.domain.plausible import cleaned
from kalshi_ingest.errors import BadPayload, Permanent, Unusable
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import HttpSession
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.weather.sources.client import PATIENCE, Refused, Service
from kalshi_ingest.weather.sources.readings import Quantity

KEY_SETTING = "KALSHI_INGEST_VISUAL_CROSSING_KEY"

RECORDS_A_DAY = SLOTS_A_DAY
"""Cost of one station and UTC day: one record per row."""

MOST_AT_ONCE = 2
"""Requests at the same time. The plans limit this; storms of retries against the limit are forbidden."""

_REQUESTS_PER_SECOND = 5.0
_PATH = "/VisualCrossingWebServices/rest/services/timeline"
_ATTEMPTS_ALONE = 4
_FAR = 2 * 86_400.0
"""Seconds from the noon of a day that was asked for; no row of it lies further away."""
_MOST_RECORDS = 10_000_000
_LONGEST_WORDS, _MOST_WORDS = 40, 20
_CROWDED_SECONDS = 5.0
_ELEMENTS = "datetimeEpoch,temp,dew,humidity,windspeed,windgust,winddir,pressure,precip,preciptype,cloudcover,stations"

_TEMPERATURE = Quantity("temp", 100, -999, 999)
"""As wide as its column: `domain.minutes` refuses what cannot be, and counts it."""
_DEW = Quantity("dew", 100, -60, 100)
_HUMIDITY = Quantity("humidity", 100, 0, 100)
_WIND = Quantity("windspeed", 100, 0, 250)
_GUST = Quantity("windgust", 100, 0, 250)
_DIRECTION = Quantity("winddir", 10, 0, 360)
_PRESSURE = Quantity("pressure", 100, 850, 1100)
_PRECIP = Quantity("precip", 1000, 0, 30)
_CLOUD = Quantity("cloudcover", 10, 0, 100)


class QuotaSpentError(Permanent):
    """The plan's records of the day or month are used up."""


class CrowdedError(Permanent):
    """More requests at the same time than the plan allows, although this program sends one at a time."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One answer."""

    observations: list[Observation]
    """In order of time, rows of other stations among them."""
    records: int
    """The stated cost, or the computed one where none is stated."""


@final
class VisualCrossing:
    """The timeline service with an account's key, which no error shows."""

    def __init__(
        self,
        http: HttpSession,
        base_url: str,
        key: str,
        *,
        retry: RetryPolicy = PATIENCE,
        crowded_seconds: float = _CROWDED_SECONDS,
    ) -> None:
        """`crowded_seconds`: the wait after a refusal for too many requests at once, longer each time."""
        self.service = Service(
            http,
            address_of("Visual Crossing", base_url, secret=key),
            requests_per_second=_REQUESTS_PER_SECOND,
            concurrency=MOST_AT_ONCE,
            retry=retry,
            judged={429},  # it says one of two things here, and neither gets better by asking again at once
        )
        self._key = key
        self._crowded_seconds = crowded_seconds
        self._crowded = False
        self._alone = asyncio.Lock()

    async def minutes(self, station: Station, first: date, last: date) -> Timeline:
        """What the station observed on the UTC days `first` to `last`, both included.

        Raises `Unusable` for a wrong key, `QuotaSpentError` when the records are used up, `CrowdedError` when others
        use the key at the same time, `Refused` for any other refusal, `BadPayload` for a broken answer.
        """
        path = f"{_PATH}/{quote(station.visual_crossing_id, safe=':')}/{first}/{last}"
        body = await self._ask(path)
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise BadPayload(f"Visual Crossing: GET {path}: status 200 with a body that is not JSON") from None
        try:
            observations = [_observation(row) for row in _rows(answer) if row.get("temp") is not None]
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadPayload(f"Visual Crossing: GET {path}: not the documented shape: {error}") from None
        observations.sort(key=lambda each: each.second)
        earliest, latest = (datetime.combine(day, time(12), tzinfo=UTC).timestamp() for day in (first, last))
        for each in (observations[0], observations[-1]) if observations else ():
            if not earliest - _FAR <= each.second <= latest + _FAR:
                raise BadPayload(f"Visual Crossing: datetimeEpoch {each.second} lies outside {first} to {last}")
        cost = answer.get("queryCost")
        computed = ((last - first).days + 1) * RECORDS_A_DAY
        stated = isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost <= _MOST_RECORDS
        return Timeline(observations, round(cost) if stated else computed)

    async def _ask(self, path: str) -> bytes:
        """One answer. After a refusal for too many at once, all requests go one by one, for the rest of the run."""
        if not self._crowded:
            try:
                return await self._once(path)
            except CrowdedError:
                self._crowded = True
        async with self._alone:
            for attempt in range(1, _ATTEMPTS_ALONE):
                try:
                    return await self._once(path)
                except CrowdedError:
                    await asyncio.sleep(self._crowded_seconds * attempt)
            return await self._once(path)

    async def _once(self, path: str) -> bytes:
        params = {
            "unitGroup": "us",
            "include": "minutes",
            "options": "useobs,minuteinterval_5,nonulls",
            "elements": _ELEMENTS,
            "timezone": "Z",
            "maxStations": "1",
            "maxDistance": "0",
            "contentType": "json",
            "key": self._key,
        }
        try:
            return await self.service.get(path, params)
        except Refused as error:
            if error.status in (401, 403):
                raise Unusable(
                    f"Visual Crossing refuses the key in {KEY_SETTING} (status {error.status}): set the key of an"
                    " active account, or leave it out to use IEM's free services"
                ) from None
            if error.status != 429:
                raise
            if "concurren" in error.text.lower():
                raise CrowdedError(f"Visual Crossing: {error.text} Is another program using the same key?") from None
            raise QuotaSpentError(f"Visual Crossing: {error.text or 'the records are used up'}") from None


def _rows(answer: Any) -> list[Any]:
    """Minutes are children of hours, hours of days; an hour without any has none."""
    return [row for day in answer["days"] for hour in day.get("hours", ()) for row in hour.get("minutes", ())]


def _observation(row: Any) -> Observation:
    second = row["datetimeEpoch"]
    if type(second) is not int:
        raise BadPayload(f"Visual Crossing: datetimeEpoch is not a whole number: {second!r:.40}")
    temp = _TEMPERATURE.read(row["temp"])
    get = row.get
    return Observation(
        second,
        -999_00 if temp is None else temp,  # beyond its column: refused as out of range
        _words(get("stations")) or "",
        VISUAL_CROSSING,
        _DEW.read(get("dew")),
        _HUMIDITY.read(get("humidity")),
        _WIND.read(get("windspeed")),
        _GUST.read(get("windgust")),
        _DIRECTION.read(get("winddir")),
        _PRESSURE.read(get("pressure")),
        _PRECIP.read(get("precip")),
        _words(get("preciptype")),
        _CLOUD.read(get("cloudcover")),
    )


def _words(value: Any) -> str | None:
    """A list or a string, joined with commas."""
    words = value if isinstance(value, list) else [value or ""]
    return cleaned(",".join([f"{each!s:.{_LONGEST_WORDS}}" for each in words[:_MOST_WORDS]])) or None
