"""The pace, on a virtual clock: never above the limit, never below it, fair, and humble after a 429."""

import asyncio
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from random import Random

import pytest

from kalshi_ingest.http.client import Pacer
from tests.support import virtual_clock

RATES = (5.0, 20.0, 100.0, 400.0)
MINUTE = 60.0


async def drain(pacer: Pacer, seconds: float, workers: int = 8, cost: float = 1.0) -> list[float]:
    """The times of the turns that always-ready workers get until `seconds`, as they got them."""
    loop = asyncio.get_running_loop()
    turns: list[float] = []

    async def work() -> None:
        while loop.time() < seconds:
            turns.append(await pacer.turn(cost))

    await asyncio.gather(*(work() for _ in range(workers)))
    return [at for at in turns if at < seconds]


def late_at_random() -> Callable[[], float]:
    """Wake-ups up to 20 ms late, most of them by much less."""
    random = Random(7)
    return lambda: 0.02 * random.random() ** 2


def always_late() -> Callable[[], float]:
    return lambda: 0.02


def on_time() -> Callable[[], float]:
    return lambda: 0.0


@cache
def minute(rate: float, lateness: Callable[[], Callable[[], float]]) -> list[float]:
    """A minute of always-ready workers."""
    return virtual_clock.run(drain(Pacer(rate), MINUTE), late=lateness())


LATENESS = pytest.mark.parametrize("lateness", [on_time, late_at_random, always_late])


def in_window(turns: list[float], start: float, end: float) -> int:
    return sum(start <= at < end for at in turns)


@pytest.mark.parametrize("rate", RATES)
@LATENESS
def test_the_worst_second_and_the_whole_minute(rate: float, lateness: Callable[[], Callable[[], float]]) -> None:
    turns = minute(rate, lateness)
    assert turns == sorted(turns)

    first = 0
    worst = 0
    for last, at in enumerate(turns):
        while at - turns[first] > 1:
            first += 1
        worst = max(worst, last - first + 1)
    assert worst <= rate + max(1, rate / 10) + 1, "more than the limit and a tenth of a second's burst"
    assert len(turns) >= 0.995 * rate * MINUTE, f"only {len(turns) / rate / MINUTE:.2%} of the budget used"


@pytest.mark.parametrize("rate", RATES)
@LATENESS
def test_a_bucket_of_one_second_never_runs_dry(rate: float, lateness: Callable[[], Callable[[], float]]) -> None:
    turns = minute(rate, lateness)
    level, seen = rate, 0.0
    for at in turns:
        level = min(rate, level + (at - seen) * rate) - 1
        seen = at
        assert level >= -1e-6, f"the exchange would answer 429 at {at:.3f} s"


@pytest.mark.parametrize("workers", [1, 50])
def test_how_many_ask_makes_no_difference(workers: int) -> None:
    turns = virtual_clock.run(drain(Pacer(20), MINUTE, workers))
    assert 0.995 * 20 * MINUTE <= len(turns) <= 20 * MINUTE + 3


@pytest.mark.parametrize(("rate", "cost"), [(20.0, 3.0), (5.0, 4.0), (100.0, 25.0), (20.0, 0.5)])
def test_a_dear_request_takes_as_much_of_the_budget_as_it_costs(rate: float, cost: float) -> None:
    turns = virtual_clock.run(drain(Pacer(rate), MINUTE, cost=cost))
    expected = rate * MINUTE / cost
    assert 0.99 * expected <= len(turns) <= expected + 0.1 * rate / cost + 2


def test_a_dear_request_is_not_overtaken_by_cheap_ones() -> None:
    async def scenario() -> list[str]:
        pacer, order = Pacer(10), list[str]()

        async def ask(name: str, cost: float) -> None:
            await pacer.turn(cost)
            order.append(name)

        await asyncio.gather(ask("first", 1), ask("dear", 30), *(ask(f"cheap {index}", 1) for index in range(5)))
        return order

    assert virtual_clock.run(scenario()) == ["first", "dear", *(f"cheap {index}" for index in range(5))]


