"""The recorded data's own helpers: other tests trust them."""

from decimal import Decimal

from tests.support import recorded

REQUIRED = """
    ticker event_ticker market_type yes_sub_title no_sub_title created_time updated_time open_time close_time
    latest_expiration_time settlement_timer_seconds status notional_value_dollars yes_bid_dollars yes_ask_dollars
    no_bid_dollars no_ask_dollars yes_bid_size_fp yes_ask_size_fp last_price_dollars previous_yes_bid_dollars
    previous_yes_ask_dollars previous_price_dollars volume_fp volume_24h_fp open_interest_fp result can_close_early
    expiration_value rules_primary rules_secondary price_level_structure price_ranges settlement_bounds_type
"""


@recorded.needs_recorded
def test_every_recorded_market_gets_all_required_fields_and_keeps_its_numbers() -> None:
    rows = [row for _, _, body in recorded.events() for row in body["markets"]]
    assert len(rows) == 288
    for row in rows:
        market = recorded.modern_market(row)
        assert set(REQUIRED.split()) <= set(market)
        assert list(market) == sorted(market)
        assert Decimal(market["volume_fp"]) == row["volume"]
        assert Decimal(market["last_price_dollars"]) * 100 == row["last_price"]
        assert market.get("floor_strike") == row.get("floor_strike")
        if "settlement_value" in row:
            assert Decimal(market["settlement_value_dollars"]) * 100 == row["settlement_value"]


@recorded.needs_recorded
def test_modern_trades_add_up_to_one_dollar() -> None:
    rows = list(recorded.golden_trades())
    assert len(rows) == 2262
    for row in rows:
        trade = recorded.modern_trade(row)
        assert Decimal(trade["yes_price_dollars"]) + Decimal(trade["no_price_dollars"]) == 1
        assert Decimal(trade["count_fp"]) == row["count"]
        assert (trade["taker_outcome_side"] == "yes") == (trade["taker_book_side"] == "bid")


@recorded.needs_recorded
def test_the_folder_holds_what_the_other_tests_expect() -> None:
    assert len(list(recorded.events())) == 48
    assert len(list(recorded.trades())) == 55
    assert len(list(recorded.golden_events())) == 3
    assert sum(1 for _ in recorded.golden_candles()) == 13470
