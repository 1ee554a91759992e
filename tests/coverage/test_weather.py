"""The judgement of the weather: days that should be there by now, what was paid on them, slots as they are claimed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import WeatherRows
from kalshi_ingest.coverage.rules.findings import DayState, Finding, Level, Remedy, Report
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.coverage.rules.remedies import work_left
from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures, SettlementFigures
from kalshi_ingest.domain.cross_check import PaidMarket
from kalshi_ingest.domain.settlement import Source
from tests.coverage.holdings import CHICAGO, CITIES, DAY, EVENT, SCOPE, START, WINNER, Held, clean

H, W = Level.HOLE, Level.WARNING
ONE = timedelta(days=1)
LAST = START + 2 * ONE
END_OF_LAST = datetime(2025, 11, 4, 6, tzinfo=UTC)
"""Of Chicago's climate day: its clock is six hours behind UTC, all year."""


def with_weather(days: int = 3) -> Held:
    held = clean(days=days)
    held.add_weather(*CITIES)
    return held


def report(held: Held, now: datetime | None = None) -> Report:
    return judge(held.evidence(), SCOPE if now is None else Scope(now, series=(CHICAGO,)))


def found(held: Held, now: datetime | None = None) -> list[tuple[Level, str, str, Remedy | None]]:
    return [(each.level, each.kind, each.place, each.remedy) for each in report(held, now).findings]


def only(held: Held) -> Finding:
    (finding,) = report(held).findings
    return finding


def settlements(judged: Report, label: str = "chicago") -> SettlementFigures:
    figures = next(each.settlements for each in judged.series if each.subject.label == label)
    assert figures is not None
    return figures


def minutes(judged: Report, label: str = "chicago") -> MinuteFigures:
    figures = next(each.minutes for each in judged.series if each.subject.label == label)
    assert figures is not None
    return figures


def test_what_is_not_ingested_has_no_figures() -> None:
    judged = report(clean())
    assert (judged.settlements, judged.minutes) == (None, None)
    assert {(each.settlements, each.minutes) for each in judged.series} == {(None, None)}
    held = with_weather()
    for city in CITIES:
        held.weather[city] = replace(held.weather[city], minutes={})
    judged = report(held)
    assert judged.findings == []
    assert judged.minutes is None
    assert judged.settlements is not None


def test_whole_weather_has_nothing_to_say_about_it() -> None:
    judged = report(with_weather())
    assert judged.findings == []
    assert judged.settlements == SettlementFigures(days_expected=18, days_settled=18, cli=18, agree=18)
    assert judged.minutes == MinuteFigures(days_expected=18, days_whole=18, slots_observed=18 * 288)
    assert judged.minutes.filled_share == 0


def test_days_without_weather_are_holes_with_a_command_and_leave_the_calendar_of_markets_alone() -> None:
    held = with_weather()
    held.lose_weather("chicago", LAST)
    del held.weather["philadelphia"]
    assert found(held) == [
        (H, "settlement_missing", "2025-11-03", Remedy.SETTLEMENT),
        (H, "minutes_missing", "2025-11-03", Remedy.MINUTES),
        (H, "settlement_missing", "2025-11-01 to 2025-11-03", Remedy.SETTLEMENT),
        (H, "minutes_missing", "2025-11-01 to 2025-11-03", Remedy.MINUTES),
    ]
    judged = report(held)
    assert {state for each in judged.series for state in each.days.values()} == {DayState.COMPLETE}
    assert [work.command for work in work_left(judged)] == [
        "kalshi-ingest weather settlement --start 2025-11-01 --end 2025-11-03 --city philadelphia",
        "kalshi-ingest weather settlement --start 2025-11-03 --end 2025-11-03 --city chicago",
        "kalshi-ingest weather minutes --start 2025-11-01 --end 2025-11-03 --city philadelphia",
        "kalshi-ingest weather minutes --start 2025-11-03 --end 2025-11-03 --city chicago",
    ]
    assert (settlements(judged).days_settled, settlements(judged).days_expected) == (2, 3)
    assert (settlements(judged).days_missing, settlements(judged).cannot_tell) == (1, 1)
    figures = minutes(judged, "philadelphia")
    assert (figures.days_never_fetched, figures.slots_missing, figures.slots_expected) == (3, 864, 864)


