"""`weather settlement` against the simulated services: few requests, right values, every planted fault handled."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.errors import Unusable
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.weather.config import WeatherConfig
from kalshi_simulator.weather.server import WeatherUrls
from tests.exchange.serving import PREFIX, serving
from tests.support.backfills import CHICAGO, Run, fetch
from tests.support.settlement_runs import QUICK, SIX, Settle

KMDW = find_city("chicago")
START, END = date(2025, 5, 1), date(2025, 5, 20)
NOW = datetime(2025, 8, 1, tzinfo=UTC)


def world(start: date = START, end: date = END, now: datetime = NOW, **changes: Any) -> SyntheticWorld:
    settings: dict[str, Any] = {"cities": ("KXHIGHCHI",), "trades_per_market": 1.0, "oddities": False} | changes
    return SyntheticWorld(WorldConfig(start=start, end=end, now=now, **settings))


def odd(**planted: tuple[date, str]) -> WeatherConfig:
    """Weather without oddities of its own: caches off the clock, these planted at Chicago."""
    days = {day for day, _ in planted.values()}
    at = {("KMDW", day): tuple(kind for on, kind in planted.values() if on == day) for day in days}
    return WeatherConfig(rates=dict.fromkeys(_RATES, 0.0), planted=at, seeded_outage=False, throttle_seconds=None)


_RATES = (
    *("late_peak", "morning_partial", "cli_missing", "cli_m", "correction", "record", "partial_after_final"),
    *("cf6_older_product", "cf6_m", "cf6_off", "ghcnd_failed", "ghcnd_missing", "ghcnd_off", "outage"),
)


def truth(simulator: Simulator, day: date) -> int:
    weather = simulator.weather.weather
    station = next(each for each in weather.truth.days if each.icao == "KMDW")
    return weather.truth.high(station, day)


def move(simulator: Simulator, moment: datetime) -> datetime:
    """The world's clock, moved on."""
    assert isinstance(simulator.world, SyntheticWorld)
    simulator.world.now = moment
    return moment


async def row(url: str, day: date, loc_id: str = "KMDW") -> dict[str, Any]:
    rows = await fetch(url, "select * from wx.settlement where loc_id = $1 and date_local = $2", loc_id, day)
    return dict(rows[0])


@pytest.mark.parametrize(
    ("start", "most"),
    [
        (date(2025, 9, 15), 26),
        *(
            pytest.param(start, most, marks=pytest.mark.long)
            for start, most in ((date(2025, 5, 1), 45), (date(2024, 1, 1), 60))
        ),
    ],
)
async def test_the_seed_window_in_few_requests(start: date, most: int, database_url: str) -> None:
    """Six cities, up to 684 days: every day right, at most 60 requests; a second run asks for nothing."""
    end, now = date(2025, 11, 14), datetime(2026, 2, 1, tzinfo=UTC)
    six = world(start, end, now, cities=WorldConfig(start=start, end=end, now=now).cities)
    async with Simulator(six, weather=WeatherConfig(throttle_seconds=None)) as simulator:
        report = await Settle(simulator.weather_urls, database_url, start, end, now)()
        assert simulator.weather.stats.settlement_requests <= most
        for city in report.cities:
            assert city.full_day + len(city.preliminary) + len(city.missing) == city.days
            assert len(city.preliminary) + len(city.missing) <= 3
        weather = simulator.weather.weather
        first = {
            (station.icao, day): report.high
            for station, days in weather.truth.days.items()
            for day in days
            for report in reversed(weather.reports.about(station, day))
            if report.full_day and report.high is not None
        }
        rows = await fetch(database_url, "select loc_id, date_local, tmax_cli_first_f from wx.settlement")
        held = {
            (r["loc_id"], r["date_local"]): r["tmax_cli_first_f"] for r in rows if r["tmax_cli_first_f"] is not None
        }
        assert held == first
        simulator.weather.stats.reset()
        await Settle(simulator.weather_urls, database_url, start, end, now)()
        assert simulator.weather.stats.settlement_requests == 0


