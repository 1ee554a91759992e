"""What the calendar says of a date, from the numbers held of it."""

from datetime import date

import pytest

from kalshi_ingest.service.days import BEFORE, COMPLETE, FUTURE, HOLE, OPEN, WARNING, Mark, judge
from kalshi_ingest.store.page import HeldDay

TODAY = date(2025, 7, 20)
PAST, AHEAD = date(2025, 7, 18), date(2025, 7, 22)


def held(**numbers: int | None) -> HeldDay:
    """A date with six markets, all proved and exact, but for `numbers`."""
    usual: dict[str, int | None] = {"events": 1, "listed": 6, "held": 6, "exact": 6, "inexact": 0, "failed": 0}
    changed = usual | numbers
    return HeldDay(
        "KXHIGHCHI",
        PAST,
        changed["events"],
        changed["listed"],
        changed["held"] or 0,
        changed["exact"] or 0,
        changed["inexact"] or 0,
        changed["failed"] or 0,
    )


@pytest.mark.parametrize(
    ("found", "mark", "why"),
    [
        (held(), COMPLETE, "6 markets, every one exact"),
        (held(exact=5, inexact=1), WARNING, "1 of 6 markets not equal to the exchange's volume"),
        (held(exact=4), OPEN, "4 of 6 markets proved complete"),
        (held(exact=4, inexact=1), OPEN, "5 of 6 markets proved complete"),
        (held(exact=5, failed=1), HOLE, "1 market of 6 failed"),
        (held(held=5, exact=5), HOLE, "1 of 6 markets missing"),
        (held(held=0, exact=0), HOLE, "6 of 6 markets missing"),
        (held(events=0, listed=0, held=0, exact=0), HOLE, "the exchange lists no event"),
        (held(listed=None, events=None), COMPLETE, "6 markets, every one exact"),
    ],
)
def test_a_past_date(found: HeldDay, mark: Mark, why: str) -> None:
    assert judge(found, PAST, TODAY, date(2025, 7, 1)) == (mark, why)


def test_a_date_of_which_nothing_is_known() -> None:
    first = date(2025, 7, 10)
    assert judge(None, AHEAD, TODAY, first) == (FUTURE, "")
    assert judge(None, date(2025, 7, 9), TODAY, first) == (BEFORE, "")
    assert judge(None, PAST, TODAY, None) == (BEFORE, "")
    assert judge(None, PAST, TODAY, first) == (HOLE, "the exchange's list of it was never read")
    assert judge(None, TODAY, TODAY, first)[0] is HOLE


def test_a_date_ahead_with_nothing_listed_is_no_hole() -> None:
    empty = held(events=0, listed=0, held=0, exact=0)
    assert judge(empty, AHEAD, TODAY, PAST) == (FUTURE, "")
    assert judge(empty, TODAY, TODAY, PAST)[0] is HOLE
