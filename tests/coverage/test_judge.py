"""The judgement: a clean database has no hole, and each thing that is broken is found, named, and found alone."""

import time as timing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import NO_ROWS, Claim, Listed
from kalshi_ingest.coverage.rules.findings import DayState, Finding, Level, Remedy, Report
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.coverage.rules.remedies import work_left
from kalshi_ingest.domain.checkpoint import State, Verdict
from tests.coverage.holdings import CHICAGO, CITIES, DAY, EVENT, LOSER, NOW, SCOPE, START, TODAY, WINNER, Held, clean

ONE = timedelta(days=1)
NY = "KXHIGHNY"


def report(held: Held, scope: Scope = SCOPE) -> Report:
    return judge(held.evidence(), scope)


def found(held: Held, scope: Scope = SCOPE) -> list[tuple[Level, str, str, Remedy | None]]:
    return [(each.level, each.kind, each.place, each.remedy) for each in report(held, scope).findings]


def only(held: Held, scope: Scope = SCOPE) -> Finding:
    findings = report(held, scope).findings
    assert len(findings) == 1, findings
    return findings[0]


def state_of(judged: Report, series: str = CHICAGO) -> dict[date, DayState]:
    return dict(next(each.days for each in judged.series if each.subject.series_ticker == series))


def test_a_clean_database_has_nothing_to_say_about_it() -> None:
    judged = report(clean())
    assert judged.findings == []
    assert judged.complete
    assert work_left(judged) == []
    assert {state for each in judged.series for state in each.days.values()} == {DayState.COMPLETE}


def test_the_figures_are_counts_of_what_should_be_and_what_is() -> None:
    held = clean()
    held.markets.pop(LOSER)
    held.listed[CHICAGO, date(2025, 11, 3)] = Listed(2, 12)
    total = report(held).total
    assert (total.events_expected, total.events_held) == (19, 18)
    assert (total.markets_expected, total.markets_held, total.markets_settled) == (114, 107, 107)
    assert (total.days_expected, total.days_complete) == (18, 16)
    assert (total.events_settled, total.events_one_yes) == (16, 16)
    assert (total.exact, total.trades, total.contracts) == (108, 1080, 540_000)
    assert (total.candles_1m, total.candles_5m, total.markets_with_candles) == (864, 648, 107)
    assert total.trading_minutes == 107 * 38 * 60


# --- one thing broken in a clean database gives that hole and nothing else ---


def lost_day(held: Held) -> None:
    held.lose_day(CHICAGO, DAY)


def lost_rows_of_a_day(held: Held) -> None:
    listed = held.listed[CHICAGO, DAY]
    held.lose_day(CHICAGO, DAY)
    held.listed[CHICAGO, DAY] = listed


def lost_market(held: Held) -> None:
    held.forget(LOSER)


def lost_winner(held: Held) -> None:
    held.forget(WINNER)


def lost_trades_without_row(held: Held) -> None:
    held.markets.pop(LOSER)
    held.claims.pop(LOSER)


def market(**changes: object) -> Callable[[Held], None]:
    return lambda held: held.market(LOSER, **changes)


def claim(**changes: object) -> Callable[[Held], None]:
    return lambda held: held.claim(LOSER, **changes)


def rows(**changes: object) -> Callable[[Held], None]:
    return lambda held: held.row(LOSER, **changes)


def walked_short(held: Held) -> None:
    held.claim(LOSER, verdict=Verdict.SHORT, exchange_volume=5200)
    held.market(LOSER, volume=5200)


def walked_over(held: Held) -> None:
    held.claim(LOSER, verdict=Verdict.OVER, exchange_volume=4800)
    held.market(LOSER, volume=4800)


def from_an_old_archive(held: Held) -> None:
    held.claim(LOSER, verdict=Verdict.UNKNOWN, exchange_volume=None, pages=0)


def empty_from_an_old_archive(held: Held) -> None:
    held.claim(LOSER, verdict=Verdict.UNKNOWN, exchange_volume=None, pages=0, trades=0, contracts=0)
    held.rows.pop(LOSER)