def test_first_come_first_served() -> None:
    async def scenario() -> list[int]:
        pacer, order = Pacer(20), list[int]()

        async def ask(number: int) -> None:
            await asyncio.sleep(number / 1000)
            await pacer.turn()
            order.append(number)

        await asyncio.gather(*(ask(number) for number in reversed(range(200))))
        return order

    assert virtual_clock.run(scenario()) == list(range(200))


async def halved_at_5(rate: float, seconds: float, then: Callable[[Pacer], None]) -> list[float]:
    """Turns of always-ready workers; at 5 s a request that was sent at 4.9 s is answered 429, and `then` goes on."""
    pacer, loop = Pacer(rate), asyncio.get_running_loop()
    loop.call_at(5, lambda: pacer.slow_down(4.9))
    then(pacer)
    return await drain(pacer, seconds)


def test_after_a_429_everybody_pauses_goes_on_at_half_the_pace_and_climbs_back() -> None:
    turns = virtual_clock.run(halved_at_5(20, 40, lambda _: None))
    assert in_window(turns, 4, 5) == 20
    assert in_window(turns, 5.001, 6) == 0, "all workers pause, the one at the head of the queue too"
    assert 9 <= in_window(turns, 6, 7) <= 11, "half the pace, and no burst at its start"
    seconds = [in_window(turns, second, second + 1) for second in range(7, 30)]
    assert all(later >= earlier - 1 for earlier, later in pairwise(seconds)), seconds
    assert 14 <= in_window(turns, 11, 12) <= 16, "a twentieth of the full pace a second"
    assert in_window(turns, 20, 40) >= 395, "back at full pace"


def test_older_429s_do_not_halve_the_pace_again() -> None:
    def in_flight(pacer: Pacer) -> None:
        loop = asyncio.get_running_loop()
        for answered, sent in ((5.0, 4.7), (5.3, 4.95), (5.9, 4.99), (6.4, 5.0), (7.5, 4.9)):
            loop.call_at(answered, pacer.slow_down, sent)

    turns = virtual_clock.run(halved_at_5(20, 10, in_flight))
    assert turns == virtual_clock.run(halved_at_5(20, 10, lambda _: None))


def test_a_429_to_a_request_of_the_halved_pace_halves_it_again() -> None:
    def refused_again(pacer: Pacer) -> None:
        asyncio.get_running_loop().call_at(6.8, pacer.slow_down, 6.5)

    turns = virtual_clock.run(halved_at_5(20, 12, refused_again))
    assert in_window(turns, 6.801, 7.8) == 0
    assert 4 <= in_window(turns, 7.8, 8.8) <= 6


def test_a_slow_answer_429_counts_though_the_pace_climbed_meanwhile() -> None:
    def slow_answers(pacer: Pacer) -> None:
        # Each request takes 1.5 s to be refused: longer than a step of the climb.
        asyncio.get_running_loop().call_at(8.6, pacer.slow_down, 7.1)

    turns = virtual_clock.run(halved_at_5(20, 12, slow_answers))
    assert in_window(turns, 8.601, 9.6) == 0, "the pace was never that low before: this 429 tells something new"
    assert in_window(turns, 9.6, 10.6) <= 7


def test_the_pace_never_falls_below_a_sixteenth() -> None:
    async def scenario() -> float:
        pacer = Pacer(16)
        for _ in range(20):
            pacer.slow_down(await pacer.turn())
        return pacer.pace

    assert virtual_clock.run(scenario()) == pytest.approx(1, rel=0.06)


def test_retry_after_is_honoured() -> None:
    async def scenario() -> list[float]:
        pacer, loop = Pacer(20), asyncio.get_running_loop()
        loop.call_at(5, lambda: pacer.slow_down(4.9, retry_after=7))
        loop.call_at(6, lambda: pacer.slow_down(4.95, retry_after=3))  # the shorter advice of an older request
        return await drain(pacer, 20)

    turns = virtual_clock.run(scenario())
    assert in_window(turns, 0, 5.001) >= 100
    assert in_window(turns, 5.001, 12) == 0
    assert in_window(turns, 12, 13) in (9, 10, 11)


