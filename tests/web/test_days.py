"""The status page's calendar and `coverage` give one answer for each event date, by the same rules."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import Listed
from kalshi_ingest.coverage.rules.findings import DayState, Level, Report
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.coverage.wording import FUTURE, MARKS, OUTSIDE
from kalshi_ingest.domain.checkpoint import State
from kalshi_ingest.web.days import mark_of
from kalshi_ingest.web.judged import Days, JudgedDay, judged_days
from tests.coverage import test_judge
from tests.coverage.holdings import CHICAGO, DAY, LOSER, NOW, START, TODAY, Held, clean

ONE = timedelta(days=1)
WINDOW = (START - 10 * ONE, TODAY + 14 * ONE)
SERIES = sorted(clean().series)

COUNTED = {
    *("trades_lost", "trades_differ", "candles", "outside_hours", "impossible_trades"),
    *("market_lost", "never_fetched", "stray"),
}
"""What can only be seen, or is seen differently, by counting the rows of trades and candles."""

CASES: list[Callable[[Held], object]] = [
    row[0] for row in vars(test_judge.test_one_thing_broken_is_found_alone)["pytestmark"][0].args[1]
]


def page_of(held: Held) -> Days:
    return judged_days(replace(held.evidence(), rows={}, weather={}), SERIES, WINDOW, NOW)


def coverage_of(held: Held) -> Report:
    return judge(held.evidence(), Scope(NOW))


def states(report: Report) -> dict[tuple[str, date], DayState]:
    return {
        (each.subject.series_ticker, day): state
        for each in report.series
        if each.subject.series_ticker in SERIES
        for day, state in each.days.items()
    }


def assert_one_answer(held: Held) -> None:
    """Equal for each date, but where only the counting of rows tells the difference."""
    report = coverage_of(held)
    counted = {
        (each.series_ticker, each.day) for each in report.findings if each.kind in COUNTED and each.day is not None
    }
    ours, theirs = {at: each.state for at, each in page_of(held).items()}, states(report)
    assert ours.keys() == theirs.keys()
    assert {at for at in ours if ours[at] is not theirs[at]} <= counted


@pytest.mark.parametrize("broken", CASES)
def test_one_thing_broken(broken: Callable[[Held], object]) -> None:
    held = clean()
    broken(held)
    assert_one_answer(held)


@given(st.lists(st.tuples(st.sampled_from(range(len(CASES))), st.integers(0, 20), st.integers(0, 20)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_many_things_broken_before_and_around_today(chosen: list[tuple[int, int, int]]) -> None:
    held = clean(start=TODAY - 2 * ONE, days=2)
    for n in range(3):
        held.add_day(CHICAGO, START + n * ONE)
    for case, lost, unlisted in chosen:
        try:
            CASES[case](held)
        except (KeyError, IndexError):  # what it breaks is broken already
            continue
        held.lose_day(CHICAGO, START + lost * ONE)
        held.listed.pop((CHICAGO, START + unlisted * ONE), None)
    assert_one_answer(held)


def only(held: Held, day: date = DAY) -> JudgedDay:
    return page_of(held)[CHICAGO, day]


def broken(**changes: Any) -> Held:
    held = clean()
    held.claim(LOSER, **changes)
    return held


def test_a_date_on_which_the_exchange_lists_no_event_is_no_hole() -> None:
    held = clean()
    held.lose_day(CHICAGO, DAY)
    held.listed[CHICAGO, DAY] = Listed(0, 0)
    assert coverage_of(held).complete
    assert only(held) == JudgedDay(DayState.NONE, "")


def test_a_date_held_without_a_list_is_a_warning() -> None:
    held = clean()
    del held.listed[CHICAGO, DAY]
    assert [each.level for each in coverage_of(held).findings] == [Level.WARNING]
    assert only(held).state is DayState.WARNING
    assert "no run has read it" in only(held).why


def test_why_is_told_in_the_words_of_coverage() -> None:
    assert only(clean()) == JudgedDay(DayState.COMPLETE, "6 markets, every one exact")
    held = broken(state=State.FAILED, verdict=None, error="count is -1")
    assert only(held) == JudgedDay(DayState.HOLE, f"{LOSER}: its fetch failed: count is -1")
    held.forget(held.events.popitem()[0])
    held.forget(f"{LOSER[:-5]}B57.5")
    assert only(held).why == (
        "1 of 6 markets listed not held (no market covers 57 to 58, between KXHIGHCHI-25NOV02-B55.5 and "
        "KXHIGHCHI-25NOV02-B59.5); and 1 more"
    )
    assert len(only(broken(state=State.FAILED, verdict=None, error="x" * 500)).why) < 250
    young = test_judge.fresh(TODAY)
    assert only(young, TODAY) == JudgedDay(DayState.OPEN, "0 of 6 markets proved complete")


def test_a_date_that_coverage_does_not_judge() -> None:
    assert mark_of(None, TODAY + ONE, TODAY) == (FUTURE, "")
    assert mark_of(None, TODAY, TODAY) == (OUTSIDE, "")
    assert mark_of(None, START - ONE, TODAY) == (OUTSIDE, "")
    assert set(DayState) == MARKS.keys()


def test_nothing_is_judged_of_a_range_that_ended_before_the_window() -> None:
    held = clean(start=date(2025, 1, 6))
    assert page_of(held) == {}