def second_event(held: Held) -> None:
    held.add_day(CHICAGO, DAY, named="KXHIGHCHI-2")


def five_bins(held: Held) -> None:
    held.forget(f"{EVENT}-B57.5")
    held.market(f"{EVENT}-B59.5", floor_strike=Decimal(57))
    held.listed[CHICAGO, DAY] = Listed(1, 5)


def first_trade_early(held: Held) -> None:
    held.row(LOSER, first_trade=held.markets[LOSER].open_time - timedelta(seconds=1))


def last_trade_late(held: Held) -> None:
    held.row(LOSER, last_trade=held.markets[LOSER].close_time + timedelta(seconds=1))


H, W, N = Level.HOLE, Level.WARNING, Level.NOTE
FETCH, REFETCH = Remedy.FETCH, Remedy.REFETCH


@pytest.mark.parametrize(
    ("broken", "level", "kind", "place", "remedy"),
    [
        (lost_day, H, "never_asked", "2025-11-02", FETCH),
        (lost_rows_of_a_day, H, "day_missing", "2025-11-02", FETCH),
        (lambda held: held.events.pop(EVENT), H, "event_lost", EVENT, FETCH),
        (lost_market, H, "markets_missing", "2025-11-02", FETCH),
        (lost_winner, H, "markets_missing", "2025-11-02", FETCH),
        (lambda held: held.markets.pop(LOSER), H, "market_lost", LOSER, FETCH),
        (lost_trades_without_row, H, "market_lost", LOSER, REFETCH),
        (lambda held: held.listed.update({(CHICAGO, DAY): Listed(2, 6)}), H, "events_missing", "2025-11-02", FETCH),
        (market(status="closed"), H, "unsettled", LOSER, FETCH),
        (market(result="yes"), H, "yes", EVENT, FETCH),
        (lambda held: held.market(WINNER, result="no"), H, "yes", EVENT, FETCH),
        (lambda held: held.market(WINNER, result=None), H, "no_result", EVENT, FETCH),
        (market(result=None), H, "no_result", EVENT, FETCH),
        (market(floor_strike=Decimal(54)), H, "bins", EVENT, FETCH),
        (market(floor_strike=Decimal(52)), H, "bins", EVENT, FETCH),
        (market(strike_type=None), H, "bins", EVENT, FETCH),
        (claim(state=State.WALKING, verdict=None), H, "walking", LOSER, FETCH),
        (claim(state=State.FAILED, verdict=None, error="count is -1"), H, "failed", LOSER, FETCH),
        (claim(state=State.OPEN, verdict=None), H, "open", LOSER, FETCH),
        (lambda held: held.claims.pop(LOSER), H, "never_fetched", LOSER, REFETCH),
        (from_an_old_archive, H, "unproved", LOSER, FETCH),
        (empty_from_an_old_archive, H, "unproved", LOSER, FETCH),
        (claim(verdict=Verdict.SHORT), H, "verdict", LOSER, REFETCH),
        (rows(trades=9, contracts=4900), H, "trades_lost", LOSER, REFETCH),
        (rows(trades=11), H, "trades_differ", LOSER, REFETCH),
        (rows(contracts=4900), H, "trades_differ", LOSER, REFETCH),
        (lambda held: held.rows.pop(LOSER), H, "trades_lost", LOSER, REFETCH),
        (rows(missing_candles=1, contracts_1m=4900), H, "candles", LOSER, REFETCH),
        (rows(surplus_candles=1, contracts_5m=5100), H, "candles", LOSER, REFETCH),
        (rows(wrong_candles=1, first_fault="5m 2025-11-02 14:05: close"), H, "candles", LOSER, REFETCH),
        (rows(contracts_1m=4999), H, "candles", LOSER, REFETCH),
        (rows(contracts_5m=5001), H, "candles", LOSER, REFETCH),
        (lambda held: held.listed.pop((CHICAGO, DAY)), W, "unlisted", "2025-11-02", FETCH),
        (lambda held: held.listed.update({(CHICAGO, DAY): Listed(1, 5)}), W, "more_than_listed", "2025-11-02", None),
        (lambda held: held.listed.update({(CHICAGO, DAY): Listed(0, 0)}), W, "more_than_listed", "2025-11-02", None),
        (walked_short, W, "short", LOSER, None),
        (walked_over, W, "over", LOSER, None),
        (claim(verdict=Verdict.UNKNOWN, exchange_volume=None), W, "unknown", LOSER, None),
        (first_trade_early, W, "outside_hours", LOSER, None),
        (last_trade_late, W, "outside_hours", LOSER, None),
        (five_bins, N, "bin_count", EVENT, None),
        (second_event, N, "second_event", "2025-11-02", None),
        (lambda held: held.market(WINNER, result="scalar"), N, "scalar", EVENT, None),
        (market(strike_source="subtitle"), N, "strikes_subtitle", EVENT, None),
        (market(strike_source="neighbours"), N, "strikes_neighbours", EVENT, None),
        (market(volume=5100), N, "volume_moved", LOSER, None),
    ],
)
def test_one_thing_broken_is_found_alone(
    broken: Callable[[Held], object], level: Level, kind: str, place: str, remedy: Remedy | None
) -> None:
    held = clean()
    broken(held)
    assert found(held) == [(level, kind, place, remedy)]
    judged = report(held)
    assert judged.complete == (level is not H)
    assert (judged.total.holes, judged.total.warnings) == (level is H, level is W)
    shown = {H: DayState.HOLE, W: DayState.WARNING, N: DayState.COMPLETE}[level]
    assert state_of(judged)[DAY] is shown
    assert sum(state is not DayState.COMPLETE for each in judged.series for state in each.days.values()) == (
        level is not N
    )
    assert judged.refetch_tickers == ([place] if remedy is REFETCH else [])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (rows(trades=9, contracts=4900), ("9 trades of 49.00", "claims 10 of 50.00")),
        (market(result="yes"), (LOSER, WINNER, "2 markets")),
        (market(floor_strike=Decimal(54)), ("53", f"{EVENT}-T53")),
        (market(floor_strike=Decimal(52)), ("52", f"{EVENT}-T53", LOSER)),
        (market(strike_type=None), (LOSER, "not known")),
        (lost_market, ("1 of 6 markets", "53 to 54")),
        (rows(wrong_candles=1, first_fault="5m 2025-11-02 14:05: close"), ("1 wrong", "5m 2025-11-02 14:05: close")),
        (claim(state=State.FAILED, verdict=None, error="count is -1"), ("count is -1",)),
        (walked_short, ("50.00", "52.00")),
        (market(status="closed"), ("closed", "18 days")),
    ],
)
def test_a_finding_says_what_is_wrong_in_numbers(broken: Callable[[Held], object], words: tuple[str, ...]) -> None:
    held = clean()
    broken(held)
    text = only(held).text
    assert all(word in text for word in words), text


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_whichever_market_is_lost_it_is_missed(data: st.DataObject) -> None:
    held = clean(("chicago", "miami"))
    ticker = data.draw(st.sampled_from(sorted(held.markets)))
    trace = data.draw(st.sampled_from(["claim", "rows", "both", "none"]))
    held.markets.pop(ticker)
    if trace in ("rows", "none"):
        held.claims.pop(ticker)
    if trace in ("claim", "none"):
        held.rows.pop(ticker)
    judged = report(held, Scope(NOW, series=(CHICAGO, "KXHIGHMIA")))
    kinds = {"claim": {"market_lost", "trades_lost"}, "none": {"markets_missing"}}.get(trace, {"market_lost"})
    assert {finding.kind for finding in judged.at(H)} == kinds
    assert judged.total.markets_expected - judged.total.markets_held == 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    held = clean()
    for broken in (market(result="yes"), second_event, lost_winner, lambda held: held.lose_day(CHICAGO, START)):
        broken(held)
    turned = Held(
        dict(reversed(list(held.series.items()))),
        held.asked,
        dict(reversed(list(held.listed.items()))),
        dict(reversed(list(held.events.items()))),
        dict(reversed(list(held.markets.items()))),
        dict(reversed(list(held.claims.items()))),
        dict(reversed(list(held.rows.items()))),
    )
    assert report(turned) == report(held)


