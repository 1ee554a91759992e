"""Series, events, markets and the cutoff: today's wire, the recorded years, and one broken field at a time."""

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.model import Cutoff, Tier
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange import parse_markets as parse
from tests.support import recorded

Row = dict[str, Any]
MISSING = object()

MARKET: Row = {
    "close_time": "2026-09-06T08:00:00Z",
    "event_ticker": "KXHIGHLAX-26SEP05",
    "expiration_value": "",
    "floor_strike": 80,
    "last_price_dollars": "0.4100",
    "open_interest_fp": "2573.93",
    "open_time": "2026-09-04T14:00:00Z",
    "result": "",
    "rules_primary": "If …",
    "status": "active",
    "strike_type": "greater",
    "ticker": "KXHIGHLAX-26SEP05-T80",
    "title": "Will it?",
    "volume_fp": "2843.05",
    "yes_sub_title": "81° or above",
}
EVENT: Row = {
    "event_ticker": "KXHIGHLAX-26SEP05",
    "series_ticker": "KXHIGHLAX",
    "title": "Highest temperature in Los Angeles on Sep 5, 2026?",
    "markets": [MARKET],
}
SERIES: Row = {
    "ticker": "KXHIGHLAX",
    "title": "Highest temperature in Los Angeles",
    "category": "Climate and Weather",
    "frequency": "daily",
    "settlement_sources": [{"name": "The Weather Company", "url": "https://weather.com/kalshi"}],
}
NOW = datetime(2026, 9, 10, tzinfo=UTC)
CUTOFF: Row = {"market_settled_ts": "2026-07-04T00:00:00Z", "trades_created_ts": "2026-07-05T00:00:00Z"}


def changed(row: Row, **changes: Any) -> Row:
    return {field: value for field, value in (row | changes).items() if value is not MISSING}


def wire(name: str) -> Any:
    assert isinstance(recorded.RECORDED, Path)
    return orjson.loads((recorded.RECORDED / "wire-2026" / name).read_bytes())


def test_a_market() -> None:
    market = parse.market(MARKET)
    assert market.event_date == date(2026, 9, 5)
    assert (market.status, market.api_status) == ("open", "active")
    assert (market.strike_type, market.floor_strike, market.cap_strike) == ("greater", Decimal(80), None)
    assert (market.open_time, market.close_time) == (
        datetime(2026, 9, 4, 14, tzinfo=UTC),
        datetime(2026, 9, 6, 8, tzinfo=UTC),
    )
    assert (market.volume, market.open_interest, market.last_price) == (284305, Decimal("2573.93"), Decimal("0.41"))
    unsaid = (market.result, market.settled_at, market.settlement_value, market.expiration_value)
    assert unsaid == (None, None, None, None)
    assert market.subtitle == "81° or above"
    assert orjson.loads(market.raw) == MARKET


def test_the_historical_tier_states_no_open_interest() -> None:
    assert parse.market(changed(MARKET, open_interest_fp="0.00"), Tier.HISTORICAL).open_interest is None
    assert parse.market(changed(MARKET, open_interest_fp="0.00"), Tier.LIVE).open_interest == 0


def test_a_settled_market() -> None:
    market = parse.market(
        changed(
            MARKET,
            status="finalized",
            result="scalar",
            settlement_ts="2026-09-06T15:31:07.5Z",
            settlement_value_dollars="0.333333",
            expiration_value="84. Although …",
            floor_strike=-0.5,
            cap_strike=1.25,
        )
    )
    assert market.status == "settled"
    assert market.settled_at == datetime(2026, 9, 6, 15, 31, 7, 500_000, tzinfo=UTC)
    assert market.settlement_value == Decimal("0.333333")
    assert (market.result, market.expiration_value) == ("scalar", "84. Although …")
    assert (market.floor_strike, market.cap_strike) == (Decimal("-0.5"), Decimal("1.25"))


WORDS = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}


@pytest.mark.parametrize(("word", "status"), [(word, status) for status, words in WORDS.items() for word in words])
def test_each_status_word(word: str, status: str) -> None:
    assert parse.market(changed(MARKET, status=word)).status == status


