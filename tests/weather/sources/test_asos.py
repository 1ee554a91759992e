"""IEM's ASOS services: what is asked, how it is read, and what is done with answers that are no table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.minutes import IEM_ONE_MINUTE, IEM_REPORTS, Observation, relative_humidity
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.http.address import address_of
from kalshi_ingest.weather.sources.asos import Asos
from kalshi_ingest.weather.sources.client import Refused, Service
from tests.support.minute_runs import FIRST, QUICK, weather_of

CHICAGO, MIAMI = find_city("chicago").station, find_city("miami").station
START, END = datetime(2025, 7, 1, 6, tzinfo=UTC), datetime(2025, 7, 2, 6, tzinfo=UTC)
ONE_MINUTE = "station,station_name,valid(UTC),tmpf,dwpf,sknt,drct,gust_sknt\n"
REPORTS = "station,valid,tmpf,dwpf,relh,sknt,drct,gust,mslp,p01i\n"


@asynccontextmanager
async def answering(body: str, status: int = 200) -> AsyncIterator[tuple[Asos, list[web.Request]]]:
    """A service that always says this, and what it was asked."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(text=body, status=status)

    app = web.Application()
    app.router.add_get("/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield Asos(Service(http, address_of("IEM", url), requests_per_second=1000, retry=QUICK)), seen
    finally:
        await runner.cleanup()


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


async def test_one_minute_readings() -> None:
    rows = (
        'MIA,"MIAMI, INTL",2025-07-01 06:00,80,75,5,100,M\n'
        "MDW,CHICAGO/MIDWAY,2025-07-01 06:05,M,60,5,100,20\n"
        "MDW,CHICAGO/MIDWAY,2025-07-01 06:10,71,60,10,360,20\n"
        "MDW,CHICAGO/MIDWAY,2025-07-01 06:00,-5,M,M,M,M\n"
    )
    async with answering(ONE_MINUTE + rows) as (asos, seen):
        found = await asos.one_minute([CHICAGO, MIAMI], START, END)
    windy = Observation(
        second("2025-07-01 06:10Z"),
        71_00,
        "KMDW",
        IEM_ONE_MINUTE,
        60_00,
        relative_humidity(71_00, 60_00),
        11_51,
        23_02,
        360_0,
    )
    assert found["KMDW"] == [Observation(second("2025-07-01 06:00Z"), -5_00, "KMDW", IEM_ONE_MINUTE), windy]
    assert [each.temp for each in found["KMIA"]] == [80_00]
    query = seen[0].query
    assert query.getall("station") == ["MDW", "MIA"]
    assert query.getall("vars") == ["tmpf", "dwpf", "sknt", "drct", "gust_sknt"]
    assert (query["sts"], query["ets"], query["sample"]) == ("2025-07-01T06:00Z", "2025-07-02T06:00Z", "5min")


async def test_reports() -> None:
    rows = (
        "MDW,2025-07-01 06:00,71.60,60.80,M,5.00,100.00,M,M,M\n"
        "MDW,2025-07-01 06:53,71.06,60.08,68.20,5.00,100.00,17.00,1015.30,T\n"
    )
    async with answering(REPORTS + rows) as (asos, seen):
        found = await asos.reports([CHICAGO], START, END)
    assert [each.temp for each in found["KMDW"]] == [71_60, 71_06]
    first, last = found["KMDW"]
    assert (first.source, first.humidity, first.precip) == (IEM_REPORTS, relative_humidity(71_60, 60_80), None)
    assert (last.humidity, last.gust, last.pressure, last.precip) == (68_20, 19_56, 1015_30, 0)
    assert seen[0].query.getall("report_type") == ["1", "3", "4"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "cut short"),
        ("ERROR: server over capacity\n", "not a table of station"),
        (ONE_MINUTE + "MDW,CHICAGO,2025-07-01 06:00,71,60,5,100,M", "cut short"),
        (ONE_MINUTE + "MDW,CHICAGO,2025-07-01 06:00,71\n", "4 cells"),
        (ONE_MINUTE + "ORD,CHICAGO,2025-07-01 06:00,71,60,5,100,M\n", "'ORD', which was not asked for"),
        (ONE_MINUTE + "MDW,CHICAGO,2025-07-01 06:00,warm,60,5,100,M\n", "tmpf is not a number: 'warm'"),
        (ONE_MINUTE + "MDW,CHICAGO,yesterday at six,71,60,5,100,M\n", "is not a time"),
        (ONE_MINUTE + "MDW,CHICAGO,2025-07-01 99:00,71,60,5,100,M\n", "is not a time"),
        (ONE_MINUTE + "MDW,CHICAGO,2025-07-01 +6:00,71,60,5,100,M\n", "is not a time"),
        (ONE_MINUTE + "MDW,CHICAGO,9999-07-01 06:00,71,60,5,100,M\n", "a row of KMDW lies outside"),
        (ONE_MINUTE + "MDW,CHICAGO,0001-01-01 06:00,71,60,5,100,M\n", "a row of KMDW lies outside"),
    ],
)
async def test_an_answer_that_is_no_table_is_refused(body: str, message: str) -> None:
    async with answering(body) as (asos, _):
        with pytest.raises(BadPayload, match=message):
            await asos.one_minute([CHICAGO], START, END)


async def test_values_that_cannot_be_are_missing_and_a_sentinel_is_left_to_the_door() -> None:
    async with answering(ONE_MINUTE + "MDW,C,2025-07-01 06:00,-77.9,999,-3,1e308,5e-324\n") as (asos, _):
        found = (await asos.one_minute([CHICAGO], START, END))["KMDW"][0]
    values = (found.temp, found.dew, found.wind, found.direction, found.gust)
    assert values == (-77_90, None, None, None, 0)


async def test_both_services_of_the_simulator() -> None:
    """The simulated answers, as IEM documents them, are read whole: 288 slots, at or between them."""
    async with weather_of() as simulator, aiohttp.ClientSession() as http:
        service = Service(http, address_of("IEM", simulator.weather_urls.iem), requests_per_second=1000, retry=QUICK)
        asos = Asos(service)
        found = [await asos.one_minute([CHICAGO, MIAMI], START, END), await asos.reports([MIAMI, CHICAGO], START, END)]
        assert service.requests == 2
    assert {loc_id: len(rows) for loc_id, rows in found[0].items()} == {"KMDW": 288, "KMIA": 288}
    assert all(len(rows) >= 288 + 24 for rows in found[1].values())
    for rows in (*found[0].values(), *found[1].values()):
        assert rows == sorted(rows, key=lambda each: each.second)
        assert rows[0].second == second(f"{FIRST}T06:00Z")


async def test_a_refusal_keeps_the_service_s_words() -> None:
    async with answering("Unknown station provided: XYZ", 422) as (asos, _):
        with pytest.raises(Refused, match="Unknown station provided: XYZ"):
            await asos.one_minute([CHICAGO], START, END)
