"""A clock that runs: the world, the cutoff and the `Date` of answers follow it, and one answer shows one moment."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession

from kalshi_simulator import Faults, Limits, SimulatedClock, Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.command import main
from kalshi_simulator.options import WrongOptionError, moment_of
from tests.simulator.support import served
from tests.support import processes
from tests.support.patience import COMES, ENDS

START = datetime(2026, 5, 6, 12, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0


class Hand:
    """Real seconds, moved by hand; with a `step` they move by themselves at every reading."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds = 1_000.0
        self.step = step

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


def moving_world(hand: Hand, speed: float = 1.0, **changes: Any) -> SyntheticWorld:
    """Two weeks of one city around the moment at which the clock starts to run."""
    settings: dict[str, Any] = {
        "start": date(2026, 4, 29),
        "end": date(2026, 5, 13),
        "now": START,
        "cities": ("KXHIGHCHI",),
        "trades_per_market": 60,
    }
    return SyntheticWorld(WorldConfig(**(settings | changes)), SimulatedClock(START, speed, hand))


def test_speed_pause_and_jump() -> None:
    hand = Hand()
    clock = SimulatedClock(START, 720, hand)
    hand.seconds += 10
    assert clock.now == START + timedelta(hours=2)
    clock.speed = 0
    hand.seconds += 10
    assert clock.now == START + timedelta(hours=2)
    clock.speed = 1
    hand.seconds += 10
    assert clock.now == START + timedelta(hours=2, seconds=10)
    clock.now = START - timedelta(days=1)
    hand.seconds += 0.5
    assert clock.now == START - timedelta(days=1) + timedelta(seconds=0.5)
    assert clock.speed == 1


def test_wrong_times_and_speeds_are_refused_and_change_nothing() -> None:
    clock = SimulatedClock(START, 2, Hand())
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="speed"):
            clock.set(START + timedelta(days=1), wrong)
    with pytest.raises(ValueError, match="time zone"):
        clock.now = datetime(2026, 5, 6)  # noqa: DTZ001
    assert (clock.now, clock.speed) == (START, 2)


def test_at_speed_one_the_distance_to_the_real_time_never_changes() -> None:
    hand = Hand()
    clock = SimulatedClock(START, 1, hand)
    began, first = hand.seconds, clock.micros
    for number in range(1, 5000):
        hand.seconds = began + number * 517.123457  # a month, with no whole number of anything
        assert abs(clock.micros - first - (hand.seconds - began) * 1e6) < 1.5


def test_a_market_lives_and_trades_as_time_passes() -> None:
    hand = Hand()
    world = moving_world(hand)
    event = next(each for each in world.events(None) if each.ticker == "KXHIGHCHI-26MAY06")
    ticker = max((market.ticker for market in event.markets), key=world.trade_count)
    whole = SyntheticWorld(world.config)
    whole.now = START + timedelta(days=3)
    expected = whole.trades(ticker)
    statuses = []
    for _ in range(200):
        hand.seconds += 600
        market = world.market(ticker)
        made = [row for row in expected if datetime.fromisoformat(row["created_time"]) < world.now]
        assert world.trades(ticker) == made
        if market["status"] not in statuses:
            statuses.append(market["status"])
    assert statuses == ["active", "closed", "determined", "finalized"]


def test_new_events_are_listed_as_time_passes() -> None:
    hand = Hand()
    world = moving_world(hand)
    assert world.event("KXHIGHCHI-26MAY09") is None
    hand.seconds += 2 * DAY
    assert world.event("KXHIGHCHI-26MAY09") is not None
    assert world.events(None)[0].ticker == "KXHIGHCHI-26MAY09"


async def test_one_answer_shows_one_moment() -> None:
    """This clock goes on by an hour at every reading, so a filter and a row read at two would not agree."""
    world = moving_world(Hand(step=HOUR))
    async with served(Simulator(world)) as api:
        for _ in range(5):
            rows = (await api.get("/markets", status="open"))["markets"]
            assert {row["status"] for row in rows} <= {"active"}
        for event in (await api.get("/events", with_nested_markets="true"))["events"]:
            assert len({row["status"] for row in event.get("markets", ())}) <= 1
    with world.clock.one_moment():
        assert world.micros == world.micros
    assert world.micros < world.micros


def test_the_cutoff_moves_with_the_clock() -> None:
    hand = Hand()
    world = moving_world(hand, archive_age=timedelta(days=2))
    found = []
    for _ in range(9):
        found.append(world.cutoff)
        hand.seconds += DAY / 4
    may = [datetime(2026, 5, day, tzinfo=UTC) for day in (4, 5, 6)]
    assert found == [*[may[0]] * 2, *[may[1]] * 4, *[may[2]] * 3]


def test_the_cutoff_may_stand_still_for_a_day_and_then_move_by_two() -> None:
    hand = Hand()
    world = moving_world(hand, archive_age=timedelta(days=2), cutoff_days=2)
    found = []
    for _ in range(6):
        found.append(world.cutoff)
        hand.seconds += DAY
    steps = {after - before for before, after in pairwise(found)}
    assert steps == {timedelta(0), timedelta(days=2)}
    assert all(cutoff <= world.now - timedelta(days=2) for cutoff in found)
    other = moving_world(Hand(), archive_age=timedelta(days=2), cutoff_days=2, seed=2)
    assert other.cutoff != found[0]