OPTIONAL = (
    *("title", "yes_sub_title", "strike_type", "floor_strike", "last_price_dollars", "open_interest_fp"),
    *("volume_fp", "result", "expiration_value", "rules_primary"),
)


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_and_missing_say_the_same_and_never_zero(field: str) -> None:
    missing, null = parse.market(changed(MARKET, **{field: MISSING})), parse.market(changed(MARKET, **{field: None}))
    names = [name for name in missing.__slots__ if name != "raw"]
    assert [getattr(missing, name) for name in names] == [getattr(null, name) for name in names]
    assert field != "volume_fp" or missing.volume is None


NO_TEXT: tuple[Any, ...] = (5, 1.5, True, [], {}, ["x"])
NO_TIME: tuple[Any, ...] = ("", "soon", 5, True, [], {}, "2026-09-04T14:00:00", "2026-09-04T14:00:00+00:00")
NO_TIME += ("2026-09-04T14:00:00.1234567890Z",)
NO_PRICE: tuple[Any, ...] = ("", "1.01", "-0.1", 0.5, 41, True, [], {}, "0.1234567", "NaN")
NO_COUNT: tuple[Any, ...] = ("", "-1", 5, 5.5, True, [], {}, "1e2", "1.234")
NO_NUMBER: tuple[Any, ...] = ("", "x", True, [], {}, [80], "NaN", "Infinity", float("inf"), float("nan"))

LONG = "x" * 100_000
NO_TICKER: tuple[Any, ...] = (
    "../../../etc/passwd",
    " ",
    "\x1b[2J",
    "\u202eKXHIGHLAX",
    "a,b",
    "KXHIGHMIA-26SEP05-T80",
    LONG,
)
IMPOSSIBLE_TIME = tuple(
    f"{year}T00:00:00Z" for year in ("0001-01-01", "1970-01-01", "2020-12-31", "2099-01-01", "9999-12-31")
)
NO_STRIKE: tuple[Any, ...] = (1e308, -1e308, 5e-324, 1e13, 0.0000001, "9" * 10_000, "0." + "0" * 50 + "1")
NO_WORD: tuple[Any, ...] = ("\x1b[2J", "<b>", "Yes!", "a" * 41, LONG)

BROKEN = [
    *(("ticker", value) for value in (*NO_TEXT, None, MISSING, *NO_TICKER)),
    *(("event_ticker", value) for value in (*NO_TEXT, None, MISSING, "", "test_7d2f", "KXHIGHLAX-26SEP31")),
    *((field, value) for field in ("open_time", "close_time", "settlement_ts") for value in IMPOSSIBLE_TIME),
    *((field, value) for field in ("floor_strike", "cap_strike") for value in NO_STRIKE),
    *((field, value) for field in ("strike_type", "result") for value in NO_WORD),
    *((field, "100000000001") for field in ("volume_fp", "open_interest_fp")),
    *((field, LONG) for field in ("title", "yes_sub_title", "expiration_value", "rules_primary", "status")),
    ("no_field_of_ours_but_too_large: an object", LONG * 6),
    *(("status", value) for value in (*NO_TEXT, None, MISSING, "", "settled", "open", "Active")),
    *((field, value) for field in ("open_time", "close_time") for value in (*NO_TIME, None, MISSING)),
    *(("settlement_ts", value) for value in NO_TIME),
    *((field, value) for field in ("last_price_dollars", "settlement_value_dollars") for value in NO_PRICE),
    *((field, value) for field in ("volume_fp", "open_interest_fp") for value in NO_COUNT),
    *((field, value) for field in ("floor_strike", "cap_strike") for value in NO_NUMBER),
    *(
        (field, value)
        for field in ("title", "yes_sub_title", "strike_type", "result", "expiration_value", "rules_primary")
        for value in NO_TEXT
    ),
]


def name(part: object) -> str:
    return "missing" if part is MISSING else repr(part)[:60]


@pytest.mark.parametrize(("field", "value"), BROKEN, ids=name)
def test_a_broken_field_of_a_market_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(BadPayload) as refused:
        parse.market(changed(MARKET, **{field: value}))
    said = str(refused.value)
    assert field.partition(": ")[2] or field in said or (field == "event_ticker" and value in said)
    assert field in ("ticker", "event_ticker") or MARKET["ticker"] in said
    assert len(said) < 400
    assert said.isprintable()