async def test_again_asks_for_what_was_answered_long_ago_and_mends_a_wrong_text(database_url: str) -> None:
    """A service sent another text under a product's id once; its last word counts, as soon as it is asked again."""
    day = START + timedelta(days=3)
    async with Simulator(world(), weather=odd()) as simulator:
        urls = simulator.weather_urls
        await Settle(urls, database_url, START, END, NOW, cities=[KMDW])()
        right = await row(database_url, day)
        lie = """
            update wx.settlement_obs set tmax_f = -40, raw = '"another text"'
            where date_local = $1 and source = 'CLI' and payload_sha256 is null
        """
        await fetch(database_url, lie, day)
        await fetch(database_url, "update wx.settlement set tmax_final_f = -40 where date_local = $1", day)
        simulator.weather.stats.reset()
        await Settle(urls, database_url, START, END, NOW, cities=[KMDW])()
        assert simulator.weather.stats.settlement_requests == 0
        assert (await row(database_url, day))["tmax_final_f"] == -40
        later = NOW + timedelta(hours=1)
        await Settle(urls, database_url, START, END, later, cities=[KMDW], again=True)()
        assert simulator.weather.stats.settlement_requests > 0
        held = await row(database_url, day)
        assert {name: held[name] for name in held if name != "updated_at"} == {
            name: right[name] for name in right if name != "updated_at"
        }
        told = await fetch(database_url, "select count(*) from wx.settlement_obs")
        await Settle(urls, database_url, START, END, later + timedelta(hours=1), cities=[KMDW], again=True)()
        assert (await row(database_url, day))["updated_at"] == later  # the same answers change nothing
        assert await fetch(database_url, "select count(*) from wx.settlement_obs") == told


async def test_a_late_correction_shows_and_does_not_settle(database_url: str) -> None:
    day = START + timedelta(days=3)
    async with Simulator(world(), weather=odd(a=(day, "correction:-5"))) as simulator:
        first = truth(simulator, day)
        before = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=8)
        move(simulator, before)
        await Settle(simulator.weather_urls, database_url, START, END, before, cities=[KMDW])()
        held = await row(database_url, day)
        assert (held["tmax_final_f"], held["tmax_cli_f"], held["conflict"]) == (first, first, None)
        move(simulator, NOW)
        await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
        held = await row(database_url, day)
    assert (held["tmax_final_f"], held["tmax_cli_first_f"], held["tmax_cli_f"]) == (first, first, first - 5)
    assert (held["source"], held["conflict"]) == ("CLI", "warning")
    assert f"CLI corrected: {first}, then {first - 5}" in held["note"]


async def test_a_partial_sent_again_after_the_final_is_flagged_and_settles_nothing(database_url: str) -> None:
    day = START + timedelta(days=4)
    async with Simulator(world(), weather=odd(a=(day, "partial_after_final"), b=(day, "late_peak"))) as simulator:
        high = truth(simulator, day)
        await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
    held = await row(database_url, day)
    assert (held["tmax_final_f"], held["tmax_cli_f"], held["is_preliminary"]) == (high, high, False)
    assert "valid as of" in held["note"]


async def test_an_older_form_that_arrives_late_never_replaces_the_newer(database_url: str) -> None:
    day = START + timedelta(days=5)
    # IEM shows the morning's form first, then the older afternoon form with its partial value
    morning = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=11, minutes=30)
    planted = WeatherConfig(
        rates=dict.fromkeys(_RATES, 0.0) | {"late_peak": 1.0},
        planted={("KMDW", day): ("cf6_older_product",)},
        seeded_outage=False,
        throttle_seconds=None,
    )
    async with Simulator(world(now=morning), weather=planted) as simulator:
        high = truth(simulator, day)
        seen = []
        for moment in (morning, morning + timedelta(hours=4)):
            move(simulator, moment)
            await Settle(simulator.weather_urls, database_url, START, END, moment, cities=[KMDW])()
            held = await row(database_url, day)
            seen.append((held["tmax_cf6_f"], held["tmax_iem_cf6_f"]))
    for source in ("CF6", "IEM_CF6"):
        stated = await fetch(
            database_url,
            "select is_full_day, tmax_f from wx.settlement_obs where source = $2 and date_local = $1 order by 1",
            day,
            source,
        )
        assert [(r["is_full_day"], r["tmax_f"] == high) for r in stated] == [(False, False), (True, True)]
    assert seen == [(high, high)] * 2


