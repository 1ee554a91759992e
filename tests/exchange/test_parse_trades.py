"""A page of trades: every rule broken once, every recorded trade read exactly, and no damage that escapes."""

import copy
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.model import Trade
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.parse_trades import TradeParser, microseconds, moment
from tests.support import recorded

TICKER = "KXHIGHLAX-26SEP05-T80"

Row = dict[str, Any]
MISSING = object()


def row(**changes: Any) -> Row:
    """A trade as the exchange sends it, with some fields changed or (MISSING) left out."""
    whole: Row = {
        "count_fp": "3.12",
        "created_time": "2026-09-04T20:51:07.84776Z",
        "is_block_trade": False,
        "no_price_dollars": "0.5900",
        "taker_book_side": "bid",
        "taker_outcome_side": "yes",
        "taker_side": "yes",
        "ticker": TICKER,
        "trade_id": "0721d6db-b301-9900-70df-de2c1bc14463",
        "yes_price_dollars": "0.4100",
        **changes,
    }
    return {field: value for field, value in whole.items() if value is not MISSING}


EXPECTED = Trade(
    created_us=1_788_555_067_847_760,
    trade_id=bytes.fromhex("0721d6dbb301990070dfde2c1bc14463"),
    price=410_000,
    size=312,
    side=1,
    is_block=False,
)


def parsed(*rows: Row) -> list[Trade]:
    return TradeParser().page(list(rows), TICKER)


def test_a_trade_of_today() -> None:
    assert parsed(row()) == [EXPECTED]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"brand_new_field": {"nested": [1, None]}}, EXPECTED),
        ({"taker_side": MISSING, "taker_book_side": MISSING}, EXPECTED),
        ({"taker_outcome_side": MISSING}, EXPECTED),
        ({"taker_outcome_side": None, "taker_side": "no"}, EXPECTED._replace(side=-1)),
        ({"taker_outcome_side": "no", "taker_side": "yes"}, EXPECTED._replace(side=-1)),
        ({"is_block_trade": True}, EXPECTED._replace(is_block=True)),
        ({"yes_price_dollars": "0", "no_price_dollars": "1"}, EXPECTED._replace(price=0)),
        ({"yes_price_dollars": "1.000000", "no_price_dollars": "0.0"}, EXPECTED._replace(price=1_000_000)),
        ({"yes_price_dollars": "0.000001", "no_price_dollars": "0.999999"}, EXPECTED._replace(price=1)),
        ({"count_fp": "0.01"}, EXPECTED._replace(size=1)),
        ({"count_fp": "7"}, EXPECTED._replace(size=700)),
        ({"count_fp": "7.5"}, EXPECTED._replace(size=750)),
        ({"count_fp": "100000000.00"}, EXPECTED._replace(size=10_000_000_000)),
        ({"created_time": "2026-09-04T20:51:07Z"}, EXPECTED._replace(created_us=1_788_555_067_000_000)),
        ({"created_time": "2026-09-04T20:51:07.000001Z"}, EXPECTED._replace(created_us=1_788_555_067_000_001)),
        ({"created_time": "2026-09-04T20:51:07.000001999Z"}, EXPECTED._replace(created_us=1_788_555_067_000_001)),
        ({"created_time": "2026-09-04T20:51:59.999999999Z"}, EXPECTED._replace(created_us=1_788_555_119_999_999)),
    ],
)
def test_what_is_fine(changes: Row, expected: Trade) -> None:
    assert parsed(row(**changes)) == [expected]