# --- what should exist: the calendar, the cities, today ---


def test_an_empty_database_is_one_hole_per_city() -> None:
    judged = report(Held())
    assert [(each.kind, each.label) for each in judged.findings] == [("never_asked", city) for city in CITIES]
    assert judged.findings[0].day == date(2021, 8, 1)
    assert judged.findings[0].last_day == TODAY - ONE
    assert judged.total.events_expected == judged.total.days_expected > 1000


def test_a_city_that_was_never_asked_for_is_a_hole_of_all_the_dates_of_the_others() -> None:
    held = clean(CITIES[1:])
    finding = only(held)
    assert (finding.kind, finding.label, finding.place) == ("never_asked", "chicago", "2025-11-01 to 2025-11-03")
    assert [work.command for work in work_left(report(held))] == [
        "kalshi-ingest backfill --start 2025-11-01 --end 2025-11-03 --city chicago"
    ]


def test_a_city_owes_nothing_before_its_first_event() -> None:
    held = clean(("chicago", "miami", "austin", "denver", "philadelphia"), start=date(2025, 1, 2))
    judged = report(held)
    assert judged.findings == []
    assert state_of(judged, "KXHIGHLAX") == {}
    held = clean(("chicago", "miami", "austin", "denver", "philadelphia"), start=date(2025, 1, 3))
    assert only(held).place == "2025-01-05"


