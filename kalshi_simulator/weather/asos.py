"""IEM's two ASOS services as CSV: one-minute values, a day late, and five-minute reports with METARs.

One-minute temperatures are whole °F. Five-minute reports carry whole °C turned into °F, METARs tenths of °C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from kalshi_simulator.weather.config import Oddities
from kalshi_simulator.weather.curve import MINUTES
from kalshi_simulator.weather.days import TRACE, Day
from kalshi_simulator.weather.readings import Readings, Stretch, dew_point, gap, humidity, wind_mph
from kalshi_simulator.weather.stations import Station

ONE_MINUTE_VARS = [
    "tmpf",
    "dwpf",
    "sknt",
    "drct",
    "gust_sknt",
    "gust_drct",
    "ptype",
    "precip",
    "pres1",
    "pres2",
    "pres3",
    "vis1_coeff",
    "vis1_nd",
    "vis2_coeff",
    "vis2_nd",
    "vis3_coeff",
    "vis3_nd",
]
METAR_VARS = [
    "tmpf",
    "dwpf",
    "relh",
    "drct",
    "sknt",
    "p01i",
    "alti",
    "mslp",
    "vsby",
    "gust",
    "skyc1",
    "skyc2",
    "skyc3",
    "skyc4",
    "skyl1",
    "skyl2",
    "skyl3",
    "skyl4",
    "wxcodes",
    "ice_accretion_1hr",
    "ice_accretion_3hr",
    "ice_accretion_6hr",
    "peak_wind_gust",
    "peak_wind_drct",
    "peak_wind_time",
    "feel",
    "metar",
    "snowdepth",
]
ONE_MINUTE_LATE = timedelta(hours=24)
FIVE_MINUTE, ROUTINE, SPECIAL = 1, 3, 4
"""`report_type` of the METAR service."""
_KNOTS = 1 / 1.15078
_WET_HOUR = 15
"""All of a day's rain falls in this hour; gusts blow in the one before."""
_CLOCK = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(MINUTES)]


@dataclass(frozen=True, slots=True)
class Window:
    """What a request asks for: stations, `start` ≤ time < `end` (UTC), columns."""

    stations: Sequence[Station]
    start: datetime
    end: datetime
    columns: tuple[str, ...]


