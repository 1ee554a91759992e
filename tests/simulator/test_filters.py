"""Filters of the lists: what is refused, what is ignored, what is matched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalshi_simulator import RowsWorld, Simulator
from tests.simulator.support import CUTOFF, NOW, Api, served, small_world, still_world

VOCABULARY = {
    "unopened": {"initialized"},
    "open": {"active"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended"},
    "settled": {"finalized"},
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served(Simulator(still_world())) as api:
        yield api


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/markets", {"limit": 1001}),
        ("/markets", {"limit": -1}),
        ("/markets", {"limit": "ten"}),
        ("/markets", {"status": "all"}),
        ("/markets", {"status": "active"}),
        ("/markets", {"status": "open,closed"}),
        ("/markets", {"mve_filter": "some"}),
        ("/markets", {"min_close_ts": 1, "status": "open"}),
        ("/markets", {"max_created_ts": 1, "status": "settled"}),
        ("/markets", {"min_settled_ts": 1, "status": "closed"}),
        ("/markets", {"min_close_ts": 1, "min_created_ts": 1}),
        ("/markets", {"min_updated_ts": 1, "status": "open"}),
        ("/markets", {"min_updated_ts": 1, "min_close_ts": 1}),
        ("/markets", {"min_updated_ts": 1, "series_ticker": "KXHIGHCHI"}),
        ("/markets", {"min_updated_ts": 1, "event_ticker": "KXHIGHCHI-25NOV14"}),
        ("/markets", {"max_updated_ts": 1, "mve_filter": "only"}),
        ("/markets", {"min_close_ts": "2025-01-01T00:00:00Z"}),
        ("/events", {"limit": 201}),
        ("/events", {"limit": 0}),
        ("/events", {"status": "finalized"}),
        ("/events", {"with_nested_markets": "yes"}),
        ("/markets/trades", {"limit": 1001}),
        ("/markets/trades", {"min_ts": "soon"}),
        ("/historical/trades", {"limit": 1001}),
        ("/historical/markets", {"limit": 1001}),
        ("/historical/markets", {"series_ticker": "KXHIGHCHI", "event_ticker": "KXHIGHCHI-25NOV01"}),
        ("/historical/markets", {"series_ticker": "KXHIGHCHI", "mve_filter": "exclude"}),
        ("/historical/markets", {"tickers": "A", "event_ticker": "B"}),
    ],
)
async def test_what_is_refused(api: Api, path: str, query: dict[str, Any]) -> None:
    status, body = await api.ask(path, **query)
    assert status == 400
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["error"]["code"] == "bad_request"


@pytest.mark.parametrize(("words", "nested"), [("1 t T true TRUE True", True), ("0 f F false FALSE False", False)])
async def test_the_spellings_of_a_flag(api: Api, words: str, nested: bool) -> None:
    """Some clients send Python's own."""
    for word in words.split():
        body = await api.get("/events/KXHIGHCHI-25NOV14", with_nested_markets=word)
        assert ("markets" in body["event"]) is nested


async def test_the_words_of_a_limit_that_is_too_large(api: Api) -> None:
    _, body = await api.ask("/markets", limit=1001)
    assert body["error"]["details"] == "Field validation for 'Limit' failed on the 'lte' tag"


async def test_two_status_parameters_are_refused(api: Api) -> None:
    async with api.session.get(f"{api.url}/markets?status=open&status=closed") as response:
        assert response.status == 400


@pytest.mark.parametrize("word", VOCABULARY)
async def test_the_filter_word_finds_rows_with_the_field_word(word: str) -> None:
    markets = [
        {"ticker": status, "event_ticker": "E-1", "status": status, "created_time": "2025-11-01T09:33:00Z"}
        for statuses in VOCABULARY.values()
        for status in statuses
    ]
    events = [{"event_ticker": "E-1", "series_ticker": "E"}]
    world = RowsWorld(markets=markets, events=events, cutoff=datetime(1960, 1, 1, tzinfo=UTC))
    async with served(Simulator(world)) as api:
        rows = await api.walk("/markets", "markets", status=word)
        assert {row["status"] for row in rows} == VOCABULARY[word]
        assert len(await api.walk("/events", "events", status=word)) == 1


async def test_an_event_matches_a_status_if_any_child_does(api: Api) -> None:
    world = still_world()
    rows = await api.walk("/events", "events", status="open")
    wanted = [
        event.ticker for event in world.events(None) if any(market.status == "active" for market in event.markets)
    ]
    assert [row["event_ticker"] for row in rows] == wanted
    assert wanted
    settled = await api.walk("/events", "events", status="settled")
    assert any(row["event_ticker"].endswith("25OCT21") for row in settled)