def test_a_date_without_an_event_at_the_exchange_is_a_note_and_not_expected() -> None:
    held = clean()
    held.lose_day(CHICAGO, DAY)
    held.listed[CHICAGO, DAY] = Listed(0, 0)
    judged = report(held)
    assert found(held) == [(N, "none_listed", "2025-11-02", None)]
    assert state_of(judged)[DAY] is DayState.NONE
    assert (judged.total.events_expected, judged.total.days_expected) == (17, 17)


def test_the_scope_narrows_dates_and_series() -> None:
    held = clean(("chicago", "miami"))
    for broken in (START, DAY):
        held.lose_day(CHICAGO, broken)
        held.lose_day("KXHIGHMIA", broken)
    assert found(held, Scope(NOW, DAY, DAY, (CHICAGO,))) == [(H, "never_asked", "2025-11-02", FETCH)]
    judged = report(held, Scope(NOW, end=START - ONE, series=(CHICAGO,)))
    assert (judged.start, judged.end) == (START - ONE, START - ONE)


@pytest.mark.parametrize("behind", [timedelta(days=3), timedelta(days=400), timedelta(days=15_000)])
def test_a_clock_that_is_behind_leaves_out_no_day_that_is_over(behind: timedelta) -> None:
    """What is held has happened: a settlement tells the time too."""
    held = clean(("chicago",))
    held.lose_day(CHICAGO, DAY)
    early = Scope(datetime.combine(START, time(), tzinfo=UTC) - behind, series=(CHICAGO,))
    assert found(held, early) == [(H, "never_asked", "2025-11-02", FETCH)]
    odd = next(iter(held.markets))
    held.market(odd, settled_at=datetime(2999, 1, 1, tzinfo=UTC))
    assert report(held, early).end == START + 2 * ONE, "one that is too odd does not"


def fresh(day: date) -> Held:
    """Chicago with one event of `day` that still trades."""
    held = clean(("chicago",), start=day, days=1)
    for ticker in held.markets:
        held.market(ticker, status="open", result=None, settled_at=None)
        held.claim(ticker, state=State.OPEN, verdict=None)
    return held


@pytest.mark.parametrize("age", [-1, 0, 1])
def test_an_event_on_its_way_to_settlement_is_open_and_no_hole(age: int) -> None:
    day = TODAY - age * ONE
    judged = report(fresh(day), Scope(NOW, series=(CHICAGO,)))
    assert judged.findings == []
    assert state_of(judged) == {day: DayState.OPEN}
    assert (judged.total.days_expected, judged.total.days_open, judged.total.open) == (1, 1, 6)


