"""Our candles against the exchange's own: every minute of either side, every field, and the rounding of the mean."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.domain.audit import CANDLE, FIELDS, Comparison, Difference, MinuteCandle, compare, mean_agrees
from kalshi_ingest.domain.candles import MINUTE_US, fold
from kalshi_ingest.domain.model import to_microseconds
from kalshi_ingest.exchange.parse_candles import candles
from kalshi_ingest.exchange.parse_trades import TradeParser
from tests.support import recorded

CENTS_US = to_microseconds(datetime(2025, 5, 2, 14, tzinfo=UTC))
DOLLARS_US = to_microseconds(datetime(2026, 3, 12, tzinfo=UTC))


def candle(minute: int, **changes: int) -> MinuteCandle:
    whole = MinuteCandle(DOLLARS_US + minute * MINUTE_US, 410_000, 430_000, 400_000, 420_000, 415_000, 312)
    return whole._replace(**changes)


def quiet(minute: int) -> MinuteCandle:
    return MinuteCandle(DOLLARS_US + minute * MINUTE_US, None, None, None, None, None, 0)


def test_the_same_on_both_sides() -> None:
    assert compare([candle(1), candle(3)], [candle(3), candle(1)]) == Comparison(2, 2, ())
    assert compare([], []) == Comparison(0, 0, ())


def test_minutes_without_trades_do_not_count() -> None:
    assert compare([candle(2)], [quiet(1), candle(2), quiet(3)]) == Comparison(1, 1, ())


@pytest.mark.parametrize("field", FIELDS)
def test_one_field_that_differs(field: str) -> None:
    ours = candle(1)
    other = getattr(ours, field) + 1_000
    found = compare([ours, candle(2)], [candle(1, **{field: other}), candle(2)])
    assert found == Comparison(2, 1, (Difference(ours.start_us, field, other - 1_000, other),))


def test_every_field_that_differs_is_listed_in_order_of_time() -> None:
    found = compare([candle(4), candle(1)], [candle(4, high=1, volume=1), candle(1, open=1)])
    assert (found.minutes, found.equal) == (2, 0)
    assert [(each.start_us, each.field, each.theirs) for each in found.differences] == [
        (candle(1).start_us, "open", 1),
        (candle(4).start_us, "high", 1),
        (candle(4).start_us, "volume", 1),
    ]


@pytest.mark.parametrize("there", [[], [quiet(2)]], ids=["no row", "a row without trades"])
def test_a_candle_that_one_side_has_alone(there: list[MinuteCandle]) -> None:
    here = [candle(1), candle(2)]
    assert compare(here, [candle(1), *there]) == Comparison(2, 1, (Difference(candle(2).start_us, CANDLE, 312, None),))
    assert compare([candle(1)], here) == Comparison(2, 1, (Difference(candle(2).start_us, CANDLE, None, 312),))


def test_a_stored_candle_without_volume_is_a_claim_all_the_same() -> None:
    found = compare([candle(1, volume=0)], [quiet(1)])
    assert found == Comparison(1, 0, (Difference(candle(1).start_us, CANDLE, 0, None),))


@pytest.mark.parametrize(
    ("ours", "theirs", "dollars", "cents"),
    [
        (442_650, 442_650, True, True),
        (442_650, 442_600, True, True),  # cut, or half to even
        (442_650, 442_700, True, True),  # rounded
        (442_649, 442_700, False, False),
        (442_651, 442_600, True, True),
        (442_651, 442_800, False, False),
        (442_651, 442_500, False, False),
        (442_651, 440_000, False, True),  # cut to a whole cent
        (442_651, 450_000, False, False),
        (446_651, 450_000, False, False),  # rounded to a whole cent: not what the exchange did
        (440_000, 430_000, False, False),
        (999_999, 1_000_000, True, True),
        (0, 0, True, True),
    ],
)
def test_how_the_exchange_may_shorten_a_mean(ours: int, theirs: int, dollars: bool, cents: bool) -> None:
    assert mean_agrees(ours, theirs, DOLLARS_US) is dollars
    assert mean_agrees(ours, theirs, DOLLARS_US - MINUTE_US) is cents


CANDLES = st.dictionaries(
    st.integers(0, 6), st.tuples(*[st.integers(0, 3).map(lambda n: n * 1_000)] * 5, st.integers(1, 3)), max_size=6
)


@given(CANDLES, CANDLES)
def test_every_minute_is_equal_or_listed(ours: dict[int, Any], theirs: dict[int, Any]) -> None:
    held = [MinuteCandle(minute * MINUTE_US, *values) for minute, values in ours.items()]
    stated = [MinuteCandle(minute * MINUTE_US, *values) for minute, values in theirs.items()]
    found = compare(held, stated)
    assert found.minutes == len(set(ours) | set(theirs))
    assert found.equal == found.minutes - len({each.start_us for each in found.differences})
    mirrored = compare(stated, held)
    assert {each.start_us for each in mirrored.differences} >= {
        each.start_us for each in found.differences if each.field != "mean"
    }
    for each in found.differences:
        assert each.ours != each.theirs


def _golden_ours() -> dict[str, list[MinuteCandle]]:
    rows: dict[str, list[recorded.Row]] = defaultdict(list)
    for row in recorded.golden_trades():
        rows[row["ticker"]].append(recorded.modern_trade(row))
    return {
        ticker: [
            MinuteCandle(
                each.start_us,
                abs(each.open_key),
                each.high,
                each.low,
                abs(each.close_key),
                each.notional // each.volume,
                each.volume,
            )
            for each in fold(TradeParser().page(page, ticker))
        ]
        for ticker, page in rows.items()
    }


def _golden_theirs() -> dict[str, list[MinuteCandle]]:
    """The recorded candles as the historical tier writes them today, read by the parser."""
    rows: dict[str, list[recorded.Row]] = defaultdict(list)
    for row in recorded.golden_candles():
        names = ("open", "high", "low", "close", "mean", "previous")
        cents = {name: row[f"trade_{name}"] for name in names}
        rows[row["ticker"]].append(
            {
                "end_period_ts": int(row["end_period_ts"]),
                "volume": f"{Decimal(row['volume']):.2f}",
                "price": {name: f"{Decimal(text) / 100:.4f}" if text else None for name, text in cents.items()},
            }
        )
    return {
        ticker: candles({"ticker": ticker, "candlesticks": page}, ticker, 0, 2**40) for ticker, page in rows.items()
    }


@recorded.needs_recorded
def test_all_recorded_traded_minutes_are_equal() -> None:
    ours, theirs = _golden_ours(), _golden_theirs()
    found = [compare(ours.get(ticker, []), theirs[ticker]) for ticker in theirs]
    assert ours.keys() <= theirs.keys()
    assert sum(len(page) for page in theirs.values()) == 13_470
    assert [sum(each.minutes for each in found), sum(each.equal for each in found)] == [952, 952]
    assert [each.differences for each in found if each.differences] == []


@recorded.needs_recorded
def test_recorded_means_a_cent_away_are_told_apart() -> None:
    ours, theirs = _golden_ours(), _golden_theirs()
    moved = [
        each._replace(mean=each.mean + 10_000 if each.mean is not None else None)
        for each in theirs["KXHIGHCHI-25MAY02-B61.5"]
    ]
    found = compare(ours["KXHIGHCHI-25MAY02-B61.5"], moved)
    assert found.minutes > 0
    assert found.equal == 0
    assert {each.field for each in found.differences} == {"mean"}
