"""A small world with its weather services, and the questions that tests put to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
from aiohttp import ClientSession

from kalshi_simulator import Simulator, WeatherConfig
from kalshi_simulator.weather.server import WeatherUrls
from kalshi_simulator.world import World
from tests.simulator.support import small_world

Row = dict[str, Any]
TIMELINE = "/VisualCrossingWebServices/rest/services/timeline"
KEY = "simulated-key"
MINUTES = {
    "unitGroup": "us",
    "include": "minutes",
    "options": "useobs,minuteinterval_5,nonulls",
    "elements": "datetimeEpoch,temp,dew,humidity,windspeed,stations",
    "timezone": "Z",
    "contentType": "json",
    "key": KEY,
}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Issued:
    """One report as read from its text."""

    day: date
    stamp: str
    """Day of the month, hour and minute of issue, UTC."""
    partial: bool
    corrected: bool
    high: int | None
    text: str


class Asking:
    """GETs of all weather services of one simulator."""

    def __init__(self, session: ClientSession, simulator: Simulator) -> None:
        self.session = session
        self.simulator = simulator
        self.urls: WeatherUrls = simulator.weather_urls

    async def ask(self, url: str, **query: Any) -> tuple[int, str]:
        """Status and text."""
        async with self.session.get(url, params=query) as response:
            return response.status, await response.text()

    async def text(self, url: str, **query: Any) -> str:
        """The text of an answer that must be 200."""
        status, text = await self.ask(url, **query)
        assert status == 200, (url, query, status, text)
        return text

    async def json(self, url: str, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        return orjson.loads(await self.text(url, **query))

    async def cli(self, station: str, year: int) -> dict[str, Row]:
        """A station-year by date."""
        body = await self.json(self.urls.iem + "/json/cli.py", station=station, year=year)
        return {row["valid"]: row for row in body["results"]}

    async def cf6(self, station: str, year: int) -> dict[str, Row]:
        """A station-year of the monthly form by date."""
        body = await self.json(self.urls.iem + "/json/cf6.py", station=station, year=year)
        return {row["valid"]: row for row in body["results"]}

    async def issued(self, pil: str, start: str, end: str) -> list[Issued]:
        """All issuances between two dates, oldest first."""
        url = self.urls.iem + "/cgi-bin/afos/retrieve.py"
        return list(
            read_reports(await self.text(url, pil=pil, sdate=start, edate=end, limit=9999, fmt="text", order="asc"))
        )

    async def one_minute(self, station: str, start: str, end: str, **query: Any) -> list[list[str]]:
        """Rows of the one-minute service, without the heading."""
        query = {"vars": ["tmpf", "dwpf", "sknt"], "sample": "1min", "what": "download", "tz": "UTC"} | query
        url = self.urls.iem + "/cgi-bin/request/asos1min.py"
        lines = (await self.text(url, station=station, sts=start, ets=end, **query)).splitlines()
        assert lines[0] == "station,station_name,valid(UTC)," + ",".join(query["vars"])
        return [line.split(",") for line in lines[1:]]

    async def metar(self, station: str, start: str, end: str, *types: int) -> list[list[str]]:
        """Rows of the METAR service, without the heading."""
        query = {"station": station, "data": ["tmpf", "relh", "p01i"], "report_type": list(types), "tz": "UTC"}
        url = self.urls.iem + "/cgi-bin/request/asos.py"
        lines = (await self.text(url, sts=start, ets=end, **query)).splitlines()
        assert lines[0] == "station,valid,tmpf,relh,p01i"
        return [line.split(",") for line in lines[1:]]

    async def ghcnd(self, stations: str, start: str, end: str) -> list[Row]:
        """Daily summaries in °F."""
        rows: list[Row] = await self.json(
            self.urls.ncei + "/access/services/data/v1",
            dataset="daily-summaries",
            stations=stations,
            startDate=start,
            endDate=end,
            dataTypes="TMAX",
            units="standard",
            format="json",
            includeAttributes="true",
        )
        return rows

    async def minutes(self, location: str, first: str, last: str) -> list[Row]:
        """The minutes of a Visual Crossing timeline, in order."""
        body = await self.json(f"{self.urls.visual_crossing}{TIMELINE}/{location}/{first}/{last}", **MINUTES)
        return [row for day in body["days"] for hour in day["hours"] for row in hour.get("minutes", [])]


def read_reports(text: str) -> Iterator[Issued]:
    """The reports in an answer of the text archive."""
    for product in text.split("\003"):
        if "CLIMATE SUMMARY FOR" not in product:
            continue
        named = _found(r"CLIMATE SUMMARY FOR ([A-Z]+) (\d+) (\d+)\.\.\.", product)
        day = datetime.strptime(f"{named[1][:3].title()} {named[2]} {named[3]} +0000", "%b %d %Y %z").date()
        value = _found(r"^  MAXIMUM +(MM|-?\d+)", product)[1]
        yield Issued(
            day=day,
            stamp=_found(r"^[A-Z]{4}\d\d [A-Z]{4} (\d{6})$", product)[1],
            partial=re.search(r"^VALID (TODAY )?AS OF \d{4} [AP]M LOCAL TIME\.$", product, re.M) is not None,
            corrected="CORRECTION" in product,
            high=None if value == "MM" else int(value),
            text=product.removeprefix("\n").removeprefix("\001\n"),
        )


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.M)
    assert found is not None, (pattern, text[:600])
    return found


@asynccontextmanager
async def weather(world: World | None = None, clock: Clock | None = None, **config: Any) -> AsyncIterator[Asking]:
    """The weather of a small world, by default without throttle."""
    settings = WeatherConfig(**({"throttle_seconds": None} | config))
    simulator = Simulator(world or small_world(), clock=clock or Clock(), weather=settings)
    async with simulator, ClientSession() as session:
        yield Asking(session, simulator)