def test_an_event_that_should_have_settled_is_a_hole() -> None:
    day = TODAY - 2 * ONE
    judged = report(fresh(day), Scope(NOW, series=(CHICAGO,)))
    assert [each.kind for each in judged.findings] == ["unsettled"] * 6
    assert state_of(judged) == {day: DayState.HOLE}


def test_what_is_listed_of_an_open_event_has_to_be_there() -> None:
    held = fresh(TODAY)
    held.forget(sorted(held.markets)[0])
    assert found(held, Scope(NOW, series=(CHICAGO,))) == [(H, "markets_missing", str(TODAY), FETCH)]


def test_dates_that_are_not_over_are_not_yet_missed() -> None:
    held = clean(("chicago",), start=TODAY - 3 * ONE, days=3)
    held.asked = (TODAY - 3 * ONE, TODAY + 30 * ONE)
    held.listed[CHICAGO, TODAY] = Listed(0, 0)
    judged = report(held, Scope(NOW, series=(CHICAGO,)))
    assert judged.findings == []
    assert max(state_of(judged)) == TODAY
    assert state_of(judged)[TODAY] is DayState.OPEN
    del held.listed[CHICAGO, TODAY]
    judged = report(held, Scope(NOW, series=(CHICAGO,)))
    assert judged.findings == []
    assert state_of(judged)[TODAY] is DayState.OPEN
    assert judged.total.events_expected == judged.total.events_held == 3


# --- eras, other series, New York, strays ---


def test_early_thresholds_are_a_note_and_need_no_winner() -> None:
    held = clean(("chicago",), start=date(2022, 3, 1), days=1)
    for ticker in sorted(held.markets)[:5]:
        held.forget(ticker)
    only_ticker = next(iter(held.markets))
    held.market(only_ticker, result="no")
    held.listed[CHICAGO, date(2022, 3, 1)] = Listed(1, 1)
    judged = report(held, Scope(NOW, series=(CHICAGO,)))
    assert [(each.level, each.kind) for each in judged.findings] == [(N, "thresholds")]
    assert judged.total.events_settled == 0


def other_series() -> Held:
    held = clean()
    held.series["KXRAINNYC"] = None
    for day in (START, date(2025, 11, 9)):
        held.add_day("KXRAINNYC", day)
    return held


def test_another_series_has_no_calendar_and_its_bins_are_its_own() -> None:
    held = other_series()
    ticker = next(ticker for ticker in held.markets if ticker.startswith("KXRAINNYC"))
    held.market(ticker, strike_type="custom", floor_strike=None, result="yes")
    held.asked = (START, date(2025, 11, 3))
    assert report(held).findings == []
    held.forget(ticker)
    assert found(held) == [(H, "markets_missing", "2025-11-01", FETCH)]
    assert work_left(report(held))[0].command.endswith("--start 2025-11-01 --end 2025-11-01 --series KXRAINNYC")


def with_new_york() -> Held:
    held = clean()
    held.series[NY] = "nyc"
    for n in (0, 2):
        held.add_day(NY, START + n * ONE)
    return held


def test_new_york_is_judged_between_its_own_dates_and_nothing_of_it_is_fetched_or_forgotten() -> None:
    held = with_new_york()
    held.asked = (START - 30 * ONE, START + 2 * ONE)
    scope = Scope(NOW, series=(NY,))
    assert found(held, scope) == [(H, "never_asked", "2025-11-02", Remedy.LOAD)]
    ticker = "KXHIGHNY-25NOV01-B55.5"
    held.row(ticker, trades=9)
    judged = report(held, scope)
    assert (judged.findings[0].kind, judged.findings[0].remedy) == ("trades_lost", Remedy.LOAD)
    assert judged.refetch_tickers == []
    assert [work.command for work in work_left(judged)] == ["kalshi-ingest load --input DIR --city nyc"]


def test_new_york_from_an_old_archive_can_no_longer_be_proved_which_is_a_warning() -> None:
    held = with_new_york()
    held.add_day(NY, DAY)
    held.claim("KXHIGHNY-25NOV01-B55.5", verdict=Verdict.UNKNOWN, exchange_volume=None, pages=0)
    assert [(each.level, each.kind) for each in report(held).findings] == [(W, "unproved")]