async def test_a_comma_list_in_event_ticker_is_an_empty_answer(api: Api) -> None:
    body = await api.get("/markets", event_ticker="KXHIGHCHI-25NOV13,KXHIGHCHI-25NOV14")
    assert body == {"cursor": "", "markets": []}
    assert len((await api.get("/markets", event_ticker="KXHIGHCHI-25NOV13"))["markets"]) in (5, 6)


async def test_unknown_parameters_are_ignored_in_silence(api: Api) -> None:
    plain = await api.get("/markets", limit=3)
    assert await api.get("/markets", limit=3, ticker="KXHIGHCHI-25NOV13-T50", colour="red") == plain


async def test_tickers_leave_out_the_unknown_and_the_archived(api: Api) -> None:
    world = still_world()
    every = world.market_tickers()
    body = await api.get("/markets", tickers=f"{every[-1]},NOPE,{every[40]},{every[3]}")
    assert [row["ticker"] for row in body["markets"]] == [every[3], every[40]]
    historical = await api.get("/historical/markets", tickers=f"{every[-1]},{every[3]}")
    assert [row["ticker"] for row in historical["markets"]] == [every[-1]]


async def test_rows_carry_the_event_but_not_the_series(api: Api) -> None:
    row = (await api.get("/markets", limit=1))["markets"][0]
    assert "event_ticker" in row
    assert "series_ticker" not in row


@pytest.mark.parametrize(
    ("family", "field", "extra"),
    [
        ("created", "created_time", {}),
        ("close", "close_time", {}),
        ("settled", "settlement_ts", {"status": "settled"}),
        ("updated", "updated_time", {"mve_filter": "exclude", "series_ticker": "KXHIGHMIA"}),
    ],
)
async def test_time_families(api: Api, family: str, field: str, extra: dict[str, str]) -> None:
    low, high = CUTOFF + timedelta(days=2), CUTOFF + timedelta(days=5)
    bounds = {f"min_{family}_ts": int(low.timestamp()), f"max_{family}_ts": int(high.timestamp())}
    rows = await api.walk("/markets", "markets", limit=1000, **bounds, **extra)
    everything = await api.walk("/markets", "markets", limit=1000, **extra)
    wanted = [row for row in everything if field in row and low <= datetime.fromisoformat(row[field]) <= high]
    assert rows == wanted
    assert 0 < len(rows) < len(everything)


async def test_series_answers_and_404(api: Api) -> None:
    series = (await api.get("/series/KXHIGHCHI"))["series"]
    assert series["ticker"] == "KXHIGHCHI"
    assert (await api.get("/series/HIGHCHI"))["series"]["ticker"] == "HIGHCHI"
    assert (await api.ask("/series/NOPE"))[0] == 404
    weather = (await api.get("/series", category="Climate and Weather"))["series"]
    everything = (await api.get("/series"))["series"]
    assert {row["category"] for row in weather} == {"Climate and Weather"}
    assert len(everything) > len(weather) > 6
    assert (await api.get("/series", category="climate and weather"))["series"] == []


async def test_a_series_lists_its_legacy_tickers_too() -> None:
    start, end = datetime(2024, 10, 22, tzinfo=UTC).date(), datetime(2024, 10, 25, tzinfo=UTC).date()
    world = small_world(start=start, end=end)
    async with served(Simulator(world)) as api:
        events = await api.walk("/events", "events", series_ticker="KXHIGHMIA")
        assert {row["event_ticker"] for row in events} >= {"HIGHMIA-24OCT23", "KXHIGHMIA-24OCT24"}
        assert {row["series_ticker"] for row in events} == {"KXHIGHMIA"}
        markets = await api.walk("/historical/markets", "markets", series_ticker="KXHIGHMIA", limit=10)
        assert {row["ticker"][:4] for row in markets} == {"HIGH", "KXHI"}
        assert (await api.get("/historical/markets", series_ticker="HIGHMIA"))["markets"] == []
        assert (await api.ask("/events/KXHIGHMIA-24OCT23"))[0] == 404


async def test_unknown_paths_and_events_are_404(api: Api) -> None:
    for path in ("/nothing/here", "/events/NOPE", "/historical/markets/NOPE"):
        assert (await api.ask(path))[0] == 404


async def test_exchange_routes(api: Api) -> None:
    status = await api.get("/exchange/status")
    assert status["exchange_active"] is True
    assert status["trading_active"] is True
    schedule = (await api.get("/exchange/schedule"))["schedule"]
    assert schedule.keys() == {"standard_hours", "maintenance_windows"}
    assert schedule["standard_hours"][0]["thursday"][0]["close_time"] == "03:00"
    assert await api.get("/account/endpoint_costs") == {"default_cost": 10, "endpoint_costs": []}


async def test_min_close_of_events(api: Api) -> None:
    rows = await api.walk("/events", "events", min_close_ts=int(NOW.timestamp()), limit=3)
    assert {row["event_ticker"][-7:] for row in rows} == {"25NOV14", "25NOV15"}
