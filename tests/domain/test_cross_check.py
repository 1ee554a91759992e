"""The official maximum against the bin that paid."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from kalshi_ingest.domain.cross_check import PaidMarket, Verdict, cross_check, in_bin
from kalshi_ingest.domain.settlement import Settlement, Source, settle

DAY = date(2025, 5, 7)
TWC_DAY = date(2026, 8, 14)
BETWEEN = PaidMarket("KXHIGHMIA-25MAY07-B86.5", "between", Decimal(86), Decimal(87), "87.00")
LESS = PaidMarket("KXHIGHMIA-25MAY07-T80", "less", None, Decimal(80), None)
GREATER = PaidMarket("KXHIGHMIA-25MAY07-T88", "greater", Decimal(88), None, "")
HELD = replace(settle([]), tmax_final_f=86, tmax_cli_f=86, tmax_cli_first_f=86, source=Source.CLI, is_preliminary=False)


def held(final: int | None, latest: int | None = None) -> Settlement:
    return replace(HELD, tmax_final_f=final, tmax_cli_f=final if latest is None else latest)


@pytest.mark.parametrize(
    ("market", "inside", "outside"),
    [(BETWEEN, (86, 87), (85, 88)), (LESS, (79, -5), (80, 81)), (GREATER, (89, 120), (88, 87))],
)
def test_bins(market: PaidMarket, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    """Between is inclusive, less and greater are strict."""
    assert [in_bin(market, degrees) for degrees in (*inside, *outside)] == [True, True, False, False]
    assert in_bin(replace(market, strike_type=None), inside[0]) is None
    assert in_bin(replace(market, floor=None, cap=None), inside[0]) is None


def test_agreement_and_another_number_in_the_same_bin() -> None:
    check = cross_check("E", DAY, [BETWEEN], held(86))
    assert (check.verdict, check.reason, check.paid) == (Verdict.AGREE, None, BETWEEN.ticker)
    assert (check.official_f, check.expiration_f, check.values_differ) == (86, Decimal("87.00"), True)
    assert not cross_check("E", DAY, [BETWEEN], held(87)).values_differ
    assert not cross_check("E", DAY, [LESS], held(70)).values_differ


@pytest.mark.parametrize(
    ("paid", "final", "latest", "day", "verdict", "reason"),
    [
        (BETWEEN, 84, 84, DAY, Verdict.DISAGREE, "^unknown$"),
        (BETWEEN, 86, 90, DAY, Verdict.FIRST_ONLY, "^the latest report says 90$"),
        (BETWEEN, 86, 90, TWC_DAY, Verdict.FIRST_ONLY, "^the latest report says 90$"),
        (BETWEEN, 84, 86, DAY, Verdict.LATEST_ONLY, "a correction: the first full-day report says 84, the latest 86"),
        (BETWEEN, 84, 86, TWC_DAY, Verdict.LATEST_ONLY, "a correction: the first"),
        (BETWEEN, 84, 90, DAY, Verdict.DISAGREE, r"corrected \(84, then 90\), and it paid on neither$"),
        (
            BETWEEN,
            84,
            90,
            TWC_DAY,
            Verdict.SOURCE_NOT_HELD,
            r"corrected \(84, then 90\), and .*; settled by The Weather",
        ),
        (
            BETWEEN,
            84,
            84,
            TWC_DAY,
            Verdict.SOURCE_NOT_HELD,
            "^settled by The Weather Company, whose number is not held",
        ),
        (BETWEEN, 84, 84, date(2026, 8, 13), Verdict.DISAGREE, "^unknown$"),
        (
            replace(BETWEEN, authority="The Weather Company"),
            84,
            84,
            DAY,
            Verdict.SOURCE_NOT_HELD,
            "The Weather Company",
        ),
    ],
)
def test_the_winner_is_compared_with_the_first_and_the_latest_report(
    paid: PaidMarket, final: int, latest: int, day: date, verdict: Verdict, reason: str
) -> None:
    """A difference where The Weather Company settles is nobody's error: its number is not read."""
    check = cross_check("E", day, [paid], held(final, latest))
    assert (check.verdict, check.official_f, check.latest_f) == (verdict, final, latest)
    assert check.expiration_f == 87
    assert re.search(reason, check.reason or "")


def test_a_partial_report_beside_a_filled_day_is_not_the_latest() -> None:
    filled = replace(held(86), source=Source.CF6, tmax_cli_f=80, tmax_cli_first_f=None)
    check = cross_check("E", DAY, [BETWEEN], filled)
    assert (check.verdict, check.latest_f) == (Verdict.AGREE, 86)


def test_a_first_report_that_is_not_known_is_said() -> None:
    check = cross_check("E", DAY, [BETWEEN], replace(held(84), tmax_cli_first_f=None))
    assert (check.verdict, check.reason) == (
        Verdict.DISAGREE,
        "whether this was the first full-day report is not known",
    )


@pytest.mark.parametrize(
    ("paid", "settlement", "reason"),
    [
        ([], held(86), "no markets of the event paid"),
        ([BETWEEN, LESS], held(86), "2 markets of the event paid"),
        ([BETWEEN], None, "no full-day maximum is held"),
        ([BETWEEN], held(None), "no full-day maximum is held"),
        ([BETWEEN], replace(HELD, is_preliminary=True), "no full-day maximum is held"),
        ([replace(BETWEEN, strike_type=None)], held(86), "strikes of KXHIGHMIA-25MAY07-B86.5 are not known"),
    ],
)
def test_what_cannot_be_told(paid: list[PaidMarket], settlement: Settlement | None, reason: str) -> None:
    check = cross_check("E", DAY, paid, settlement)
    assert check.verdict is Verdict.CANNOT_TELL
    assert reason in (check.reason or "")


@pytest.mark.parametrize(
    ("text", "number"),
    [("84.00", "84.00"), (" 84 degrees", "84"), ("-3", "-3"), ("84.00 (revised)", "84.00"), ("", None), ("n/a", None)],
)
def test_the_leading_number_of_the_exchanges_words(text: str, number: str | None) -> None:
    check = cross_check("E", DAY, [replace(BETWEEN, expiration_value=text)], held(86))
    assert check.expiration_f == (None if number is None else Decimal(number))
