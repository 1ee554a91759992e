"""Minute observations: shapes, lateness, and the planted faults of each feed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from kalshi_simulator import RowsWorld
from kalshi_simulator.weather.stations import STATIONS, Station
from tests.simulator.support import NOW, small_world
from tests.simulator.weather_support import KEY, MINUTES, TIMELINE, Asking, weather

DAY = date(2025, 11, 3)
MIAMI = STATIONS["KMIA"]


def span(station: Station, day: date, days: int = 1) -> tuple[str, str]:
    """The climate days from `day` on, as the services want their bounds."""
    start = station.day_start(day)
    return f"{start:%Y-%m-%dT%H:%MZ}", f"{start + timedelta(days=days):%Y-%m-%dT%H:%MZ}"


async def minutes_of_day(asking: Asking, station: Station, day: date) -> list[dict[str, object]]:
    """Visual Crossing's rows of one climate day, cut from UTC days."""
    start, end = station.day_start(day).timestamp(), station.day_end(day).timestamp()
    rows = await asking.minutes(f"stn:{station.icao}", f"{day}", f"{day + timedelta(days=1)}")
    return [row for row in rows if start <= row["datetimeEpoch"] < end]


async def test_a_plain_climate_day_is_complete_and_its_maximum_is_the_official_one_or_a_degree_less() -> None:
    async with weather(plain=True) as asking:
        for station in STATIONS.values():
            official = (await asking.cli(station.icao, 2025))[DAY.isoformat()]["high"]
            one = await asking.one_minute(station.iem, *span(station, DAY))
            five = await asking.metar(station.iem, *span(station, DAY), 1)
            routine = await asking.metar(station.icao, *span(station, DAY), 3)
            crossing = await minutes_of_day(asking, station, DAY)
            assert len(one) == 1440
            assert len(five) == (288 if station.icao != "KNYC" else 0)
            assert len(routine) == 24
            assert len(crossing) == 288
            assert one[0][0] == station.iem
            assert one[0][2] == f"{station.day_start(DAY):%Y-%m-%d %H:%M}"
            assert official - 1 <= max(int(row[3]) for row in one) <= official
            assert official - 1 <= max(float(str(row["temp"])) for row in crossing) <= official
            assert abs(max(float(row[2]) for row in routine) - official) < 3
            assert max((float(row[2]) for row in five), default=official) < official + 1
            assert [row["stations"] for row in crossing] == [[station.icao]] * 288


async def test_no_reading_of_any_day_exceeds_the_official_maximum() -> None:
    first = date(2025, 9, 1)
    async with weather(plain=True) as asking:
        for station in STATIONS.values():
            official = await asking.cli(station.icao, 2025)
            for row in await asking.one_minute(station.iem, *span(station, first, 70), sample="20min"):
                day = station.climate_day(datetime.fromisoformat(row[2] + "Z"))
                assert int(row[3]) <= official[day.isoformat()]["high"], row


async def test_warm_air_of_the_day_before_does_not_exceed_a_cold_day_s_maximum() -> None:
    markets = [
        {"ticker": f"{event}-T45", "event_ticker": event, "result": "yes", "expiration_value": value}
        for event, value in (("KXHIGHMIA-25NOV03", "90.00"), ("KXHIGHMIA-25NOV04", "45.00"))
    ]
    events = [{"event_ticker": row["event_ticker"], "series_ticker": "KXHIGHMIA"} for row in markets]
    async with weather(RowsWorld(events=events, markets=markets), plain=True) as asking:
        highest = [
            max(int(row[3]) for row in await asking.one_minute("MIA", *span(MIAMI, DAY + timedelta(days=step))))
            for step in (0, 1)
        ]
    assert 89 <= highest[0] <= 90
    assert 44 <= highest[1] <= 45


async def test_nothing_jumps_from_minute_to_minute_or_at_midnight() -> None:
    async with weather(plain=True) as asking:
        for station in STATIONS.values():
            rows = await asking.one_minute(station.iem, *span(station, DAY, 5))
            warm = [int(row[3]) for row in rows]
            assert len(warm) == 5 * 1440
            assert max(abs(after - before) for before, after in pairwise(warm)) <= 15


async def test_one_minute_values_are_a_day_late_and_half_open() -> None:
    async with weather(plain=True) as asking:
        rows = await asking.one_minute("MDW", "2025-11-13T18:00Z", "2025-11-14T20:00Z")
        sampled = await asking.one_minute("MDW", "2025-11-03T06:02Z", "2025-11-03T07:00Z", sample="5min")
        live = await asking.metar("MDW", "2025-11-14T18:00Z", "2025-11-15T00:00Z", 1)
    assert (rows[0][2], rows[-1][2]) == ("2025-11-13 18:00", "2025-11-13 19:59")
    assert [row[2][-5:] for row in sampled][:2] == ["06:05", "06:10"]
    assert live[-1][1] == "2025-11-14 19:55"
    assert datetime(2025, 11, 14, 20, tzinfo=UTC) == NOW


async def test_gaps_and_missing_values_of_the_asos_services() -> None:
    planted = {("KMIA", DAY): ("asos_gap", "asos_m")}
    async with weather(plain=True, planted=planted) as asking:
        one = await asking.one_minute("MIA", *span(MIAMI, DAY))
        five = await asking.metar("MIA", *span(MIAMI, DAY), 1)
    assert 1440 - 90 <= len(one) <= 1440 - 5
    assert 1 <= [row[3] for row in one].count("M") <= 4
    assert [row[2] for row in five].count("M") <= 2
    assert len(five) < 288