async def test_missing_and_m_days_are_filled_and_say_so(database_url: str) -> None:
    gone, blank = START + timedelta(days=6), START + timedelta(days=8)
    async with Simulator(world(), weather=odd(a=(gone, "cli_missing"), b=(blank, "cli_m"))) as simulator:
        report = await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
        assert report.complete
        for day in (gone, blank):
            held = await row(database_url, day)
            assert (held["tmax_final_f"], held["source"]) == (truth(simulator, day), "CF6")
            assert "filled from CF6" in held["note"]
    assert (await row(database_url, blank))["tmax_cli_first_f"] is None
    assert report.cities[0].sources == {"CLI": 18, "CF6": 2}


async def test_a_summary_that_failed_its_check_counts_for_nothing(database_url: str) -> None:
    day = START + timedelta(days=7)
    async with Simulator(world(), weather=odd(a=(day, "ghcnd_failed"))) as simulator:
        await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
    held = await row(database_url, day)
    assert (held["tmax_ghcnd_f"], held["conflict"], held["n_sources"]) == (None, None, 3)
    assert "failed its quality check (X)" in held["note"]


async def test_today_is_preliminary_until_its_final(database_url: str) -> None:
    """Recent days are asked for day by day for all cities, again and again; a stale cache only delays."""
    evening = datetime(2025, 5, 20, 23, 30, tzinfo=UTC)
    async with Simulator(world(now=evening), weather=odd()) as simulator:
        report = await Settle(simulator.weather_urls, database_url, END, END, evening)()
        assert (await row(database_url, END))["is_preliminary"]
        assert report.cities[0].pending == 1
        assert report.complete
        assert simulator.weather.stats.by_service["cli_geojson"] == 1
        assert simulator.weather.stats.by_service["cli_json"] == 0
        morning = evening + timedelta(hours=12)
        move(simulator, morning)
        report = await Settle(simulator.weather_urls, database_url, END, END, morning)()
        held = await row(database_url, END)
    assert (held["is_preliminary"], held["tmax_final_f"]) == (False, truth(simulator, END))


async def test_a_stale_cache_is_caught_up_with(database_url: str) -> None:
    """IEM's row is five minutes old; the next run sees the report."""
    report_time = datetime(2025, 5, 21, 6, 28, tzinfo=UTC)
    async with Simulator(world(now=report_time), weather=odd()) as simulator:
        await Settle(simulator.weather_urls, database_url, END, END, report_time)()
        now = move(simulator, report_time + timedelta(minutes=4))
        await Settle(simulator.weather_urls, database_url, END, END, now)()
        now = move(simulator, report_time + timedelta(hours=3))
        report = await Settle(simulator.weather_urls, database_url, END, END, now)()
    assert report.cities[0].full_day == 1


async def test_a_service_that_is_down_keeps_nobody_waiting(database_url: str) -> None:
    async with Simulator(world(), weather=odd()) as simulator:
        urls = simulator.weather_urls._replace(iem="http://127.0.0.1:9")
        report = await Settle(urls, database_url, START, END, NOW)()
        assert not report.complete
        assert len(report.failed) == 12 + 12  # texts and rows of six cities, of the reports and of the forms
        assert all("IEM is out of reach" in why for why in report.failed.values())
        assert report.cities[0].sources == {"GHCND": 20}
        states = await fetch(database_url, "select source, state, count(*) from wx.settlement_poll group by 1, 2")
        assert {(r["source"], r["state"]) for r in states} >= {("CLI", "failed"), ("GHCND", "answered")}
        assert {r["status"] for r in await fetch(database_url, "select status from ingestion_log")} == {"partial"}
        report = await Settle(simulator.weather_urls, database_url, START, END, NOW)()
    assert report.complete
    assert report.cities[0].sources == {"CLI": 20}


