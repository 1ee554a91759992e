"""Absurd values from the weather services: no run ends by one, and an honest run with `--again` mends all."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from kalshi_ingest.domain.cities import City
from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from kalshi_simulator.weather.server import WeatherUrls
from tests.mutations.weather_lies import NoonLiar, WeatherLiar
from tests.support import postgres
from tests.support.backfills import fetch
from tests.support.minute_runs import CHICAGO, MIAMI, digest, fetched
from tests.support.relay import relaying
from tests.support.settlement_runs import SIX, Settle

FIRST, LAST, NOW = date(2025, 5, 1), date(2025, 5, 6), datetime(2025, 8, 1, tzinfo=UTC)
_SETTLED = """
select loc_id, date_local, tmax_final_f, source, is_preliminary, tmax_cli_f, tmax_cli_first_f, tmax_cf6_f,
       tmax_iem_cf6_f, tmax_ghcnd_f, conflict, n_sources
from wx.settlement order by 1, 2
"""


def services(**config: Any) -> Simulator:
    world = SyntheticWorld(WorldConfig(start=FIRST, end=LAST, now=NOW, trades_per_market=1.0, oddities=False))
    settings: dict[str, Any] = {"plain": True, "throttle_seconds": None, "seeded_outage": False} | config
    return Simulator(world, weather=WeatherConfig(**settings))


async def settled(url: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await fetch(url, _SETTLED)]


async def lie_about_settlements(
    seed: int, postgres_url: str, template: str, runs: int, cities: Sequence[City] = SIX
) -> int:
    random, told = Random(f"settlements {seed}"), 0
    async with services() as simulator, relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url):
        urls = WeatherUrls.below(url)
        async with postgres.fresh_database(postgres_url, template) as clean:
            await Settle(urls, clean, FIRST, LAST, NOW, cities=cities)()
            truth = await settled(clean)
        async with postgres.fresh_database(postgres_url, template) as held:
            for run in range(runs):
                liar = relay.spoil = WeatherLiar(random)
                await Settle(urls, held, FIRST, LAST, NOW + timedelta(hours=2 * run), cities=cities, again=True)()
                told += liar.told
                # What was believed in spite of the lies is the truth, or at least says less.
                for row in await settled(held):
                    right = next(each for each in truth if each[:2] == row[:2])
                    assert row[2] in (right[2], None), (row, right)
                relay.spoil = None
                await Settle(urls, held, FIRST, LAST, NOW + timedelta(hours=2 * run + 1), cities=cities, again=True)()
                assert await settled(held) == truth
    assert len(truth) == len(cities) * 6
    return told


async def lie_about_minutes(seed: int, kind: str, postgres_url: str, template: str, runs: int) -> int:
    random, told = Random(f"minutes {seed}"), 0
    asked: dict[str, Any] = {"kind": kind, "first": FIRST, "last": FIRST + timedelta(days=1), "now": NOW}
    cities = (CHICAGO, MIAMI)
    async with services() as simulator, relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url):
        urls = WeatherUrls.below(url)
        async with postgres.fresh_database(postgres_url, template) as clean:
            await fetched(urls, clean, cities, **asked)
            truth = await digest(clean)
        async with postgres.fresh_database(postgres_url, template) as held:
            for _ in range(runs):
                liar = relay.spoil = WeatherLiar(random, rows=2)
                await fetched(urls, held, cities, again=True, **asked)
                told += liar.told
                relay.spoil = None
                await fetched(urls, held, cities, again=True, **asked)
                assert await digest(held) == truth
    return told


_OTHER_DAYS = """
select * from wx.minute_obs where not (loc_id = 'KMDW' and ts_utc between '2025-05-02 05:00Z' and '2025-05-05 05:00Z')
order by 1, 2
"""
_CLAIMS = """
select count(*) filter (where not (loc_id = 'KMDW' and date_local in %s)),
       count(*) filter (where loc_id = 'KMDW' and date_local in %s)
from wx.minute_day where state <> 'complete'
"""


async def lie_about_a_noon(seed: int, kind: str, postgres_url: str, template: str, lies: int) -> tuple[int, int]:
    """One lie a run, in the middle of one request for six days of two cities: no other day suffers.

    A climate day of Visual Crossing spans two days of UTC, and the whole answer of one of these is refused.
    Gives how many lies were told and how many of them cost a day.
    """
    random, told, refused = Random(f"noon {seed}"), 0, 0
    asked: dict[str, Any] = {"kind": kind, "first": FIRST, "last": LAST, "now": NOW}
    spoilt = "('2025-05-03')" if kind == "iem" else "('2025-05-02', '2025-05-03')"
    async with services() as simulator, relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url):
        urls = WeatherUrls.below(url)
        async with postgres.fresh_database(postgres_url, template) as clean:
            await fetched(urls, clean, (CHICAGO, MIAMI), **asked)
            truth, others = await digest(clean), await fetch(clean, _OTHER_DAYS)
        for _ in range(lies):
            liar = relay.spoil = NoonLiar(random, 3)
            async with postgres.fresh_database(postgres_url, template) as held:
                await fetched(urls, held, (CHICAGO, MIAMI), **asked)
                told += liar.told > 0
                ((left, failed),) = await fetch(held, _CLAIMS % (spoilt, spoilt))
                assert left == 0, liar
                refused += failed > 0
                assert await fetch(held, _OTHER_DAYS) == others, liar
                relay.spoil = None
                await fetched(urls, held, (CHICAGO, MIAMI), again=True, **asked)
                assert await digest(held) == truth, liar
    return told, refused


@pytest.mark.parametrize("kind", ["iem", "visualcrossing"])
@pytest.mark.parametrize("lies", [3, pytest.param(40, marks=pytest.mark.long)])
async def test_an_absurd_noon_costs_its_day_alone(
    kind: str, lies: int, postgres_url: str, template_database: str
) -> None:
    told, refused = await lie_about_a_noon(2, kind, postgres_url, template_database, lies)
    assert told == lies
    assert refused > 0


async def test_a_sample_of_absurd_settlements(postgres_url: str, template_database: str) -> None:
    assert await lie_about_settlements(1, postgres_url, template_database, 3, (CHICAGO,)) > 4


@pytest.mark.parametrize("kind", ["iem", "visualcrossing"])
async def test_a_sample_of_absurd_minutes(kind: str, postgres_url: str, template_database: str) -> None:
    assert await lie_about_minutes(1, kind, postgres_url, template_database, 2) > 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_hundreds_of_absurd_settlements_and_minutes(seed: int, postgres_url: str, template_database: str) -> None:
    told = await lie_about_settlements(seed + 2, postgres_url, template_database, 15)
    for kind in ("iem", "visualcrossing"):
        told += await lie_about_minutes(seed + 2, kind, postgres_url, template_database, 12)
    assert told > 250