NO_PRICE: tuple[Any, ...] = (
    None,
    MISSING,
    0.41,
    41,
    True,
    "",
    "abc",
    "41c",
    "-0.01",
    "+0.41",
    "1.01",
    "1.000001",
    "0.4100000",
    ".41",
)
NO_PRICE += (
    "0.",
    "1e-1",
    "4.1E-1",
    "NaN",
    "Infinity",
    " 0.41",
    "0.41\n",
    "0,41",
    "\uff10.\uff14\uff11",
    "0x1",
    [],
    {},
    ["0.41"],
)
NO_COUNT: tuple[Any, ...] = (
    None,
    MISSING,
    3,
    3.12,
    False,
    "",
    "0",
    "0.00",
    "-1",
    "-3.12",
    "+3",
    "3.120",
    "3.123",
    "1e2",
    "1E2",
    "1e-2",
)
NO_COUNT += ("NaN", "inf", " 3", "3 ", "3.", ".5", "1_000", "1,000", "\u0663", "1000000000000.00", [], {}, ["3"])
NO_ID: tuple[Any, ...] = (
    None,
    MISSING,
    7,
    "",
    "0721d6db",
    "not-a-uuid",
    "0721d6db-b301-9900-70df-de2c1bc1446",
    True,
    [],
    {},
)
NO_ID += (
    "0721d6db-b301-9900-70df-de2c1bc144630",
    "0721d6db-b301-9900-70df-de2c1bc1446g",
    "0721d6dbb301990070dfde2c1bc14463",
    "0721d6dbb301-9900-70df-de2c1bc14463-",
    "{0721d6db-b301-9900-70df-de2c1bc14463}",
    " 0721d6db-b301-9900-70df-de2c1bc14463",
    "0721d6db-b301-9900-70df-de2c1bc1 463",
    "0721d6db-b301-9900-70df-de2c1bc1\uff14\uff1463",
)
NO_TIME: tuple[Any, ...] = (
    None,
    MISSING,
    1_788_555_067,
    1.5,
    True,
    "",
    "yesterday",
    "2026-09-04",
    [],
    {},
    ["2026-09-04T20:51:07Z"],
)
NO_TIME += (
    "2026-09-04T20:51:07.1234567890Z",
    "2026-09-04T20:51:07",
    "2026-09-04T20:51:07.84776",
    "2026-09-04T20:51:07+00:00",
    "2026-09-04T20:51:07.84+00:00",
    "2026-09-04T20:51:07-04:00",
    "2026-09-04T20:51:07z",
    "2026-09-04 20:51:07Z",
    "2026-09-04t20:51:07Z",
    "2026-09-04T20:51:07,123Z",
    "2026-09-04T20:51:07.Z",
    "2026-W36-5T20:51:07Z",
    "20260904T205107.1234567890Z",
    "20260904T205107.123Z",
    "2026-09-04T20:51:60Z",
    "2026-09-04T24:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "\uff12026-09-04T20:51:07Z",
    "2026-09-04T20:51:07.\uff11Z",
    "2026-09-04T20:51:07 Z",
)
NO_FLAG: tuple[Any, ...] = (None, MISSING, 0, 1, "false", "", [], {})
NO_SIDE: tuple[Any, ...] = ("", "Yes", "up", 1, True, ["yes"], {"yes": 1})
FOREIGN: tuple[Any, ...] = (None, MISSING, "", "KXHIGHLAX-26SEP05-T81", 5, [TICKER], "kxhighlax-26sep05-t80")

BROKEN = [
    *(("yes_price_dollars", value) for value in NO_PRICE),
    *(("no_price_dollars", value) for value in NO_PRICE),
    *(("count_fp", value) for value in NO_COUNT),
    *(("trade_id", value) for value in NO_ID),
    *(("created_time", value) for value in NO_TIME),
    *(("is_block_trade", value) for value in NO_FLAG),
    *(("ticker", value) for value in FOREIGN),
]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("field", "value"), BROKEN, ids=lambda part: "missing" if part is MISSING else repr(part))
def test_a_broken_field_is_refused_by_name(field: str, value: Any, place: int) -> None:
    good = [row(trade_id=str(uuid.UUID(int=number))) for number in range(2)]
    with pytest.raises(BadPayload) as refused:
        parsed(*good[:place], row(**{field: value}), *good[place:])
    assert TICKER in str(refused.value)
    assert field in str(refused.value)
    assert f"trade {place + 1} " in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("side", NO_SIDE, ids=repr)
@pytest.mark.parametrize("fields", [("taker_outcome_side",), ("taker_side",), ("taker_outcome_side", "taker_side")])
def test_a_side_that_is_neither_yes_nor_no(side: Any, fields: tuple[str, ...]) -> None:
    both: Row = {"taker_outcome_side": MISSING, "taker_side": MISSING}
    with pytest.raises(BadPayload, match=f"{TICKER}.*taker_outcome_side"):
        parsed(row(**(both | dict.fromkeys(fields, side))))


def test_no_side_at_all() -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*taker_outcome_side"):
        parsed(row(taker_outcome_side=MISSING, taker_side=MISSING))
    with pytest.raises(BadPayload, match=f"{TICKER}.*taker_outcome_side"):
        parsed(row(taker_outcome_side=None, taker_side=None))