async def test_a_loaded_service_is_asked_again(database_url: str) -> None:
    busy = replace(odd(), busy_rate=0.3)
    async with Simulator(world(), weather=busy) as simulator:
        settle = Settle(simulator.weather_urls, database_url, START, END, NOW, retry=replace(QUICK, attempts=20))
        report = await settle()
        assert simulator.weather.stats.by_status["afos"][503] > 0
    assert report.complete
    rows = await fetch(database_url, "select sum(requests)::int, sum(retries)::int from ingestion_log")
    assert rows[0][0] == simulator.weather.stats.settlement_requests
    assert rows[0][1] > 0


@asynccontextmanager
async def spoilt(simulator: Simulator, spoil: Callable[[web.Request, bytes], bytes]) -> AsyncIterator[WeatherUrls]:
    """The simulator's weather behind a proxy that spoils some answers."""
    root = simulator.weather_urls.iem.removesuffix("/iem")

    async def answer(request: web.Request) -> web.StreamResponse:
        target = root + request.path_qs.removeprefix(PREFIX)
        async with aiohttp.ClientSession() as http, http.get(URL(target, encoded=True)) as response:
            return web.Response(status=response.status, body=spoil(request, await response.read()))

    async with serving(answer) as url:
        yield WeatherUrls.below(url)


async def test_a_malformed_station_is_listed_and_the_others_go_on(database_url: str) -> None:
    """Its texts are kept beside IEM's unusable rows; the next run asks for its days again, and only for these."""

    def spoil(request: web.Request, body: bytes) -> bytes:
        mine = request.path.endswith("/json/cli.py") and request.query["station"] == "KMDW"
        return b"<html>oops</html>" if mine else body

    async with Simulator(world(), weather=odd()) as simulator:
        async with spoilt(simulator, spoil) as urls:
            report = await Settle(urls, database_url, START, END, NOW)()
        assert report.failed == {"IEM CLI KMDW 2025": "IEM CLI KMDW 2025: the answer is not JSON: <html>oops</html>"}
        assert not report.complete
        assert {city.city: city.sources for city in report.cities} == {city.key: {"CLI": 20} for city in SIX}
        simulator.weather.stats.reset()
        report = await Settle(simulator.weather_urls, database_url, START, END, NOW)()
        assert report.complete
        assert simulator.weather.stats.by_service == {"cli_json": 1, "afos": 1}


async def test_a_garbled_text_is_listed_and_its_day_settled_by_the_rest(database_url: str) -> None:
    day = START + timedelta(days=2)

    def spoil(request: web.Request, body: bytes) -> bytes:
        if not request.path.endswith("retrieve.py") or request.query["pil"] != "CLIMDW":
            return body
        texts = body.decode("latin-1").split("\001")
        wanted = f"CLIMATE SUMMARY FOR {day:%B} {day.day} {day.year}".upper()
        garbled = [t.replace("MAXIMUM  ", "MAX?") if wanted in t and "YESTERDAY" in t else t for t in texts]
        assert garbled != texts
        return "\001".join(garbled).encode("latin-1")

    async with Simulator(world(), weather=odd()) as simulator, spoilt(simulator, spoil) as urls:
        report = await Settle(urls, database_url, START, END, NOW)()
        high = truth(simulator, day)
    assert report.complete
    (line,) = report.unreadable
    assert line.startswith("IEM CLIMDW: the maximum cannot be read")
    held = await row(database_url, day)
    assert (held["tmax_final_f"], held["source"], held["tmax_cli_first_f"]) == (high, "CLI", None)
    assert "whether this was the first is not known" in held["note"]
    details = await fetch(database_url, "select details from ingestion_log where series_ticker = 'KXHIGHCHI'")
    assert line[:40] in details[0][0]


