"""`weather` as a user meets it: real processes, real database, the services simulated or worse."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import aiohttp
import asyncpg
import orjson
import pytest
from aiohttp import web

from kalshi_ingest.postgres.migrate import LOCK_KEY
from kalshi_simulator import Simulator
from tests.cli.test_cli import Ended, busy, ended, one_line, run, started
from tests.support.backfills import fetch, log_statuses
from tests.support.minute_runs import FIRST, KEY, weather_of
from tests.support.patience import COMES, ENDS

SECOND = FIRST + timedelta(days=1)
DAYS = ("--start", str(FIRST), "--end", str(SECOND))
CHICAGO = ("--city", "chicago")
LATER = datetime(2025, 10, 20, 12, tzinfo=UTC)
"""The services' time, which the commands go by: nothing of the days changes any more."""
WRONG_KEY = "hunter2-is-no-key"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with weather_of() as simulator:
        simulator.world.clock.now = LATER
        yield simulator


def settings_of(simulator: Simulator, database_url: str, **more: str) -> dict[str, str]:
    urls = simulator.weather_urls
    where = {"IEM_URL": urls.iem, "NCEI_URL": urls.ncei, "VISUAL_CROSSING_URL": urls.visual_crossing}
    return where | {"DATABASE_URL": database_url} | more


@pytest.fixture
def settings(simulator: Simulator, database_url: str) -> dict[str, str]:
    return settings_of(simulator, database_url)


def asked(simulator: Simulator) -> int:
    return simulator.weather.stats.by_service.total()


def no_traceback(result: Ended, code: int) -> None:
    assert result.code == code, result.out + result.err
    assert "Traceback" not in result.err


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """A service that answers everything in one way; its base URL."""
    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def closed(_: web.Request) -> web.StreamResponse:
    """Out of reach at once: dead silence is waited for longer than a test may take."""
    return web.Response(status=503, headers={"Retry-After": "7200"}, text="down for maintenance")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"2025" * 2**18)
    except ConnectionError:
        return response


def saying(body: bytes) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    return answer


async def test_settlements_once(settings: dict[str, str], simulator: Simulator) -> None:
    first = await run("weather", "settlement", *DAYS, *CHICAGO, **settings)
    no_traceback(first, 0)
    held = await fetch(settings["DATABASE_URL"], "select date_local from wx.settlement where tmax_final_f is not null")
    assert sorted(row[0] for row in held) == [FIRST, SECOND]
    simulator.weather.stats.reset()
    second = await run("weather", "settlement", *DAYS, *CHICAGO, "--json", **settings)
    no_traceback(second, 0)
    assert asked(simulator) == 0
    assert orjson.loads(second.out)["complete"] is True
    story = await fetch(settings["DATABASE_URL"], "select distinct command from ingestion_log")
    assert [row[0] for row in story] == [f"weather settlement --start {FIRST} --end {SECOND} --city chicago"]


async def test_minutes_and_the_grid(settings: dict[str, str], simulator: Simulator) -> None:
    url = settings["DATABASE_URL"]
    minutes = ("weather", "minutes", *DAYS, *CHICAGO)
    dry = await run(*minutes, "--dry-run", **settings)
    no_traceback(dry, 0)
    assert "IEM: 2 of 2 station-days to fetch" in dry.out
    assert (asked(simulator), await log_statuses(url)) == (0, [])
    first = await run(*minutes, **settings)
    no_traceback(first, 0)
    assert first.out.splitlines()[-1].startswith("Complete: 2 station-days proved")
    simulator.weather.stats.reset()
    second = await run(*minutes, "--json", **settings)
    no_traceback(second, 0)
    assert orjson.loads(second.out)["exit_code"] == 0
    assert asked(simulator) == 0
    grid = await run("weather", "grid", "--json", **settings)
    no_traceback(grid, 0)
    rows = (await fetch(url, "select count(*) from wx.minute_obs_1m"))[0][0]
    assert orjson.loads(grid.out)["rows"] == rows > 2000