@pytest.mark.parametrize("no", ["0.5800", "0.6000", "0.590001", "0.589999", "0.4100", "1"])
def test_yes_and_no_that_do_not_add_up_to_one(no: str) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*yes_price_dollars 0.4100.*no_price_dollars {no}"):
        parsed(row(no_price_dollars=no))


@pytest.mark.parametrize("rows", [[None], ["row"], [[]], [5], [True], [[row()]]])
def test_a_row_that_is_no_object(rows: list[Any]) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}: trade 1 .*not an object"):
        TradeParser().page(rows, TICKER)


@pytest.mark.parametrize(
    "changes",
    [
        {"count_fp": "3.13"},
        {"created_time": "2026-09-04T20:51:07.84777Z"},
        {"taker_outcome_side": "no"},
        {"is_block_trade": True},
        {"yes_price_dollars": "0.4200", "no_price_dollars": "0.5800"},
    ],
)
def test_one_id_with_two_values(changes: Row) -> None:
    other = row(trade_id="ffffffff-b301-9900-70df-de2c1bc14463")
    with pytest.raises(BadPayload, match=f"{TICKER}.*0721d6dbb301990070dfde2c1bc14463.*twice"):
        parsed(row(), other, row(**changes))


def test_the_same_row_twice_counts_once() -> None:
    other = row(trade_id="00000000-b301-9900-70df-de2c1bc14463")
    twice = parsed(row(), other, row(), row())
    assert twice == parsed(other, row())
    assert twice == sorted(twice)
    # The same value may be spelt in two ways.
    assert parsed(row(), row(count_fp="3.12", yes_price_dollars="0.41", no_price_dollars="0.59")) == [EXPECTED]
    assert parsed(row(), row(trade_id=row()["trade_id"].upper())) == [EXPECTED]


def test_an_empty_page() -> None:
    assert parsed() == []


def test_a_bad_page_teaches_the_parser_nothing_wrong() -> None:
    parser = TradeParser()
    for field, value in BROKEN:
        with pytest.raises(BadPayload):
            parser.page([row(**{field: value})], TICKER)
    assert parser.page([row()], TICKER) == [EXPECTED]
    with pytest.raises(BadPayload, match="count_fp"):
        parser.page([row(count_fp="0.00")], TICKER)


PAGES = st.lists(
    st.builds(
        lambda number, cents, size, side, micros: row(
            trade_id=str(uuid.UUID(int=number)),
            yes_price_dollars=f"0.{cents:04d}",
            no_price_dollars=f"{1 - Decimal(f'0.{cents:04d}')}",
            count_fp=f"{Decimal(size) / 100:.2f}",
            taker_outcome_side=side,
            created_time=f"2026-09-04T20:51:07.{micros:06d}".rstrip("0").rstrip(".") + "Z",
        ),
        st.integers(0, 2**128 - 1),
        st.integers(0, 9999),
        st.integers(1, 10**6),
        st.sampled_from(("yes", "no")),
        st.integers(0, 999_999),
    ),
    max_size=12,
    unique_by=lambda one: one["trade_id"],
)


def plainly(one: Row) -> Trade:
    """A row read the slow way."""
    head, _, tail = one["created_time"].removesuffix("Z").partition(".")
    second = datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return Trade(
        int(second.timestamp()) * 10**6 + int(tail.ljust(6, "0") or 0),
        uuid.UUID(one["trade_id"]).bytes,
        int(Decimal(one["yes_price_dollars"]) * 10**6),
        int(Decimal(one["count_fp"]) * 100),
        1 if one["taker_outcome_side"] == "yes" else -1,
        one["is_block_trade"],
    )