async def test_after_a_report_that_cannot_be_read_a_correction_is_not_the_first(database_url: str) -> None:
    """The markets settle on the first: a later value that silently took its place would be a wrong label."""
    day = START + timedelta(days=3)

    def spoil(request: web.Request, body: bytes) -> bytes:
        """The first full-day text has a mark that nobody knows; of IEM's rows only the newest, the correction."""
        texts = body.decode("latin-1").split("\001")
        named = f"CLIMATE SUMMARY FOR {day:%B} {day.day} {day.year}".upper()
        wanted = [t for t in texts if named in t and "YESTERDAY" in t and "CORRECTION" not in t]
        marked = [re.sub(r"(MAXIMUM +-?\d+) ", r"\1?", t, count=1) if t in wanted else t for t in texts]
        return "\001".join(marked).encode("latin-1")

    async with Simulator(world(), weather=odd(a=(day, "correction:-5"))) as simulator:
        first = truth(simulator, day)
        async with spoilt(simulator, spoil) as urls:
            report = await Settle(urls, database_url, START, END, NOW, cities=[KMDW])()
            assert report.complete
            assert len(report.unreadable) == 1
            held = await row(database_url, day)
            assert (held["tmax_cli_first_f"], held["tmax_final_f"]) == (None, first - 5)
            assert "could not be read: whether this was the first is not known" in held["note"]
        # Another source alone, later, does not make it the first; a readable answer does.
        await fetch(database_url, "delete from wx.settlement_poll where source = 'GHCND'")
        await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
        assert (await row(database_url, day))["tmax_cli_first_f"] is None
        await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW], again=True)()
    held = await row(database_url, day)
    assert (held["tmax_cli_first_f"], held["tmax_final_f"]) == (first, first)
    assert "not be read" not in held["note"]


async def test_days_of_garbled_forms_are_asked_for_again(database_url: str) -> None:
    """One garbled form does no harm, since the next repeats its days; where all are, the days count as not asked."""

    def spoil(request: web.Request, body: bytes) -> bytes:
        pil = request.query.get("pil", "")
        texts = body.split(b"\001")
        garbled = {"CF6MDW": [9], "CF6MIA": range(len(texts))}.get(pil, [])
        return b"\001".join(
            text.replace(b"\n 1 ", b"\n 1?") if place in garbled else text for place, text in enumerate(texts)
        )

    async with Simulator(world(), weather=odd()) as simulator:
        async with spoilt(simulator, spoil) as urls:
            report = await Settle(urls, database_url, START, END, NOW)()
        assert report.complete
        assert {city.city: city.sources for city in report.cities} == {city.key: {"CLI": 20} for city in SIX}
        assert report.unreadable[0].startswith("IEM CF6MDW: the maximum of 2025-05-01 is '?")
        failed = await fetch(database_url, "select loc_id, source, count(*) from wx.settlement_poll "
                             "where state = 'failed' group by 1, 2")  # fmt: skip
        assert [tuple(each) for each in failed] == [("KMIA", "CF6", 20)]
        simulator.weather.stats.reset()
        report = await Settle(simulator.weather_urls, database_url, START, END, NOW)()
        assert simulator.weather.stats.by_service == {"afos": 1}
        assert not report.unreadable
    rows = await fetch(database_url, "select count(*) from wx.settlement where tmax_cf6_f is distinct from "
                       "tmax_iem_cf6_f or tmax_cf6_f is null")  # fmt: skip
    assert rows[0][0] == 0


