"""The exchange's clock: the local one while both agree, a shifted one while they do not."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.errors import IngestError
from kalshi_ingest.exchange.clock import ExchangeClock
from tests import virtual_clock
from tests.exchange.serving import GRACE, Reply, Script, asking, serving

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class Wall:
    """A local clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def header(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def clock(wall: Wall) -> ExchangeClock:
    return ExchangeClock(wall)


def test_before_any_answer_it_is_the_local_clock(wall: Wall, clock: ExchangeClock) -> None:
    assert clock() == NOON
    wall.now += timedelta(microseconds=1)
    assert clock() == wall.now


@pytest.mark.parametrize("seconds", [-2, -1, 0, 1])
def test_a_header_that_agrees_within_two_seconds_shifts_nothing(clock: ExchangeClock, seconds: int) -> None:
    clock.heard(header(NOON + timedelta(seconds=seconds)))
    assert clock() == NOON


@pytest.mark.parametrize("seconds", [-86_400, -3, 2, 3, 3600, 10**8])
def test_a_header_that_differs_is_followed(wall: Wall, clock: ExchangeClock, seconds: int) -> None:
    clock.heard(header(NOON + timedelta(seconds=seconds)))
    assert clock() == NOON + timedelta(seconds=seconds + 0.5)
    wall.now += timedelta(seconds=7)
    assert clock() == NOON + timedelta(seconds=seconds + 7.5)


def test_the_edge_is_two_seconds_from_the_middle_of_the_header_s_second(wall: Wall, clock: ExchangeClock) -> None:
    said = header(NOON)
    for edge in (NOON + timedelta(seconds=2.5), NOON - timedelta(seconds=1.5)):
        wall.now = edge
        clock.heard(said)
        assert clock() == edge
    for beyond in (NOON + timedelta(seconds=2.500001), NOON - timedelta(seconds=1.500001)):
        wall.now = beyond
        clock.heard(said)
        assert clock() == NOON + timedelta(seconds=0.5)


def test_a_jump_of_the_local_clock_is_undone_by_the_next_answer_and_its_return_too(
    wall: Wall, clock: ExchangeClock
) -> None:
    wall.now -= timedelta(days=3)
    clock.heard(header(NOON))
    assert clock() == NOON + timedelta(seconds=0.5)
    wall.now = NOON + timedelta(seconds=10)
    clock.heard(header(NOON + timedelta(seconds=10)))
    assert clock() == wall.now


def test_an_exchange_a_thousand_times_faster_is_followed(wall: Wall, clock: ExchangeClock) -> None:
    for second in range(1, 60):
        wall.now = NOON + timedelta(seconds=second)
        there = NOON + timedelta(seconds=1000 * second)
        clock.heard(header(there))
        assert abs(clock() - there) <= timedelta(seconds=0.5)


UNREADABLE = [
    None,
    "",
    "yesterday",
    "Sun, 22 Nov 2026",
    "2026-11-22T12:00:00Z",
    "Sun, 22 Nov 2026 12:00:00",
    "Sun, 22 Nov 2026 12:00:00 -0000",
    "Sun, 99 Nov 2026 12:00:00 GMT",
    "Sun, 22 Nov 2026 12:00:00 +9999999999",
]


@pytest.mark.parametrize("said", UNREADABLE)
def test_a_header_that_is_missing_or_unreadable_changes_nothing(clock: ExchangeClock, said: str | None) -> None:
    clock.heard(said)
    assert clock() == NOON
    clock.heard(header(NOON + timedelta(hours=1)))
    clock.heard(said)
    assert clock() == NOON + timedelta(hours=1, seconds=0.5)


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{1,9} [-+A-Z0-9]{0,6}\Z"))
def test_no_header_is_an_error(said: str) -> None:
    ExchangeClock(Wall()).heard(said)


def test_the_time_is_aware_and_in_utc_from_the_first_moment() -> None:
    clock = ExchangeClock()
    assert clock().tzinfo is UTC
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=5)
    clock.heard("Sun, 22 Nov 2020 14:00:00 +0200")
    assert clock().tzinfo is UTC
    assert abs(clock() - datetime(2020, 11, 22, 12, tzinfo=UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("status", "more", "heard"), [(200, {}, True), (404, {}, False), (503, {}, False), (200, {"Age": "70"}, False)]
)
def test_the_client_hears_the_time_with_every_good_answer(status: int, more: dict[str, str], heard: bool) -> None:
    """A gateway's error page and a cache's answer have times of their own."""
    there = datetime(2031, 5, 1, tzinfo=UTC)
    script = Script(thing=[Reply(status, headers={"Date": header(there)} | more)] * 9)

    async def scenario() -> datetime:
        async with serving(script.answer) as url, asking(url) as client:
            with nullcontext() if status == 200 else pytest.raises(IngestError):
                await client.get("/thing", {}, lambda answer: answer)
            return client.clock()

    assert (abs(virtual_clock.run(scenario(), grace=GRACE) - there) < timedelta(seconds=5)) is heard
