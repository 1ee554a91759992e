"""The cutoff parts markets by settlement and trades by trade time, and nothing is lost when it moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kalshi_simulator import Limits, Simulator, SyntheticWorld
from tests.simulator.support import CUTOFF, Api, Row, served, small_world, still_world

LIVE, HISTORICAL = "/markets/trades", "/historical/trades"


def settled(row: Row) -> datetime | None:
    return datetime.fromisoformat(row["settlement_ts"]) if "settlement_ts" in row else None


def parted(world: SyntheticWorld, cutoff: datetime) -> tuple[list[str], list[str]]:
    live: list[str] = []
    historical: list[str] = []
    for ticker in world.market_tickers():
        moment = settled(world.market(ticker))
        (historical if moment is not None and moment < cutoff else live).append(ticker)
    return live, historical


async def tickers(api: Api, path: str) -> list[str]:
    return [row["ticker"] for row in await api.walk(path, "markets", limit=200)]


async def test_markets_are_parted_by_settlement_time() -> None:
    world = still_world()
    async with served(Simulator(world)) as api:
        live, historical = parted(world, CUTOFF)
        assert live
        assert historical
        assert await tickers(api, "/markets") == live
        assert await tickers(api, "/historical/markets") == historical


async def test_a_moved_cutoff_moves_markets_and_loses_none() -> None:
    world = small_world()
    async with served(Simulator(world)) as api:
        for days in (0, 1, 5):
            world.cutoff = CUTOFF + timedelta(days=days)
            assert await tickers(api, "/markets") == parted(world, world.cutoff)[0]
            assert await tickers(api, "/historical/markets") == parted(world, world.cutoff)[1]
            body = await api.get("/historical/cutoff")
            assert set(body.values()) == {world.cutoff.strftime("%Y-%m-%dT%H:%M:%SZ")}


async def test_trades_are_parted_by_trade_time_even_within_a_market() -> None:
    world = still_world()
    mixed = 0
    async with served(Simulator(world)) as api:
        for ticker in world.market_tickers()[:600:7]:
            truth = world.trades(ticker)
            live = await api.walk(LIVE, "trades", ticker=ticker, limit=30)
            historical = await api.walk(HISTORICAL, "trades", ticker=ticker, limit=30)
            assert live + historical == truth
            assert all(datetime.fromisoformat(row["created_time"]) >= CUTOFF for row in live)
            assert all(datetime.fromisoformat(row["created_time"]) < CUTOFF for row in historical)
            mixed += bool(live and historical)
    assert mixed


async def test_a_cutoff_that_advances_during_a_walk_hides_rows_which_the_other_tier_has() -> None:
    world = small_world(cutoff=datetime(2025, 1, 1, tzinfo=UTC))
    ticker = max(world.market_tickers(), key=world.trade_count)
    truth = world.trades(ticker)
    async with served(Simulator(world)) as api:
        first = await api.get(LIVE, ticker=ticker, limit=50)
        world.cutoff = world.now
        rest = await api.get(LIVE, ticker=ticker, limit=50, cursor=first["cursor"])
        assert rest == {"cursor": "", "trades": []}
        again = await api.walk(HISTORICAL, "trades", ticker=ticker, limit=50)
    assert first["trades"] == truth[:50]
    assert again == truth


async def test_the_overlap_keeps_rows_in_both_tiers() -> None:
    world = still_world()
    overlap = timedelta(days=2)
    async with served(Simulator(world, Limits(overlap=overlap))) as api:
        live, historical = await tickers(api, "/markets"), await tickers(api, "/historical/markets")
        both = set(live) & set(historical)
        assert both
        for ticker in both:
            moment = settled(world.market(ticker))
            assert moment is not None
            assert CUTOFF - overlap <= moment < CUTOFF
        assert set(live) | set(historical) == set(world.market_tickers())
        ticker = max(both, key=world.trade_count)
        assert await api.walk(HISTORICAL, "trades", ticker=ticker) == [
            row for row in world.trades(ticker) if datetime.fromisoformat(row["created_time"]) < CUTOFF
        ]
        assert await api.walk(LIVE, "trades", ticker=ticker) == [
            row for row in world.trades(ticker)
            if datetime.fromisoformat(row["created_time"]) >= CUTOFF - overlap
        ]  # fmt: skip


async def test_single_markets_answer_in_their_tier_only() -> None:
    world = still_world()
    live, historical = parted(world, CUTOFF)
    async with served(Simulator(world)) as api:
        assert (await api.get(f"/markets/{live[0]}"))["market"] == world.market(live[0])
        assert await api.ask(f"/markets/{historical[0]}") == (
            404,
            {"error": {"code": "not_found", "message": "not found"}},
        )
        status, body = await api.ask(f"/historical/markets/{live[0]}")
        assert status == 404
        assert body["error"]["code"] == "failed_to_get_market_by_ticker:_not_found"
        assert (await api.ask("/markets/NOPE"))[0] == 404
        row = (await api.get(f"/historical/markets/{historical[0]}"))["market"]
        assert row == world.market(historical[0]) | {
            "status": "finalized",
            "open_interest_fp": "0.00",
            "volume_24h_fp": "0.00",
        }


async def test_settled_rows_of_the_live_tier_keep_their_open_interest() -> None:
    world = still_world()
    async with served(Simulator(world)) as api:
        rows = await api.walk("/markets", "markets", status="settled", limit=1000)
        assert any(row["open_interest_fp"] != "0.00" for row in rows)
        archived = await api.walk("/historical/markets", "markets", limit=1000)
        assert {row["open_interest_fp"] for row in archived} == {"0.00"}


async def test_events_stay_listed_but_their_nested_markets_vanish() -> None:
    world = still_world()
    async with served(Simulator(world)) as api:
        events = await api.walk("/events", "events", with_nested_markets="true", limit=50)
        assert [row["event_ticker"] for row in events] == [event.ticker for event in world.events(None)]
        with_markets = {row["event_ticker"] for row in events if "markets" in row}
        assert with_markets
        assert len(with_markets) < len(events)
        assert all(row.get("markets", True) for row in events)
        live = {world.market(ticker)["event_ticker"] for ticker in parted(world, CUTOFF)[0]}
        assert with_markets == live
        old = next(event.ticker for event in world.events(None) if event.ticker not in live and event.markets)
        for nested in ("false", "true"):
            archived = await api.get(f"/events/{old}", with_nested_markets=nested)
            assert archived["markets"] == []
            assert "markets" not in archived["event"]
        new = next(iter(live))
        assert (await api.get(f"/events/{new}")).keys() == {"event", "markets"}
        assert (await api.get(f"/events/{new}", exclude_markets="true")).keys() == {"event"}
        inside = await api.get(f"/events/{new}", with_nested_markets="true")
        assert inside["event"]["markets"] == inside["markets"] != []


def test_the_default_cutoff_trails_by_sixty_days_at_midnight() -> None:
    world = small_world(cutoff=None)
    assert world.cutoff == datetime(2025, 9, 15, tzinfo=UTC)


@pytest.mark.parametrize("path", ["/historical/markets"])
async def test_time_filters_of_the_historical_list_are_ignored(path: str) -> None:
    async with served(Simulator(still_world())) as api:
        plain = await api.walk(path, "markets", limit=500)
        assert await api.walk(path, "markets", limit=500, min_settled_ts=1, max_settled_ts=2) == plain
