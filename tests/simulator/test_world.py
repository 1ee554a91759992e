"""Synthetic markets: one seed gives one world, volumes agree with tapes, and the oddities appear."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from kalshi_simulator import SyntheticWorld
from tests.simulator.support import NOW, Row, small_world


def total(trades: list[Row]) -> Decimal:
    return sum((Decimal(trade["count_fp"]) for trade in trades), Decimal(0))


def bytes_of(world: SyntheticWorld) -> bytes:
    tickers = world.market_tickers()
    rows = [world.market(ticker) for ticker in tickers]
    return orjson.dumps([rows, [world.trades(ticker) for ticker in tickers[::25]]])


@pytest.fixture(scope="module")
def years() -> SyntheticWorld:
    """The whole job of the product."""
    return small_world(
        start=date(2024, 1, 1), end=date(2025, 11, 14), now=datetime(2026, 1, 20, tzinfo=UTC), cutoff=None
    )


@pytest.fixture(scope="module")
def rows(years: SyntheticWorld) -> dict[str, Row]:
    return {ticker: years.market(ticker) for ticker in years.market_tickers()}


def test_same_config_same_bytes_and_another_seed_another_world() -> None:
    assert bytes_of(small_world()) == bytes_of(small_world())
    assert bytes_of(small_world()) != bytes_of(small_world(seed=2))


def test_a_longer_world_changes_nothing_in_the_shorter_one() -> None:
    short, long = small_world(), small_world(start=date(2025, 9, 1))
    for ticker in short.market_tickers()[::10]:
        assert short.market(ticker) == long.market(ticker)
        assert short.trades(ticker) == long.trades(ticker)


@pytest.mark.parametrize(("hour", "words"), [(12, {"initialized", "closed"}), (20, {"active", "finalized"})])
def test_volume_is_the_sum_of_the_trades_in_every_state(hour: int, words: set[str]) -> None:
    world = small_world(now=NOW.replace(hour=hour))
    states = set()
    for ticker in world.market_tickers():
        market, trades = world.market(ticker), world.trades(ticker)
        states.add(market["status"])
        assert len(trades) == world.trade_count(ticker)
        surplus = Decimal(market["volume_fp"]) - total(trades)
        assert surplus == (0 if ticker not in world.short_markets else 38)
    assert states >= words


def test_a_large_world_has_a_market_that_stays_short(years: SyntheticWorld, rows: dict[str, Row]) -> None:
    assert 1 <= len(years.short_markets) < 20
    for ticker in years.short_markets:
        assert Decimal(rows[ticker]["volume_fp"]) > total(years.trades(ticker)) > 0
    assert not small_world(oddities=False).short_markets
    assert small_world(start=date(2025, 9, 1)).short_markets


def test_exactly_one_market_of_a_settled_event_wins(years: SyntheticWorld, rows: dict[str, Row]) -> None:
    for event in years.events(None):
        results = [rows[market.ticker]["result"] for market in event.markets]
        assert results.count("yes") == 1 or set(results) <= {"scalar"}


def test_the_settled_temperature_lies_in_the_winning_bin(rows: dict[str, Row]) -> None:
    judged = 0
    for row in rows.values():
        if row["result"] not in ("yes", "no") or not row["expiration_value"] or "strike_type" not in row:
            continue
        number = int(row["expiration_value"].partition(".")[0])
        inside = row.get("floor_strike", -999) <= number <= row.get("cap_strike", 999)
        if row["strike_type"] != "between":
            inside = inside and number not in (row.get("floor_strike"), row.get("cap_strike"))
        assert inside == (row["result"] == "yes"), row["ticker"]
        judged += 1
    assert judged > 5_000


def test_full_job_has_about_18500_markets(rows: dict[str, Row]) -> None:
    assert 18_300 < len(rows) < 18_700


def test_first_events_and_the_rename(years: SyntheticWorld) -> None:
    tickers = [event.ticker for event in years.events(None)]
    assert "HIGHCHI-24OCT23" in tickers
    assert "KXHIGHCHI-24OCT24" in tickers
    assert "KXHIGHCHI-24OCT23" not in tickers
    assert {event.series_ticker for event in years.events("KXHIGHCHI")} == {"KXHIGHCHI"}
    for first, before in (("LAX-25JAN05", "LAX-25JAN04"), ("DEN-24NOV20", "DEN-24NOV19")):
        assert f"KXHIGH{first}" in tickers
        assert f"KXHIGH{before}" not in tickers
    assert "HIGHCHI-2-24FEB28" in tickers
    assert sum(ticker.startswith("test_") for ticker in tickers) == 1


def test_negative_strikes_and_five_bin_days(years: SyntheticWorld, rows: dict[str, Row]) -> None:
    negative = [row for row in rows.values() if row.get("floor_strike", 0) < 0]
    assert any("-B-" in row["ticker"] for row in negative)
    assert any("-T-" in ticker for ticker in rows)
    assert 1 <= sum(len(event.markets) == 5 for event in years.events(None)) < 40
    old = small_world(start=date(2023, 12, 25), end=date(2023, 12, 29), cities=("KXHIGHNY", "KXHIGHMIA"))
    bins = {event.ticker: len(event.markets) for event in old.events(None)}
    assert [bins[f"HIGHNY-23DEC{day}"] for day in (25, 26, 27, 28, 29)] == [6, 5, 5, 5, 6]
    assert [bins[f"HIGHMIA-23DEC{day}"] for day in (26, 27)] == [6, 5]


def test_strikes_are_missing_on_winners_of_early_2025(years: SyntheticWorld, rows: dict[str, Row]) -> None:
    for event in years.events(None):
        if not event.markets:
            continue
        day = datetime.strptime(event.ticker[-7:], "%y%b%d").replace(tzinfo=UTC).date()
        inside = date(2025, 1, 16) <= day <= date(2025, 2, 9)
        for market in (rows[entry.ticker] for entry in event.markets):
            bare = not market.keys() & {"strike_type", "floor_strike", "cap_strike"}
            assert bare == (inside and market["result"] == "yes")
            assert (market["subtitle"] == "") == (inside and event.series_ticker == "KXHIGHDEN")


def test_settlement_and_expiration_values_by_era(rows: dict[str, Row]) -> None:
    for ticker, row in rows.items():
        day = datetime.strptime(row["event_ticker"][-7:], "%y%b%d").replace(tzinfo=UTC).date()
        assert ("settlement_value_dollars" in row) == (day >= date(2025, 3, 5)), ticker
        if day < date(2025, 2, 15) and row["result"] == "no":
            assert row["expiration_value"] == ""
        assert row["title"] == ""
    texts = {ticker: row["expiration_value"] for ticker, row in rows.items() if "Although" in row["expiration_value"]}
    assert [ticker[:17] for ticker in texts] == ["KXHIGHMIA-24NOV05"]
    winners = [row for row in rows.values() if row["result"] == "yes"]
    assert 0 < sum(row["expiration_value"] == "" for row in winners) / len(winners) < 0.03
    scalars = [row for row in rows.values() if row["result"] == "scalar"]
    assert scalars
    assert any(row["settlement_value_dollars"] not in ("0.0000", "1.0000") for row in scalars)


@pytest.mark.parametrize(
    ("series", "day", "close"),
    [
        ("KXHIGHCHI", date(2024, 7, 1), "2024-07-02T03:59:00Z"),
        ("KXHIGHCHI", date(2025, 2, 19), "2025-02-20T04:59:00Z"),
        ("KXHIGHCHI", date(2025, 2, 20), "2025-02-21T05:59:00Z"),
        ("KXHIGHDEN", date(2025, 7, 1), "2025-07-02T05:59:00Z"),
        ("KXHIGHNY", date(2026, 7, 12), "2026-07-13T04:59:00Z"),
        ("KXHIGHLAX", date(2026, 9, 5), "2026-09-06T08:00:00Z"),
        ("KXHIGHMIA", date(2026, 9, 5), "2026-09-06T05:00:00Z"),
    ],
)
def test_close_times_by_era(series: str, day: date, close: str) -> None:
    world = small_world(start=day, end=day, cities=(series,), now=datetime(2026, 10, 1, tzinfo=UTC))
    assert {world.market(ticker)["close_time"] for ticker in world.market_tickers()} == {close}


def test_markets_open_at_ten_eastern_in_summer_and_winter() -> None:
    for day, opened in ((date(2025, 7, 2), "2025-07-01T14:00:00Z"), (date(2025, 12, 2), "2025-12-01T15:00:00Z")):
        world = small_world(start=day, end=day, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert {world.market(ticker)["open_time"] for ticker in world.market_tickers()} == {opened}


def test_time_passes_without_changing_the_past() -> None:
    world = small_world(start=date(2025, 11, 13), end=date(2025, 11, 15))
    tickers = world.market_tickers()
    before = {ticker: world.trades(ticker) for ticker in tickers}
    seen: dict[str, set[str]] = {ticker: set() for ticker in tickers}
    for hours in range(0, 60, 2):
        world.now = NOW + timedelta(hours=hours)
        for ticker in tickers:
            seen[ticker].add(world.market(ticker)["status"])
            grown = world.trades(ticker)
            assert not before[ticker] or grown[-len(before[ticker]) :] == before[ticker]
            before[ticker] = grown
    assert any(states >= {"active", "closed", "finalized"} for states in seen.values())
    assert all("finalized" in states for states in seen.values())


def test_an_event_is_determined_for_a_moment_before_it_is_settled() -> None:
    world = small_world(start=date(2025, 11, 13), end=date(2025, 11, 13), now=datetime(2025, 12, 1, tzinfo=UTC))
    ticker = world.market_tickers()[0]
    settled = datetime.fromisoformat(world.market(ticker)["settlement_ts"])
    world.now = settled - timedelta(seconds=60)
    row: dict[str, Any] = world.market(ticker)
    assert row["status"] == "determined"
    assert row["result"] in ("yes", "no")
    assert "settlement_ts" not in row


def test_without_oddities_the_listings_are_tidy() -> None:
    world = small_world(start=date(2024, 2, 25), end=date(2025, 3, 10), oddities=False, now=NOW)
    for event in world.events(None):
        assert event.ticker.startswith("KXHIGH")
        assert len(event.markets) == 6
    assert all("strike_type" in world.market(ticker) for ticker in world.market_tickers()[::5])