def test_a_date_without_an_event_owes_no_weather_and_one_nobody_asked_for_does() -> None:
    held = with_weather()
    listed = held.listed[CHICAGO, DAY]
    held.lose_day(CHICAGO, DAY)
    held.lose_weather("chicago", DAY)
    assert [kind for _, kind, _, _ in found(held)] == ["never_asked", "settlement_missing", "minutes_missing"]
    held.listed[CHICAGO, DAY] = replace(listed, events=0, markets=0)
    assert [kind for _, kind, _, _ in found(held)] == ["none_listed"]
    assert settlements(report(held)).days_expected == minutes(report(held)).days_expected == 2


def test_a_partial_report_does_not_settle_a_day() -> None:
    held = with_weather()
    held.settlement("chicago", DAY, is_preliminary=True)
    assert found(held) == [(H, "settlement_preliminary", str(DAY), Remedy.SETTLEMENT)]
    figures = settlements(report(held))
    assert (figures.days_settled, figures.days_preliminary, figures.cli, figures.cannot_tell) == (2, 1, 2, 1)
    held.settlement("chicago", DAY, is_preliminary=True, tmax_final_f=None)
    assert found(held) == [(H, "settlement_missing", str(DAY), Remedy.SETTLEMENT)]


def test_settled_days_are_counted_by_source() -> None:
    held = with_weather()
    for day, source in zip((START, DAY, LAST), (Source.CF6, Source.IEM_CF6, Source.GHCND), strict=True):
        held.settlement("chicago", day, source=source)
    figures = settlements(report(held))
    assert (figures.days_settled, figures.cli, figures.cf6, figures.iem_cf6, figures.ghcnd) == (3, 0, 1, 1, 1)


@pytest.mark.parametrize(("seconds", "pending"), [(-1, 1), (0, 0)])
def test_a_settlement_is_missing_half_a_day_after_the_end_of_its_day(seconds: int, pending: int) -> None:
    held = with_weather()
    held.lose_weather("chicago", LAST)
    judged = report(held, END_OF_LAST + timedelta(hours=12, seconds=seconds))
    assert settlements(judged).days_pending == pending
    assert settlements(judged).days_expected == 3 - pending
    assert [each.kind for each in judged.findings if "settlement" in each.kind] == ["settlement_missing"] * (
        1 - pending
    )


def test_a_day_that_is_settled_early_is_not_pending() -> None:
    figures = settlements(report(with_weather(), END_OF_LAST + timedelta(hours=3)))
    assert (figures.days_settled, figures.days_expected, figures.days_pending) == (3, 3, 0)


@pytest.mark.parametrize(("seconds", "pending"), [(-1, 1), (0, 0)])
def test_minutes_are_missing_two_days_after_the_end_of_their_day(seconds: int, pending: int) -> None:
    held = with_weather()
    held.lose_weather("chicago", LAST)
    judged = report(held, END_OF_LAST + timedelta(hours=48, seconds=seconds))
    assert minutes(judged).days_pending == pending
    assert minutes(judged).slots_missing == (0 if pending else 288)
    assert [each.kind for each in judged.findings if "minutes" in each.kind] == ["minutes_missing"] * (1 - pending)


def test_days_that_have_not_begun_are_not_even_pending() -> None:
    held = with_weather()
    for ticker in held.markets:
        held.market(ticker, settled_at=None)  # which would tell a later time
    judged = report(held, datetime(2025, 11, 3, 5, 59, tzinfo=UTC))
    assert minutes(judged).days_pending == 2
    assert minutes(judged).days_expected == 0
    assert minutes(judged).filled_share is None


def test_a_disagreement_is_a_warning_with_both_numbers_and_the_likely_reason() -> None:
    held = with_weather()
    held.settlement("chicago", DAY, tmax_final_f=57, tmax_cli_first_f=57, tmax_cli_f=57)
    finding = only(held)
    assert (finding.level, finding.kind, finding.event_ticker) == (W, "settlement_disagrees", EVENT)
    assert finding.text == f"{WINNER} paid on 55.00 °F, the official maximum is 57 °F (unknown)"
    judged = report(held)
    assert judged.complete
    assert (settlements(judged).agree, settlements(judged).disagree) == (2, 1)


def test_an_event_that_paid_on_a_correction_is_a_warning_of_its_own() -> None:
    held = with_weather()
    held.settlement("chicago", DAY, tmax_final_f=57, tmax_cli_first_f=57, tmax_cli_f=55)
    finding = only(held)
    assert (finding.level, finding.kind, finding.event_ticker) == (W, "settlement_latest_only", EVENT)
    assert finding.text == (
        f"{WINNER} paid on 55.00 °F, the official maximum is 57 °F "
        "(it paid on a correction: the first full-day report says 57, the latest 55)"
    )
    assert (settlements(report(held)).disagree, settlements(report(held)).latest_only) == (0, 1)


