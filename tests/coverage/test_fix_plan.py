"""What `coverage --fix` says it is about to do: the work, what is deleted before it, and what it costs."""

from dataclasses import replace
from datetime import timedelta

from kalshi_ingest.coverage.fix_plan import FixPlan, fix_plan
from kalshi_ingest.coverage.rules.evidence import Listed
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.domain.checkpoint import State
from tests.coverage.holdings import CHICAGO, DAY, LOSER, SCOPE, START, Held, clean

ONE = timedelta(days=1)


def planned(held: Held) -> FixPlan:
    return fix_plan(judge(held.evidence(), SCOPE))


def test_nothing_to_mend_is_nothing_to_do() -> None:
    assert planned(clean()) == FixPlan([], [], 0)


def test_markets_are_counted_once_whatever_names_them() -> None:
    held = clean(days=10)
    held.lose_day(CHICAGO, START + ONE)
    held.lose_day("KXHIGHMIA", START + ONE)
    held.listed["KXHIGHMIA", START + ONE] = Listed(1, 5)
    for ticker in sorted(held.markets)[20:23]:
        held.claim(ticker, state=State.FAILED, verdict=None, error="why")
        held.market(ticker, status="closed")
    plan = planned(held)
    assert sum(fetch.markets for fetch in plan.fetches) == 6 + 5 + 3
    assert plan.forgotten == []


def test_the_plan_in_words_and_for_a_log() -> None:
    held = clean()
    held.lose_day("KXHIGHMIA", DAY)
    held.row(LOSER, trades=9, contracts=4900)
    plan = planned(held)
    assert plan.text(5).splitlines() == [
        "What coverage --fix would do:",
        "  delete the checkpoint and the candles of 1 market whose rows contradict them, to rebuild them; "
        "trades stay unless the exchange contradicts them:",
        f"    {LOSER}",
        "  backfill event dates 2025-11-02 to 2025-11-02 of chicago, miami: 7 markets",
        "At least 16 requests, 3.2 s at 5 requests a second.",
    ]
    assert plan.fields(5) == {
        "backfills": ["2025-11-02 to 2025-11-02: chicago, miami"],
        "deletes_checkpoints_and_candles_of": [LOSER],
        "deletes_of_markets": 1,
        "requests": 16,
        "seconds": 3,
    }


def test_long_lists_take_more_requests() -> None:
    short, long = clean(("chicago",), days=10), clean(("chicago",), days=500)
    for held in (short, long):
        held.lose_day(CHICAGO, START + ONE)
    scope = replace(SCOPE, series=(CHICAGO,))
    few, many = (fix_plan(judge(held.evidence(), scope)).requests for held in (short, long))
    assert few == 1 + 4 + 6
    assert many == few + 6 + 2, "500 days: six more pages of markets, two more of events"


def test_many_markets_are_not_all_named() -> None:
    held = clean(days=5)
    for ticker in sorted(held.rows)[:25]:
        held.row(ticker, trades=9)
    assert "    and 5 more" in planned(held).text(5).splitlines()
    held = clean(days=5)
    for ticker in sorted(held.rows)[:120]:
        held.row(ticker, trades=9)
    fields = planned(held).fields(5)
    assert fields["deletes_checkpoints_and_candles_of"] == sorted(held.rows)[:100]
    assert fields["deletes_of_markets"] == 120
