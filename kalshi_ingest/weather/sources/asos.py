"""IEM's two free ASOS services: one-minute readings, a day late, and five-minute reports with METARs.

Values are turned into those of `domain.minutes`: knots times 1.15078 are miles per hour; where a service gives no
humidity it follows from temperature and dew point.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import final

from kalshi_ingest.domain.cities import Station
from kalshi_ingest.domain.minutes import IEM_ONE_MINUTE, IEM_REPORTS, Observation, relative_humidity
from kalshi_ingest.domain.plausible import SLACK
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.sources.client import Service
from kalshi_ingest.weather.sources.readings import Quantity

REQUESTS_PER_SECOND = 0.9
"""IEM allows one a second per address (since 2026-04-21); a tenth is spare for requests that overtake others."""

_ONE_MINUTE = ("tmpf", "dwpf", "sknt", "drct", "gust_sknt")
_REPORTS = ("tmpf", "dwpf", "relh", "sknt", "drct", "gust", "mslp", "p01i")
_FIVE_MINUTE, _ROUTINE, _SPECIAL = "1", "3", "4"
_MISSING = ("M", "")
_MPH = 1.15078
_DAY_SECONDS = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_REMEMBERED = 4_000
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)

_TEMPERATURE = Quantity("tmpf", 100, -999, 999, missing=_MISSING)
"""As wide as its column: `domain.minutes` refuses what cannot be, and counts it."""


_DEW = Quantity("dwpf", 100, -60, 100, missing=_MISSING)
_WIND = Quantity("sknt", 100, 0, 250, factor=_MPH, missing=_MISSING)
_GUST = Quantity("gust", 100, 0, 250, factor=_MPH, missing=_MISSING)
_DIRECTION = Quantity("drct", 10, 0, 360, missing=_MISSING)
_HUMIDITY = Quantity("relh", 100, 0, 100, missing=_MISSING)
_PRESSURE = Quantity("mslp", 100, 850, 1100, missing=_MISSING)
_PRECIP = Quantity("p01i", 1000, 0, 30, missing=_MISSING)


@final
class Asos:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def one_minute(
        self, stations: Sequence[Station], start: datetime, end: datetime
    ) -> dict[str, list[Observation]]:
        """Readings with `start` ≤ time < `end` (aware) by `loc_id`, in order: every fifth minute, whole °F.

        The service samples, it does not average. Every fifth minute is what the slots need and a fifth of the load.
        """
        params = [("station", station.iem_id) for station in stations]
        params += [("vars", name) for name in _ONE_MINUTE]
        params += [("sts", _stamp(start)), ("ets", _stamp(end)), ("sample", "5min"), ("what", "download")]
        params += [("tz", "UTC"), ("delim", "comma"), ("gis", "no")]
        body = await self._service.get("/cgi-bin/request/asos1min.py", params)
        heading = ["station", "station_name", "valid(UTC)", *_ONE_MINUTE]
        found = _by_station(stations)
        temperature, dew_point, wind, gusts, direction = _remembering(_TEMPERATURE, _DEW, _WIND, _GUST, _DIRECTION)
        for iem_id, _, valid, tmpf, dwpf, sknt, drct, gust in _table(body, heading, self._service.name):
            temp = temperature(tmpf)
            if temp is None:
                continue
            dew = dew_point(dwpf)
            station = _known(found, iem_id)
            station[1].append(
                Observation(
                    _seconds(valid),
                    temp,
                    station[0],
                    IEM_ONE_MINUTE,
                    dew,
                    None if dew is None else relative_humidity(temp, dew),
                    wind(sknt),
                    gusts(gust),
                    direction(drct),
                )
            )
        return _in_order(found, start, end)

    async def reports(
        self, stations: Sequence[Station], start: datetime, end: datetime
    ) -> dict[str, list[Observation]]:
        """Five-minute reports (whole °C turned into °F) and METARs (tenths of °C), else as `one_minute`."""
        params = [("station", station.iem_id) for station in stations]
        params += [("data", name) for name in _REPORTS]
        params += [("sts", _stamp(start)), ("ets", _stamp(end)), ("tz", "UTC"), ("format", "onlycomma")]
        params += [("missing", "M"), ("trace", "T"), ("latlon", "no"), ("elev", "no")]
        params += [("report_type", kind) for kind in (_FIVE_MINUTE, _ROUTINE, _SPECIAL)]
        body = await self._service.get("/cgi-bin/request/asos.py", params)
        found = _by_station(stations)
        rows = _table(body, ["station", "valid", *_REPORTS], self._service.name)
        temperature, dew_point, wind, gusts, direction = _remembering(_TEMPERATURE, _DEW, _WIND, _GUST, _DIRECTION)
        for iem_id, valid, tmpf, dwpf, relh, sknt, drct, gust, mslp, p01i in rows:
            temp = temperature(tmpf)
            if temp is None:
                continue
            dew, humidity = dew_point(dwpf), _HUMIDITY.read(relh)
            if humidity is None and dew is not None:
                humidity = relative_humidity(temp, dew)
            station = _known(found, iem_id)
            station[1].append(
                Observation(
                    _seconds(valid),
                    temp,
                    station[0],
                    IEM_REPORTS,
                    dew,
                    humidity,
                    wind(sknt),
                    gusts(gust),
                    direction(drct),
                    _PRESSURE.read(mslp),
                    0 if p01i == "T" else _PRECIP.read(p01i),  # a trace: less than what can be measured
                )
            )
        return _in_order(found, start, end)


def _remembering(*quantities: Quantity) -> list[Callable[[str], int | None]]:
    """Readers of each quantity that cache: an answer has a million texts, few of them different."""
    return [lru_cache(_REMEMBERED)(each.read) for each in quantities]


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def _by_station(stations: Sequence[Station]) -> dict[str, tuple[str, list[Observation]]]:
    return {station.iem_id: (station.loc_id, []) for station in stations}


def _known(found: dict[str, tuple[str, list[Observation]]], iem_id: str) -> tuple[str, list[Observation]]:
    if iem_id not in found:
        raise BadPayload(f"IEM answers with station {iem_id[:8]!r}, which was not asked for")
    return found[iem_id]


def _in_order(
    found: dict[str, tuple[str, list[Observation]]], start: datetime, end: datetime
) -> dict[str, list[Observation]]:
    """By station, in order of time. Raises `BadPayload` for a time that is far from what was asked for."""
    earliest, latest = ((moment).timestamp() for moment in (start - SLACK, end + SLACK))
    for loc_id, observations in found.values():
        observations.sort(key=lambda each: each.second)
        if observations and not earliest <= observations[0].second <= observations[-1].second <= latest:
            raise BadPayload(f"IEM: a row of {loc_id} lies outside {start:%Y-%m-%d %H:%M}Z to {end:%Y-%m-%d %H:%M}Z")
    return dict(found.values())


def _table(body: bytes, heading: list[str], name: str) -> Iterator[list[str]]:
    text = body.decode(errors="replace")
    if not text.endswith("\n"):
        raise BadPayload(f"{name}: the table of readings is cut short: it ends with {text[-60:]!r}")
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        if next(rows) != heading:
            raise BadPayload(f"{name}: the answer is not a table of {','.join(heading)}: it begins with {text[:120]!r}")
        for row in rows:
            if len(row) != len(heading):
                raise BadPayload(f"{name}: a row has {len(row)} cells, not {len(heading)}: {','.join(row)[:120]!r}")
            yield row
    except csv.Error as error:  # a quoted cell without an end
        raise BadPayload(f"{name}: the table of readings cannot be read: {error}") from None


def _seconds(valid: str) -> int:
    """`YYYY-MM-DD HH:MM`, UTC, as seconds since 1970."""
    try:
        hour, minute = int(valid[11:13]), int(valid[14:16])
        if hour < 24 and minute < 60 and _MOMENT.fullmatch(valid):
            return _midnight(valid[:10]) + hour * 3600 + minute * 60
    except ValueError:
        pass
    raise BadPayload(f"IEM: {valid[:30]!r} is not a time YYYY-MM-DD HH:MM")


@lru_cache(maxsize=1_024)
def _midnight(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - _EPOCH) * _DAY_SECONDS
