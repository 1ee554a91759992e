"""The weather services over HTTP: throttles, caches, quotas, refusals and statistics."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

from kalshi_simulator import RowsWorld
from kalshi_simulator.weather.stations import STATIONS
from tests.simulator.support import small_world
from tests.simulator.weather_support import KEY, MINUTES, TIMELINE, Clock, weather

ONE_DAY: dict[str, Any] = {"station": "MDW", "sts": "2025-11-03T06:00Z", "ets": "2025-11-04T06:00Z"}


async def test_asos_lets_one_request_a_second_through() -> None:
    clock = Clock()
    async with weather(clock=clock, throttle_seconds=1.0) as asking:
        minute, metar = (asking.urls.iem + f"/cgi-bin/request/{name}.py" for name in ("asos1min", "asos"))
        statuses = []
        for url, waited in ((metar, 0.0), (minute, 0.5), (minute, 0.5), (metar, 0.9), (metar, 0.2)):
            clock.seconds += waited
            statuses.append((await asking.ask(url, **ONE_DAY, vars="tmpf", data="tmpf"))[0])
        await asking.cli("KMDW", 2025)  # has no throttle
    assert statuses == [200, 429, 200, 429, 200]
    stats = asking.simulator.weather.stats
    assert stats.closest("iem") == 0.0
    assert stats.by_status["asos"] == {200: 2, 429: 1}


async def test_ncei_has_a_throttle_of_its_own() -> None:
    clock = Clock()
    async with weather(clock=clock, throttle_seconds=1.0) as asking:
        url = asking.urls.ncei + "/access/services/data/v1"
        query = {"dataset": "daily-summaries", "stations": "USW00014819", "startDate": "2025-11-01"}
        statuses = [(await asking.ask(url, **query, endDate="2025-11-02", format="json"))[0] for _ in range(2)]
        clock.seconds += 1
        statuses.append((await asking.ask(url, **query, endDate="soon", format="json"))[0])
    assert statuses == [200, 429, 400]


async def test_answers_come_from_caches_that_grow_stale() -> None:
    world = small_world()
    async with weather(world, plain=True) as asking:
        chicago, day = STATIONS["KMDW"], date(2025, 11, 14)
        iem = asking.urls.iem

        async def known() -> tuple[bool, bool, bool]:
            """Whether today's report is shown by station-year, by day, and in the monthly form."""
            by_day = await asking.json(iem + "/geojson/cli.py", dt=day.isoformat())
            return (
                day.isoformat() in await asking.cli("KMDW", 2025),
                "KMDW" in [feature["properties"]["station"] for feature in by_day["features"]],
                day.isoformat() in await asking.cf6("KMDW", 2025),
            )

        published = asking.simulator.weather.weather.reports.about(chicago, day)[0].issued
        world.now = published - timedelta(seconds=1)
        assert await known() == (False, False, True)
        world.now += timedelta(seconds=299)
        assert await known() == (False, False, True)
        world.now += timedelta(seconds=1)
        assert await known() == (True, True, True)

        world.now = chicago.day_start(day + timedelta(days=1)) + timedelta(hours=16, minutes=40, seconds=-1)
        shown = [max(await asking.cf6("KMDW", 2025))]
        for waited in (59, 1):
            world.now += timedelta(seconds=waited)
            shown.append(max(await asking.cf6("KMDW", 2025)))
        assert shown == ["2025-11-14", "2025-11-14", "2025-11-15"]


async def test_iem_refuses_what_it_cannot_use() -> None:
    async with weather() as asking:
        minute, metar = (asking.urls.iem + f"/cgi-bin/request/{name}.py" for name in ("asos1min", "asos"))
        years = {"sts": "1900-01-01T00:00Z", "ets": "2025-01-01T00:00Z", "data": "tmpf"}
        refused = [
            await asking.ask(asking.urls.iem + "/json/cli.py", station="MDW", year=2025),
            await asking.ask(asking.urls.iem + "/json/cli.py", station="KMDW", year="now"),
            await asking.ask(minute, **ONE_DAY | {"station": "KMDW"}, vars="tmpf"),
            await asking.ask(minute, **ONE_DAY, vars="relh"),
            await asking.ask(minute, **ONE_DAY | {"sts": "2025-11-03T06:00"}, vars="tmpf"),
            await asking.ask(metar, **years, station=["MDW"] * 9),
        ]
        unknown = await asking.json(asking.urls.iem + "/json/cli.py", station="KXXX", year=2025)
    assert [status for status, _ in refused] == [422] * 6
    assert "1,000 station_years" in refused[-1][1]
    assert unknown["results"] == []