async def test_a_backfill_under_way_is_left_alone_in_the_log(database_url: str) -> None:
    """Weather has locks of its own, so a running backfill of the same series is no leftover to be corrected."""
    insert = (
        "insert into ingestion_log (run_id, command, series_ticker, status, started_at) values "
        "(gen_random_uuid(), $1, 'KXHIGHCHI', 'running', now())"
    )
    for command in ("backfill --start 2025-01-01", "weather minutes", "weather settlement --start 2025-01-01"):
        await fetch(database_url, insert, command)
    async with Simulator(world(), weather=odd()) as simulator:
        await Settle(simulator.weather_urls, database_url, END, END, NOW, cities=[KMDW])()
    rows = await fetch(database_url, "select command, status from ingestion_log where finished_at is null")
    assert {tuple(row) for row in rows} == {
        ("backfill --start 2025-01-01", "running"),
        ("weather minutes", "running"),
        ("weather settlement --start 2025-01-01", "interrupted"),
    }


async def test_days_before_the_first_event_and_after_today_are_not_asked_for(database_url: str) -> None:
    la, now = find_city("la"), datetime(2025, 1, 7, 20, tzinfo=UTC)
    calm = WeatherConfig(plain=True, throttle_seconds=None)
    async with Simulator(world(date(2025, 1, 1), END, now, cities=("KXHIGHLAX",)), weather=calm) as simulator:
        report = await Settle(simulator.weather_urls, database_url, date(2024, 12, 1), END, now, cities=[la])()
    assert (report.cities[0].days, report.cities[0].full_day, report.cities[0].pending) == (3, 2, 1)
    assert [r[0] for r in await fetch(database_url, "select date_local from wx.settlement order by 1")] == [
        date(2025, 1, day) for day in (5, 6)
    ]


async def test_the_bin_that_paid_is_compared(database_url: str) -> None:
    """The first final agrees with every bin; what was corrected into another bin is explained where it differs."""
    day = START + timedelta(days=3)
    async with Simulator(world(), weather=odd(a=(day, "correction:-5"))) as simulator:
        await Run(simulator.url, database_url, CHICAGO)()
        report = await Settle(simulator.weather_urls, database_url, START, END, NOW, cities=[KMDW])()
    verdicts = {check.event_date: str(check.verdict) for check in report.cities[0].checks}
    assert verdicts == {START + timedelta(days=n): "agree" for n in range(20)} | {day: "first only"}
    assert not any(check.values_differ for check in report.cities[0].checks)
    told = report.as_dict()
    assert told["complete"] is True
    assert "chicago  20" in report.as_text()
    assert "agree  first only  disagree  cannot tell" in report.as_text()
    assert "corrected out of the bin afterwards (1):" in report.as_text()


async def test_a_stop_keeps_what_is_committed(database_url: str) -> None:
    async with Simulator(world(), weather=odd()) as simulator:
        settle = Settle(simulator.weather_urls, database_url, START, END, NOW)

        async def hook(service: str) -> None:
            if service == "cf6_json":
                settle.stop.set()
                await asyncio.sleep(30)

        simulator.weather.on_request = hook
        await settle()
        assert settle.job is not None
        assert settle.job.interrupted
    assert {r["status"] for r in await fetch(database_url, "select status from ingestion_log")} == {"interrupted"}
    rows = await fetch(database_url, "select count(*) from wx.settlement where loc_id = 'KMDW' and source = 'CLI'")
    assert rows[0][0] == 20


async def test_two_runs_at_once_are_kept_apart(database_url: str) -> None:
    async with Simulator(world(), weather=odd()) as simulator:
        first = Settle(simulator.weather_urls, database_url, START, END, NOW)
        second = Settle(simulator.weather_urls, database_url, START, END, NOW)
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def hook(service: str) -> None:
            begun.set()
            await go_on.wait()

        simulator.weather.on_request = hook
        running = asyncio.create_task(first())
        await begun.wait()
        with pytest.raises(Unusable, match="another run is fetching settlements of"):
            await second()
        go_on.set()
        assert (await running).complete