@given(PAGES, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(rows: list[Row], random: Any) -> None:
    expected = sorted(map(plainly, rows))
    assert parsed(*rows) == expected
    random.shuffle(rows)
    assert parsed(*rows) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read_or_refused(rows: list[Any]) -> list[Trade] | str:
    """The trades of a page, or what `BadPayload` says of it."""
    try:
        return TradeParser().page(rows, TICKER)
    except BadPayload as refused:
        return str(refused)


@settings(max_examples=500)
@given(PAGES.filter(bool), st.integers(0), st.sampled_from(sorted(row())), JSON, st.sampled_from("srdx"))
@example([row()], 0, "created_time", None, "s")
@example([row()], 0, "taker_outcome_side", ["yes"], "s")
def test_random_damage_is_refused_or_read_correctly(
    rows: list[Row], place: int, field: str, value: Any, kind: str
) -> None:
    damaged: list[Any] = copy.deepcopy(rows)
    place %= len(rows)
    if kind == "s":
        damaged[place][field] = value
    elif kind == "r":
        damaged[place] = value
    elif kind == "d":
        del damaged[place][field]
    else:
        damaged[place][str(value)] = value
    trades = read_or_refused(damaged)
    if isinstance(trades, str):
        assert TICKER in trades
        return
    # Only what is in no rule may differ: the two sides that nobody asks while the outcome's side is there.
    assert trades == sorted(map(plainly, [one | {"taker_outcome_side": _side(one)} for one in damaged]))


def _side(one: Row) -> Any:
    return one.get("taker_outcome_side") or one["taker_side"]


@settings(max_examples=300)
@given(PAGES.filter(bool), st.integers(0), st.binary(min_size=1, max_size=2))
def test_a_flipped_byte_is_refused_or_changes_a_legal_value(rows: list[Row], place: int, bytes_: bytes) -> None:
    body = orjson.dumps(rows)
    place %= len(body)
    try:
        damaged = orjson.loads(body[:place] + bytes_ + body[place + len(bytes_) :])
    except orjson.JSONDecodeError:
        return
    if not isinstance(damaged, list):
        return
    trades = read_or_refused(damaged)
    if isinstance(trades, str):
        assert TICKER in trades
        return
    assert len(trades) <= len(rows)
    assert all(0 <= trade.price <= 1_000_000 and trade.size > 0 and len(trade.trade_id) == 16 for trade in trades)


RFC3339 = st.from_regex(r"\A\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,10})?Z?\Z")


@given(st.datetimes(), st.integers(0, 6))
def test_a_time_is_read_to_the_microsecond(when: datetime, digits: int) -> None:
    when -= timedelta(microseconds=when.microsecond % 10 ** (6 - digits))
    text = when.isoformat(timespec="microseconds")[: 20 + digits].rstrip(".") + "Z"
    assert moment(text) == when.replace(tzinfo=UTC)
    assert microseconds(text) == (when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


@given(RFC3339)
def test_a_time_is_read_to_the_microsecond_or_refused(text: str) -> None:
    try:
        read = moment(text)
    except BadPayload:
        return
    assert read.isoformat(timespec="microseconds")[:26] == text[:-1].ljust(20, ".").ljust(26, "0")[:26]


@recorded.needs_recorded
def test_every_recorded_trade_is_read_once_and_exactly() -> None:
    total = 0
    for _, _, markets in recorded.trades():
        for ticker, rows in markets.items():
            parser = TradeParser()
            read: dict[bytes, Trade] = {}
            for start in range(0, len(rows), 1000):
                page = parser.page([recorded.modern_trade(one) for one in rows[start : start + 1000]], ticker)
                assert all(one < other for one, other in pairwise(page))
                read |= {trade.trade_id: trade for trade in page}
            assert len(read) == len(rows)
            for one in rows:
                trade = read[uuid.UUID(one["trade_id"]).bytes]
                head, _, tail = one["created_time"].removesuffix("Z").partition(".")
                assert trade.created_us % 10**6 == int(tail.ljust(6, "0") or 0)
                assert trade.created_us // 10**6 == int(datetime.fromisoformat(head + "+00:00").timestamp())
                assert trade.price == one["yes_price"] * 10_000
                assert trade.size == one["count"] * 100
                assert trade.side == {"yes": 1, "no": -1}[one["taker_side"]]
                assert trade.is_block is False
            total += len(rows)
    assert total > 20_000


@recorded.needs_recorded
def test_todays_own_bodies() -> None:
    assert recorded.RECORDED is not None
    body = orjson.loads((recorded.RECORDED / f"wire-2026/trades_{TICKER}_2026-09-04.json").read_bytes())
    trades = TradeParser().page(body["trades"], TICKER)
    assert trades[-1] == EXPECTED
    assert [trade.size for trade in trades] == [1171, 156, 312]


@pytest.mark.parametrize("side", ["", 0, False, [], {}])
def test_a_side_of_nothing_does_not_yield_to_the_older_field(side: object) -> None:
    with pytest.raises(BadPayload, match=f"{TICKER}.*taker_outcome_side"):
        parsed(row(taker_outcome_side=side, taker_side="no"))
