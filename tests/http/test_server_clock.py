"""The time at a server: bounded by its answers, whatever the local clock says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.http.server_clock import AGREEING, ServerClock

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class World:
    """A server's time, a local wall clock that is `wrong` by so many seconds, and a steady clock of another pace."""

    def __init__(self, wrong: float = 0.0, pace: float = 1.0, began: float = 0.3) -> None:
        self.real = began
        self.wrong = wrong
        self.pace = pace
        self.clock = ServerClock(self.wall, self.steady)

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.real * self.pace + self.wrong)

    def steady(self) -> float:
        return 5000.0 + self.real * self.pace

    @property
    def there(self) -> datetime:
        return NOON + timedelta(seconds=self.real)

    def ask(self, lie: float = 0.0, takes: float = 0.05, old: float = 0.0, may_be_old: float = 0.0) -> float:
        """An answer whose header is `lie` seconds off, and was made `old` seconds ago; what `heard` gives."""
        sent_at = self.steady()
        self.real += takes
        said = (self.there + timedelta(seconds=lie - old)).replace(microsecond=0)
        return self.clock.heard(format_datetime(said, usegmt=True), sent_at, may_be_old)

    def error(self) -> float:
        """By how many seconds the clock is ahead of the server."""
        return (self.clock() - self.there).total_seconds()

    def asks(self, times: int, every: float = 1.0) -> Iterator[None]:
        for _ in range(times):
            self.real += every
            self.ask()
            yield


def test_before_any_answer_it_is_the_local_clock() -> None:
    world = World(wrong=40.0)
    assert world.clock() == world.clock.earliest() == world.wall()
    assert not world.clock.known
    assert not world.clock.agreed


