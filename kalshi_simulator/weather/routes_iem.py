"""IEM's services under `/iem`: paths, parameters and refusals as in its documentation and published source."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from aiohttp import web

from kalshi_simulator.weather import cf6, cli
from kalshi_simulator.weather.answers import (
    JSON,
    TEXT,
    Page,
    Route,
    WeatherRefusedError,
    as_json,
    choice,
    listed,
    unprocessable,
    year_of,
    zoned,
)
from kalshi_simulator.weather.asos import METAR_VARS, ONE_MINUTE_VARS, Window
from kalshi_simulator.weather.cli import csv, envelope
from kalshi_simulator.weather.products import Product, products
from kalshi_simulator.weather.stations import BY_IEM, STATIONS, Station
from kalshi_simulator.weather.whole import Weather
from kalshi_simulator.wire import Row

CLI_CACHE_SECONDS = 300.0
CF6_CACHE_SECONDS = 60.0
MOST_PRODUCTS = 9999
MOST_STATION_YEARS = 1_000
_PRODUCT = re.compile(r"(\d{12})-[A-Z]{4}-[A-Z]{4}\d{2}-([A-Z0-9]{6})$")
_SAMPLES = {"1min": 1, "5min": 5, "10min": 10, "20min": 20, "1hour": 60}
_NULLS = {"M": "M", "null": "null", "empty": ""}


def _cli(weather: Weather, request: web.Request) -> Page:
    icao, year = _station_id(request), year_of(request)
    fmt = choice(request, "fmt", "json", ("json", "csv"))

    def make(now: datetime) -> bytes:
        station = STATIONS.get(icao)
        rows = [] if station is None else weather.cli.of_year(station, year, now)
        return _station_year(rows, fmt, cli.CSV_COLUMNS, now)

    return Page(weather.cached(("cli", icao, year, fmt), CLI_CACHE_SECONDS, make), JSON if fmt == "json" else TEXT)


def _cf6(weather: Weather, request: web.Request) -> Page:
    icao, year = _station_id(request), year_of(request)
    fmt = choice(request, "fmt", "json", ("json", "csv"))

    def make(now: datetime) -> bytes:
        station = STATIONS.get(icao)
        rows = [] if station is None else weather.cf6.of_year(station, year, now)
        return _station_year(rows, fmt, cf6.CSV_COLUMNS, now)

    return Page(weather.cached(("cf6", icao, year, fmt), CF6_CACHE_SECONDS, make), JSON if fmt == "json" else TEXT)


def _station_id(request: web.Request) -> str:
    icao = request.query.get("station", "KDSM")
    if not re.fullmatch("[A-Z0-9]{4}", icao):
        raise unprocessable("station: String should match pattern '^[A-Z0-9]{4}$'")
    return icao


def _station_year(rows: list[Row], fmt: str, columns: list[str], now: datetime) -> bytes:
    return as_json(envelope(rows, now)) if fmt == "json" else csv(rows, columns).encode()


def _geojson(weather: Weather, request: web.Request) -> Page:
    fmt = choice(request, "fmt", "geojson", ("geojson", "csv"))
    day = _date(request, "dt", weather.now.date())

    def make(now: datetime) -> bytes:
        features = weather.cli.of_day(day, now)
        if fmt == "geojson":
            return as_json({"type": "FeatureCollection", "features": features})
        columns = ["station", "lon", "lat", *cli.CSV_COLUMNS[1:]]
        return csv([feature["properties"] for feature in features], columns).encode()

    body = weather.cached(("geojson", day, fmt), CLI_CACHE_SECONDS, make)
    return Page(body, "application/vnd.geo+json" if fmt == "geojson" else TEXT)


def _retrieve(weather: Weather, request: web.Request) -> Page:
    pils = [pil.upper() for pil in listed(request, "pil")]
    if not pils or any(not 3 <= len(pil) <= 6 for pil in pils):
        raise unprocessable("pil: Invalid PIL length")
    try:
        limit = int(request.query.get("limit", "1"))
    except ValueError:
        raise unprocessable("limit: Input should be a valid integer") from None
    if not 1 <= limit <= MOST_PRODUCTS:
        raise unprocessable(f"limit: Input should be less than or equal to {MOST_PRODUCTS}")
    fmt = choice(request, "fmt", "text", ("text", "zip"))
    newest_first = choice(request, "order", "desc", ("asc", "desc")) == "desc"
    start = _bound(request, "sdate", datetime(1980, 1, 1, tzinfo=UTC))
    end = min(_bound(request, "edate", weather.now), weather.now)
    found = [product for pil in pils for product in products(weather, pil, start, end)]
    found.sort(key=lambda product: product.issued, reverse=newest_first)
    found = found[:limit]
    if fmt == "zip":
        return Page(_zipped(found), "application/zip")
    if not found:
        return Page(f"ERROR: Could not Find: {','.join(pils)}".encode(), TEXT)
    return Page((f"\001\n{product.text()}\n\003\n" for product in found), TEXT)


def _zipped(found: Sequence[Product]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for product in found:
            archive.writestr(f"{product.pil}_{product.issued:%Y%m%d%H%M}.txt", product.text())
    return held.getvalue()


def _product(weather: Weather, request: web.Request) -> Page:
    found = _find(weather, request.match_info["product"])
    if found is None:
        raise WeatherRefusedError(404, '{"detail":"Product not found."}', JSON)
    return Page(found.text().encode(), TEXT)


def _find(weather: Weather, name: str) -> Product | None:
    named = _PRODUCT.match(name)
    if named is None:
        return None
    try:
        issued = datetime.strptime(named[1] + "+0000", "%Y%m%d%H%M%z")
    except ValueError:
        return None
    found = products(weather, named[2], issued, min(issued, weather.now))
    return next((product for product in found if product.id == name), None)


def _list(weather: Weather, request: web.Request) -> Page:
    day = _date(request, "date", weather.now.date())
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = min(start + timedelta(days=1, seconds=-1), weather.now)
    found = products(weather, request.query.get("pil", "").upper(), start, end)
    root = f"{request.scheme}://{request.host}/iem"
    rows = [
        {
            "index": place,
            "entered": f"{product.issued:%Y-%m-%dT%H:%M:%SZ}",
            "pil": product.pil,
            "product_id": product.id,
            "cccc": product.office,
            "count": 1,
            "link": f"{root}/p.php?pid={product.id}",
            "text_link": f"{root}/api/1/nwstext/{product.id}",
        }
        for place, product in enumerate(found)
    ]
    return Page(as_json({"data": rows}), JSON)


def _one_minute(weather: Weather, request: web.Request) -> Page:
    columns = listed(request, "vars")
    if not columns:
        raise unprocessable("No vars= was specified in request.")
    for column in columns:
        if column not in ONE_MINUTE_VARS:
            raise unprocessable(f"Unknown variable {column} specified in request.")
    names = [name.upper() for name in listed(request, "station")]
    for name in names:
        if name not in BY_IEM:  # a leading K is not stripped here
            raise unprocessable(f"Unknown station provided: {name}")
    if not names:
        raise unprocessable("No station= was specified in request.")
    choice(request, "what", "download", ("download", "view"))
    sample = _SAMPLES[choice(request, "sample", "1min", tuple(_SAMPLES))]
    choice(request, "delim", "comma", ("comma",))
    choice(request, "tz", "UTC", ("UTC", "Etc/UTC"))
    asked = Window([BY_IEM[name] for name in names], zoned(request, "sts"), zoned(request, "ets"), tuple(columns))
    return Page(weather.asos.one_minute(asked, sample, weather.now), "application/octet-stream")


def _metar(weather: Weather, request: web.Request) -> Page:
    start, end = sorted((zoned(request, "sts"), zoned(request, "ets")))
    names = [name[1:] if len(name) == 4 and name[0] == "K" else name for name in listed(request, "station")]
    if (end.year - start.year) * len(names) > MOST_STATION_YEARS:
        raise unprocessable(
            "Requested too much data, reduce stations or time period."
            " Currently limited to 1,000 station_years worth of data."
        )
    choice(request, "format", "onlycomma", ("onlycomma",))
    choice(request, "tz", "UTC", ("UTC", "Etc/UTC"))
    missing = _NULLS[choice(request, "missing", "M", tuple(_NULLS))]
    wanted = listed(request, "data")
    columns = METAR_VARS if not wanted or "all" in wanted else [name for name in wanted if name in METAR_VARS]
    try:
        types = frozenset(int(kind) for kind in listed(request, "report_type"))
    except ValueError:
        raise unprocessable("report_type: Input should be a valid integer") from None
    stations: list[Station] = [BY_IEM[name] for name in names if name in BY_IEM]
    asked = Window(stations, start, end, tuple(columns) or ("tmpf",))
    return Page(weather.asos.metar(asked, types, missing, weather.now), TEXT)


def _date(request: web.Request, name: str, default: date) -> date:
    text = request.query.get(name)
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError:
        raise unprocessable(f"{name}: Input should be a valid date") from None


def _bound(request: web.Request, name: str, default: datetime) -> datetime:
    """A bound of the text archive: UTC whatever zone it carries, as IEM reads it."""
    text = request.query.get(name)
    try:
        return default if not text else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise unprocessable(f"{name}: Input should be a valid datetime") from None


IEM_ROUTES = (
    Route("iem", "cli_json", "/json/cli.py", _cli),
    Route("iem", "cli_geojson", "/geojson/cli.py", _geojson),
    Route("iem", "cf6_json", "/json/cf6.py", _cf6),
    Route("iem", "afos", "/cgi-bin/afos/retrieve.py", _retrieve),
    Route("iem", "afos_list", "/api/1/nws/afos/list.json", _list),
    Route("iem", "nwstext", "/api/1/nwstext/{product}", _product),
    Route("iem", "asos1min", "/cgi-bin/request/asos1min.py", _one_minute, throttle="iem"),
    Route("iem", "asos", "/cgi-bin/request/asos.py", _metar, throttle="iem"),
)
