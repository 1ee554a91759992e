"""Maintenance windows, in simulated time: everything is closed but the exchange's status."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from kalshi_simulator import Faults, Maintenance, Simulator
from tests.simulator.support import Api, served, small_world
from tests.support.patience import COMES

SIGNED = {"KALSHI-ACCESS-KEY": "key", "KALSHI-ACCESS-TIMESTAMP": "1", "KALSHI-ACCESS-SIGNATURE": "anything"}
IN_WINTER = datetime(2025, 11, 13, 8, tzinfo=UTC)  # a Thursday
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "begins",
    [IN_WINTER, datetime(2025, 7, 10, 7, tzinfo=UTC)],
    ids=["03:00 in winter is 08:00 UTC", "03:00 in summer is 07:00 UTC"],
)
def test_the_weekly_window_keeps_new_york_time(begins: datetime) -> None:
    weekly = Maintenance(weekly=True)
    ends = begins + timedelta(hours=2)
    assert weekly.resumes(begins - SECOND) is None
    assert weekly.resumes(begins) == weekly.resumes(ends - SECOND) == ends
    assert weekly.resumes(ends) is None
    assert not any(weekly.resumes(begins + timedelta(days=days)) for days in range(1, 7))
    assert weekly.resumes(begins + timedelta(days=7)) == ends + timedelta(days=7)
    assert Maintenance().resumes(begins) is None


async def status_of(api: Api, path: str) -> tuple[int, str]:
    async with api.session.get(api.url + path) as response:
        return response.status, response.content_type


@pytest.mark.parametrize("status", [200, 503])
async def test_everything_but_the_status_is_closed(status: int) -> None:
    world = small_world(now=IN_WINTER - SECOND)
    simulator = Simulator(world, faults=Faults(maintenance=Maintenance(weekly=True, status=status)))
    async with served(simulator) as api:
        assert (await api.get("/exchange/status"))["exchange_active"] is True
        world.now = IN_WINTER
        told, body = await api.ask("/exchange/status")
        assert told == status
        assert body["exchange_active"] is body["trading_active"] is False
        assert body["exchange_index_statuses"][0]["exchange_active"] is False
        assert body["exchange_estimated_resume_time"] == "2025-11-13T10:00:00Z"
        for path in (
            "/markets",
            "/events",
            "/historical/cutoff",
            "/exchange/schedule",
            "/series/KXHIGHCHI",
            "/nothing",
        ):
            assert await status_of(api, path) == (503, "text/html")
        assert simulator.stats.by_status[503] == (6 if status == 200 else 7)
        async with api.session.get(simulator.weather_urls.iem + "/api/1/network/FL_ASOS.json") as response:
            assert response.status != 503
        world.now = IN_WINTER + timedelta(hours=2)
        assert "exchange_estimated_resume_time" not in await api.get("/exchange/status")
        assert (await status_of(api, "/markets"))[0] == 200


async def test_given_windows_are_announced() -> None:
    start, end = IN_WINTER + timedelta(days=1), IN_WINTER + timedelta(days=1, minutes=30)
    world = small_world(now=start - SECOND)
    async with served(Simulator(world, faults=Faults(maintenance=Maintenance(windows=((start, end),))))) as api:
        schedule = (await api.get("/exchange/schedule"))["schedule"]
        assert schedule["maintenance_windows"] == [
            {"start_datetime": "2025-11-14T08:00:00Z", "end_datetime": "2025-11-14T08:30:00Z"}
        ]
        world.now = start
        assert (await status_of(api, "/markets"))[0] == 503
        world.now = end
        assert (await status_of(api, "/markets"))[0] == 200


async def test_the_websocket_is_closed_and_refused() -> None:
    world = small_world(now=IN_WINTER - SECOND)
    simulator = Simulator(world, faults=Faults(maintenance=Maintenance(weekly=True)))
    async with served(simulator) as api:
        async with api.session.ws_connect(simulator.channel_url, headers=SIGNED) as socket:
            await socket.send_json({"id": 1, "cmd": "subscribe", "params": {"channels": ["trade"]}})
            assert (await socket.receive_json())["type"] == "subscribed"
            world.now = IN_WINTER
            assert (await socket.receive(timeout=COMES)).type is WSMsgType.CLOSE
        with pytest.raises(WSServerHandshakeError) as refused:
            await api.session.ws_connect(simulator.channel_url, headers=SIGNED)
        assert refused.value.status == 503
        world.now = IN_WINTER + timedelta(hours=2)
        async with api.session.ws_connect(simulator.channel_url, headers=SIGNED) as socket:
            assert not socket.closed