def test_a_first_report_that_was_corrected_out_of_the_bin_is_counted() -> None:
    held = with_weather()
    held.settlement("chicago", DAY, tmax_cli_f=57)
    assert report(held).findings == []
    assert (settlements(report(held)).agree, settlements(report(held)).first_only) == (2, 1)


def test_another_number_of_the_weather_company_is_a_note_and_nobodys_error() -> None:
    """Since August 2026 it states the settling number, which is not read here."""
    held = with_weather()
    rows = held.weather["chicago"]
    paid = [replace(each, paid=tuple(replace(m, authority="The Weather Company") for m in each.paid))
            for each in rows.paid]  # fmt: skip
    held.weather["chicago"] = replace(rows, paid=paid)
    held.settlement("chicago", DAY, tmax_final_f=57, tmax_cli_first_f=57, tmax_cli_f=57)
    finding = only(held)
    assert (finding.level, finding.kind) == (Level.NOTE, "settlement_source_not_held")
    assert "settled by The Weather Company, whose number is not held" in finding.text
    judged = settlements(report(held))
    assert (judged.agree, judged.disagree, judged.source_not_held) == (2, 0, 1)


def test_only_the_dates_asked_about_are_judged() -> None:
    held = with_weather()
    held.settlement("chicago", DAY, tmax_final_f=70)
    held.minutes("chicago", DAY, state="failed", error="IEM: 503")
    judged = judge(held.evidence(), replace(SCOPE, end=START))
    assert judged.findings == []
    assert (settlements(judged).days_expected, settlements(judged).agree) == (1, 1)
    assert minutes(judged).days_expected == 1


def test_an_event_that_cannot_be_told_is_counted() -> None:
    held = with_weather()
    rows = held.weather["chicago"]
    unclear = PaidMarket(WINNER, None, None, None, None)
    held.weather["chicago"] = replace(rows, paid=[replace(event, paid=(unclear,)) for event in rows.paid])
    assert report(held).findings == []
    assert settlements(report(held)).cannot_tell == 3


def test_sources_far_apart_are_a_warning_and_near_ones_a_count() -> None:
    held = with_weather()
    held.settlement("chicago", START, conflict="note")
    assert report(held).findings == []
    held.settlement("chicago", DAY, conflict="warning", tmax_ghcnd_f=52, note="a note")
    finding = only(held)
    assert (finding.level, finding.kind, finding.place) == (W, "settlement_conflict", str(DAY))
    assert finding.text == (
        "the official maximum is 55 °F, the newest of each source: CLI 55, IEM_CF6 55, GHCND 52 (a note)"
    )
    assert (settlements(report(held)).conflicts, settlements(report(held)).differ_by_one) == (1, 1)


def test_failed_days_and_days_fetched_too_early_are_holes() -> None:
    held = with_weather()
    held.minutes("chicago", START, state="failed", error="IEM: 503 for KMDW")
    held.minutes("chicago", LAST, state="open", observed=200, missing=88, observed_held=200)
    assert found(held) == [
        (H, "minutes_failed", str(START), Remedy.MINUTES),
        (H, "minutes_open", str(LAST), Remedy.MINUTES),
    ]
    assert report(held).findings[0].text == "its minute weather could not be fetched: IEM: 503 for KMDW"
    figures = minutes(report(held))
    assert (figures.days_failed, figures.days_open, figures.days_short, figures.slots_missing) == (1, 1, 0, 88)


@pytest.mark.parametrize("lost", [{"observed_held": 287}, {"filled_held": 1}])
def test_rows_that_are_not_as_claimed_are_fetched_again_and_nothing_else_is(lost: dict[str, int]) -> None:
    held = with_weather(days=5)
    held.minutes("chicago", START, **lost)
    held.minutes("chicago", START + 4 * ONE, **lost)
    assert found(held) == [
        (H, "minutes_lost", str(START), Remedy.MINUTES_AGAIN),
        (H, "minutes_lost", str(START + 4 * ONE), Remedy.MINUTES_AGAIN),
    ]
    assert [work.command for work in work_left(report(held))] == [
        "kalshi-ingest weather minutes --again --start 2025-11-01 --end 2025-11-01 --city chicago",
        "kalshi-ingest weather minutes --again --start 2025-11-05 --end 2025-11-05 --city chicago",
    ]