@pytest.mark.parametrize("began", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_local_clock_that_no_answer_contradicts_is_used_as_it_is(began: float) -> None:
    world = World(began=began)
    for _ in world.asks(30, every=0.97):
        assert world.clock() == world.wall()
        assert world.clock.earliest() <= world.there


@given(
    wrong=st.floats(-10, 10),
    pace=st.floats(0.9995, 1.0005),
    every=st.floats(0.05, 3),
    began=st.floats(0, 1),
    takes=st.floats(0.001, 0.6),
)
def test_whatever_the_local_clock_says_the_time_is_never_ahead(
    wrong: float, pace: float, every: float, began: float, takes: float
) -> None:
    """The bug: a local clock 2.3 s fast was believed and not believed in turn."""
    world = World(wrong, pace, began)
    world.ask(takes=takes)
    for _ in range(25):
        assert world.clock.earliest() <= world.there
        assert abs(world.error()) < 1.3 + takes
        world.real += every
        world.ask(takes=takes)


def test_the_estimate_does_not_flap() -> None:
    world = World(wrong=2.3)
    errors = []
    for _ in world.asks(200, every=0.37):
        errors.append(world.error())
    assert max(errors[20:]) - min(errors[20:]) < 0.2
    assert max(map(abs, errors[20:])) < 0.3


def test_answers_narrow_it() -> None:
    world = World(wrong=-500.0)
    for _ in world.asks(50, every=0.93):
        pass
    assert -0.6 < (world.clock.earliest() - world.there).total_seconds() < 0
    assert abs(world.error()) < 0.3


@pytest.mark.parametrize("lie", [-86_400 * 3, -30, -3, 3, 30, 86_400 * 3, 10**8])
def test_one_answer_of_another_time_moves_nothing(lie: float) -> None:
    world = World(wrong=1.0)
    for _ in world.asks(5):
        pass
    for _ in range(10):
        world.ask(lie=lie)
        assert abs(world.error()) < 1.1
        world.ask()
        world.ask(lie=lie)
        world.ask(lie=-lie)
        world.ask(lie=lie)
        assert abs(world.error()) < 1.1
        world.ask()


@pytest.mark.parametrize("jump", [-86_400.0, -7.0, 7.0, 86_400.0 * 300])
def test_a_server_whose_time_is_another_one_now_is_followed_once_several_answers_say_so(jump: float) -> None:
    world = World()
    for _ in world.asks(5):
        pass
    for answers in range(AGREEING):
        assert abs(world.error()) < 1.0, f"{answers} answers say so"
        world.ask(lie=jump)
    assert abs(world.error() - jump) < 1.0


def test_what_is_not_believed_yet_counts_as_possible() -> None:
    """A row that such an answer holds is not refused for lying in the future."""
    world = World()
    assert world.clock.latest() == world.wall()
    for _ in world.asks(5):
        assert world.there <= world.clock.latest() < world.there + timedelta(seconds=2)
    world.ask(lie=86_400.0)
    assert world.clock.latest() > world.there + timedelta(days=1)
    world.ask()
    assert world.clock.latest() < world.there + timedelta(seconds=2)


def test_a_wrong_local_clock_and_a_first_answer_that_lies_are_both_put_right() -> None:
    world = World(wrong=86_400.0)
    world.ask(lie=-3 * 86_400.0)
    agreed = [world.clock.agreed]
    for _ in range(AGREEING):
        world.ask()
        agreed.append(world.clock.agreed)
    assert not agreed[0], "an answer alone proves little"
    assert agreed[-1]
    assert abs(world.error()) < 1.0


def test_a_first_answer_that_the_local_clock_confirms_is_agreed_at_once() -> None:
    world = World(wrong=1.5)
    world.ask()
    assert world.clock.agreed


def test_a_local_clock_that_is_set_plays_no_part_once_the_server_was_heard() -> None:
    world = World()
    for _ in world.asks(5):
        pass
    for world.wrong in (86_400.0 * 40, -86_400.0 * 3, 9.0):
        assert abs(world.error()) < 1.0


def test_a_server_a_thousand_times_faster_is_followed() -> None:
    """A simulated one."""
    world = World()
    for second in range(1, 60):
        world.real += 1
        lie = 999.0 * second
        world.ask(lie=lie)
        if second >= AGREEING:
            assert abs(world.error() - lie) < 2.0


def test_a_server_that_stands_still_is_followed() -> None:
    world = World()
    for step in range(100):
        world.real += 0.5
        world.ask(lie=-0.55 * (step + 1))
        assert abs(world.error() + 0.55 * (step + 1)) < 5.0


def test_a_copy_that_may_be_old_never_takes_the_clock_back() -> None:
    world = World()
    random = Random(1)
    for _ in range(200):
        world.real += 1
        world.ask(old=random.uniform(0, 15), may_be_old=15.0)
        assert world.clock.earliest() <= world.there
        assert abs(world.error()) < 1.0


def test_an_old_header_of_which_nothing_told_shows_how_old_the_answer_may_be() -> None:
    world = World()
    for _ in world.asks(20):
        pass
    assert world.ask() == 0.0
    assert 14.0 <= world.ask(old=14.0) < 16.5
    assert world.ask(lie=400.0) == 0.0, "what lies in the future is no older for it"
    assert abs(world.error()) < 1.0


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
    "Fri, 31 Dec 9999 23:59:59 GMT",
]


@pytest.mark.parametrize("said", UNREADABLE)
def test_a_header_that_is_missing_or_cannot_be_read_changes_nothing(said: str | None) -> None:
    world = World(wrong=50.0)
    world.clock.heard(said, world.steady())
    assert world.clock() == world.wall()
    world.ask()
    before = world.clock()
    world.clock.heard(said, world.steady())
    assert world.clock() == before


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{1,9} [-+A-Z0-9]{0,6}\Z"))
def test_no_header_is_an_error(said: str) -> None:
    World().clock.heard(said, 0.0)


def test_the_time_is_aware_and_in_utc_from_the_first_moment() -> None:
    world = World()
    assert world.clock().tzinfo is UTC
    world.clock.heard("Sun, 22 Nov 2020 14:00:00 +0200", world.steady())
    assert world.clock().tzinfo is UTC
    assert abs(world.clock() - datetime(2020, 11, 22, 12, tzinfo=UTC)) < timedelta(seconds=5)
