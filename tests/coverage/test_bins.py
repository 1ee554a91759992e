"""Whether bins cover every temperature once: every recorded event does, and every change of one bin shows."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.coverage.rules.bins import fault
from kalshi_ingest.coverage.rules.evidence import HeldMarket
from kalshi_ingest.domain.strikes import BinRow, resolve
from tests.support import recorded

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)


def held(ticker: str, kind: str | None, floor: Decimal | None, cap: Decimal | None) -> HeldMarket:
    day = date(2025, 11, 2)
    return HeldMarket(ticker, "E", "S", day, kind, floor, cap, "wire", NOON, NOON, None, "settled", "no", None)


def number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def recorded_markets() -> Iterator[list[HeldMarket]]:
    bodies: list[dict[str, Any]] = [body for _, _, body in recorded.events()] + list(recorded.golden_events())
    for body in bodies:
        rows = [
            BinRow(
                each["ticker"],
                each.get("strike_type") or None,
                number(each.get("floor_strike")),
                number(each.get("cap_strike")),
                each["yes_sub_title"] or each["subtitle"],
            )
            for each in body["markets"]
        ]
        strikes = resolve(rows)
        yield [held(row.ticker, s.strike_type, s.floor, s.cap) for row, s in zip(rows, strikes, strict=True)]


@recorded.needs_recorded
def test_every_recorded_event_covers_every_temperature_once() -> None:
    events = list(recorded_markets())
    assert events
    assert [fault(markets) for markets in events] == [None] * len(events)


@st.composite
def ladders(draw: st.DrawFn) -> list[HeldMarket]:
    """An exhaustive event: a lowest bin, some in between, a highest."""
    low = draw(st.integers(-20, 110))
    markets = [held("T-low", "less", None, Decimal(low))]
    for n, width in enumerate(draw(st.lists(st.integers(0, 4), max_size=5))):
        markets.append(held(f"B{n}", "between", Decimal(low), Decimal(low + width)))
        low += width + 1
    return [*markets, held("T-high", "greater", Decimal(low - 1), None)]


@given(ladders(), st.randoms())
def test_a_ladder_is_whole_in_any_order(markets: list[HeldMarket], random: Any) -> None:
    random.shuffle(markets)
    assert fault(markets) is None


@given(ladders(), st.data())
def test_without_one_bin_or_with_one_twice_it_is_not(markets: list[HeldMarket], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(markets) - 1))
    assert fault([*markets[:at], *markets[at + 1 :]]) is not None
    assert fault([*markets, replace(markets[at], ticker="again")]) is not None


@given(ladders(), st.data())
def test_one_strike_off_by_a_degree_shows(markets: list[HeldMarket], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(markets) - 1))
    step = data.draw(st.sampled_from([-1, 1]))
    one = markets[at]
    if one.floor_strike is not None:
        markets[at] = replace(one, floor_strike=one.floor_strike + step)
    elif one.cap_strike is not None:
        markets[at] = replace(one, cap_strike=one.cap_strike + step)
    assert fault(markets) is not None


@pytest.mark.parametrize(
    ("markets", "words"),
    [
        ([], "it has no market"),
        ([held("A", None, None, None)], "the strikes of A are not known"),
        ([held("A", "between", Decimal(3), Decimal(2))], "the strikes of A are not known"),
        ([held("A", "greater", Decimal(60), None)], "no market covers temperatures below 61"),
        ([held("A", "less", None, Decimal(60))], "no market covers temperatures above 59"),
        (
            [held("A", "less", None, Decimal(60)), held("B", "greater", Decimal(61), None)],
            "no market covers 60 to 61, between A and B",
        ),
        ([held("A", "less", None, Decimal(60)), held("B", "greater", Decimal(58), None)], "A and B both cover 59"),
        (
            [held("A", "less", None, Decimal(60)), held("B", "less", None, Decimal(70))],
            "A and B both cover the lowest temperatures",
        ),
    ],
)
def test_the_fault_is_named(markets: list[HeldMarket], words: str) -> None:
    assert fault(markets) == words
