"""The answers carry at least the keys of recorded ones. The key sets are copied by hand from the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_simulator import Simulator
from tests.simulator.support import Api, Row, served, small_world

_SERIES_TEXT = (
    "additional_prohibitions category contract_terms_url contract_url exchange_index fee_multiplier fee_type"
    " frequency last_updated_ts product_metadata settlement_sources tags ticker title"
)
SERIES = set(_SERIES_TEXT.split())
_MARKET_TEXT = (
    "can_close_early close_time created_time early_close_condition event_ticker exchange_index"
    " expected_expiration_time expiration_time expiration_value last_price_dollars latest_expiration_time"
    " liquidity_dollars market_type no_ask_dollars no_bid_dollars no_sub_title notional_value_dollars"
    " occurrence_datetime open_interest_fp open_time previous_price_dollars previous_yes_ask_dollars"
    " previous_yes_bid_dollars price_level_structure price_ranges result rules_primary rules_secondary"
    " settlement_timer_seconds status strike_type ticker title updated_time volume_24h_fp volume_fp"
    " yes_ask_dollars yes_ask_size_fp yes_bid_dollars yes_bid_size_fp yes_sub_title"
)
MARKET = set(_MARKET_TEXT.split())
SETTLED = {"settlement_ts", "settlement_value_dollars"}
_EVENT_TEXT = (
    "event_ticker series_ticker sub_title title collateral_return_type mutually_exclusive category strike_date"
    " settlement_sources product_metadata last_updated_ts exchange_index"
)
EVENT = set(_EVENT_TEXT.split())
_TRADE_TEXT = (
    "count_fp created_time is_block_trade no_price_dollars taker_book_side taker_outcome_side taker_side"
    " ticker trade_id yes_price_dollars"
)
TRADE = set(_TRADE_TEXT.split())
CUTOFF_KEYS = {"market_positions_last_updated_ts", "market_settled_ts", "orders_updated_ts", "trades_created_ts"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """September 2026, when the answers were recorded."""
    now = datetime(2026, 9, 4, 21, tzinfo=UTC)
    world = small_world(start=date(2026, 7, 1), end=date(2026, 9, 5), now=now, cutoff=datetime(2026, 7, 10, tzinfo=UTC))
    async with served(Simulator(world)) as api:
        yield api


def sorted_deep(value: object) -> bool:
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(sorted_deep(inner) for inner in value.values())
    return not isinstance(value, list) or all(sorted_deep(inner) for inner in value)


def has_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(has_null(inner) for inner in value.values())
    return value is None or (isinstance(value, list) and any(has_null(inner) for inner in value))


async def test_series(api: Api) -> None:
    row = (await api.get("/series/KXHIGHLAX"))["series"]
    assert row.keys() >= SERIES | {"categories"}
    assert row["settlement_sources"][0].keys() == {"name", "url"}


async def test_open_market(api: Api) -> None:
    rows: list[Row] = (await api.get("/markets", status="open", series_ticker="KXHIGHLAX"))["markets"]
    newest = [row for row in rows if row["event_ticker"] == "KXHIGHLAX-26SEP05"]
    assert len(newest) in (5, 6)
    for row in newest:
        assert row.keys() >= MARKET
        assert not row.keys() & SETTLED
        assert ("floor_strike" in row) == (row["strike_type"] != "less")
        assert ("cap_strike" in row) == (row["strike_type"] != "greater")
        assert row["no_sub_title"] == row["yes_sub_title"]
        assert row["expiration_value"] == row["result"] == ""
        assert row["close_time"] == "2026-09-06T08:00:00Z"
        assert row["open_time"] == "2026-09-04T14:00:00Z"
        assert row["occurrence_datetime"] == "2026-09-06T14:00:00Z"
        assert row["expected_expiration_time"] == "2026-09-06T19:00:00Z"
        assert row["latest_expiration_time"] == "2026-09-12T14:00:00Z"
        assert "The Weather Company" in row["rules_primary"]
        assert row["title"].startswith("Will the maximum temperature be ")


async def test_settled_market(api: Api) -> None:
    rows = (await api.get("/markets", status="settled", series_ticker="KXHIGHCHI", limit=300))["markets"]
    july = [row for row in rows if "26JUL2" in row["ticker"]]
    assert july
    for row in july:
        assert row.keys() >= MARKET | SETTLED | {"subtitle"}
        assert [row[name] for name in ("yes_bid_dollars", "yes_ask_dollars")] == ["0.0000", "1.0000"]
        assert [row[name] for name in ("no_bid_dollars", "no_ask_dollars")] == ["0.0000", "1.0000"]
        assert "National Weather Service" in row["rules_primary"]
        assert "\n" in row["early_close_condition"]


async def test_event(api: Api) -> None:
    row = (await api.get("/events/KXHIGHLAX-26SEP05"))["event"]
    assert row.keys() >= EVENT
    assert row["title"] == "Highest temperature in Los Angeles on Sep 5, 2026?"
    assert row["sub_title"] == "On Sep 5, 2026"
    assert row["strike_date"] == "2026-09-06T08:00:00Z"
    assert row["collateral_return_type"] == "MECNET"


async def test_trades(api: Api) -> None:
    for row in (await api.get("/markets/trades", limit=200))["trades"]:
        assert row.keys() == TRADE


async def test_cutoff(api: Api) -> None:
    body = await api.get("/historical/cutoff")
    assert body == dict.fromkeys(CUTOFF_KEYS, "2026-07-10T00:00:00Z")


async def test_since_september_2026_orders_have_a_cutoff_of_their_own() -> None:
    world = small_world(now=datetime(2026, 9, 30, 15, tzinfo=UTC), cutoff=datetime(2026, 8, 1, tzinfo=UTC))
    async with served(Simulator(world)) as api:
        body = await api.get("/historical/cutoff")
    assert body == dict.fromkeys(CUTOFF_KEYS, "2026-08-01T00:00:00Z") | {"orders_updated_ts": "2026-09-16T00:00:00Z"}


async def test_candles_of_both_tiers(api: Api) -> None:
    names = {"open", "high", "low", "close"}
    live = (await api.get("/markets", status="settled", series_ticker="KXHIGHCHI", limit=60))["markets"]
    old = (await api.get("/historical/markets", series_ticker="KXHIGHCHI", limit=60))["markets"]
    for rows, tier in ((live, "live"), (old, "historical")):
        ticker = max(rows, key=lambda row: float(row["volume_fp"]))["ticker"]
        close = datetime.fromisoformat(next(row for row in rows if row["ticker"] == ticker)["close_time"])
        window = {
            "start_ts": int((close - timedelta(hours=50)).timestamp()),
            "end_ts": int((close + timedelta(hours=1)).timestamp()),
            "period_interval": 60,
        }
        path = f"/series/KXHIGHCHI/markets/{ticker}" if tier == "live" else f"/historical/markets/{ticker}"
        body = await api.get(f"{path}/candlesticks", **window)
        assert body.keys() == {"ticker", "candlesticks"}
        assert body["ticker"] == ticker
        assert body["candlesticks"]
        for candle in body["candlesticks"]:
            if tier == "live":
                sides = {f"{name}_dollars" for name in names}
                assert candle.keys() == {
                    "end_period_ts", "open_interest_fp", "price", "volume_fp", "yes_ask", "yes_bid"
                }  # fmt: skip
                assert candle["price"].keys() <= sides | {"mean_dollars", "previous_dollars"}
            else:
                sides = names
                assert candle.keys() == {"end_period_ts", "open_interest", "price", "volume", "yes_ask", "yes_bid"}
                assert candle["price"].keys() == names | {"mean", "previous"}
            assert candle["yes_ask"].keys() == candle["yes_bid"].keys() == sides


@pytest.mark.parametrize(
    "path",
    ["/series", "/events?with_nested_markets=true", "/markets?limit=50", "/markets/trades", "/historical/markets",
     "/exchange/status", "/exchange/schedule", "/historical/cutoff"],
)  # fmt: skip
async def test_keys_are_alphabetical_and_nothing_is_null(api: Api, path: str) -> None:
    body = await api.get(path)
    assert sorted_deep(body)
    assert not has_null(body)