def test_a_day_of_hourly_reports_is_open_for_two_weeks_and_named() -> None:
    """Nobody can do anything about it meanwhile; after that it is fetched once more."""
    held = with_weather()
    hourly = {"hourly": True, "observed": 24, "filled": 264, "observed_held": 24, "filled_held": 264}
    held.minutes("chicago", LAST, state="open", **hourly)
    before, after = (report(held, END_OF_LAST + timedelta(days=14, seconds=n)) for n in (-1, 0))
    named = [f for f in before.findings if f.kind.startswith("minutes_") and f.kind != "minutes_filled"]
    assert [(f.level, f.kind) for f in named] == [(W, "minutes_hourly")]
    assert (
        f"hourly reports alone, one-minute readings may still come until {LAST + timedelta(days=15)}" in named[0].text
    )
    assert (minutes(before).days_hourly, minutes(before).days_open) == (1, 0)
    kinds = {f.kind: (f.level, f.remedy) for f in after.findings}
    assert kinds["minutes_open"] == (H, Remedy.MINUTES)
    held.minutes("chicago", LAST, state="complete")
    done = {f.kind: f for f in report(held, END_OF_LAST + timedelta(days=14)).findings}
    assert (done["minutes_hourly"].level, "may still come" in done["minutes_hourly"].text) == (W, False)
    assert "minutes_open" not in done


def test_an_open_day_of_other_reports_is_a_hole_after_two_days() -> None:
    held = with_weather()
    held.minutes("chicago", LAST, state="open")
    judged = report(held, END_OF_LAST + timedelta(hours=48))
    named = [(each.level, each.kind) for each in judged.findings if each.kind.startswith("minutes_")]
    assert named == [(H, "minutes_open")]
    assert minutes(judged).days_open == 1


def test_slots_that_no_source_has_are_one_warning_that_names_the_worst_days() -> None:
    held = with_weather(days=9)
    for n, missing in ((0, 1), (2, 12), (3, 288), (5, 12), (7, 2)):
        held.minutes("chicago", START + n * ONE, observed=288 - missing, missing=missing, observed_held=288 - missing)
    finding = only(held)
    assert (finding.level, finding.kind, finding.place) == (W, "minutes_short", "2025-11-01 to 2025-11-08")
    assert finding.text == (
        "315 slots of 5 fetched days are missing at the source; "
        "the worst: 2025-11-04 with 288 of 288, 2025-11-03 with 12 of 288, 2025-11-06 with 12 of 288"
    )
    figures = minutes(report(held))
    assert (figures.days_whole, figures.days_short, figures.slots_missing) == (4, 5, 315)


@pytest.mark.parametrize(("filled", "warned"), [(57, False), (58, True)])
def test_too_many_copies_are_a_warning_and_their_share_is_of_the_expected_slots(filled: int, warned: bool) -> None:
    """Two per cent of ten days are 57.6 slots, also when half the days were never fetched."""
    held = with_weather(days=10)
    held.minutes("chicago", START, observed=288 - filled, filled=filled, observed_held=288 - filled, filled_held=filled)
    held.lose_weather("chicago", *(START + n * ONE for n in range(5, 10)))
    warnings = [each for each in report(held).findings if each.level is W]
    assert [each.kind for each in warnings] == ["minutes_filled"] * warned
    assert minutes(report(held)).filled_share == filled / 2880
    assert minutes(report(held)).days_whole == 5
    if warned:
        assert warnings[0].text.startswith("58 of 2,880 expected slots are copies of the observation before: 2.01 %")


def test_new_york_owes_settlements_only_once_it_has_some_and_never_minutes() -> None:
    """Nothing is fetched for it any more, so what it lacks is a warning without a command."""
    held = clean()
    held.series["KXHIGHNY"] = "nyc"
    for n in range(3):
        held.add_day("KXHIGHNY", START + n * ONE)
    held.add_weather(*CITIES)
    judged = report(held)
    assert judged.findings == []
    assert [each.settlements for each in judged.series if each.subject.label == "nyc"] == [None]
    held.add_weather("nyc")
    held.weather["nyc"] = WeatherRows({START: held.weather["nyc"].settlements[START]}, held.weather["nyc"].paid, {})
    judged = report(held)
    assert found(held) == [(W, "settlement_missing", "2025-11-02 to 2025-11-03", None)]
    assert (settlements(judged, "nyc").days_settled, settlements(judged, "nyc").days_expected) == (1, 3)
    assert [each.minutes for each in judged.series if each.subject.label == "nyc"] == [None]
    assert judged.minutes is not None
    assert judged.minutes.days_expected == 18
    assert work_left(judged) == []


def test_another_series_owes_no_weather() -> None:
    held = with_weather()
    held.series["KXRAINNYC"] = None
    held.add_day("KXRAINNYC", date(2025, 11, 2))
    judged = report(held)
    assert [(each.settlements, each.minutes) for each in judged.series[6:]] == [(None, None)]
