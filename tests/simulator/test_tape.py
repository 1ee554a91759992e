"""The synthetic tape has the properties of recorded tapes."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from kalshi_simulator import SyntheticWorld, WorldConfig
from tests.simulator.support import Row, small_world

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    return small_world(trades_per_market=120)


@pytest.fixture(scope="module")
def tapes(world: SyntheticWorld) -> dict[str, list[Row]]:
    return {ticker: world.trades(ticker) for ticker in world.market_tickers()[::3]}


def ties(tapes: dict[str, list[Row]]) -> list[list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for ticker, trades in tapes.items():
        for trade in trades:
            groups[ticker, trade["created_time"]].append(trade)
    return list(groups.values())


def moment(row: Row) -> datetime:
    return datetime.fromisoformat(row["created_time"])


def test_every_row_has_the_wire_form(tapes: dict[str, list[Row]]) -> None:
    for ticker, trades in tapes.items():
        for trade in trades:
            assert list(trade) == sorted(trade)
            assert trade["ticker"] == ticker
            assert TIME.fullmatch(trade["created_time"]), trade["created_time"]
            assert UUID.fullmatch(trade["trade_id"])
            assert re.fullmatch(r"\d+\.\d\d", trade["count_fp"])
            assert Decimal(trade["count_fp"]) > 0
            yes, no = Decimal(trade["yes_price_dollars"]), Decimal(trade["no_price_dollars"])
            assert yes + no == 1
            assert 0 < yes < 1
            assert re.fullmatch(r"0\.\d{4}", trade["yes_price_dollars"])
            assert trade["taker_side"] == trade["taker_outcome_side"]
            assert (trade["taker_book_side"] == "bid") == (trade["taker_outcome_side"] == "yes")


def test_order_is_newest_first_and_ties_fall_by_trade_id(tapes: dict[str, list[Row]]) -> None:
    for trades in tapes.values():
        keys = [(moment(trade), trade["trade_id"]) for trade in trades]
        assert all(earlier > later for earlier, later in pairwise(keys))


def test_about_half_of_the_trades_share_their_time(tapes: dict[str, list[Row]]) -> None:
    groups = ties(tapes)
    tied = [group for group in groups if len(group) > 1]
    share = sum(map(len, tied)) / sum(map(len, groups))
    assert 0.45 < share < 0.65
    several = sum(len({trade["yes_price_dollars"] for trade in group}) > 1 for group in tied) / len(tied)
    assert 0.55 < several < 0.85


def test_a_tie_never_mixes_taker_sides(tapes: dict[str, list[Row]]) -> None:
    assert all(len({trade["taker_outcome_side"] for trade in group}) == 1 for group in ties(tapes))


def test_listing_order_inside_a_tie_says_nothing_about_the_sweep(tapes: dict[str, list[Row]]) -> None:
    along = against = 0
    for group in ties(tapes):
        prices = [Decimal(trade["yes_price_dollars"]) for trade in group]
        if len(set(prices)) > 1:
            ahead = (prices[0] < prices[-1]) == (group[0]["taker_outcome_side"] == "yes")
            along, against = along + ahead, against + (not ahead and prices[0] != prices[-1])
    assert 0.4 < along / (along + against) < 0.6


def test_fractions_of_a_second_and_of_a_contract_both_occur(tapes: dict[str, list[Row]]) -> None:
    rows = [trade for trades in tapes.values() for trade in trades]
    fractions = [trade["created_time"][19:-1] for trade in rows]
    assert any(fraction == "" for fraction in fractions)
    assert 0.85 < sum(len(fraction) == 7 for fraction in fractions) / len(fractions) < 0.95
    assert 0.4 < sum(not trade["count_fp"].endswith(".00") for trade in rows) / len(rows) < 0.6
    sub_cent = sum(int(trade["yes_price_dollars"][4:]) > 0 for trade in rows) / len(rows)
    assert 0 < sub_cent < 0.05


def test_trades_lie_inside_the_trading_hours(world: SyntheticWorld, tapes: dict[str, list[Row]]) -> None:
    for ticker, trades in tapes.items():
        market = world.market(ticker)
        opens, closes = (datetime.fromisoformat(market[name]) for name in ("open_time", "close_time"))
        for trade in trades:
            assert opens <= moment(trade) < min(closes, world.now)


def test_trade_ids_are_unique_across_markets(tapes: dict[str, list[Row]]) -> None:
    ids = [trade["trade_id"] for trades in tapes.values() for trade in trades]
    assert len(ids) > 20_000
    assert len(set(ids)) == len(ids)


def test_ids_are_random_until_may_2025_and_begin_with_the_time_afterwards() -> None:
    config = WorldConfig(
        start=date(2025, 5, 31), end=date(2025, 6, 1), now=datetime(2025, 8, 1, tzinfo=UTC), trades_per_market=60
    )
    world = SyntheticWorld(config)
    for ticker in world.market_tickers():
        trades = world.trades(ticker)
        if "25MAY31" in ticker:
            assert all(UUID4.fullmatch(trade["trade_id"]) for trade in trades)
        else:
            starts = [trade["trade_id"][:8] for trade in trades]
            assert starts == sorted(starts, reverse=True)
    late = [trade for ticker in world.market_tickers() if "25JUN01" in ticker for trade in world.trades(ticker)]
    late.sort(key=moment)
    starts = [trade["trade_id"][:8] for trade in late]
    assert starts == sorted(starts)


def test_prices_of_an_event_sum_to_one_and_converge(world: SyntheticWorld) -> None:
    sums = []
    for event in world.events(None):
        markets = [market.row() for market in event.markets]
        if not markets or markets[0]["status"] != "finalized" or len(markets) != 6:
            continue
        noon = f"{event.ticker[-7:]}"
        day = datetime.strptime(noon, "%y%b%d").replace(tzinfo=UTC, hour=18)
        prices = []
        for market in markets:
            trades = [trade for trade in world.trades(market["ticker"]) if moment(trade) < day]
            prices.append(Decimal(trades[0]["yes_price_dollars"]) if trades else None)
            closes = datetime.fromisoformat(market["close_time"])
            if trades and closes - moment(world.trades(market["ticker"])[0]) < timedelta(hours=4):
                last = Decimal(market["last_price_dollars"])
                assert (
                    last > Decimal("0.9")
                    if market["result"] == "yes"
                    else last < Decimal("0.1") or (market["result"] == "scalar")
                )
        if None not in prices:
            sums.append(sum(price for price in prices if price is not None))
    assert len(sums) > 50
    assert all(Decimal("0.75") < total < Decimal("1.3") for total in sums)


def test_sizes_are_skewed_and_some_markets_never_traded() -> None:
    world = small_world(start=date(2024, 6, 1), end=date(2025, 6, 1), now=datetime(2026, 1, 1, tzinfo=UTC),
                        trades_per_market=270)  # fmt: skip
    counts = sorted(world.trade_count(ticker) for ticker in world.market_tickers())
    assert 240 < sum(counts) / len(counts) < 300
    assert 0.03 < counts.count(0) / len(counts) < 0.09
    assert counts.count(1000) >= 1
    assert 0.005 < sum(count > 1000 for count in counts) / len(counts) < 0.15
    assert sum(count > 2000 for count in counts) / len(counts) < 0.01
    assert counts[len(counts) // 2] < sum(counts) / len(counts)


def test_no_two_markets_list_the_same_trades() -> None:
    """Else a client that takes one city or one day for another passes its tests."""
    world = small_world(start=date(2025, 11, 1), trades_per_market=80)
    tapes = {ticker: world.trades(ticker) for ticker in world.market_tickers()}
    long = [trades for trades in tapes.values() if len(trades) >= 10]
    assert len(long) > 300
    for start in (0, 11):  # the moments, and the times of day
        assert len({tuple((row["created_time"][start:], row["count_fp"]) for row in rows) for rows in long}) == len(
            long
        )
    volumes = {(len(trades), sum(Decimal(trade["count_fp"]) for trade in trades)) for trades in long}
    assert len(volumes) == len(long)

    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for ticker, trades in tapes.items():
        for trade in trades:
            owners[trade["created_time"], trade["count_fp"], trade["yes_price_dollars"]].add(ticker)
    assert len(owners) > 20_000
    assert sum(len(tickers) > 1 for tickers in owners.values()) <= 2, "a rare coincidence"