async def test_a_day_is_over_by_the_services_time_not_by_this_machines(
    settings: dict[str, str], simulator: Simulator
) -> None:
    """This machine's clock is more than a year ahead of theirs: readings of the day are still to come."""
    simulator.world.clock.now = datetime(2025, 7, 2, 18, tzinfo=UTC)
    one_day = ("weather", "minutes", "--start", str(FIRST), "--end", str(FIRST), *CHICAGO)
    await run(*one_day, **settings)
    states = "select state from wx.minute_day"
    assert [row[0] for row in await fetch(settings["DATABASE_URL"], states)] == ["open"]
    settlement = ("weather", "settlement", "--start", str(FIRST), "--end", str(FIRST), *CHICAGO)
    await run(*settlement, **settings)
    polled = await fetch(settings["DATABASE_URL"], "select max(polled_at) from wx.settlement_poll")
    assert abs(polled[0][0] - simulator.world.clock.now) < timedelta(hours=1)
    simulator.world.clock.now = LATER
    no_traceback(await run(*one_day, **settings), 0)
    assert [row[0] for row in await fetch(settings["DATABASE_URL"], states)] == ["complete"]


async def test_the_grid_of_nothing(database_url: str) -> None:
    result = await run("weather", "grid", DATABASE_URL=database_url)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("The grid holds 0 rows")


@pytest.mark.parametrize("what", ["settlement", "minutes"])
async def test_a_day_that_nobody_has_is_incomplete(settings: dict[str, str], simulator: Simulator, what: str) -> None:
    """The simulated weather is long past; two days ago is over in Chicago too, whatever the hour."""
    day = str((await fetch(settings["DATABASE_URL"], "select (now() at time zone 'UTC')::date - 2"))[0][0])
    async with without(simulator, "NOWHERE") as iem:  # which tells today's time
        command = ("weather", what, "--start", day, "--end", day, *CHICAGO)
        result = await run(*command, **settings | {"IEM_URL": iem})
    no_traceback(result, 1)
    assert day in result.out


async def test_one_service_that_is_down_is_named_and_the_other_goes_on(settings: dict[str, str]) -> None:
    command = ("weather", "settlement", *DAYS, *CHICAGO)
    async with answering(closed) as down:
        result = await run(*command, **settings | {"IEM_URL": down})
    no_traceback(result, 1)
    told = [line for line in result.out.splitlines() if "IEM texts of CLIMDW" in line]
    assert len(told) == 1
    for words in (f"{FIRST} to {SECOND}", "IEM is out of reach", "wait 7200 s", "run again"):
        assert words in told[0]
    held = await fetch(settings["DATABASE_URL"], "select distinct source from wx.settlement_obs")
    assert [row[0] for row in held] == ["GHCND"]
    assert await log_statuses(settings["DATABASE_URL"]) == ["partial"]
    no_traceback(await run(*command, **settings), 0)


async def test_minutes_from_a_service_that_is_down(settings: dict[str, str]) -> None:
    command = ("weather", "minutes", *DAYS, *CHICAGO)
    async with answering(closed) as down:
        result = await run(*command, **settings | {"IEM_URL": down})
    no_traceback(result, 3)
    told = result.out.splitlines()[-1]
    for words in ("2 station-days failed", "IEM is out of reach", "wait 7200 s"):
        assert words in told
    assert "chicago 2025-07-01 to 2025-07-02" in result.out
    no_traceback(await run(*command, **settings), 0)


