"""Visual Crossing's timeline: the question, the answer in all its spellings, and its refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.minutes import VISUAL_CROSSING, Observation
from kalshi_ingest.errors import BadPayload, Unusable
from kalshi_ingest.weather.sources.client import Refused
from kalshi_ingest.weather.sources.visual_crossing import CrowdedError, QuotaSpentError, VisualCrossing
from tests.support.minute_runs import FIRST, KEY, QUICK, weather_of

CHICAGO = find_city("chicago").station
DAY = date(2025, 7, 1)
SECRET = "s3cret/key+1"
EPOCH = 1_751_328_000
"""2025-07-01 00:00Z."""


@asynccontextmanager
async def answering(answer: Callable[[int], web.Response]) -> AsyncIterator[tuple[VisualCrossing, list[web.Request]]]:
    """A service that gives `answer(number of the request)`, and what it was asked."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return answer(len(seen))

    app = web.Application()
    app.router.add_get("/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield VisualCrossing(http, url, SECRET, retry=QUICK, crowded_seconds=0.001), seen
    finally:
        await runner.cleanup()


def timeline(*minutes: dict[str, Any], **more: Any) -> Callable[[int], web.Response]:
    """An answer with these minutes in its first hour."""
    body = {"queryCost": 288, "days": [{"hours": [{"minutes": list(minutes)}, {"datetime": "01:00:00"}]}]} | more
    return lambda _: web.Response(body=orjson.dumps(body))


def refusal(status: int, text: str) -> Callable[[int], web.Response]:
    return lambda _: web.Response(status=status, text=text)


def minute(second: int = EPOCH, **values: Any) -> dict[str, Any]:
    return {"datetimeEpoch": second, "temp": 71.3, "stations": ["KMDW"]} | values


async def test_the_question() -> None:
    async with answering(timeline(minute())) as (service, seen):
        await service.minutes(CHICAGO, DAY, date(2025, 7, 3))
    assert seen[0].path.endswith("/services/timeline/stn:KMDW/2025-07-01/2025-07-03")
    query = dict(seen[0].query)
    assert query.pop("key") == SECRET
    assert set(query.pop("elements").split(",")) >= {
        "datetimeEpoch",
        "temp",
        "dew",
        "humidity",
        "windspeed",
        "stations",
    }
    assert query == {
        "unitGroup": "us",
        "include": "minutes",
        "options": "useobs,minuteinterval_5,nonulls",
        "timezone": "Z",
        "maxStations": "1",
        "maxDistance": "0",
        "contentType": "json",
    }


async def test_every_value() -> None:
    full = minute(
        dew=60.1,
        humidity=55.27,
        windspeed=5.8,
        windgust=12,
        winddir=271.5,
        pressure=1013.2,
        precip=0.012,
        preciptype=["rain", "snow"],
        cloudcover=88.1,
    )
    bare = minute(EPOCH + 300, stations="KMDW", temp=-3)
    async with answering(timeline(bare, full, minute(EPOCH + 600, temp=None))) as (service, _):
        answer = await service.minutes(CHICAGO, DAY, DAY)
    assert answer.records == 288
    assert answer.observations == [
        Observation(
            EPOCH,
            71_30,
            "KMDW",
            VISUAL_CROSSING,
            60_10,
            55_27,
            5_80,
            12_00,
            271_5,
            1013_20,
            12,
            "rain,snow",
            88_1,
        ),
        Observation(EPOCH + 300, -3_00, "KMDW", VISUAL_CROSSING),
    ]


@pytest.mark.parametrize(
    ("stations", "read"), [(["KORD"], "KORD"), (["KMDW", "KORD"], "KMDW,KORD"), ("KORD", "KORD"), (None, ""), ([], "")]
)
async def test_stations_are_kept_as_named(stations: Any, read: str) -> None:
    async with answering(timeline(minute(stations=stations))) as (service, _):
        assert (await service.minutes(CHICAGO, DAY, DAY)).observations[0].stations == read


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _: web.Response(text="<html>"), "not JSON"),
        (lambda _: web.Response(text="{}"), "days"),
        (lambda _: web.Response(text="[]"), "documented shape"),
        (timeline(minute(datetimeEpoch="noon")), "datetimeEpoch"),
        (timeline({"temp": 5.0, "stations": ["KMDW"]}), "datetimeEpoch"),
        (timeline(minute(temp="warm")), "temp is not a number"),
        (timeline(minute(datetimeEpoch=10**18)), "datetimeEpoch .* lies outside"),
        (timeline(minute(datetimeEpoch=0)), "datetimeEpoch 0 lies outside"),
    ],
)
async def test_a_broken_answer(answer: Callable[[int], web.Response], message: str) -> None:
    async with answering(answer) as (service, _):
        with pytest.raises(BadPayload, match=message):
            await service.minutes(CHICAGO, DAY, DAY)


async def test_a_wrong_key_names_the_setting_and_not_the_key() -> None:
    async with answering(refusal(401, f"No account found with API key '{SECRET}'")) as (service, seen):
        with pytest.raises(Unusable, match="KALSHI_INGEST_VISUAL_CROSSING_KEY") as raised:
            await service.minutes(CHICAGO, DAY, DAY)
    assert SECRET not in str(raised.value)
    assert len(seen) == 1


async def test_a_spent_quota_is_not_asked_again() -> None:
    words = "You have exceeded the maximum number of daily result records for your account."
    async with answering(refusal(429, words)) as (service, seen):
        with pytest.raises(QuotaSpentError, match="daily result records"):
            await service.minutes(CHICAGO, DAY, DAY)
    assert len(seen) == 1


async def test_too_many_at_once_goes_on_one_by_one() -> None:
    full = timeline(minute())

    def answer(number: int) -> web.Response:
        return refusal(429, "Maximum concurrent jobs has been exceeded.")(number) if number <= 2 else full(number)

    async with answering(answer) as (service, seen):
        answers = await asyncio.gather(*(service.minutes(CHICAGO, DAY, DAY) for _ in range(3)))
    assert [each.records for each in answers] == [288] * 3
    assert len(seen) == 5


async def test_always_too_many_at_once_ends_after_a_few_tries() -> None:
    async with answering(refusal(429, "Maximum concurrent jobs has been exceeded.")) as (service, seen):
        with pytest.raises(CrowdedError, match="another program"):
            await service.minutes(CHICAGO, DAY, DAY)
    assert len(seen) == 5


async def test_any_other_refusal_keeps_its_words_but_no_key() -> None:
    async with answering(refusal(400, f"Bad API Request: key={SECRET} invalid location")) as (service, _):
        with pytest.raises(Refused, match="invalid location") as raised:
            await service.minutes(CHICAGO, DAY, DAY)
    assert SECRET not in str(raised.value)


async def test_the_simulator_s_days() -> None:
    async with weather_of() as simulator, aiohttp.ClientSession() as http:
        service = VisualCrossing(http, simulator.weather_urls.visual_crossing, KEY, retry=QUICK)
        answer = await service.minutes(CHICAGO, FIRST, date(2025, 7, 2))
        assert dict(simulator.weather.stats.records) == {"2025-07-20": answer.records}
    assert len({each.second for each in answer.observations}) == answer.records == 2 * 288
    assert {each.stations for each in answer.observations} == {"KMDW"}
