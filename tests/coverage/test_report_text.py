"""The report on a terminal and in a pipe: the answer first, a calendar that can be read, nothing hidden by a cut."""

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from kalshi_ingest.coverage.report_text import as_text
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.evidence import NO_ROWS
from kalshi_ingest.coverage.rules.judge import judge
from kalshi_ingest.domain.checkpoint import State, Verdict
from tests.coverage.holdings import CHICAGO, CITIES, DAY, LOSER, NOW, SCOPE, TODAY, Held, clean


def text(held: Held, scope: Scope = SCOPE, *, colour: bool = False) -> str:
    return as_text(judge(held.evidence(), scope), colour=colour)


def paragraph(whole: str, start: str) -> list[str]:
    return next(part for part in whole.split("\n\n") if part.startswith(start)).splitlines()


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_the_first_line_is_the_answer() -> None:
    held = clean()
    assert text(held).splitlines()[:2] == [
        "Complete: 6 cities, 18 events, 108 markets, 1,080 trades, no holes.",
        "event dates 2025-11-01 to 2025-11-03, judged on 2025-11-20 (UTC)",
    ]
    held.lose_day(CHICAGO, DAY)
    assert text(held).startswith("1 hole in 1 city.\n")
    held.row(LOSER.replace("CHI", "MIA"), wrong_candles=1)
    held.series["KXRAINNYC"] = None
    held.add_day("KXRAINNYC", DAY)
    held.market("KXRAINNYC-25NOV02-T53", status="closed")
    assert text(held).startswith("3 holes in 2 cities and 1 other series.\n")


def test_warnings_are_counted_in_the_answer_but_do_not_change_it() -> None:
    held = clean()
    held.claim(LOSER, verdict=Verdict.SHORT, exchange_volume=5200)
    held.market(LOSER, volume=5200)
    whole = text(held)
    assert whole.startswith("Complete: 6 cities, 18 events, 108 markets, 1,080 trades, no holes, 1 warning.\n")
    assert "Warnings: 1\n  markets short of the exchange's own volume: chicago 1\n" in whole
    assert "What closes" not in whole


def test_shares_are_of_what_should_be_there() -> None:
    held = clean()
    held.forget(LOSER)
    row = next(line.split() for line in text(held).splitlines() if line.startswith("chicago"))
    assert " ".join(row) == "chicago 2/3 3 17/18 17 2 1"


def test_absent_weather_is_said_and_present_weather_counted() -> None:
    assert "Not ingested, so not judged: settlements, minute weather." in text(clean())
    held = clean()
    held.add_weather(*CITIES)
    whole = text(held)
    assert "ot ingested" not in whole
    assert squeezed(paragraph(whole, "settlements  "))[::9] == ["settlements full days CLI agree", "total 18 18 18"]
    assert squeezed(paragraph(whole, "minute weather  "))[::9] == [
        "minute weather whole days observed filled missing filled %",
        "total 18 5,184 0 0 0.0 %",
    ]


def test_weather_that_is_not_whole_shows_what_it_lacks() -> None:
    held = clean()
    held.add_weather(*CITIES)
    held.settlement("chicago", DAY, is_preliminary=True)
    held.settlement("miami", DAY, tmax_final_f=70, tmax_cli_f=70)
    held.minutes("chicago", DAY, state="failed", error="IEM: 503", observed=200, filled=20, missing=68)
    held.minutes("chicago", DAY, observed_held=200, filled_held=20)
    whole = text(held)
    assert squeezed(paragraph(whole, "settlements  "))[0:4:2] == [
        "settlements full days partial CLI agree disagree cannot tell",
        "chicago 2/3 1 2 2 0 1",
    ]
    assert squeezed(paragraph(whole, "minute weather  "))[0:4:2] == [
        "minute weather whole days failed observed filled missing filled %",
        "chicago 2/3 1 776 20 68 2.3 %",
    ]
    assert "climate days with a partial report only: chicago 1" in whole
    assert "kalshi-ingest weather minutes --start 2025-11-02 --end 2025-11-02 --city chicago" in whole
    assert max(len(line) for line in whole.splitlines()) <= 100


def test_one_part_of_the_weather_can_be_absent() -> None:
    held = clean()
    held.add_weather(*CITIES)
    for city in CITIES:
        held.weather[city] = replace(held.weather[city], minutes={})
    whole = text(held)
    assert "Not ingested, so not judged: minute weather." in whole
    assert "\nminute weather  " not in whole