GARBAGE = {
    "a page": saying(b"<html><body>Welcome!</body></html>\n"),
    "other JSON": saying(b'{"results": [5], "features": [{"properties": {"station": []}}], "days": 5}\n'),
    "a long field": saying(b'"' + b"x" * 200_000 + b"\n"),
    "bytes": saying(bytes(range(256)) * 20 + b"\n"),
    "no end": endless,
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_malformed_minutes_name_service_station_and_day(settings: dict[str, str], kind: str) -> None:
    async with answering(GARBAGE[kind]) as bad:
        spoilt = settings | {"IEM_URL": bad, "VISUAL_CROSSING_URL": bad, "VISUAL_CROSSING_KEY": KEY}
        free, paid = await asyncio.gather(
            run("weather", "minutes", *DAYS, *CHICAGO, "--source", "iem", **spoilt),
            run("weather", "minutes", *DAYS, "--city", "miami", **spoilt),
        )
    no_traceback(free, 1)
    no_traceback(paid, 1)
    for day in (FIRST, SECOND):
        assert f"chicago {day}: IEM" in free.out
        assert f"miami {day}: Visual Crossing" in paid.out
    states = await fetch(settings["DATABASE_URL"], "select distinct state from wx.minute_day")
    assert [row[0] for row in states] == ["failed"]


@pytest.mark.parametrize("kind", ["other JSON", "bytes", "no end"])
async def test_malformed_reports_leave_what_other_services_say(settings: dict[str, str], kind: str) -> None:
    async with answering(GARBAGE[kind]) as bad:
        result = await run("weather", "settlement", *DAYS, *CHICAGO, **settings | {"IEM_URL": bad})
    no_traceback(result, 0 if kind == "other JSON" else 1)  # a row that cannot be read fails alone, an answer does not
    assert "IEM CLI KMDW 2025" in result.out
    assert "IEM IEM_CF6 KMDW 2025" in result.out
    assert all(letter.isprintable() or letter == "\n" for letter in result.out)
    held = await fetch(settings["DATABASE_URL"], "select distinct source from wx.settlement_obs")
    assert [row[0] for row in held] == ["GHCND"]


@asynccontextmanager
async def without(simulator: Simulator, station: str) -> AsyncIterator[str]:
    """IEM, except that it does not know one station."""
    async with aiohttp.ClientSession() as http:

        async def handle(request: web.Request) -> web.StreamResponse:
            if station in request.query.getall("station", []):
                return web.Response(status=422, text=f"Unknown station provided: {station}")
            async with http.get(simulator.weather_urls.iem + request.path_qs) as answer:
                return web.Response(body=await answer.read(), status=answer.status)

        async with answering(handle) as root:
            yield root


async def test_an_unknown_station_costs_the_others_nothing(settings: dict[str, str], simulator: Simulator) -> None:
    command = ("weather", "minutes", "--start", str(FIRST), "--end", str(FIRST), *CHICAGO, "--city", "miami")
    async with without(simulator, "MIA") as iem:
        result = await run(*command, **settings | {"IEM_URL": iem})
    no_traceback(result, 1)
    assert f"miami {FIRST}: IEM: GET /cgi-bin/request/asos1min.py: status 422: Unknown station" in result.out
    held = await fetch(settings["DATABASE_URL"], "select loc_id, state from wx.minute_day order by loc_id")
    assert [tuple(row) for row in held] == [("KMDW", "complete"), ("KMIA", "failed")]


async def everything(url: str) -> str:
    """Every row of every table, as text."""
    tables = await fetch(
        url,
        "select format('%I.%I', schemaname, relname) from pg_stat_user_tables "
        "union select format('%I.%I', schemaname, matviewname) from pg_matviews",
    )
    rows = [await fetch(url, f"select t::text from {table[0]} t") for table in tables]
    return "\n".join(str(row[0]) for some in rows for row in some)


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_a_wrong_key_is_named_and_shown_nowhere(settings: dict[str, str], level: str) -> None:
    told = settings | {"VISUAL_CROSSING_KEY": WRONG_KEY, "LOG_LEVEL": level}
    result = await run("weather", "minutes", *DAYS, *CHICAGO, **told)
    no_traceback(result, 2)
    (line,) = [line for line in result.err.splitlines() if not line.startswith("{")]
    assert line.startswith("kalshi-ingest: Visual Crossing refuses the key in KALSHI_INGEST_VISUAL_CROSSING_KEY")
    assert WRONG_KEY not in result.out + result.err
    held = await everything(settings["DATABASE_URL"])
    assert "weather minutes" in held
    assert WRONG_KEY not in held
    assert await fetch(settings["DATABASE_URL"], "select from wx.minute_day") == []


async def test_a_quota_that_is_used_up_ends_the_day_and_the_next_run_goes_on(database_url: str) -> None:
    command = ("weather", "minutes", *DAYS, *CHICAGO)
    async with weather_of(visual_crossing_records=2 * 288) as poor:
        first = await run(*command, **settings_of(poor, database_url, VISUAL_CROSSING_KEY=KEY))
    no_traceback(first, 1)
    last = first.out.splitlines()[-1]
    for words in ("1 station-days not fetched", "daily result records", "run the same command again", "tomorrow"):
        assert words in last
    async with weather_of() as rich:
        second = await run(*command, **settings_of(rich, database_url, VISUAL_CROSSING_KEY=KEY))
        assert rich.weather.stats.by_service.total() == 1
    no_traceback(second, 0)
    assert "1 of 2 station-days to fetch" in second.out


FUTURE = date(2052, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("minutes", *DAYS, "--source", "visualcrossing"), "KALSHI_INGEST_VISUAL_CROSSING_KEY"),
        (("minutes", *DAYS, "--city", "atlantis"), "atlantis"),
        (("settlement", *DAYS, "--city", "nyc"), "retired"),
        (("settlement", "--start", str(FUTURE), "--end", str(FUTURE)), "future"),
        (("minutes", "--start", str(FUTURE), "--end", str(FUTURE)), "future"),
        (("settlement", "--start", str(SECOND), "--end", str(FIRST)), "lies after"),
        (("minutes", "--start", "1.7.2025"), "YYYY-MM-DD"),
        (("settlement", *DAYS, "--dry-run"), "--dry-run is not an option of weather settlement"),
        (("grid", *CHICAGO), "--city is not an option of weather grid"),
    ],
)
async def test_wrong_usage(
    settings: dict[str, str], simulator: Simulator, arguments: tuple[str, ...], words: str
) -> None:
    one_line(await run("weather", *arguments, **settings), code=2, saying=words)
    assert asked(simulator) == 0
    assert await log_statuses(settings["DATABASE_URL"]) == []