def test_a_cutoff_that_was_set_stays() -> None:
    hand = Hand()
    fixed = datetime(2026, 5, 1, tzinfo=UTC)
    world = moving_world(hand, cutoff=fixed)
    hand.seconds += 100 * DAY
    assert world.cutoff == fixed
    world.cutoff = fixed + timedelta(days=1)
    hand.seconds += 100 * DAY
    assert world.cutoff == fixed + timedelta(days=1)


async def test_every_answer_carries_the_simulated_date() -> None:
    hand = Hand()
    world = moving_world(hand, 100)
    simulator = Simulator(world, Limits(requests_per_second=1, burst_seconds=0))
    async with served(simulator) as api:
        root = api.url.removesuffix("/trade-api/v2")
        statuses = []
        for path in ("/exchange/status", "/exchange/status", "/nothing"):
            hand.seconds += 1.237
            async with api.session.get(api.url + path) as response:
                assert parsedate_to_datetime(response.headers["Date"]) == world.now.replace(microsecond=0)
                assert response.headers["Date"].endswith(" GMT")
                statuses.append(response.status)
        async with api.session.get(f"{root}/_simulator/stats") as response:
            assert parsedate_to_datetime(response.headers["Date"]) == world.now.replace(microsecond=0)
        assert statuses == [200, 429, 429]
    faults = Faults(targeted={"A": "forever_500"})
    async with (
        served(Simulator(world, faults=faults)) as api,
        api.session.get(f"{api.url}/markets/trades?ticker=A") as response,
    ):
        assert response.status == 500
        assert parsedate_to_datetime(response.headers["Date"]) == world.now.replace(microsecond=0)


async def test_the_clock_is_read_and_set_over_http() -> None:
    hand = Hand()
    world = moving_world(hand, 5)
    async with served(Simulator(world)) as api:
        address = api.url.removesuffix("/trade-api/v2") + "/_simulator/clock"

        async def post(body: Any) -> tuple[int, Any]:
            async with api.session.post(address, json=body) as response:
                return response.status, await response.json()

        async with api.session.get(address) as response:
            body = await response.json()
        assert (datetime.fromisoformat(body["now"]), body["speed"]) == (START, 5)
        assert abs(datetime.fromisoformat(body["wall"]) - datetime.now(UTC)) < timedelta(seconds=10)
        status, body = await post({"speed": 0, "now": "2026-05-08T00:00:00Z"})
        assert (status, body["speed"], world.now) == (200, 0, datetime(2026, 5, 8, tzinfo=UTC))
        assert (await post({"speed": 60}))[0] == 200
        hand.seconds += 1
        assert world.now == datetime(2026, 5, 8, 0, 1, tzinfo=UTC)
        mistakes: list[Any] = [[], "x", {"now": 5}, {"now": "2026-05-08"}, {"speed": -1}, {"speed": "fast"}]
        for wrong in mistakes:
            assert (await post(wrong))[0] == 400, wrong
        assert (world.clock.speed, world.now) == (60, datetime(2026, 5, 8, 0, 1, tzinfo=UTC))


def test_where_the_clock_of_the_command_starts() -> None:
    assert moment_of(None, START) == START
    assert moment_of("2026-05-01", START) == datetime(2026, 5, 1, tzinfo=UTC)
    assert moment_of("2026-05-01T10:00:00-04:00", START) == datetime(2026, 5, 1, 14, tzinfo=UTC)
    for wrong in ("soon", "2026-05-01T10:00:00", "20260501"):
        with pytest.raises(WrongOptionError, match="--from"):
            moment_of(wrong, START)


@pytest.mark.parametrize(
    "options",
    [
        ("--speed", "-1"),
        ("--speed", "nan"),
        ("--archive-age", "-1"),
        ("--archive-age", "3", "--cutoff", "2026-05-01"),
        ("--archive", "folder", "--speed", "2"),
        ("--archive", "folder", "--from", "2026-05-01"),
        ("--start", "yesterday"),
        ("--limit", "many"),
        ("--cache-second", "3"),
        ("--public-key", "/nowhere"),
    ],
)
def test_wrong_options_of_the_command_are_refused(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert (options[-2] if options[0] == "--archive" else options[0].removeprefix("--public-")) in told.err


@pytest.mark.parametrize("program", [(*processes.PROGRAM, "simulate"), (sys.executable, "-m", "kalshi_simulator")])
async def test_the_command_runs_an_accelerated_exchange(program: tuple[str, ...]) -> None:
    options = (
        "--port",
        "0",
        "--speed",
        "1000",
        "--from",
        "2026-05-06T12:00:00Z",
        "--archive-age",
        "3",
        "--maintenance",
    )
    process = await processes.start(
        *program, *options, env=processes.environment({}), cwd=processes.NO_SETTINGS_HERE, stdout=-1
    )
    assert process.stdout is not None
    lines = [(await asyncio.wait_for(process.stdout.readline(), COMES)).decode() for _ in range(4)]
    assert "ws://127.0.0.1:" in lines[0]
    assert "event dates 2026-04-06 to 2026-06-15" in lines[0]
    assert "settled before 2026-05-03" in lines[1]
    assert lines[3].startswith("clock: 2026-05-06 12:")
    url = next(word for word in lines[0].split() if word.startswith("http"))
    async with ClientSession() as session, session.get(f"{url}/exchange/status") as response:
        shown = parsedate_to_datetime(response.headers["Date"])
        assert START <= shown < START + timedelta(days=1)
        assert (await response.json())["exchange_active"] is True
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), ENDS) == 0
