"""GHCN-Daily through NCEI's Access Data Service: the daily maximum of several stations in one request. An audit."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.settlement import Observation, Reported, Source
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.client import Service
from kalshi_ingest.weather.decoding import Answer, Unreadable, json_of, kept, temperature

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
        raise BadPayload(f"{what}: the answer is no list")
    answer = Answer()
    for row in rows:
        if not isinstance(row, dict):
            raise BadPayload(f"{what}: a row is no object")
        try:
            report = _from_row(asked, row, (first, last), now)
        except BadPayload as error:
            line = f"{NAME} GHCND {row.get('STATION')} {row.get('DATE')}: {error}"
            city = asked.get(str(row.get("STATION")))
            answer.unreadable.append(Unreadable(None if city is None else city.station.loc_id, _day(row), line))
            continue
        if report is not None:
            answer.reports.append(report)
    return answer


def _from_row(
    asked: dict[str, City], row: dict[str, Any], between: tuple[date, date], now: datetime
) -> Reported | None:
    city = asked.get(str(row.get("STATION")))
    if city is None:
        raise BadPayload("the station was not asked for")
    day = _day(row)
    if day is None:
        raise BadPayload("DATE is no date")
    if not between[0] <= day <= between[1]:
        raise BadPayload(f"DATE lies outside {between[0]} to {between[1]}")
    maximum = temperature(row.get("TMAX"), "TMAX")
    if maximum is None:
        return None
    sha256, raw = kept(row)
    observation = Observation(
        city.station.loc_id,
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


def _day(row: dict[str, Any]) -> date | None:
    try:
        return date.fromisoformat(str(row.get("DATE")))
    except ValueError:
        return None


def _quality(attributes: object) -> str | None:
    """Attributes are measurement, quality, source flag and time of observation; a quality flag means failed."""
    parts = str(attributes or "").split(",")
    flag = parts[1].strip() if len(parts) > 1 else ""
    return f"failed its quality check ({flag})" if flag else None