def test_a_hole_is_named_with_what_closes_it() -> None:
    held = clean()
    held.row(LOSER, trades=9, contracts=4900)
    assert text(held).endswith(
        "Holes: 1\n"
        "  markets with fewer trades than proved: chicago 1\n"
        "    chicago  KXHIGHCHI-25NOV02-B53.5  9 trades of 49.00 contracts are held, its checkpoint claims 10\n"
        "      of 50.00\n"
        "\n"
        "What closes the holes:\n"
        "  kalshi-ingest coverage --fix --start 2025-11-02 --end 2025-11-02 --city chicago"
    )


def test_a_long_list_is_cut_and_says_so() -> None:
    held = clean(days=9)
    for ticker in held.markets:
        held.row(ticker, wrong_candles=1)
    whole = text(held)
    assert whole.startswith("324 holes in 6 cities.")
    assert whole.count("candles: 1 wrong") == 20
    assert "    and 304 more (--json lists all)" in whole


def test_the_calendar_has_one_letter_a_day_and_folds_months_that_are_alike() -> None:
    held = clean(("chicago",), start=date(2025, 1, 10), days=310)
    held.asked = (date(2025, 1, 10), TODAY)
    held.lose_day(CHICAGO, date(2025, 9, 3))
    held.claim("KXHIGHCHI-25SEP05-B53.5", verdict=Verdict.SHORT, exchange_volume=5200)
    held.market("KXHIGHCHI-25SEP05-B53.5", volume=5200)
    for n in range(5):
        held.add_day(CHICAGO, date(2025, 11, 16) + n * timedelta(days=1))
    for ticker in [ticker for ticker, each in held.markets.items() if each.event_date == TODAY]:
        held.market(ticker, status="open", result=None)
        held.claim(ticker, state=State.OPEN, verdict=None)
    whole = text(held, Scope(NOW, series=(CHICAGO,)))
    assert paragraph(whole, "Calendar") == [
        "Calendar of event dates, markets only: . complete, ! held, with a warning, X a hole, o still open"
    ]
    assert paragraph(whole, "chicago               1...5") == [
        "chicago               1...5....10...15...20...25...30",
        "  2025-01                      ......................",
        "  2025-02 to 2025-08  ...............................  212 dates: complete",
        "  2025-09             ..X.!.........................",
        "  2025-10             ...............................",
        "  2025-11             ...................o",
    ]


@pytest.mark.parametrize("broken", [False, True])
def test_five_years_of_six_cities_can_still_be_read(broken: bool) -> None:
    held = clean(start=date(2025, 1, 5), days=60)
    held.asked = (date(2021, 1, 1), TODAY)
    if broken:
        for ticker in list(held.markets)[::97]:
            held.row(ticker, wrong_candles=1, first_fault="5m 2025-01-05 14:05: close")
    whole = text(held)
    assert len(paragraph(whole, "chicago               1...5")) < 12
    lines = whole.splitlines()
    assert max(len(line) for line in lines if not line.startswith("  kalshi-ingest ")) <= 100
    assert len(lines) < 160


def test_colour_adds_nothing_but_colour() -> None:
    held = clean()
    held.lose_day(CHICAGO, DAY)
    plain, coloured = text(held), text(held, colour=True)
    assert "\x1b[1;31mX\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert "\x1b" not in plain


def test_an_empty_database_and_a_stray_ticker_have_an_answer_too() -> None:
    assert text(Held()).startswith("6 holes in 6 cities.")
    held = clean()
    held.rows["NONSENSE"] = replace(NO_ROWS, trades=3)
    whole = text(held)
    assert whole.startswith("1 hole outside every series.")
    assert "NONSENSE  3 trades of a market that nothing else here knows" in whole


def test_dates_that_nobody_asked_for_may_be_a_mistake_that_can_be_taken_back() -> None:
    held = clean()
    held.asked = (date(2025, 10, 1), date(2025, 11, 3))
    told = paragraph(text(held), "Dates that were asked for by mistake")
    assert "`kalshi-ingest status --forget ID` takes one back." in " ".join(told)
    assert "by mistake" not in text(clean())
    assert "by mistake" not in text(Held()), "in an empty database nothing is a mistake yet"