@pytest.mark.parametrize(
    ("what", "cities", "third", "claims"),
    [
        ("settlement", ("chicago",), "cf6_json", "wx.settlement_poll"),
        ("minutes", ("chicago", "miami", "la"), "timeline", "wx.minute_day"),
    ],
)
async def test_stopping(
    settings: dict[str, str], simulator: Simulator, what: str, cities: tuple[str, ...], third: str, claims: str
) -> None:
    """Exit 130; what is committed stays; the next run asks for the rest only."""
    key = {"VISUAL_CROSSING_KEY": KEY} if what == "minutes" else {}
    process: list[asyncio.subprocess.Process] = []
    going_on = asyncio.Event()
    seen: list[str] = []

    async def on_request(service: str) -> None:
        if service == "ncei":
            return  # asked beside the others
        seen.append(service)
        if len(seen) == 3:
            assert service == third
            process[0].send_signal(signal.SIGTERM)
        if len(seen) >= 3:
            await going_on.wait()

    simulator.weather.on_request = on_request
    command = ("weather", what, *DAYS, *(word for city in cities for word in ("--city", city)))
    process.append(await started(*command, settings=settings | key))
    result = await asyncio.wait_for(ended(process[0]), COMES)
    going_on.set()
    no_traceback(result, 130)
    assert "stopping: what is committed stays" in result.err
    url = settings["DATABASE_URL"]
    assert set(await log_statuses(url)) == {"interrupted"}
    assert (await fetch(url, f"select count(*) from {claims}"))[0][0] > 0
    before = len(seen)
    no_traceback(await run(*command, **settings | key), 0)
    assert 1 <= len(seen) - before <= 2


@pytest.mark.parametrize("what", ["settlement", "minutes", "grid"])
async def test_stopping_before_everything_is_open(settings: dict[str, str], what: str) -> None:
    """Here it waits for another process that migrates."""
    connection = await asyncpg.connect(settings["DATABASE_URL"])
    try:
        await connection.execute(f"select pg_advisory_lock({LOCK_KEY})")
        process = await started("weather", what, settings=settings)
        await asyncio.wait_for(busy(settings["DATABASE_URL"], "pg_advisory_lock"), COMES)
        process.send_signal(signal.SIGTERM)
        result = await asyncio.wait_for(ended(process), ENDS)
    finally:
        await connection.close()
    no_traceback(result, 130)


async def test_stopping_the_grid_leaves_it_as_it_was(settings: dict[str, str]) -> None:
    url = settings["DATABASE_URL"]
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("lock table wx.minute_obs in access exclusive mode")
            process = await started("weather", "grid", settings=settings)
            await asyncio.wait_for(busy(url, "refresh materialized view"), COMES)
            process.send_signal(signal.SIGTERM)
            result = await asyncio.wait_for(ended(process), ENDS)
    finally:
        await connection.close()
    no_traceback(result, 130)
    assert result.out == ""
    no_traceback(await run("weather", "grid", **settings), 0)
