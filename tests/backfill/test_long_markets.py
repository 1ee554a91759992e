"""Markets of many pages, as the busiest ones are today: ten times what was recorded when the tape was modelled."""

from datetime import UTC, date, datetime

from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.support.backfills import Run, assert_holds_all

_CONFIG = WorldConfig(
    start=date(2025, 7, 1),
    end=date(2025, 7, 1),
    now=datetime(2025, 7, 20, tzinfo=UTC),
    cities=("KXHIGHCHI",),
    seed=21,
    trades_per_market=3_000.0,
    oddities=False,
)


async def test_a_day_of_long_markets_is_held_exactly(database_url: str) -> None:
    world = SyntheticWorld(_CONFIG)
    world.clock.speed = 1.0
    sizes = [world.trade_count(ticker) for ticker in world.market_tickers()]
    assert 10_000 <= max(sizes) <= 30_000
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url)()
        pages = sum(1 + size // 1_000 for size in sizes if size)
        assert pages <= simulator.stats.trade_pages.total() <= pages + len(sizes)
    assert job.progress["KXHIGHCHI"].verdicts == {"exact": 6}
    await assert_holds_all(database_url, world)