def test_texts_lose_control_characters_and_keep_the_rest() -> None:
    market = parse.market(changed(MARKET, title="\x1b[31m84° or more\u202e", rules_primary="one\r\ntwo\tthree"))
    assert (market.title, market.rules_primary) == ("[31m84° or more", "one\ntwo\tthree")


@pytest.mark.parametrize("field", ["event_ticker", "series_ticker", "title"])
@pytest.mark.parametrize("value", [*NO_TEXT, None, MISSING], ids=name)
def test_a_broken_field_of_an_event_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(BadPayload, match=field):
        parse.event(changed(EVENT, **{field: value}), "KXHIGHLAX")


def test_an_event() -> None:
    event = parse.event(EVENT, "KXHIGHLAX")
    assert (event.ticker, event.series_ticker, event.event_date) == ("KXHIGHLAX-26SEP05", "KXHIGHLAX", date(2026, 9, 5))
    assert orjson.loads(event.raw) == changed(EVENT, markets=MISSING)
    with pytest.raises(BadPayload, match=r"KXHIGHCHI.*KXHIGHLAX"):
        parse.event(EVENT, "KXHIGHCHI")
    with pytest.raises(BadPayload, match="test_"):
        parse.event(changed(EVENT, event_ticker="test_7d2f"), "KXHIGHLAX")


@pytest.mark.parametrize("field", ["ticker", "title", "category", "frequency"])
@pytest.mark.parametrize("value", [*NO_TEXT, None, MISSING], ids=name)
def test_a_broken_field_of_a_series_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(BadPayload, match=f"KXHIGHLAX.*{field}"):
        parse.series(changed(SERIES, **{field: value}), "KXHIGHLAX")


@pytest.mark.parametrize(
    "value", [5, True, "x", {}, {"name": "x"}, ["x"], [5], [{}], [{"name": 5}], [{"name": "x", "url": 5}]]
)
def test_settlement_sources_that_are_none(value: Any) -> None:
    with pytest.raises(BadPayload, match="KXHIGHLAX"):
        parse.series(changed(SERIES, settlement_sources=value), "KXHIGHLAX")


def test_a_series() -> None:
    series = parse.series(SERIES, "KXHIGHLAX")
    assert series.settlement_sources == (("The Weather Company", "https://weather.com/kalshi"),)
    assert orjson.loads(series.raw) == SERIES
    for absent in (None, MISSING):
        assert parse.series(changed(SERIES, settlement_sources=absent), "KXHIGHLAX").settlement_sources is None
    assert parse.series(changed(SERIES, settlement_sources=[]), "KXHIGHLAX").settlement_sources == ()
    with pytest.raises(BadPayload, match=r"KXHIGHCHI.*KXHIGHLAX"):
        parse.series(SERIES, "KXHIGHCHI")


@pytest.mark.parametrize("value", [*NO_TIME, None, MISSING], ids=name)
@pytest.mark.parametrize("field", list(CUTOFF))
def test_a_broken_cutoff(field: str, value: Any) -> None:
    with pytest.raises(BadPayload, match=f"cutoff.*{field}"):
        parse.cutoff(changed(CUTOFF, **{field: value}), NOW)


READERS: list[tuple[Callable[[Any], Any], Row]] = [
    (parse.market, MARKET),
    (lambda row: parse.event(row, "KXHIGHLAX"), EVENT),
    (lambda row: parse.series(row, "KXHIGHLAX"), SERIES),
    (lambda row: parse.cutoff(row, NOW), CUTOFF),
]


@pytest.mark.parametrize("value", IMPOSSIBLE_TIME)
@pytest.mark.parametrize("field", list(CUTOFF))
def test_an_impossible_cutoff(field: str, value: str) -> None:
    with pytest.raises(BadPayload, match=f"cutoff: {field}"):
        parse.cutoff(changed(CUTOFF, **{field: value}), NOW)


@pytest.mark.parametrize("number", range(len(READERS)))
@pytest.mark.parametrize("row", [None, [], "x", 5, True])
def test_what_is_no_object(number: int, row: Any) -> None:
    with pytest.raises(BadPayload, match="not an object"):
        READERS[number][0](row)