def test_trades_of_nobody_are_found() -> None:
    held = clean()
    held.rows["NONSENSE"] = replace(NO_ROWS, trades=3)
    assert found(held) == [(H, "stray", "NONSENSE", None)]
    assert report(held).total.holes == 1
    assert found(held, Scope(NOW, series=(CHICAGO,))) == []


def test_a_row_that_could_not_be_read_is_one_failed_market() -> None:
    held = clean()
    held.forget(LOSER)
    held.claims[LOSER] = Claim(CHICAGO, DAY, State.FAILED, None, 0, 0, 0, None, "open_time is missing")
    assert found(held) == [(H, "failed", LOSER, FETCH)]


def test_a_market_without_a_trade_is_whole_without_rows() -> None:
    held = clean()
    held.claim(LOSER, pages=0, trades=0, contracts=0, exchange_volume=0)
    held.market(LOSER, volume=0)
    held.rows.pop(LOSER)
    assert report(held).findings == []


def test_candles_of_a_walk_under_way_are_not_judged() -> None:
    held = clean()
    held.claim(LOSER, state=State.WALKING, verdict=None)
    held.row(LOSER, missing_candles=2, contracts_1m=100, contracts_5m=100)
    assert found(held) == [(H, "walking", LOSER, FETCH)]


def test_a_trading_market_may_lack_the_candles_of_its_newest_periods_but_none_that_is_due() -> None:
    scope = Scope(NOW, series=(CHICAGO,))
    held = fresh(TODAY)
    ticker = sorted(held.markets)[0]
    held.row(ticker, contracts_1m=4_900, contracts_5m=3_000)
    assert found(held, scope) == []
    held.row(ticker, missing_candles=1)
    assert [each[1] for each in found(held, scope)] == ["candles"]
    held.row(ticker, missing_candles=0, wrong_candles=1)
    assert [each[1] for each in found(held, scope)] == ["candles"]


# --- what closes the holes ---


def test_holes_of_a_city_share_a_range_and_cities_with_the_same_range_a_command() -> None:
    held = clean(days=10)
    for series in (CHICAGO, "KXHIGHMIA"):
        held.lose_day(series, START + ONE)
        held.lose_day(series, START + 8 * ONE)
    held.row("KXHIGHDEN-25NOV05-B55.5", wrong_candles=1)
    assert [work.command for work in work_left(report(held))] == [
        "kalshi-ingest coverage --fix --start 2025-11-05 --end 2025-11-05 --city denver",
        "kalshi-ingest backfill --start 2025-11-02 --end 2025-11-09 --city chicago --city miami",
    ]


def test_dates_of_another_series_that_nobody_asked_for_are_not_fetched_in_passing() -> None:
    held = other_series()
    held.asked = (START, date(2025, 11, 9))
    for ticker in [ticker for ticker in held.markets if ticker.startswith("KXRAIN") and ticker.endswith("T53")]:
        held.forget(ticker)
    commands = [work.command for work in work_left(report(held)) if work.subjects[0].label == "KXRAINNYC"]
    assert [command.split("--series")[0].strip() for command in commands] == [
        "kalshi-ingest backfill --start 2025-11-01 --end 2025-11-01",
        "kalshi-ingest backfill --start 2025-11-09 --end 2025-11-09",
    ]


def test_what_closes_many_separate_holes_is_found_in_no_time() -> None:
    judged = report(clean())
    day = date(1990, 1, 1)
    holes = [
        Finding(Level.HOLE, "", "chicago", CHICAGO, at, at, "", Remedy.MINUTES_AGAIN, ticker=ticker, markets=1)
        for at in (day + 2 * ONE * n for n in range(4_000))
        for ticker in ("A", "A", "B")
    ]
    began = timing.process_time()
    work = work_left(replace(judged, findings=holes))
    assert timing.process_time() - began < 2
    assert [each.start for each in work] == [day + 2 * ONE * n for n in range(4_000)]
    assert {each.markets for each in work} == {5}
