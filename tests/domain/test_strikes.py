from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.domain.strikes import UNKNOWN, BinRow, Strike, resolve
from tests.support import recorded


def number(value: str | float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def bin_row(market: dict[str, Any]) -> BinRow:
    return BinRow(
        market["ticker"],
        market.get("strike_type") or None,
        number(market.get("floor_strike")),
        number(market.get("cap_strike")),
        market["yes_sub_title"] or market["subtitle"],
    )


def recorded_events() -> Iterator[list[BinRow]]:
    for _, _, body in recorded.events():
        yield [bin_row(market) for market in body["markets"]]
    for body in recorded.golden_events():
        yield [bin_row(market) for market in body["markets"]]


def hidden(row: BinRow, subtitle: bool = False) -> BinRow:
    bare = replace(row, strike_type=None, floor=None, cap=None)
    return replace(bare, subtitle="") if subtitle else bare


def values(strike: Strike | BinRow) -> tuple[str | None, Decimal | None, Decimal | None]:
    return strike.strike_type, strike.floor, strike.cap


def edges(strike: Strike) -> tuple[Decimal, Decimal]:
    """Lowest and highest whole degree that the market pays on."""
    low = Decimal(-999) if strike.floor is None else strike.floor + (strike.strike_type == "greater")
    high = Decimal(999) if strike.cap is None else strike.cap - (strike.strike_type == "less")
    return low, high


def alone(subtitle: str, **fields: Any) -> Strike:
    row = BinRow("KXHIGHCHI-25NOV14-X", None, None, None, subtitle)
    return resolve([replace(row, **fields)])[0]


def ladder(*suffixes: str) -> list[BinRow]:
    return [BinRow(f"KXHIGHCHI-25NOV14-{suffix}", None, None, None, "") for suffix in suffixes]


@recorded.needs_recorded
def test_the_wire_wins_wherever_it_says_something() -> None:
    for rows in recorded_events():
        for row, strike in zip(rows, resolve(rows), strict=True):
            if row.strike_type is not None:
                assert values(strike) == values(row)
                assert strike.source == "wire"


@recorded.needs_recorded
@pytest.mark.parametrize("source", ["subtitle", "neighbours"])
def test_each_recorded_market_is_found_again_when_its_fields_are_hidden(source: str) -> None:
    checked = 0
    for rows in recorded_events():
        for n, row in enumerate(rows):
            if row.strike_type is not None:
                event = [*rows[:n], hidden(row, subtitle=source == "neighbours"), *rows[n + 1 :]]
                strike = resolve(event)[n]
                assert (*values(strike), strike.source) == (*values(row), source), row
                checked += 1
    assert checked == 296


@recorded.needs_recorded
def test_whole_events_are_found_again_from_their_tickers_alone() -> None:
    for rows in recorded_events():
        for row, strike in zip(rows, resolve([hidden(row, subtitle=True) for row in rows]), strict=True):
            assert strike.source == "neighbours"
            assert row.strike_type is None or values(strike) == values(row)


@recorded.needs_recorded
@pytest.mark.parametrize("with_subtitle", [True, False])
def test_winners_without_strikes_fit_between_their_neighbours(with_subtitle: bool) -> None:
    winners = 0
    for rows in recorded_events():
        missing = [row for row in rows if row.strike_type is None]
        given_rows = rows if with_subtitle else [hidden(r, subtitle=True) if r in missing else r for r in rows]
        ranges = sorted(edges(strike) for strike in resolve(given_rows))
        assert ranges[0][0] == -999
        assert ranges[-1][1] == 999
        for (_, high), (low, _) in pairwise(ranges):
            assert low == high + 1
        winners += len(missing)
    assert winners == 10


@pytest.mark.parametrize(
    ("subtitle", "strike_type", "floor", "cap"),
    [
        ("43° to 44°", "between", 43, 44),
        ("-1° to 0°", "between", -1, 0),
        ("-3° to -2°", "between", -3, -2),
        ("\N{MINUS SIGN}1° to 0°", "between", -1, 0),
        ("43°F to 44°F", "between", 43, 44),
        ("43-44°", "between", 43, 44),
        ("42° or below", "less", None, 43),
        ("-2° or below", "less", None, -1),
        ("-1° or below", "less", None, 0),
        ("81° or above", "greater", 80, None),
        ("0° or above", "greater", -1, None),
        ("below 40°", "less", None, 40),
        ("above 86°", "greater", 86, None),
        ("**Above 86°**", "greater", 86, None),
        ("  81°  or   above ", "greater", 80, None),
    ],
)
def test_subtitles(subtitle: str, strike_type: str, floor: int | None, cap: int | None) -> None:
    assert alone(subtitle) == Strike(strike_type, number(floor), number(cap), "subtitle")


@pytest.mark.parametrize(
    "subtitle", ["", "43°", "44° to 43°", "80.5° or above", "43° to 44° or above", "4\u0663° or above", "warm"]
)
def test_a_subtitle_that_does_not_say_it_plainly_says_nothing(subtitle: str) -> None:
    assert alone(subtitle) == UNKNOWN


def test_incomplete_fields_are_completed_but_never_contradicted() -> None:
    assert alone("81° or above", floor=Decimal(80)) == Strike("greater", Decimal(80), None, "subtitle")
    assert alone("81° or above", strike_type="greater") == Strike("greater", Decimal(80), None, "subtitle")
    assert alone("81° or above", floor=Decimal(81)) == Strike(None, Decimal(81), None, "wire")
    assert alone("81° or above", strike_type="less") == Strike("less", None, None, "wire")
    assert alone("81° or above", strike_type="custom") == Strike("custom", None, None, "wire")


def test_six_bins_from_tickers_alone() -> None:
    strikes = resolve(ladder("T-1", "B-0.5", "B1.5", "B3.5", "B5.5", "T6"))
    assert [values(strike) for strike in strikes] == [
        ("less", None, Decimal(-1)),
        ("between", Decimal(-1), Decimal(0)),
        ("between", Decimal(1), Decimal(2)),
        ("between", Decimal(3), Decimal(4)),
        ("between", Decimal(5), Decimal(6)),
        ("greater", Decimal(6), None),
    ]


def test_a_bin_at_zero_counts_as_a_neighbour() -> None:
    wide = BinRow("KXHIGHCHI-25NOV14-B2", "between", Decimal(0), Decimal(4), "")
    assert resolve([wide, *ladder("B7")])[1] == Strike("between", Decimal(5), Decimal(9), "neighbours")


@pytest.mark.parametrize(
    "suffixes",
    [("T86",), ("T80", "T85", "T90"), ("B55",), ("BOS", "LAX"), ("B55.5", "B56.5"), ("B55.5", "B55.5")],
)
def test_what_is_ambiguous_stays_unknown(suffixes: tuple[str, ...]) -> None:
    assert resolve(ladder(*suffixes)) == [UNKNOWN] * len(suffixes)


def test_a_guess_never_overlaps_a_known_market() -> None:
    top = BinRow("KXHIGHCHI-25NOV14-T55", "greater", Decimal(55), None, "")
    assert resolve([top, *ladder("B55.5")])[1] == UNKNOWN
    between = BinRow("KXHIGHCHI-25NOV14-B50.5", "between", Decimal(48), Decimal(53), "")
    assert resolve([between, *ladder("T52")])[1] == UNKNOWN


def test_a_ticker_that_cannot_be_read_is_no_obstacle() -> None:
    odd = BinRow("test_1", None, None, None, "")
    assert resolve([odd, *ladder("B55.5")]) == [
        UNKNOWN,
        Strike("between", Decimal(55), Decimal(56), "neighbours"),
    ]


def test_no_markets() -> None:
    assert resolve([]) == []


@given(st.integers(-40, 120), st.integers(1, 8), st.sets(st.integers(0, 9)))
def test_any_regular_event_is_found_again_whatever_is_hidden(start: int, bins: int, hide: set[int]) -> None:
    rows = [BinRow(f"KXHIGHCHI-25NOV14-T{start}", "less", None, Decimal(start), "")]
    for n in range(bins):
        low = start + 2 * n
        middle = Decimal(2 * low + 1) / 2
        rows.append(BinRow(f"KXHIGHCHI-25NOV14-B{middle}", "between", Decimal(low), Decimal(low + 1), ""))
    top = start + 2 * bins - 1
    rows.append(BinRow(f"KXHIGHCHI-25NOV14-T{top}", "greater", Decimal(top), None, ""))
    strikes = resolve([hidden(row) if n in hide else row for n, row in enumerate(rows)])
    assert [values(strike) for strike in strikes] == [values(row) for row in rows]
    assert [strike.source for strike in strikes] == ["neighbours" if n in hide else "wire" for n in range(len(rows))]
