"""Candles equal a naive recomputation from the tape, and the caps on periods hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from kalshi_simulator import RowsWorld, Simulator, SyntheticWorld
from tests.simulator.support import Api, Row, served, small_world


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    return small_world(trades_per_market=120)


@pytest.fixture
async def api(world: SyntheticWorld) -> AsyncIterator[Api]:
    async with served(Simulator(world)) as api:
        yield api


def naive(trades: list[Row], seconds: int) -> dict[int, dict[str, Decimal]]:
    """Traded periods by period end."""
    periods: dict[int, list[Row]] = {}
    for row in trades:
        start = int(datetime.fromisoformat(row["created_time"]).timestamp()) // seconds * seconds
        periods.setdefault(start + seconds, []).append(row)
    candles = {}
    for end, rows in periods.items():

        def place(row: Row) -> tuple[Any, ...]:
            price = Decimal(row["yes_price_dollars"])
            return (
                datetime.fromisoformat(row["created_time"]),
                price if row["taker_outcome_side"] == "yes" else -price,
                row["trade_id"],
            )

        prices = [Decimal(row["yes_price_dollars"]) for row in sorted(rows, key=place)]
        counts = [Decimal(row["count_fp"]) for row in rows]
        value = sum((Decimal(r["count_fp"]) * Decimal(r["yes_price_dollars"]) for r in rows), Decimal(0))
        candles[end] = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "mean": (value / sum(counts, Decimal(0))).quantize(Decimal("0.0001"), ROUND_HALF_UP),
            "volume": sum(counts, Decimal(0)),
        }
    return candles


def window(world: SyntheticWorld, ticker: str) -> dict[str, int]:
    market = world.market(ticker)
    opens, closes = (int(datetime.fromisoformat(market[name]).timestamp()) for name in ("open_time", "close_time"))
    return {"start_ts": opens, "end_ts": closes + 86_400}


def busiest(world: SyntheticWorld, *, live: bool) -> list[str]:
    tickers = [
        ticker
        for ticker in world.market_tickers()
        if (datetime.fromisoformat(world.market(ticker).get("settlement_ts", "2026-01-01T00:00:00Z")) >= world.cutoff)
        == live
    ]
    return sorted(tickers, key=world.trade_count, reverse=True)[:6]


@pytest.mark.parametrize("minutes", [1, 60, 1440])
@pytest.mark.parametrize("live", [True, False])
async def test_traded_periods_equal_the_naive_ones(
    api: Api, world: SyntheticWorld, *, live: bool, minutes: int
) -> None:
    end = "_dollars" if live else ""
    for ticker in busiest(world, live=live):
        series = ticker.partition("-")[0]
        path = f"/series/{series}/markets/{ticker}" if live else f"/historical/markets/{ticker}"
        query = window(world, ticker) | {"period_interval": minutes}
        candles = (await api.get(f"{path}/candlesticks", **query))["candlesticks"]
        wanted = naive(world.trades(ticker), minutes * 60)
        volume = "volume_fp" if live else "volume"
        traded = [candle for candle in candles if candle[volume] != "0.00"]
        assert {candle["end_period_ts"] for candle in traded} == set(wanted)
        previous = None
        for candle in traded:
            truth = wanted[candle["end_period_ts"]]
            found = {name: Decimal(candle["price"][name + end]) for name in truth if name != "volume"}
            assert found | {"volume": Decimal(candle[volume])} == truth
            assert candle["price"].get("previous" + end) == previous
            previous = candle["price"]["close" + end]


async def test_quotes_go_on_where_they_stopped_and_end_empty(api: Api, world: SyntheticWorld) -> None:
    ticker = next(t for t in busiest(world, live=True) if world.market(t)["status"] == "finalized")
    series = ticker.partition("-")[0]
    query = window(world, ticker) | {"period_interval": 1}
    candles = (await api.get(f"/series/{series}/markets/{ticker}/candlesticks", **query))["candlesticks"]
    bid, ask = "0.0000", "1.0000"
    for candle in candles:
        assert candle["yes_bid"]["open_dollars"] == bid
        assert candle["yes_ask"]["open_dollars"] == ask
        bid, ask = candle["yes_bid"]["close_dollars"], candle["yes_ask"]["close_dollars"]
        assert Decimal(bid) <= Decimal(ask)
    assert (bid, ask) == ("0.0000", "1.0000")
    last = candles[-1]
    assert last["volume_fp"] == "0.00"
    assert last["price"].keys() == {"previous_dollars"}
    close = int(datetime.fromisoformat(world.market(ticker)["close_time"]).timestamp())
    assert close < last["end_period_ts"] <= close + 60
    assert any(candle["volume_fp"] == "0.00" for candle in candles[:-1])
    assert candles[-1]["open_interest_fp"] == world.market(ticker)["open_interest_fp"]


async def test_before_the_first_trade_a_price_has_nothing_to_say(api: Api, world: SyntheticWorld) -> None:
    prices: dict[bool, list[Any]] = {True: [], False: []}
    for live, found in prices.items():
        for ticker in busiest(world, live=live):
            path = f"/series/{ticker.partition('-')[0]}" if live else "/historical"
            query = window(world, ticker) | {"period_interval": 60}
            body = await api.get(f"{path}/markets/{ticker}/candlesticks", **query)
            first = body["candlesticks"][0]
            if first["volume_fp" if live else "volume"] == "0.00":
                found.append(first["price"])
    assert prices[True]
    assert all(price == {} for price in prices[True])
    assert prices[False]
    assert all(set(price.values()) == {None} and len(price) == 6 for price in prices[False])


async def test_the_window_includes_both_ends(api: Api, world: SyntheticWorld) -> None:
    ticker = next(t for t in busiest(world, live=True) if world.market(t)["status"] == "finalized")
    path = f"/series/{ticker.partition('-')[0]}/markets/{ticker}/candlesticks"
    query = window(world, ticker) | {"period_interval": 1}
    candles = (await api.get(path, **query))["candlesticks"]
    start, end = candles[3]["end_period_ts"], candles[9]["end_period_ts"]
    assert (await api.get(path, start_ts=start, end_ts=end, period_interval=1))["candlesticks"] == candles[3:10]
    later = await api.get(path, start_ts=start + 1, end_ts=end, period_interval=1, include_latest_before_start="true")
    first, *rest = later["candlesticks"]
    if first["end_period_ts"] == start + 60 and first["volume_fp"] == "0.00":
        assert first["price"] == {"previous_dollars": candles[3]["price"]["close_dollars"]}
        assert rest == [c for c in candles[4:10] if c["end_period_ts"] > start + 60]
    else:
        assert later["candlesticks"] == candles[4:10]


async def test_refused_windows(api: Api, world: SyntheticWorld) -> None:
    ticker = busiest(world, live=True)[0]
    path = f"/series/{ticker.partition('-')[0]}/markets/{ticker}/candlesticks"
    exact = {"start_ts": 0, "end_ts": 5000 * 60, "period_interval": 1}
    assert (await api.ask(path, **exact))[0] == 200
    status, body = await api.ask(path, **(exact | {"end_ts": 15_680_638}))
    assert status == 400
    assert body["error"]["details"] == ("requested time range with candlesticks: 261343.966667, max candlesticks: 5000")
    for wrong in ({"period_interval": 5}, {"end_ts": -1}, {"start_ts": "x"}):
        assert (await api.ask(path, **(exact | wrong)))[0] == 400
    assert (await api.ask(path, start_ts=0, end_ts=60))[0] == 400
    assert (await api.ask(f"/series/KXHIGHNY/markets/{ticker}/candlesticks", **exact))[0] == 404
    assert (await api.ask(f"/historical/markets/{ticker}/candlesticks", **exact))[0] == 404
    archived = busiest(world, live=False)[0]
    assert (await api.ask(f"/series/KXHIGHCHI/markets/{archived}/candlesticks", **exact))[0] == 404


async def test_batches(api: Api, world: SyntheticWorld) -> None:
    tickers = busiest(world, live=True)[:3]
    quiet = next(t for t in world.market_tickers() if world.trade_count(t) == 0)
    archived = busiest(world, live=False)[0]
    first = window(world, tickers[0])
    query = {
        "start_ts": first["start_ts"],
        "end_ts": first["start_ts"] + 1600 * 60,
        "period_interval": 1,
        "market_tickers": ",".join([*tickers, quiet, "NOPE", archived]),
    }
    rows = (await api.get("/markets/candlesticks", **query))["markets"]
    assert [row["market_ticker"] for row in rows] == [*tickers, quiet]
    assert rows[-1]["candlesticks"] == []
    single = await api.get(
        f"/series/{tickers[0].partition('-')[0]}/markets/{tickers[0]}/candlesticks",
        **{name: value for name, value in query.items() if name != "market_tickers"},
    )
    assert rows[0]["candlesticks"] == single["candlesticks"]
    many = query | {"market_tickers": ",".join(f"T{number}" for number in range(101)), "end_ts": query["start_ts"]}
    status, body = await api.ask("/markets/candlesticks", **many)
    assert (status, body["error"]["details"]) == (400, "max markets: 100")
    wide = {"market_tickers": ",".join("ABCDEF"), "start_ts": 0, "end_ts": 6000 * 60, "period_interval": 1}
    status, body = await api.ask("/markets/candlesticks", **wide)
    assert status == 400
    assert body["error"]["details"] == ("requested candlesticks across all markets: 36000, max candlesticks: 10000")


async def test_a_sweep_by_hand() -> None:
    """One tie whose listing order hides the sweep: takers of no run downwards."""

    def trade(clock: str, price: str, side: str, number: int) -> Row:
        return {
            "count_fp": "1.50",
            "created_time": f"2025-11-01T12:00:{clock}Z",
            "no_price_dollars": str(1 - Decimal(price)),
            "taker_outcome_side": side,
            "ticker": "A-1-T1",
            "trade_id": f"00000000-0000-0000-0000-{number:012d}",
            "yes_price_dollars": price,
        }

    rows = [trade("05.1", price, "no", n) for n, price in enumerate(("0.4200", "0.4400", "0.4300"))]
    rows += [trade("09", price, "yes", n + 5) for n, price in enumerate(("0.5000", "0.4800"))]
    market = {"ticker": "A-1-T1", "event_ticker": "A-1", "status": "active", "created_time": "2025-10-31T09:33:00Z"}
    world = RowsWorld(markets=[market], trades={"A-1-T1": rows}, cutoff=datetime(2020, 1, 1, tzinfo=UTC))
    noon = int(datetime(2025, 11, 1, 12, tzinfo=UTC).timestamp())
    async with served(Simulator(world)) as api:
        body = await api.get(
            "/series/A/markets/A-1-T1/candlesticks", start_ts=noon, end_ts=noon + 60, period_interval=1
        )
    (candle,) = body["candlesticks"]
    assert candle["price"] == {
        "open_dollars": "0.4400",
        "high_dollars": "0.5000",
        "low_dollars": "0.4200",
        "close_dollars": "0.5000",
        "mean_dollars": "0.4540",
    }
    assert candle["volume_fp"] == "7.50"


async def test_prices_finer_than_a_tenth_of_a_cent_are_not_cut() -> None:
    row = {
        "count_fp": "2.00",
        "created_time": "2026-05-01T12:00:05Z",
        "no_price_dollars": "0.987655",
        "taker_outcome_side": None,
        "taker_side": "no",
        "ticker": "A-1-T1",
        "trade_id": "00000000-0000-0000-0000-000000000001",
        "yes_price_dollars": "0.012345",
    }
    market = {"ticker": "A-1-T1", "event_ticker": "A-1", "status": "active", "created_time": "2026-04-30T09:33:00Z"}
    world = RowsWorld(markets=[market], trades={"A-1-T1": [row]}, cutoff=datetime(2020, 1, 1, tzinfo=UTC))
    noon = int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp())
    async with served(Simulator(world)) as api:
        body = await api.get(
            "/series/A/markets/A-1-T1/candlesticks", start_ts=noon + 60, end_ts=noon + 60, period_interval=1
        )
    (candle,) = body["candlesticks"]
    assert candle["price"] == {
        "open_dollars": "0.012345",
        "high_dollars": "0.012345",
        "low_dollars": "0.012345",
        "close_dollars": "0.012345",
        "mean_dollars": "0.0123",
    }
    assert candle["yes_bid"]["close_dollars"] == "0.012345"
    assert candle["yes_ask"]["close_dollars"] == "0.022345"
