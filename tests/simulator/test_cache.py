"""The shared cache before the exchange: the same URL gets the same answer for some seconds, and says so."""

from __future__ import annotations

from datetime import timedelta

from multidict import CIMultiDictProxy

from kalshi_simulator import Limits, Simulator
from tests.simulator.support import Api, served, small_world

TICKER = "KXHIGHCHI-25NOV14-B50.5"


class Seconds:
    """A clock of real seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def ask(api: Api, path: str, **headers: str) -> tuple[CIMultiDictProxy[str], bytes]:
    async with api.session.get(api.url + path, headers=headers) as response:
        return response.headers, await response.read()


async def test_an_answer_is_repeated_with_its_age_until_the_cache_forgets_it() -> None:
    seconds, world = Seconds(), small_world()
    simulator = Simulator(world, Limits(cache_seconds=15), clock=seconds)
    async with served(simulator) as api:
        path = "/markets?series_ticker=KXHIGHCHI&limit=1000"
        first, before = await ask(api, path)
        assert (first["Age"], first["x-kalshi-cache-hits"]) == ("0", "0")
        assert first["cache-control"] == "public, max-age=15"
        world.clock.now = world.now + timedelta(hours=3)
        seconds.now += 14.9
        again, body = await ask(api, path)
        assert (again["Age"], again["x-kalshi-cache-hits"]) == ("14", "1")
        assert (body, again["Date"]) == (before, first["Date"])
        signed, _ = await ask(api, path, **{"KALSHI-ACCESS-KEY": "key"})
        assert signed["x-kalshi-cache-hits"] == "2", "a signed request is answered from it too"
        other, _ = await ask(api, path + "&status=open")
        assert other["Age"] == "0"
        assert other["Date"] != first["Date"]
        seconds.now += 0.1
        fresh, body = await ask(api, path)
        assert fresh["Age"] == "0"
        assert body != before
    assert simulator.stats.cache_hits == 2


async def test_what_is_no_market_data_and_what_failed_is_not_kept() -> None:
    simulator = Simulator(small_world(), Limits(cache_seconds=15))
    async with served(simulator) as api:
        for path in ("/exchange/status", "/account/endpoint_costs", "/markets/NOTHING", "/nothing"):
            for _ in range(2):
                assert "Age" not in (await ask(api, path))[0]
    assert simulator.stats.cache_hits == 0


async def test_without_one_nothing_tells_of_a_cache() -> None:
    simulator = Simulator(small_world())
    async with served(simulator) as api:
        for _ in range(2):
            headers, _ = await ask(api, "/historical/cutoff")
            assert not {"Age", "Cache-Control", "X-Kalshi-Cache-Hits"} & set(headers)


async def test_a_repeated_answer_costs_no_budget() -> None:
    simulator = Simulator(small_world(), Limits(cache_seconds=15, requests_per_second=1, burst_seconds=1))
    async with served(simulator) as api:
        for _ in range(20):
            assert (await api.ask("/historical/cutoff"))[0] == 200