def test_retry_after_of_an_older_request_still_closes_the_gate() -> None:
    async def scenario() -> list[float]:
        pacer, loop = Pacer(20), asyncio.get_running_loop()
        loop.call_at(5, lambda: pacer.slow_down(4.9))
        loop.call_at(5.5, lambda: pacer.slow_down(4.95, retry_after=5))
        return await drain(pacer, 20)

    turns = virtual_clock.run(scenario())
    assert in_window(turns, 5.001, 10.5) == 0
    assert in_window(turns, 10.5, 11.6) in (9, 10, 11, 12), "it closes the gate and says nothing of the pace"


def test_who_waits_for_his_place_already_waits_for_the_gate_too() -> None:
    async def scenario() -> float:
        pacer, loop = Pacer(0.5), asyncio.get_running_loop()
        while await pacer.turn() < 3:
            pass
        sent = loop.time()
        loop.call_later(1, lambda: pacer.slow_down(sent, retry_after=30))
        return await pacer.turn() - sent

    assert virtual_clock.run(scenario()) >= 31


def test_the_pace_climbs_while_nobody_asks() -> None:
    async def scenario() -> float:
        pacer = Pacer(20)
        pacer.slow_down(await pacer.turn())
        await asyncio.sleep(7.5)
        await pacer.turn()
        return pacer.pace

    assert virtual_clock.run(scenario()) == pytest.approx(10 + 6)


def test_pace_at_present() -> None:
    async def scenario() -> tuple[float, float]:
        pacer = Pacer(20)
        before = pacer.pace
        pacer.slow_down(await pacer.turn())
        return before, pacer.pace

    assert virtual_clock.run(scenario()) == (20, 10)


def test_cancelling_loses_nothing_and_blocks_nobody() -> None:
    async def served(cancelled: frozenset[int], cancel_at: float) -> list[tuple[int, float]]:
        pacer, loop = Pacer(10), asyncio.get_running_loop()
        served: list[tuple[int, float]] = []
        for _ in range(2):
            await pacer.turn()

        async def ask(number: int) -> None:
            served.append((number, await pacer.turn()))

        tasks = [asyncio.create_task(ask(number)) for number in range(20)]
        for number in cancelled:
            loop.call_at(cancel_at, tasks[number].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        return served

    everybody = virtual_clock.run(served(frozenset(), 0.05))
    assert [number for number, _ in everybody] == list(range(20))
    leavers = frozenset({0, 1, 2, 7, 19})  # the head, who waits at the bucket, and others behind him
    rest = virtual_clock.run(served(leavers, 0.05))
    assert [number for number, _ in rest] == [number for number in range(20) if number not in leavers]
    for (_, one), (_, other) in zip(rest, everybody, strict=False):
        assert one == pytest.approx(other, abs=1e-3), "a place is neither lost nor given twice"


def test_cancelling_during_the_pause_loses_nothing() -> None:
    async def scenario() -> tuple[float, float]:
        pacer = Pacer(10)
        pacer.slow_down(await pacer.turn(), retry_after=10)
        leaver = asyncio.create_task(pacer.turn())
        stayer = asyncio.create_task(pacer.turn())
        await asyncio.sleep(5)
        leaver.cancel()
        return await stayer, pacer.pace

    at, _ = virtual_clock.run(scenario())
    assert 10 <= at < 10.3


@pytest.mark.parametrize("rate", [0.3, 1.0, 3.0, 5.0, 7.0])
@LATENESS
def test_without_a_burst_no_two_are_closer_than_the_rate_says(
    rate: float, lateness: Callable[[], Callable[[], float]]
) -> None:
    """As public weather services want it."""
    turns = virtual_clock.run(drain(Pacer(rate, burst_seconds=0), MINUTE), late=lateness())
    assert min(after - before for before, after in pairwise(turns)) > 0.999 / rate
    assert len(turns) >= int(MINUTE / (1 / rate + 0.02)), "a late wake-up is lost, and no more than that"


def test_a_pause_holds_for_everybody_and_leaves_the_pace() -> None:
    async def paused_at_5() -> list[float]:
        pacer = Pacer(5, burst_seconds=0)
        asyncio.get_running_loop().call_at(5.01, pacer.pause, 10.0)
        return await drain(pacer, 25)

    turns = virtual_clock.run(paused_at_5())
    assert in_window(turns, 5.011, 15.01) == 0
    assert 24 <= in_window(turns, 0, 5) <= 26
    assert 48 <= in_window(turns, 15.01, 25) <= 51
