"""Worlds of explicit rows."""

from __future__ import annotations

from datetime import UTC, datetime

from kalshi_simulator import RowsWorld, Simulator
from tests.simulator.support import Row, served

OLD, NEW = "KXHIGHMIA-25JUN01-B88.5", "KXHIGHMIA-25NOV13-B80.5"
CUTOFF = datetime(2025, 9, 1, tzinfo=UTC)


def market(ticker: str, created: str, settled: str | None) -> Row:
    row = {"ticker": ticker, "event_ticker": ticker.rpartition("-")[0], "created_time": created, "volume_fp": "9.00"}
    if settled is None:
        return row | {"status": "active", "open_interest_fp": "5.00"}
    return row | {"status": "finalized", "settlement_ts": settled, "open_interest_fp": "5.00"}


def trade(ticker: str, created: str, trade_id: int) -> Row:
    return {"ticker": ticker, "created_time": created, "trade_id": f"{trade_id:08x}-0000-0000-0000-000000000000"}


MARKETS = [
    market(OLD, "2025-05-31T09:33:00Z", "2025-06-02T13:00:00Z"),
    market(NEW, "2025-11-12T09:33:00.5Z", None),
]
EVENTS = [{"event_ticker": row["event_ticker"], "series_ticker": "KXHIGHMIA"} for row in MARKETS]
TRADES = [
    trade(NEW, "2025-11-13T12:00:00Z", 1),
    trade(NEW, "2025-11-13T12:00:00Z", 3),
    trade(NEW, "2025-11-13T12:00:00.5Z", 0),
    trade(NEW, "2025-11-13T12:00:00Z", 2),
    trade(NEW, "2025-11-13T11:59:59.999999Z", 9),
]


async def test_rows_are_put_in_order_and_parted() -> None:
    world = RowsWorld(
        series=[{"ticker": "KXHIGHMIA"}], events=EVENTS, markets=MARKETS, trades={NEW: TRADES}, cutoff=CUTOFF
    )
    assert world.market_tickers() == [NEW, OLD]
    assert world.trade_count(NEW) == 5
    assert world.trades(OLD) == []
    wanted = [TRADES[2], TRADES[1], TRADES[3], TRADES[0], TRADES[4]]
    assert world.trades(NEW) == wanted
    async with served(Simulator(world)) as api:
        for limit in (1, 2, 3, 10):
            assert await api.walk("/markets/trades", "trades", ticker=NEW, limit=limit) == wanted
        assert (await api.get("/markets"))["markets"] == [MARKETS[1]]
        archived = (await api.get("/historical/markets", series_ticker="KXHIGHMIA"))["markets"]
        assert archived == [MARKETS[0] | {"open_interest_fp": "0.00"}]
        assert [row["event_ticker"] for row in (await api.get("/events"))["events"]] == [
            "KXHIGHMIA-25NOV13",
            "KXHIGHMIA-25JUN01",
        ]
        assert (await api.get("/series/KXHIGHMIA"))["series"] == {"ticker": "KXHIGHMIA"}
        merged = await api.walk("/markets/trades", "trades", limit=2)
        assert merged == wanted


async def test_raw_tapes_are_served_exactly_as_given() -> None:
    wrong = [TRADES[4], TRADES[2], TRADES[2], {"nonsense": 1}, TRADES[0]]
    for world in (
        RowsWorld(events=EVENTS, markets=MARKETS, trades={NEW: wrong, OLD: wrong}, cutoff=CUTOFF, raw=True),
        RowsWorld(events=EVENTS, markets=MARKETS, tapes={NEW: wrong, OLD: wrong}, cutoff=CUTOFF),
    ):
        assert world.trades(NEW) == wrong
        async with served(Simulator(world)) as api:
            for limit in (1, 2, 5, 9):
                assert await api.walk("/markets/trades", "trades", ticker=NEW, limit=limit) == wrong
                assert await api.walk("/historical/trades", "trades", ticker=OLD, limit=limit) == wrong
            assert await api.walk("/historical/trades", "trades", ticker=NEW) == []
            assert await api.walk("/markets/trades", "trades", ticker=OLD) == []


async def test_a_trade_on_the_cutoff_is_live_and_just_before_it_is_historical() -> None:
    rows = [trade(NEW, "2025-09-01T00:00:00Z", 1), trade(NEW, "2025-08-31T23:59:59.999999Z", 2)]
    async with served(Simulator(RowsWorld(markets=MARKETS, trades={NEW: rows}, cutoff=CUTOFF))) as api:
        assert (await api.get("/markets/trades", ticker=NEW))["trades"] == rows[:1]
        assert (await api.get("/historical/trades", ticker=NEW))["trades"] == rows[1:]


async def test_settlement_on_the_cutoff_is_live() -> None:
    rows = [
        market("A-1-T1", "2025-08-30T09:33:00Z", "2025-09-01T00:00:00Z"),
        market("A-1-T2", "2025-08-30T09:33:00Z", "2025-08-31T23:59:59.999999Z"),
    ]
    async with served(Simulator(RowsWorld(markets=rows, cutoff=CUTOFF))) as api:
        assert [row["ticker"] for row in (await api.get("/markets"))["markets"]] == ["A-1-T1"]
        assert [row["ticker"] for row in (await api.get("/historical/markets"))["markets"]] == ["A-1-T2"]
