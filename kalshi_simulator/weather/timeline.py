"""Visual Crossing's timeline with minutes: days, hours in them, minutes in those; and its wrong rows.

A date in the path is a UTC day with `timezone=Z`, else a civil day of the station. Minutes of one path day
belong to two climate days, by which the oddities go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.curve import MINUTES
from kalshi_simulator.weather.days import Day
from kalshi_simulator.weather.readings import Readings, Stretch, dew_point, gap, humidity, wind_mph
from kalshi_simulator.weather.stations import Station
from kalshi_simulator.wire import Row

SENTINEL = -77.9
"""What the feed writes now and then instead of a temperature, °F."""
JUMP = 60.0
"""By how much a wrong row is too warm, °F."""


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """One request. `first` and `last` are path dates, both included; `interval` in minutes."""

    station: Station
    pinned: bool
    first: date
    last: date
    utc_days: bool
    interval: int
    elements: frozenset[str] | None
    minutes: bool

    @property
    def cost(self) -> int:
        """Records: one per row asked for."""
        days = (self.last - self.first).days + 1
        return days * (MINUTES // self.interval if self.minutes else 24)

    @property
    def zone(self) -> ZoneInfo:
        """The zone that the path's dates are meant in."""
        return ZoneInfo("UTC") if self.utc_days else self.station.city.zone


class Timeline:
    """Answers of the timeline service."""

    def __init__(self, readings: Readings, oddities: Oddities) -> None:
        self._readings = readings
        self._oddities = oddities

    def body(self, query: TimelineQuery, address: str, now: datetime) -> Row:
        """The whole JSON object."""
        station = query.station
        lon, lat = station.place
        days = []
        day = query.first
        while day <= query.last:
            days.append(self._day(query, day, now))
            day += timedelta(days=1)
        seen = (station.icao,) if query.pinned else (station.icao, *station.neighbours)
        return {
            "queryCost": query.cost,
            "latitude": lat,
            "longitude": lon,
            "resolvedAddress": address,
            "address": address,
            "timezone": "Z" if query.utc_days else str(query.zone),
            "tzoffset": 0.0 if query.utc_days else float(station.city.standard_offset),
            "days": days,
            "stations": {icao: {"distance": 0.0, "id": icao, "name": icao, "quality": 100} for icao in seen},
        }

    def _day(self, query: TimelineQuery, day: date, now: datetime) -> Row:
        start = datetime.combine(day, time(0), tzinfo=query.zone).astimezone(UTC)
        end = datetime.combine(day + timedelta(days=1), time(0), tzinfo=query.zone).astimezone(UTC)
        rows: dict[datetime, list[Row]] = {}
        if query.minutes:
            for moment, row in self._rows(query, start, min(end, now + timedelta(seconds=1))):
                rows.setdefault(moment.replace(minute=0), []).append(row)
        hours = []
        hour = start
        while hour < end:
            entry: Row = {"datetime": f"{hour.astimezone(query.zone):%H:%M:%S}", "datetimeEpoch": int(hour.timestamp())}
            if hour in rows:
                entry["minutes"] = rows[hour]
            hours.append(entry)
            hour += timedelta(hours=1)
        return {"datetime": day.isoformat(), "datetimeEpoch": int(start.timestamp()), "hours": hours}

    def _rows(self, query: TimelineQuery, start: datetime, end: datetime) -> Iterator[tuple[datetime, Row]]:
        for stretch in self._readings.between(query.station, start, end):
            if self._oddities.has("vc_empty", query.station.icao, stretch.of.day):
                continue
            yield from self._observations(query, stretch)

    def _observations(self, query: TimelineQuery, stretch: Stretch) -> Iterator[tuple[datetime, Row]]:
        of, icao = stretch.of, query.station.icao
        left_out = gap(self._oddities, "vc_gap", of, 10, 120)
        foreign = gap(self._oddities, "vc_substitution", of, 15, 60)
        sentinel = self._place("vc_sentinel", of, query.interval)
        jump = self._place("vc_jump", of, query.interval)
        as_text = self._oddities.has("vc_stations_text", icao, of.day)
        own = (icao,) if query.pinned else (icao, *query.station.neighbours)
        first = -(-stretch.first // query.interval) * query.interval
        for minute in range(first, stretch.end, query.interval):
            if minute in left_out and minute not in (sentinel, jump):
                continue
            stations, temperature = own, stretch.temperatures[minute] + (0.0 if query.pinned else 0.4)
            if minute in foreign:
                stations, temperature = query.station.neighbours[:1], temperature + 4.0
            if minute == sentinel:
                temperature = SENTINEL
            elif minute == jump:
                temperature += JUMP
            moment = stretch.base + timedelta(minutes=minute)
            row = _observation(of, minute, temperature, moment, query.zone)
            row["stations"] = ",".join(stations) if as_text else list(stations)
            yield moment, row if query.elements is None else _only(row, query.elements)

    def _place(self, kind: str, of: Day, interval: int) -> int | None:
        """The minute that a single wrong row is at."""
        if not self._oddities.has(kind, of.station.icao, of.day):
            return None
        return int(MINUTES // interval * self._oddities.draw(kind + " place", of.station.icao, of.day)) * interval


def _only(row: Row, elements: frozenset[str]) -> Row:
    return {name: value for name, value in row.items() if name in elements or name == "datetime"}


def _observation(of: Day, minute: int, temperature: float, moment: datetime, zone: ZoneInfo) -> Row:
    tenth = round(temperature, 1)
    dew = round(min(temperature, dew_point(of, max(temperature, of.low))), 1)
    wind = wind_mph(of, minute)
    local = moment if zone.key == "UTC" else moment.astimezone(zone)
    row: Row = {
        "datetime": f"{local.hour:02d}:{local.minute:02d}:00",
        "datetimeEpoch": int(moment.timestamp()),
        "temp": tenth,
        "dew": dew,
        "humidity": humidity(round(max(tenth, dew) * 10), round(dew * 10)),
        "windspeed": wind,
        "winddir": float(of.direction),
        "pressure": 1015 + of.sky / 2,
        "precip": 0.0,
        "cloudcover": of.sky * 10.0,
        "source": "obs",
    }
    if 840 <= minute < 900:
        row["windgust"] = float(of.gust)
    return row


def parse_interval(options: Sequence[str]) -> int:
    """Minutes between rows: `minuteinterval_5`; fifteen where nothing is said."""
    found = [option.removeprefix("minuteinterval_") for option in options if option.startswith("minuteinterval_")]
    return int(found[0]) if found else 15
