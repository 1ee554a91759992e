"""`weather minutes` against simulated services: every day once, every fault where it belongs."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import CITIES, find_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.grid import queries
from kalshi_ingest.weather.minutes.job import MinutesRequest, plan
from kalshi_ingest.weather.minutes.report import plan_text
from kalshi_ingest.weather.minutes.sources import Addresses, opened_source
from kalshi_simulator.weather.server import WeatherUrls
from tests.support.backfills import fetch, log_statuses
from tests.support.minute_runs import CHICAGO, FIRST, KEY, LA, LAST, MIAMI, NOW, digest, fetched, source_at, weather_of
from tests.support.relay import relaying

ACTIVE = [city for city in CITIES if not city.retired]
DAYS = (LAST - FIRST).days + 1
KINDS = pytest.mark.parametrize("kind", ["iem", "visualcrossing"])


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


async def claim(url: str, loc_id: str, of: date) -> dict[str, Any]:
    rows = await fetch(url, "select * from wx.minute_day where loc_id = $1 and date_local = $2", loc_id, of)
    assert len(rows) == 1
    return dict(rows[0])


async def slot_counts(url: str, loc_id: str, of: date) -> tuple[int, int]:
    """Slots with an observation, and filled slots, as the table of observations holds them."""
    start, end = climate_day_utc(next(city for city in CITIES if city.station.loc_id == loc_id), of)
    row = await fetch(
        url,
        "select count(distinct date_bin('5 minutes', ts_utc, 'epoch')) filter (where not ffilled), "
        "count(*) filter (where ffilled) from wx.minute_obs where loc_id = $1 and ts_utc >= $2 and ts_utc < $3",
        loc_id,
        start,
        end,
    )
    return row[0][0], row[0][1]


@KINDS
async def test_six_cities(database_url: str, kind: str) -> None:
    """288 slots a day; nothing is asked twice; the second run writes nothing."""
    async with weather_of() as simulator:
        first = await fetched(simulator.weather_urls, database_url, ACTIVE, kind=kind)
        asked = simulator.weather.stats.by_service.total()
        held = await digest(database_url)
        second = await fetched(simulator.weather_urls, database_url, ACTIVE, kind=kind)
        assert simulator.weather.stats.by_service.total() == asked == (1 if kind == "iem" else len(ACTIVE))
    assert (first.exit_code, second.exit_code) == (0, 0)
    for each in first.cities:
        assert (each.expected, each.whole, each.observed, each.missing) == (DAYS, DAYS, DAYS * 288, 0)
    assert await digest(database_url) == held
    assert await log_statuses(database_url) == ["success"] * 12
    days = await fetch(
        database_url,
        "select distinct o.source, d.state, d.source = o.source as same from wx.minute_obs o join wx.minute_day d "
        "using (loc_id)",
    )
    assert [tuple(row) for row in days] == [("IEM_1MIN" if kind == "iem" else "VC", "complete", True)]


async def test_the_first_slot_is_the_first_of_standard_time(database_url: str) -> None:
    async with weather_of() as simulator:
        await fetched(simulator.weather_urls, database_url, [CHICAGO, LA], kind="visualcrossing", last=FIRST)
    rows = await fetch(database_url, "select loc_id, min(ts_utc), max(ts_utc) from wx.minute_obs group by 1 order by 1")
    assert [tuple(row) for row in rows] == [
        ("KLAX", datetime(2025, 7, 1, 8, tzinfo=UTC), datetime(2025, 7, 2, 7, 55, tzinfo=UTC)),
        ("KMDW", datetime(2025, 7, 1, 6, tzinfo=UTC), datetime(2025, 7, 2, 5, 55, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("oddity", "reason", "least"),
    [("vc_substitution", "station", 3), ("vc_sentinel", "sentinel", 1), ("vc_jump", "jump", 1)],
)
async def test_a_wrong_row_is_refused_and_counted(database_url: str, oddity: str, reason: str, least: int) -> None:
    planted = {("KLAX", day(2)): (oddity,)}
    async with weather_of(planted=planted) as simulator:
        report = await fetched(simulator.weather_urls, database_url, [LA, MIAMI], kind="visualcrossing")
    refused = report.cities[0].reasons.get(reason, 0)
    assert list(report.cities[0].reasons) == [reason]
    assert refused >= least
    assert (report.cities[0].rejected, report.cities[1].rejected) == (refused, 0)
    held = await claim(database_url, "KLAX", day(2))
    assert (held["slots_observed"], held["slots_filled"], held["rows_rejected"]) == (288 - refused, refused, refused)
    assert await slot_counts(database_url, "KLAX", day(2)) == (288 - refused, refused)
    assert await fetch(database_url, "select from wx.minute_obs where stations <> loc_id or temp_f < -50") == []
    assert f"la: {refused} {reason}" in report.as_text()


@KINDS
async def test_an_outage_of_three_days(database_url: str, kind: str) -> None:
    """After an hour of copies the slots are missing: no row, and never told as observed."""
    async with weather_of(planted={("KMDW", day(1)): ("outage",)}) as simulator:
        report = await fetched(simulator.weather_urls, database_url, kind=kind)
    chicago = report.cities[0]
    assert chicago.thin == {day(1): 276, day(2): 288, day(3): 288}
    assert (chicago.whole, chicago.observed, chicago.filled) == (DAYS - 3, (DAYS - 3) * 288, 12)
    assert await slot_counts(database_url, "KMDW", day(1)) == (0, 12)
    assert await slot_counts(database_url, "KMDW", day(2)) == (0, 0)
    assert report.exit_code == 0
    assert f"chicago {day(2)}: 288 of 288" in report.as_text()


@KINDS
async def test_the_first_day_is_filled_from_the_day_before_it(database_url: str, kind: str) -> None:
    """Though that day was not asked for."""
    async with weather_of(planted={("KMDW", day(1)): ("outage",)}) as simulator:
        await fetched(simulator.weather_urls, database_url, kind=kind, first=day(1), last=day(1))
    assert await slot_counts(database_url, "KMDW", day(1)) == (0, 12)


async def test_reports_fill_what_readings_lack(database_url: str) -> None:
    """Readings come a day late: of the last day only five-minute reports are there."""
    now = datetime(2025, 7, 7, 6, tzinfo=UTC)  # the end of July 6 in Chicago
    async with weather_of(now=lambda: now) as simulator:
        report = await fetched(simulator.weather_urls, database_url, now=now)
        assert dict(simulator.weather.stats.by_service) == {"asos1min": 1, "asos": 1}
    sources = await fetch(
        database_url, "select date_local, source, state, slots_observed from wx.minute_day order by date_local"
    )
    expected = [(day(number), "IEM_1MIN", "complete" if number < 4 else "open", 288) for number in range(DAYS - 1)]
    assert [tuple(row) for row in sources] == [*expected, (LAST, "IEM_ASOS", "open", 288)]
    assert (report.exit_code, report.cities[0].open) == (1, [day(4), day(5)])


def without_readings(path: str, query: dict[str, str], body: bytes) -> bytes:
    """No one-minute readings, and of the reports those of one minute of the hour, as METARs are."""
    first, *lines = body.splitlines(keepends=True)
    if "asos1min" in path:
        return first
    return first + b"".join(line for line in lines if re.search(rb" \d\d:50,", line))


async def test_a_day_of_hourly_reports_stays_open_for_two_weeks(database_url: str) -> None:
    """One-minute readings that lack after two days may come within two weeks; most slots are copies till then."""
    moment = [datetime(2025, 7, 20, 5, 59, tzinfo=UTC)]  # two weeks after the fifth day, but for a minute
    async with (
        weather_of(now=lambda: moment[0]) as simulator,
        relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url),
    ):
        urls = WeatherUrls.below(url)

        async def at_last() -> Any:
            return await fetched(urls, database_url, first=day(3), last=LAST, now=moment[0])

        relay.spoil = without_readings
        report = await at_last()
        assert report.cities[0].hourly == {day(3): "complete", day(4): "open", LAST: "open"}
        assert (report.cities[0].open, report.exit_code) == ([day(4), LAST], 1)
        assert "hourly reports alone: open for 14 days" in report.as_text()
        assert f"chicago {day(4)}: open" in report.as_text()
        assert await slot_counts(database_url, "KMDW", day(4)) == (24, 264)
        moment[0] += timedelta(minutes=1)
        assert (await at_last()).cities[0].hourly[day(4)] == "complete"
        # A claim from before there was a rule is no proof.
        await fetch(database_url, "update wx.minute_day set state = 'complete' where date_local = $1", LAST)
        relay.spoil = None
        report = await at_last()
        assert (report.exit_code, report.cities[0].hourly) == (0, {day(3): "complete", day(4): "complete"})
        assert await slot_counts(database_url, "KMDW", LAST) == (288, 0)


@KINDS
async def test_open_days_are_fetched_again_until_they_are_proved(database_url: str, kind: str) -> None:
    moment = [datetime(2025, 7, 6, 18, tzinfo=UTC)]
    async with weather_of(now=lambda: moment[0]) as simulator:
        first = await fetched(simulator.weather_urls, database_url, kind=kind, now=moment[0])
        ahead = await fetch(database_url, "select from wx.minute_obs where ts_utc > $1", moment[0])
        assert (first.cities[0].open, ahead) == ([day(3), day(4), day(5)], [])
        moment[0] = NOW
        simulator.weather.stats.reset()
        second = await fetched(simulator.weather_urls, database_url, kind=kind)
        third = await fetched(simulator.weather_urls, database_url, kind=kind)
        assert simulator.weather.stats.by_service.total() == 1
        assert second.exit_code == third.exit_code == 0
        late = await digest(database_url)
    assert second.cities[0].whole == DAYS
    async with weather_of() as simulator:
        await fetched(simulator.weather_urls, database_url, kind=kind, again=True)
    assert await digest(database_url) == late


async def test_a_worse_day_does_not_replace_a_better_one_unless_told_to(database_url: str) -> None:
    now = datetime(2025, 7, 7, 18, tzinfo=UTC)
    async with weather_of(now=lambda: now) as simulator:
        await fetched(simulator.weather_urls, database_url, now=now, kind="visualcrossing")
    better = await fetch(database_url, "select * from wx.minute_obs order by loc_id, ts_utc")
    async with weather_of(planted={("KMDW", LAST): ("vc_empty",)}) as simulator:
        await fetched(simulator.weather_urls, database_url, kind="visualcrossing")
        assert await fetch(database_url, "select * from wx.minute_obs order by loc_id, ts_utc") == better
        held = await claim(database_url, "KMDW", LAST)
        assert (held["state"], held["slots_observed"]) == ("complete", 288)
        await fetched(simulator.weather_urls, database_url, kind="visualcrossing", again=True)
    assert (await claim(database_url, "KMDW", LAST))["slots_observed"] == 0
    assert await slot_counts(database_url, "KMDW", LAST) == (0, 12)


async def test_a_spent_quota_ends_the_day_and_another_day_goes_on(database_url: str) -> None:
    """Records for 10 of 14 days of UTC: one city whole, of the other what the rest pays for."""
    async with weather_of(visual_crossing_records=10 * 288) as simulator:
        first = await fetched(simulator.weather_urls, database_url, [CHICAGO, MIAMI], kind="visualcrossing")
        assert simulator.weather.stats.records["2025-07-20"] == 9 * 288 == first.progress.records
    assert first.exit_code == 1
    assert first.progress.ended is not None
    assert "daily result records" in first.as_text()
    assert "tomorrow" in first.as_text()
    fetched_days = first.progress.stored
    assert fetched_days == DAYS + 1
    assert sum(len(each.unfetched) for each in first.cities) == 2 * DAYS - fetched_days
    assert not any(each.failed for each in first.cities)
    async with weather_of() as simulator:
        second = await fetched(simulator.weather_urls, database_url, [CHICAGO, MIAMI], kind="visualcrossing")
    assert (second.exit_code, second.progress.stored) == (0, 2 * DAYS - fetched_days)
    assert sorted(await log_statuses(database_url)) == ["partial"] * 2 + ["success"] * 2


async def test_a_wrong_key_is_the_user_s_to_change_and_is_shown_nowhere(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with weather_of() as simulator:
        with pytest.raises(Unusable, match="KALSHI_INGEST_VISUAL_CROSSING_KEY") as raised:
            await fetched(simulator.weather_urls, database_url, kind="visualcrossing", key="not-the-key")
    rows = await fetch(database_url, "select * from ingestion_log")
    assert [row["status"] for row in rows] == ["failed"]
    shown = [str(raised.value), *(str(dict(row)) for row in rows), *capfd.readouterr()]
    assert not any("not-the-key" in text for text in shown)
    assert await fetch(database_url, "select from wx.minute_day") == []


async def test_one_concurrent_request_too_many_is_no_failure(database_url: str) -> None:
    async with weather_of(visual_crossing_concurrency=1) as simulator:
        report = await fetched(simulator.weather_urls, database_url, ACTIVE, kind="visualcrossing")
    assert report.exit_code == 0


async def test_a_stop_keeps_what_is_stored(database_url: str) -> None:
    async with weather_of() as simulator:
        run = asyncio.create_task(fetched(simulator.weather_urls, database_url, ACTIVE, kind="visualcrossing"))
        left = iter(range(4))

        def stop(_: str) -> None:
            if next(left, None) is None:
                run.cancel()

        simulator.weather.on_request = stop
        with pytest.raises(asyncio.CancelledError):
            await run
        simulator.weather.on_request = None
        assert set(await log_statuses(database_url)) == {"interrupted"}
        held = await fetch(database_url, "select count(*) from wx.minute_day")
        assert 0 < held[0][0] < len(ACTIVE) * DAYS
        rest = await fetched(simulator.weather_urls, database_url, ACTIVE, kind="visualcrossing")
    assert (rest.exit_code, rest.progress.stored) == (0, len(ACTIVE) * DAYS - held[0][0])


@pytest.mark.parametrize(
    ("name", "key", "chosen"), [(None, None, "IEM"), (None, KEY, "Visual Crossing"), ("iem", KEY, "IEM")]
)
async def test_the_source_follows_from_the_key(name: str | None, key: str | None, chosen: str) -> None:
    async with opened_source(Addresses("http://iem", "http://vc", key), name) as source:
        assert source.name == chosen


async def test_visual_crossing_without_a_key_is_refused() -> None:
    with pytest.raises(Unusable, match="KALSHI_INGEST_VISUAL_CROSSING_KEY"):
        async with opened_source(Addresses("http://iem", "http://vc"), "visualcrossing"):
            pass
    with pytest.raises(Unusable, match="choose iem or visualcrossing"):
        async with opened_source(Addresses("http://iem", "http://vc"), "noaa"):
            pass


async def test_a_service_that_is_down(database_url: str) -> None:
    async with weather_of() as simulator:
        await fetched(simulator.weather_urls, database_url, last=day(1))
        urls = simulator.weather_urls
    report = await fetched(urls, database_url, [CHICAGO, MIAMI])
    assert report.exit_code == 3
    assert "IEM is out of reach" in report.as_text()
    held = await claim(database_url, "KMIA", day(1))
    assert (held["state"], held["slots_missing"]) == ("failed", 288)
    assert "chicago, miami" in held["error"]
    again = await fetched(urls, database_url, [CHICAGO], last=day(1), again=True)
    assert again.exit_code == 3
    assert (await claim(database_url, "KMDW", day(1)))["state"] == "complete"


@KINDS
async def test_one_absurd_cell_costs_its_day_alone(database_url: str, kind: str) -> None:
    """One request asks about all days of both cities; a climate day of Visual Crossing spans two days of UTC."""
    async with (
        weather_of() as simulator,
        relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url),
    ):
        relay.spoil = absurd_at_noon
        cities = [CHICAGO, MIAMI]
        report = await fetched(WeatherUrls.below(url), database_url, cities, kind=kind)
        assert report.exit_code == 1
        rows = await fetch(database_url, "select loc_id, date_local, state from wx.minute_day order by 1, 2")
        failed = [(row["loc_id"], row["date_local"]) for row in rows if row["state"] != "complete"]
        assert failed == [("KMDW", each) for each in ([day(3)] if kind == "iem" else [day(2), day(3)])]
        assert len(rows) == 2 * DAYS
        relay.spoil = None
        assert (await fetched(WeatherUrls.below(url), database_url, cities, kind=kind)).exit_code == 0


def absurd_at_noon(path: str, query: dict[str, str], body: bytes) -> bytes:
    """A time or a temperature that cannot be, of Chicago at noon of the fourth day."""
    if "visualcrossing" not in path:
        return re.sub(rb"(\nMDW,[^,\n]*,2025-07-04 )17:00", rb"\g<1>25:00", body)
    answer = json.loads(body)
    for hour in (hour for each in answer["days"] for hour in each["hours"] if "KMDW" in path):
        for minute in hour.get("minutes", ()):
            if minute["datetimeEpoch"] == datetime(2025, 7, 4, 17, tzinfo=UTC).timestamp():
                minute["temp"] = "absurd"
    return json.dumps(answer).encode()


async def test_a_service_of_another_form_is_not_asked_for_every_single_day(database_url: str) -> None:
    async with (
        weather_of() as simulator,
        relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url),
    ):
        relay.spoil = lambda path, query, body: b"station,something else\n"
        report = await fetched(WeatherUrls.below(url), database_url, [CHICAGO, MIAMI, LA])
        assert report.exit_code == 1
        states = await fetch(database_url, "select state from wx.minute_day")
        assert [row["state"] for row in states] == ["failed"] * 3 * DAYS
        assert simulator.weather.stats.by_service.total() < 2 * DAYS


@asynccontextmanager
async def without_miami(root: str) -> AsyncIterator[str]:
    """IEM as at `root`, except that it no longer knows Miami."""
    async with aiohttp.ClientSession() as http:

        async def handle(request: web.Request) -> web.Response:
            if "MIA" in request.query.getall("station"):
                return web.Response(status=422, text="Unknown station provided: MIA")
            async with http.get(root + request.path_qs) as answer:
                return web.Response(body=await answer.read(), status=answer.status)

        app = web.Application()
        app.router.add_get("/{rest:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_one_refused_station_leaves_the_others(database_url: str) -> None:
    async with weather_of() as simulator, without_miami(simulator.weather_urls.iem) as root:
        urls = simulator.weather_urls._replace(iem=root)
        report = await fetched(urls, database_url, ACTIVE)
        assert report.exit_code == 1
        assert {each.city.key: each.whole for each in report.cities} == {
            city.key: 0 if city is MIAMI else DAYS for city in ACTIVE
        }
        assert "miami 2025-07-01 to 2025-07-06: IEM: GET /cgi-bin/request/asos1min.py: status 422" in report.as_text()
        assert (await claim(database_url, "KMIA", FIRST))["state"] == "failed"
        assert (await fetched(simulator.weather_urls, database_url, ACTIVE)).exit_code == 0
    assert (await claim(database_url, "KMIA", FIRST))["error"] is None


async def test_new_york_and_the_future_are_refused(database_url: str) -> None:
    async with weather_of() as simulator:
        with pytest.raises(Unusable, match=r"New York.*retired"):
            await fetched(simulator.weather_urls, database_url, [CHICAGO, find_city("nyc")])
        with pytest.raises(Unusable, match="future"):
            await fetched(simulator.weather_urls, database_url, first=date(2026, 1, 1), last=date(2026, 1, 2))
        assert simulator.weather.stats.by_service.total() == 0


async def test_the_plan_shows_days_requests_and_records(database_url: str) -> None:
    async with weather_of() as simulator, source_at(simulator.weather_urls, "visualcrossing", KEY) as source:
        database = Database(database_url)
        await database.open()
        try:
            asked = MinutesRequest([CHICAGO, MIAMI], date(2025, 1, 1), date(2025, 3, 31))
            planned = await plan(database, source, asked, NOW)
        finally:
            await database.close()
        assert simulator.weather.stats.by_service.total() == 0
    assert [len(piece.days[CHICAGO]) for piece in planned.pieces if CHICAGO in piece.days] == [31, 31, 28]
    text = plan_text(planned, source)
    assert "180 of 180 station-days to fetch, 51,840 slots, at most 6 requests" in text
    assert f"about {(180 + 6) * 288:,} records" in text


async def test_every_column_reaches_the_grid(database_url: str) -> None:
    async with weather_of() as simulator:
        report = await fetched(simulator.weather_urls, database_url, kind="visualcrossing", last=FIRST)
    row = (await fetch(database_url, "select * from wx.minute_obs where windgust_mph is not null limit 1"))[0]
    assert {name for name, value in row.items() if value is None} <= {"preciptype"}
    database = Database(database_url)
    await database.open()
    try:
        refreshed = await queries.refresh(database)
    finally:
        await database.close()
    assert refreshed.rows == 287 * 5 + 1
    carried = await fetch(
        database_url, "select temp_f, source, stations from wx.minute_obs_1m where ts_utc = $1", row["ts_utc"]
    )
    assert tuple(carried[0]) == (row["temp_f"], "VC", "KMDW")
    assert isinstance(row["temp_f"], Decimal)
    assert json.loads(json.dumps(report.as_dict()))["cities"][0]["days_with_288_slots"] == 1