class Asos:
    """Both services; answers come in pieces, so that a large one is never held whole."""

    def __init__(self, readings: Readings, oddities: Oddities) -> None:
        self._readings = readings
        self._oddities = oddities

    def one_minute(self, asked: Window, sample: int, now: datetime) -> Iterator[str]:
        """Station by station; minutes not divisible by `sample` are left out."""
        yield ",".join(["station", "station_name", "valid(UTC)", *asked.columns]) + "\n"
        end = min(asked.end, now - ONE_MINUTE_LATE)
        for station in sorted(asked.stations, key=lambda each: each.iem):
            for stretch in self._readings.between(station, asked.start, end):
                yield self._one_minute(stretch, asked.columns, sample)

    def metar(self, asked: Window, types: frozenset[int], missing: str, now: datetime) -> Iterator[str]:
        """All stations together, in order of time; no types stands for all of them."""
        yield ",".join(["station", "valid", *asked.columns]) + "\n"
        start, end = asked.start, min(asked.end, now)
        while start < end:
            stop = min(start + timedelta(days=1), end)
            rows = [
                row
                for station in asked.stations
                for stretch in self._readings.between(station, start, stop)
                for row in self._metars(stretch, asked.columns, types, missing)
            ]
            rows.sort()
            yield "".join([row for _, row in rows])
            start = stop

    def _minutes(self, stretch: Stretch, step: int) -> list[int]:
        left_out = gap(self._oddities, "asos_gap", stretch.of, 5, 90)
        first = -(-stretch.first // step) * step
        return [minute for minute in range(first, stretch.end, step) if minute not in left_out]

    def _blank(self, of: Day) -> frozenset[int]:
        """Minutes whose temperature is missing."""
        icao = of.station.icao
        if not self._oddities.has("asos_m", icao, of.day):
            return frozenset()
        place = int(MINUTES * self._oddities.draw("asos m", icao, of.day))
        return frozenset({place, (place + 301) % MINUTES, place // 5 * 5, (place // 60 * 60 + 53) % MINUTES})

    def _one_minute(self, stretch: Stretch, columns: tuple[str, ...], sample: int) -> str:
        of, station = stretch.of, stretch.of.station
        minutes = self._minutes(stretch, sample)
        blank = self._blank(of)
        cells: list[list[str]] = [_stamps(stretch, minutes, f"{station.iem},{_name(station)},")]
        for column in columns:
            if column == "tmpf":
                values = [str(round(stretch.temperatures[minute])) for minute in minutes]
                cells.append(
                    ["M" if m in blank else v for m, v in zip(minutes, values, strict=True)] if blank else values
                )
            elif column == "dwpf":
                cells.append([str(round(dew_point(of, stretch.temperatures[minute]))) for minute in minutes])
            elif column == "sknt":
                cells.append([str(round(wind_mph(of, minute) * _KNOTS)) for minute in minutes])
            elif column in ("drct", "gust_drct"):
                cells.append([str(of.direction)] * len(minutes))
            else:
                cells.append(["M"] * len(minutes))
        return "".join([",".join(row) + "\n" for row in zip(*cells, strict=True)])

    def _metars(
        self, stretch: Stretch, columns: tuple[str, ...], types: frozenset[int], missing: str
    ) -> Iterator[tuple[str, str]]:
        of, station = stretch.of, stretch.of.station
        blank = self._blank(of)
        minutes = [minute for minute, kind in self._reported(stretch) if not types or kind in types]
        for minute, stamp in zip(minutes, _stamps(stretch, minutes, ""), strict=True):
            # Reports on the full five minutes come from the feed that knows whole degrees Celsius only.
            digits = 0 if minute % 5 == 0 else 1
            temperature = _by_celsius(stretch.temperatures[minute], digits)
            dew = min(temperature, _by_celsius(dew_point(of, temperature), digits))
            air = _air_cells(columns, None if minute in blank else temperature, dew, missing)
            row = air % _other_cells(columns, of, minute, missing)
            yield stamp, f"{station.iem},{stamp},{row}\n"

    def _reported(self, stretch: Stretch) -> list[tuple[int, int]]:
        of = stretch.of
        five = [] if of.station.icao == "KNYC" else [(minute, FIVE_MINUTE) for minute in self._minutes(stretch, 5)]
        left_out = gap(self._oddities, "asos_gap", of, 5, 90)
        hourly = range(of.station.routine_minute, MINUTES, 60)
        routine = [(m, ROUTINE) for m in hourly if stretch.first <= m < stretch.end and m not in left_out]
        special = [(m, SPECIAL) for m in range(17, MINUTES, 377) if of.precip and stretch.first <= m < stretch.end]
        return sorted([*five, *routine, *special])


def _name(station: Station) -> str:
    return station.title.title().replace(",", "_")


def _stamps(stretch: Stretch, minutes: Sequence[int], prefix: str) -> list[str]:
    """`prefix` and the UTC time of each minute."""
    base = stretch.base.astimezone(UTC)
    shift = base.hour * 60
    today, after = f"{prefix}{base:%Y-%m-%d} ", f"{prefix}{base + timedelta(days=1):%Y-%m-%d} "
    midnight = MINUTES - shift
    return [
        today + _CLOCK[minute + shift] if minute < midnight else after + _CLOCK[minute - midnight] for minute in minutes
    ]


@lru_cache(maxsize=65_536)
def _rounded(tenths_fahrenheit: int, digits: int) -> float:
    return round((tenths_fahrenheit / 10 - 32) / 1.8, digits) * 1.8 + 32


def _by_celsius(temperature: float, digits: int) -> float:
    """A temperature that was rounded in °C on its way."""
    return _rounded(round(temperature * 10), digits)


_AIR = ("tmpf", "dwpf", "relh")


@lru_cache(maxsize=65_536)
def _air_cells(columns: tuple[str, ...], temperature: float | None, dew: float, missing: str) -> str:
    """A row with its temperatures, and `%s` for all other columns."""
    if temperature is None:
        return ",".join([missing if column in _AIR else "%s" for column in columns])
    relative = humidity(round(temperature * 10), round(dew * 10))
    values = {"tmpf": f"{temperature:.2f}", "dwpf": f"{dew:.2f}", "relh": f"{relative:.2f}"}
    return ",".join([values.get(column, "%s") for column in columns])


def _other_cells(columns: tuple[str, ...], of: Day, minute: int, missing: str) -> tuple[str, ...]:
    """The columns that are no temperatures."""
    rain = of.precip != 0 and minute // 60 == _WET_HOUR
    values = {
        "drct": f"{of.direction}.00",
        "sknt": f"{round(wind_mph(of, minute) * _KNOTS)}.00",
        "p01i": "0.00" if not rain else "T" if of.precip == TRACE else f"{of.precip / 100:.2f}",
        "vsby": "10.00",
        "gust": f"{of.gust * _KNOTS:.2f}" if minute // 60 == _WET_HOUR - 1 else missing,
    }
    if minute % 5:
        values |= {"mslp": f"{1015 + of.sky / 2:.2f}", "alti": f"{29.9 + of.sky / 100:.2f}"}
    return tuple([values.get(column, missing) for column in columns if column not in _AIR])
