"""IEM's rows of daily climate reports: one per station and day, the newest issuance, with its own spellings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from kalshi_simulator.weather.days import TRACE, Days
from kalshi_simulator.weather.reports import FIRST_DAY, Report, Reports
from kalshi_simulator.weather.stations import STATIONS, Station
from kalshi_simulator.weather.text import clock_text
from kalshi_simulator.wire import Row

MISSING = "M"
CSV_COLUMNS = [
    "station",
    "valid",
    "name",
    "state",
    "wfo",
    "high",
    "high_record",
    "high_record_years",
    "high_normal",
    "high_time",
    "low",
    "low_record",
    "low_record_years",
    "low_normal",
    "low_time",
    "precip",
    "precip_normal",
    "precip_month",
    "precip_jan1",
    "precip_jan1_normal",
    "precip_jul1",
    "precip_dec1",
    "precip_dec1_normal",
    "precip_record",
    "precip_record_years",
    "snow",
    "snowdepth",
    "snow_normal",
    "snow_month",
    "snow_jun1",
    "snow_jul1",
    "snow_dec1",
    "snow_record",
    "snow_record_years",
    "snow_jul1_normal",
    "snow_dec1_normal",
    "snow_month_normal",
    "snow_jul1_depart",
    "average_sky_cover",
]
"""The CSV form has neither `product` nor `link`."""
_NOT_KEPT = [
    "precip_jul1",
    "precip_dec1",
    "precip_dec1_normal",
    "precip_jun1",
    "precip_jun1_normal",
    "snow",
    "snowdepth",
    "snow_normal",
    "snow_month",
    "snow_jun1",
    "snow_jul1",
    "snow_dec1",
    "snow_record",
    "snow_jul1_normal",
    "snow_jul1_depart",
    "snow_dec1_normal",
    "snow_month_normal",
]


class CliRows:
    """What `/json/cli.py` and `/geojson/cli.py` show."""

    def __init__(self, days: Days, reports: Reports) -> None:
        self._days = days
        self._reports = reports

    def of_year(self, station: Station, year: int, now: datetime) -> list[Row]:
        """The rows of one station and year, by date; days without a report are absent."""
        return [cli_row(report) for report in self._newest(station, year, now)]

    def of_day(self, day: date, now: datetime) -> list[Row]:
        """The GeoJSON features of all stations with a report about `day`."""
        found = (self._reports.newest(station, day, now) for station in STATIONS.values())
        return [_feature(place, report) for place, report in enumerate(filter(None, found))]

    def _newest(self, station: Station, year: int, now: datetime) -> Iterator[Report]:
        day = max(date(year, 1, 1), FIRST_DAY)
        last = min(date(year, 12, 31), station.climate_day(now))
        while day <= last:
            report = self._reports.newest(station, day, now)
            if report is not None:
                yield report
            day += timedelta(days=1)


def envelope(rows: list[Row], now: datetime) -> Row:
    """The body of IEM's JSON services."""
    return {"results": rows, "generated_at": f"{now:%Y-%m-%dT%H:%M:%SZ}"}


def csv(rows: list[Row], columns: list[str]) -> str:
    """IEM's CSV form, with a comma after the last column too, and lists joined by spaces."""
    lines = [",".join(columns)]
    for row in rows:
        cells = (row[name] for name in columns)
        lines.append("".join(f"{' '.join(map(str, c)) if isinstance(c, list) else c}," for c in cells))
    return "\n".join(lines) + "\n"


def amount(hundredths: int) -> float | str:
    """Precipitation in inches; a trace is the string `T`."""
    return "T" if hundredths == TRACE else hundredths / 100


def cli_row(report: Report) -> Row:
    """One report as IEM parsed it. °F, inches, mph; what is missing is the string `M`."""
    of, station = report.of, report.of.station
    minute = of.high_minute if report.as_of is None else min(of.high_minute, report.as_of - 1)
    low_record = of.normal_low - 16
    row: Row = {
        "station": station.icao,
        "valid": of.day.isoformat(),
        "state": station.state,
        "wfo": station.office[1:],
        "link": f"/api/1/nwstext/{report.product}",
        "product": report.product,
        "name": station.title.title(),
        "high": MISSING if report.high is None else report.high,
        "high_record": of.record_high,
        "high_record_years": [of.record_year],
        "high_normal": of.normal_high,
        "high_depart": MISSING if report.high is None else report.high - of.normal_high,
        "high_time": None if report.high is None else clock_text(minute, colon=station.colon)[:7],
        "low": of.low,
        "low_record": low_record,
        "low_record_years": [of.record_year + 3],
        "low_normal": of.normal_low,
        "low_depart": of.low - of.normal_low,
        "low_time": clock_text(of.low_minute, colon=station.colon)[:7],
        "precip": amount(of.precip),
        "precip_normal": 0.11,
        "precip_month": 3.05,
        "precip_month_normal": 0.89,
        "precip_jan1": 17.05,
        "precip_jan1_normal": 14.38,
        "precip_record": 1.96,
        "precip_record_years": [of.record_year],
        "snow_record_years": None,
        "average_sky_cover": of.sky / 10,
        "resultant_wind_speed": MISSING,
        "resultant_wind_direction": MISSING,
        "highest_wind_speed": of.wind,
        "highest_wind_direction": of.direction,
        "highest_gust_speed": of.gust,
        "highest_gust_direction": of.direction,
        "average_wind_speed": of.wind / 2,
    }
    return row | dict.fromkeys(_NOT_KEPT, MISSING)


def _feature(place: int, report: Report) -> Row:
    lon, lat = report.of.station.place
    return {
        "type": "Feature",
        "id": place,
        "properties": cli_row(report) | {"lon": lon, "lat": lat},
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
    }