def deep(levels: int) -> Any:
    nested: Any = 0
    for _ in range(levels):
        nested = [nested]
    return nested


TEXTS = st.text(max_size=8) | st.sampled_from(("\0", "\\u0000", "a\0\0b", "\\\0", "\\\\u0000", "\ud800"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=500)
@given(st.sampled_from(READERS), st.integers(0), JSON, st.booleans())
@example(READERS[0], 7, deep(300), True)
def test_random_damage_gives_bad_payload_or_a_record(
    reader: tuple[Callable[[Any], Any], Row], place: int, value: Any, as_new_field: bool
) -> None:
    read, row = reader
    damaged = copy.deepcopy(row)
    damaged["brand_new" if as_new_field else sorted(row)[place % len(row)]] = value
    try:
        known = read(damaged)
    except BadPayload:
        return
    if not isinstance(known, Cutoff):
        assert "\0" not in known.raw
        assert "\0" not in known.title
        orjson.loads(known.raw)  # what PostgreSQL would refuse must not get that far
        known.raw.encode()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", "ab"),
        ("\0\0", ""),
        ("a\\u0000b", "a\\u0000b"),
        ("ends in \\\0", "ends in \\"),
        ("\\\\u0000", "\\\\u0000"),
        ("\\\0u0000", "\\u0000"),
    ],
)
def test_raw_loses_the_character_that_postgresql_cannot_hold_and_nothing_else(text: str, kept: str) -> None:
    raw = parse.market(changed(MARKET, no_sub_title=text, nested={"deeper": [text]})).raw
    assert orjson.loads(raw) == changed(MARKET, no_sub_title=kept, nested={"deeper": [kept]})


# Real bodies.


@recorded.needs_recorded
def test_todays_markets() -> None:
    for file, status in (
        ("market_KXHIGHLAX_2026-09-04.1of5.json", "open"),
        ("kxhighny_open_trimmed.json", "open"),
        ("kxhighny_settled_trimmed.json", "settled"),
    ):
        rows = wire(file)["markets"]
        assert rows
        for row in rows:
            market = parse.market(row)
            assert market.status == status
            assert market.volume is not None
            assert Decimal(market.volume) / 100 == Decimal(row["volume_fp"])
            assert market.floor_strike == row.get("floor_strike")
            assert market.cap_strike == row.get("cap_strike")
            assert market.last_price == Decimal(row["last_price_dollars"])
            assert market.subtitle == row["yes_sub_title"]
            assert (market.settled_at is not None) == (status == "settled" and "settlement_ts" in row)
            assert orjson.loads(market.raw) == row


@recorded.needs_recorded
def test_todays_series_and_cutoff() -> None:
    series = parse.series(wire("series_KXHIGHLAX_2026-09-04.json")["series"], "KXHIGHLAX")
    assert (series.category, series.frequency) == ("Climate and Weather", "daily")
    assert series.settlement_sources == (("The Weather Company", "https://weather.com/kalshi"),)
    border = datetime(2026, 7, 4, tzinfo=UTC)
    assert parse.cutoff(wire("historical_cutoff.json"), NOW) == Cutoff(markets=border, trades=border)


@recorded.needs_recorded
def test_every_recorded_event_and_market() -> None:
    statuses: set[str] = set()
    without_strike_type = 0
    for series_ticker, day, body in recorded.events():
        event = parse.event(body["event"], series_ticker)
        assert event.event_date == day
        for row in body["markets"]:
            modern = recorded.modern_market(row)
            market = parse.market(modern)
            statuses.add(market.status)
            without_strike_type += market.strike_type is None
            assert (market.event_ticker, market.event_date) == (event.ticker, day)
            assert market.volume == row["volume"] * 100
            assert market.floor_strike == row.get("floor_strike")
            assert market.cap_strike == row.get("cap_strike")
            assert market.result == (row["result"] or None)
            assert market.expiration_value == (row["expiration_value"] or None)
            assert market.last_price == Decimal(row["last_price"]) / 100
            if row["status"] == "finalized":
                assert market.settlement_value == {"yes": 1, "no": 0}[row["result"]]
            assert orjson.loads(market.raw) == modern
    assert "settled" in statuses
    assert without_strike_type > 0, "the winners of early 2025"
