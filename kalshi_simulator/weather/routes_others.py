"""NCEI's Access Data Service under `/ncei` and Visual Crossing's timeline under `/visualcrossing`."""

from __future__ import annotations

from datetime import date
from urllib.parse import unquote

from aiohttp import web

from kalshi_simulator.weather.answers import JSON, Page, Route, WeatherRefusedError, as_json, listed
from kalshi_simulator.weather.ghcnd import Form
from kalshi_simulator.weather.stations import BY_GHCND, STATIONS
from kalshi_simulator.weather.timeline import TimelineQuery, parse_interval
from kalshi_simulator.weather.whole import Weather
from kalshi_simulator.wire import Row

_TIMELINE = "/VisualCrossingWebServices/rest/services/timeline/{location}/{first}"


def _summaries(weather: Weather, request: web.Request) -> Page:
    if request.query.get("dataset") != "daily-summaries":
        raise _ncei_refusal("dataset", request.query.get("dataset", ""))
    named = listed(request, "stations")
    if not named:
        raise _ncei_refusal("stations", "")
    metric = request.query.get("units", "metric") == "metric"
    form = Form(
        listed(request, "dataTypes") or ("TMAX", "TMIN"),
        metric=metric,
        attributes=_flag(request, "includeAttributes"),
        name=_flag(request, "includeStationName"),
    )
    stations = [BY_GHCND[name] for name in named if name in BY_GHCND]  # `GHCND:` before it finds nothing
    rows = weather.ghcnd.rows(
        stations, _ncei_date(request, "startDate"), _ncei_date(request, "endDate"), weather.now, form
    )
    if request.query.get("format", "csv") == "json":
        return Page(as_json(rows), JSON)
    return Page(_csv(rows), "text/csv")


def _csv(rows: list[Row]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    return "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in lines).encode()


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "false").lower() in ("true", "1")


def _ncei_date(request: web.Request, name: str) -> date:
    text = request.query.get(name, "")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _ncei_refusal(name, text) from None


def _ncei_refusal(field: str, value: str) -> WeatherRefusedError:
    error = {"field": field, "message": f"The {field} is missing or not valid.", "value": value}
    body = {"errorMessage": "There was an error with your request.", "errorCode": 400, "errors": [error]}
    return WeatherRefusedError(400, as_json(body).decode(), JSON)


def timeline_query(request: web.Request) -> TimelineQuery:
    """What a timeline request asks for; raises `WeatherRefusedError` in plain text."""
    location = unquote(request.match_info["location"])
    station = STATIONS.get(location.removeprefix("stn:").upper())
    if station is None:
        raise WeatherRefusedError(400, "Bad API Request:Invalid location parameter value.")
    try:
        first = date.fromisoformat(request.match_info["first"])
        last = date.fromisoformat(request.match_info.get("last", request.match_info["first"]))
        interval = parse_interval(listed(request, "options"))
    except ValueError:
        raise WeatherRefusedError(400, "Bad API Request:Invalid start or end date parameter value.") from None
    if last < first or not 1 <= interval <= 60:
        raise WeatherRefusedError(400, "Bad API Request:end date may not be before the start date.")
    elements = listed(request, "elements")
    return TimelineQuery(
        station=station,
        pinned=location.startswith("stn:"),
        first=first,
        last=last,
        utc_days=request.query.get("timezone") == "Z",
        interval=interval,
        elements=frozenset(elements) if elements else None,
        minutes="minutes" in listed(request, "include"),
    )


def _timeline(weather: Weather, request: web.Request) -> Page:
    address = unquote(request.match_info["location"])
    return Page(as_json(weather.timeline.body(timeline_query(request), address, weather.now)), JSON)


NCEI_ROUTES = (Route("ncei", "ncei", "/access/services/data/v1", _summaries, throttle="ncei"),)
VISUAL_CROSSING_ROUTES = (
    Route("visual_crossing", "timeline", _TIMELINE, _timeline),
    Route("visual_crossing", "timeline", _TIMELINE + "/{last}", _timeline),
)
