"""Candles of both tiers: every rule broken once, today's own bodies read, and no damage that escapes."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.audit import MinuteCandle
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.parse_candles import candle, candles
from tests.support import recorded

TICKER = "KXHIGHNY-26JUL02-T99"
END = 1_782_918_000

Row = dict[str, Any]
MISSING = object()


def live(**changes: Any) -> Row:
    """A traded minute as the live tier writes it; changes named `price_…` go into its price."""
    row: Row = {
        "end_period_ts": END,
        "open_interest_fp": "141.81",
        "price": {
            "close_dollars": "0.4100",
            "high_dollars": "0.5500",
            "low_dollars": "0.2800",
            "mean_dollars": "0.4426",
            "open_dollars": "0.5500",
        },
        "volume_fp": "163.98",
        "yes_ask": {"close_dollars": "0.4100"},
        "yes_bid": {"close_dollars": "0.4000"},
    }
    return changed(row, changes)


def historical(**changes: Any) -> Row:
    """The same minute as the historical tier writes it."""
    row: Row = {
        "end_period_ts": END,
        "open_interest": "141.81",
        "price": {
            "close": "0.4100",
            "high": "0.5500",
            "low": "0.2800",
            "mean": "0.4426",
            "open": "0.5500",
            "previous": None,
        },
        "volume": "163.98",
        "yes_ask": {"close": "0.4100"},
        "yes_bid": {"close": "0.4000"},
    }
    return changed(row, changes)


def changed(row: Row, changes: Row) -> Row:
    price = {name.removeprefix("price_"): value for name, value in changes.items() if name.startswith("price_")}
    row["price"] = {name: value for name, value in (row["price"] | price).items() if value is not MISSING}
    row |= {name: value for name, value in changes.items() if not name.startswith("price_")}
    return {name: value for name, value in row.items() if value is not MISSING}


TRADED = MinuteCandle((END - 60) * 1_000_000, 550_000, 550_000, 280_000, 410_000, 442_600, 16_398)
QUIET = MinuteCandle((END - 60) * 1_000_000, None, None, None, None, None, 0)
NO_PRICE = dict.fromkeys(("close", "high", "low", "mean", "open", "previous"))


def parsed(*rows: Any, first: int = END, last: int = END) -> list[MinuteCandle]:
    return candles({"ticker": TICKER, "candlesticks": list(rows)}, TICKER, first, last)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (live(), TRADED),
        (historical(), TRADED),
        (live(price_previous_dollars="0.3000", brand_new=[1]), TRADED),
        (live(price_close_dollars="0.410000", volume_fp="163.980"[:-1]), TRADED),
        (live(price_low_dollars="0.000001"), TRADED._replace(low=1)),
        (live(volume_fp="0.00", price={"previous_dollars": "0.3000"}), QUIET),
        (live(volume_fp="0.00", price={}), QUIET),
        (live(volume_fp="0.00", price=MISSING), QUIET),
        (live(volume_fp="0.00", price=None), QUIET),
        (historical(volume="0.00", price=NO_PRICE), QUIET),
        (historical(volume="0", price=NO_PRICE | {"previous": "0.3000"}), QUIET),
        (historical(volume_fp=None), TRADED),
    ],
)
def test_what_is_fine(row: Row, expected: MinuteCandle) -> None:
    assert parsed(row) == [expected]


NO_NUMBER: tuple[Any, ...] = ("", "abc", 0.41, 41, True, [], {}, "-0.1", "1e-1", "NaN", " 0.4", "\uff10.4")
NO_OBJECT: tuple[Any, ...] = (5, "x", [], True)
NO_END: tuple[Any, ...] = (None, MISSING, "1782918000", 1.5, True, END + 1, -1, [], {})
PRICES = ("open", "high", "low", "close", "mean")
BROKEN: list[tuple[Any, str, Any]] = [
    *((live, "end_period_ts", value) for value in NO_END),
    *((live, "volume_fp", value) for value in (*NO_NUMBER, "1.001", None, MISSING)),
    *((historical, "volume", value) for value in (*NO_NUMBER, "1.001", None, MISSING)),
    *((live, "price", value) for value in NO_OBJECT),
    *((live, f"price_{name}_dollars", value) for name in PRICES for value in (*NO_NUMBER, "1.01", None, MISSING)),
    *((historical, f"price_{name}", value) for name in PRICES for value in (*NO_NUMBER, "1.01", None, MISSING)),
]


@pytest.mark.parametrize(
    ("made", "field", "value"),
    BROKEN,
    ids=lambda part: "missing" if part is MISSING else getattr(part, "__name__", repr(part)),
)
def test_a_broken_field_is_refused_by_name(made: Any, field: str, value: Any) -> None:
    with pytest.raises(BadPayload) as refused:
        parsed(made(end_period_ts=END - 60), made(**{field: value}), first=END - 60)
    assert f"{TICKER}: candle 2 " in str(refused.value)
    assert field.removeprefix("price_") in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", PRICES)
def test_a_price_without_trades(name: str) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*price: {name}.*without any trade"):
        parsed(historical(volume="0.00", price=NO_PRICE | {name: "0.4100"}))
    with pytest.raises(BadPayload, match=f"{TICKER}.*price: {name}_dollars.*without any trade"):
        parsed(live(volume_fp="0.00", price={f"{name}_dollars": "0.4100"}))


@pytest.mark.parametrize("row", [None, "row", [], 5, True, [live()]])
def test_a_row_that_is_no_object(row: Any) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}: candle 1 .*not an object"):
        parsed(row)


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, {"ticker": TICKER}, {"ticker": TICKER, "candlesticks": {}}])
def test_an_answer_without_its_list(body: Any) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*no list candlesticks"):
        candles(body, TICKER, END, END)


@pytest.mark.parametrize("ticker", [None, "", "KXHIGHNY-26JUL02-T98", 5, [TICKER]])
def test_an_answer_about_another_market(ticker: Any) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*another market"):
        candles({"ticker": ticker, "candlesticks": []}, TICKER, END, END)


def test_a_row_outside_the_window() -> None:
    inside = [live(end_period_ts=END + 60 * number) for number in range(3)]
    assert len(parsed(*inside, last=END + 120)) == 3
    for end in (END - 60, END + 180):
        with pytest.raises(BadPayload, match=f"{TICKER}: candle 4 .*end_period_ts {end} lies outside"):
            parsed(*inside, live(end_period_ts=end), last=END + 120)


def test_order_and_repetition_are_irrelevant() -> None:
    later = live(end_period_ts=END + 60)
    assert parsed(later, live(), later, historical(), last=END + 60) == parsed(live(), later, last=END + 60)
    with pytest.raises(BadPayload, match=f"{TICKER}: candle 2 .*{END} comes twice"):
        parsed(live(), live(volume_fp="163.99"))


def read_or_refused(body: Any) -> list[MinuteCandle] | str:
    """The candles of an answer, or what `BadPayload` says of it."""
    try:
        return candles(body, TICKER, END, END + 240)
    except BadPayload as refused:
        return str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.sampled_from([live, historical]), min_size=1, max_size=4).map(
    lambda made: [one(end_period_ts=END + 60 * number) for number, one in enumerate(made)]
)


@settings(max_examples=500)
@given(
    ROWS,
    st.integers(0),
    st.sampled_from(sorted({*live(), *historical(), *live()["price"], *historical()["price"]})),
    JSON,
)
def test_random_damage_is_refused_or_changes_only_that_row(rows: list[Row], place: int, field: str, value: Any) -> None:
    damaged = copy.deepcopy(rows)
    place %= len(rows)
    target = damaged[place] if field in damaged[place] else damaged[place]["price"]
    target[field] = value
    found = read_or_refused({"ticker": TICKER, "candlesticks": damaged})
    if isinstance(found, str):
        assert TICKER in found
        return
    whole = parsed(*rows, last=END + 240)
    assert len(found) == len(whole)
    for number, (one, other) in enumerate(zip(found, whole, strict=True)):
        assert number == place or one == other
        prices = one[1:-1]
        assert all(price is not None and 0 <= price <= 1_000_000 for price in prices) or (
            not one.volume and set(prices) == {None}
        )


@settings(max_examples=300)
@given(ROWS, st.integers(0), st.binary(min_size=1, max_size=2))
def test_a_flipped_byte_is_refused_or_changes_a_legal_value(rows: list[Row], place: int, bytes_: bytes) -> None:
    body = orjson.dumps({"ticker": TICKER, "candlesticks": rows})
    place %= len(body)
    try:
        damaged = orjson.loads(body[:place] + bytes_ + body[place + len(bytes_) :])
    except orjson.JSONDecodeError:
        return
    found = read_or_refused(damaged)
    if isinstance(found, str):
        assert TICKER in found
        return
    assert len(found) <= len(rows)


@recorded.needs_recorded
def test_todays_own_bodies() -> None:
    assert recorded.RECORDED is not None
    read = {}
    for path in sorted((recorded.RECORDED / "wire-2026").glob("candle*.json")):
        body = orjson.loads(path.read_bytes())
        ends = [row["end_period_ts"] for row in body["candlesticks"]]
        found = candles(body, body["ticker"], min(ends), max(ends))
        assert [each.start_us for each in found] == [(end - 60) * 1_000_000 for end in ends]
        read[path.stem] = found
    assert read["candles_historical_modern"] == [TRADED]
    assert [each.volume for each in read["candles_historical_legacy"]] == [0]
    assert read["candles_live_modern"][0][1:] == (20_000, 20_000, 10_000, 10_000, 10_300, 152_400)
    minutes = read["candlesticks_live_1m_subset"]
    assert [bool(each.volume) for each in minutes] == [True] * 8 + [False]
    assert minutes[7][1:] == (2_000, 3_000, 1_000, 1_000, 1_400, 33_416_016)


def test_one_row_alone_names_what_it_is_told() -> None:
    with pytest.raises(BadPayload, match=r"^this one has no volume_fp and no volume"):
        candle(live(volume_fp=None), "this one")
    with pytest.raises(BadPayload, match=r"^this one: end_period_ts is False"):
        candle(live(end_period_ts=False), "this one")
