"""The server around the world: hooks, statistics, control routes and the command."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiohttp import ClientSession

from kalshi_simulator import Limits, RowsWorld, Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.command import serve
from tests.simulator.support import CUTOFF, served, small_world


async def test_hooks_are_called_before_the_answer_and_after_it() -> None:
    heard: list[tuple[str, str, str | None]] = []

    async def later(route: str, ticker: str | None) -> None:
        await asyncio.sleep(0)
        heard.append(("before", route, ticker))

    simulator = Simulator(RowsWorld())
    simulator.on_request = later
    simulator.on_answered = lambda route, ticker: heard.append(("after", route, ticker))
    async with served(simulator) as api:
        await api.get("/markets/trades", ticker="A")
        await api.ask("/markets/B")
        await api.get("/exchange/status")
        while len(heard) < 6:
            await asyncio.sleep(0)
    assert heard == [
        ("before", "trades", "A"),
        ("after", "trades", "A"),
        ("before", "market", "B"),
        ("after", "market", "B"),
        ("before", "exchange_status", None),
        ("after", "exchange_status", None),
    ]


async def test_a_request_can_be_held_back_until_the_client_is_gone() -> None:
    reached, forever = asyncio.Event(), asyncio.Event()

    async def hold(route: str, ticker: str | None) -> None:
        reached.set()
        await forever.wait()

    simulator = Simulator(RowsWorld())
    simulator.on_request = hold
    async with served(simulator) as api:
        task = asyncio.create_task(api.get("/exchange/status"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert simulator.stats.total == 1
    assert simulator.stats.answered_200 == 0


async def test_statistics_by_route_and_ticker() -> None:
    simulator = Simulator(RowsWorld())
    async with served(simulator) as api:
        await api.get("/markets/trades", ticker="A")
        await api.get("/historical/trades", ticker="A")
        await api.get("/markets/trades", ticker="B")
        await api.ask("/markets/A")
        await api.ask("/nothing")
    stats = simulator.stats
    assert stats.by_route == {"trades": 2, "historical_trades": 1, "market": 1, "unknown": 1}
    assert stats.trade_pages == {"A": 2, "B": 1}
    assert stats.by_status == {200: 3, 404: 2}


async def test_context_manager_and_url() -> None:
    simulator = Simulator(RowsWorld())
    with pytest.raises(RuntimeError):
        _ = simulator.url
    async with simulator, ClientSession() as session:
        assert simulator.url.startswith("http://127.0.0.1:")
        assert simulator.url.endswith("/trade-api/v2")
        async with session.get(simulator.url + "/exchange/status") as response:
            assert response.status == 200
    await simulator.stop()  # a second stop is harmless


async def test_control_over_http() -> None:
    world = small_world()
    simulator = Simulator(world, Limits(requests_per_second=1, burst_seconds=0))
    async with served(simulator) as api:
        root = api.url.removesuffix("/trade-api/v2")
        await api.get("/historical/cutoff")
        body: dict[str, Any] = {}
        for _ in range(3):  # control requests are free
            async with api.session.get(f"{root}/_simulator/stats") as response:
                body = await response.json()
        assert body["total"] == body["answered_200"] == 1
        assert body["by_route"] == {"historical_cutoff": 1}
        assert body["throttled"] == 0
        moved = {"cutoff": "2025-11-08T00:00:00Z"}
        async with api.session.post(f"{root}/_simulator/cutoff", json=moved) as response:
            assert response.status == 200
        assert world.cutoff == datetime(2025, 11, 8, tzinfo=UTC)
        mistakes: list[Any] = [{}, {"cutoff": "soon"}, {"cutoff": "2025-11-08"}, [], {"cutoff": 5}]
        for wrong in mistakes:
            async with api.session.post(f"{root}/_simulator/cutoff", json=wrong) as response:
                assert response.status == 400
        async with api.session.post(f"{root}/_simulator/reset") as response:
            assert response.status == 200
        assert simulator.stats.total == 0


async def test_the_command_says_where_it_listens_and_stops() -> None:
    config = WorldConfig(
        start=date(2025, 11, 1), end=date(2025, 11, 2), now=datetime(2025, 11, 10, tzinfo=UTC), cutoff=CUTOFF
    )
    stop = asyncio.Event()
    said: asyncio.Queue[str] = asyncio.Queue()
    simulator = Simulator(SyntheticWorld(config))
    task = asyncio.create_task(serve(simulator, host="127.0.0.1", port=0, stop=stop, announce=said.put_nowait))
    line, tiers, weather = (await said.get()).split("\n")
    assert tiers.startswith("historical tier: ")
    assert weather.startswith("weather: --iem-url http://127.0.0.1:")
    assert "settled before 2025-11-05" in tiers
    url = next(word for word in line.split() if word.startswith("http")).rstrip(":")
    async with ClientSession() as session, session.get(url + "/historical/cutoff") as response:
        assert (await response.json())["market_settled_ts"] == "2025-11-05T00:00:00Z"
    stop.set()
    await task