async def test_a_three_day_outage_silences_every_feed_of_one_station() -> None:
    async with weather(plain=True, planted={("KMIA", DAY): ("outage",)}) as asking:
        counts = [
            [
                len(await asking.one_minute(station.iem, *span(station, DAY + timedelta(days=step)))),
                len(await asking.metar(station.iem, *span(station, DAY + timedelta(days=step)), 1)),
                len(await minutes_of_day(asking, station, DAY + timedelta(days=step))),
            ]
            for station in (MIAMI, STATIONS["KDEN"])
            for step in (-1, 0, 1, 2, 3)
        ]
        settled = [row["valid"] for row in (await asking.cli("KMIA", 2025)).values()]
    full, none = [1440, 288, 288], [0, 0, 0]
    assert counts == [full, none, none, none, full, full, full, full, full, full]
    assert DAY.isoformat() in settled  # the climate report is made by people


async def test_an_odd_world_of_its_own_accord_has_an_outage() -> None:
    async with weather(small_world(now=datetime(2025, 12, 20, tzinfo=UTC)), rates={"asos_gap": 0}) as asking:
        silent = 0
        for station in STATIONS.values():
            for step in range(28):
                silent += not await asking.one_minute(
                    station.iem, *span(station, date(2025, 10, 20) + timedelta(days=step)), sample="1hour"
                )
    assert silent == 3


async def test_wrong_rows_of_visual_crossing() -> None:
    planted = {("KMIA", DAY): ("vc_substitution", "vc_sentinel", "vc_jump", "vc_gap", "vc_stations_text")}
    async with weather(plain=True, planted=planted) as asking:
        rows = await minutes_of_day(asking, MIAMI, DAY)
        clean = {row["datetimeEpoch"]: row for row in await minutes_of_day(asking, MIAMI, DAY + timedelta(days=1))}
        plain = {row["datetimeEpoch"]: row for row in await minutes_of_day(asking, MIAMI, DAY - timedelta(days=1))}
    assert 288 - 24 <= len(rows) <= 288 - 2
    foreign = [row for row in rows if row["stations"] != "KMIA"]
    assert 3 <= len(foreign) <= 12
    assert {row["stations"] for row in foreign} == {"KOPF"}
    assert [row["temp"] for row in rows].count(-77.9) == 1
    warm = [float(str(row["temp"])) for row in rows]
    assert sum(after - before > 50 for before, after in pairwise(warm)) >= 1
    assert len(clean) == len(plain) == 288


async def test_a_day_without_any_row_still_has_its_hours() -> None:
    planted = {("KMIA", day): ("vc_empty",) for day in (DAY - timedelta(days=1), DAY)}  # a UTC day takes from both
    async with weather(plain=True, planted=planted) as asking:
        body = await asking.json(f"{asking.urls.visual_crossing}{TIMELINE}/stn:KMIA/{DAY}/{DAY}", **MINUTES)
    (day,) = body["days"]
    assert len(day["hours"]) == 24
    assert all("minutes" not in hour for hour in day["hours"])


async def test_the_timeline_nests_days_hours_and_minutes_of_utc_days() -> None:
    async with weather(plain=True) as asking:
        url = f"{asking.urls.visual_crossing}{TIMELINE}/stn:KMDW/2025-11-03/2025-11-04"
        body = await asking.json(url, **MINUTES)
        local = await asking.json(url, **{name: value for name, value in MINUTES.items() if name != "timezone"})
        coarse = await asking.json(url, **MINUTES | {"options": "useobs"})
        blended = await asking.minutes("KMDW", "2025-11-03", "2025-11-03")
        wrong_place = await asking.ask(f"{asking.urls.visual_crossing}{TIMELINE}/stn:KXXX/2025-11-03", key=KEY)
    assert body["queryCost"] == 2 * 288
    assert body["address"] == "stn:KMDW"
    assert [day["datetime"] for day in body["days"]] == ["2025-11-03", "2025-11-04"]
    first = body["days"][0]["hours"][0]["minutes"][0]
    assert first["datetime"] == "00:00:00"
    assert first["datetimeEpoch"] == int(datetime(2025, 11, 3, tzinfo=UTC).timestamp())
    assert set(first) == {"datetime", "datetimeEpoch", "temp", "dew", "humidity", "windspeed", "stations"}
    assert local["days"][0]["datetimeEpoch"] == int(datetime(2025, 11, 3, 6, tzinfo=UTC).timestamp())
    assert len(coarse["days"][0]["hours"][0]["minutes"]) == 4
    assert blended[0]["stations"] == ["KMDW", "KORD", "KGYY"]
    assert wrong_place[0] == 400


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_same_seed_gives_the_same_minutes_whatever_was_asked_before(seed: int) -> None:
    async with weather(seed=seed) as asking, weather(seed=seed) as other:
        await other.minutes("stn:KDEN", "2025-10-25", "2025-10-30")
        await other.one_minute("MIA", *span(MIAMI, date(2025, 10, 28)))
        questions: tuple[Callable[[Asking], Awaitable[object]], ...] = (
            lambda one: one.minutes("stn:KMIA", "2025-11-01", "2025-11-06"),
            lambda one: one.one_minute("MIA", *span(MIAMI, DAY, 4)),
            lambda one: one.metar("MIA", *span(MIAMI, DAY, 4)),
            lambda one: one.issued("CLIMIA", "2025-10-20", "2025-11-14"),
        )
        for question in questions:
            assert await question(asking) == await question(other)
        different = await asking.minutes("stn:KMIA", "2025-11-01", "2025-11-06")
    async with weather(seed=seed + 7) as another:
        assert different != await another.minutes("stn:KMIA", "2025-11-01", "2025-11-06")
