"""GHCN-Daily through NCEI's Access Data Service: the daily maximum of several stations in one request. An audit."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from kalshi_ingest.domain.cities import City, Station
from kalshi_ingest.domain.settlement import Observation, Reported, Source
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.sources.client import Service, first_words
from kalshi_ingest.weather.sources.decoding import Answer, Unreadable, day_of, json_of, kept, temperature

NAME = "NCEI"
REQUESTS_PER_SECOND = 1.0
"""NCEI answers 429 above about one a second."""


async def daily_maxima(service: Service, cities: Sequence[City], first: date, last: date, now: datetime) -> Answer:
    """TMAX, °F, of each of the cities' stations and days, both dates included; days that have not arrived are absent.

    A value whose quality flag is set is kept with a flag, and counts for nothing.
    """
    asked = {city.station.ghcnd_id: city for city in cities}
    params = {
        "dataset": "daily-summaries",
        "stations": ",".join(asked),
        "startDate": first.isoformat(),
        "endDate": last.isoformat(),
        "dataTypes": "TMAX",
        "units": "standard",
        "format": "json",
        "includeAttributes": "true",
    }
    what = f"{NAME} GHCND {first} to {last}"
    rows = json_of(await service.get("/access/services/data/v1", params), what)
    if not isinstance(rows, list):
        raise BadPayload(f"{what}: the answer is not a list")
    answer = Answer()
    for row in rows:
        if not isinstance(row, dict):
            answer.unreadable.append(Unreadable(None, None, f"{what}: a row is a {type(row).__name__}"))
            continue
        try:
            report = _from_row(asked, row, (first, last), now)
        except BadPayload as error:
            city, day = _asked(asked, row), day_of(row.get("DATE"))
            about = day if day is not None and first <= day <= last else None
            line = f"{NAME} GHCND {city.ghcnd_id if city else 'of no station'} {about or first}: {error}"
            answer.unreadable.append(Unreadable(city.loc_id if city else None, about, line))
            continue
        if report is not None:
            answer.reports.append(report)
    return answer


def _from_row(
    asked: dict[str, City], row: dict[str, Any], between: tuple[date, date], now: datetime
) -> Reported | None:
    sha256, raw = kept(row)  # before anything shows a value: what is nested too deeply cannot be shown either
    station = _asked(asked, row)
    if station is None:
        raise BadPayload(f"STATION is {row.get('STATION')!r:.40}, which was not requested")
    day = day_of(row.get("DATE"))
    if day is None:
        raise BadPayload(f"DATE is {row.get('DATE')!r:.40}, not a date")
    if not between[0] <= day <= between[1]:
        raise BadPayload(f"DATE {day} lies outside {between[0]} to {between[1]}")
    maximum = temperature(row.get("TMAX"), "TMAX")
    if maximum is None:
        return None
    observation = Observation(
        station.loc_id,
        day,
        Source.GHCND,
        None,
        sha256,
        None,
        now,
        is_full_day=True,
        tmax_f=maximum,
        flag=_quality(row.get("TMAX_ATTRIBUTES")),
    )
    return Reported(observation, raw)


def _asked(asked: dict[str, City], row: dict[str, Any]) -> Station | None:
    named = row.get("STATION")
    city = asked.get(named) if isinstance(named, str) else None
    return None if city is None else city.station


def _quality(attributes: object) -> str | None:
    """Attributes are measurement, quality, source flag and time of observation; a quality flag means failed."""
    parts = attributes.split(",") if isinstance(attributes, str) else []
    flag = first_words(parts[1], 20) if len(parts) > 1 else ""
    return f"failed its quality check ({flag})" if flag else None