async def test_a_busy_iem_answers_503() -> None:
    async with weather(busy_rate=1.0) as asking:
        status, text = await asking.ask(asking.urls.iem + "/json/cf6.py", station="KMDW", year=2025)
    assert (status, text) == (503, "ERROR: server over capacity, please try later")


async def test_visual_crossing_refuses_in_plain_text() -> None:
    async with weather(visual_crossing_records=600) as asking:
        url = f"{asking.urls.visual_crossing}{TIMELINE}/stn:KMDW/2025-11-03/2025-11-03"
        answers = [await asking.ask(url, **MINUTES) for _ in range(3)]
        wrong = await asking.ask(url, **MINUTES | {"key": "other"})
        assert asking.simulator.weather.stats.records == {"2025-11-14": 576}
        world = asking.simulator.world
        assert hasattr(world, "now")
        world.now += timedelta(days=1)
        next_day = await asking.ask(url, **MINUTES)
    assert [status for status, _ in answers] == [200, 200, 429]
    assert answers[2][1].startswith("You have exceeded the maximum number of daily result records")
    assert wrong == (401, "No account found with API key 'other'")
    assert next_day[0] == 200


async def test_visual_crossing_refuses_too_many_at_once() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    waiting = 0

    async def hold(service: str) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 2:
            reached.set()
        if waiting <= 2:
            await go_on.wait()

    async with weather(visual_crossing_concurrency=2) as asking:
        asking.simulator.weather.on_request = hold
        url = f"{asking.urls.visual_crossing}{TIMELINE}/stn:KMDW/2025-11-03/2025-11-03"
        held = [asyncio.create_task(asking.ask(url, **MINUTES)) for _ in range(2)]
        await reached.wait()
        third = await asking.ask(url, **MINUTES)
        go_on.set()
        statuses = [status for status, _ in await asyncio.gather(*held)]
    assert third == (429, "Maximum concurrent jobs has been exceeded.")
    assert statuses == [200, 200]
    assert asking.simulator.weather.stats.most_at_once == 3


async def test_statistics_are_apart_from_the_exchange_and_readable_over_http() -> None:
    clock = Clock()
    async with weather(clock=clock, plain=True) as asking:
        await asking.cli("KMDW", 2025)
        clock.seconds += 1.5
        await asking.issued("CLIMDW", "2025-11-01", "2025-11-05")
        await asking.minutes("stn:KMDW", "2025-11-03", "2025-11-03")
        root = asking.urls.iem.removesuffix("/iem")
        told = await asking.json(root + "/_simulator/weather")
        exchange = await asking.json(root + "/_simulator/stats")
        async with asking.session.post(root + "/_simulator/weather/reset") as response:
            assert response.status == 200
        assert asking.simulator.weather.stats.by_service == {}
    assert told["by_service"] == {"cli_json": 1, "afos": 1, "timeline": 1}
    assert told["settlement_requests"] == 2
    assert told["closest_seconds"]["iem"] == 1.5
    assert told["visual_crossing_records"] == {"2025-11-14": 288}
    assert exchange["total"] == 0


async def test_a_world_without_markets_has_weather_too() -> None:
    async with weather(RowsWorld(), now=lambda: datetime(2025, 11, 14, tzinfo=UTC)) as asking:
        assert len(await asking.cli("KMDW", 2024)) > 350
        assert len(await asking.minutes("stn:KMDW", "2025-11-03", "2025-11-03")) > 200
    assert asking.simulator.weather.config.visual_crossing_key == KEY
