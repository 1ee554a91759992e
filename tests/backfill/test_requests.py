"""The request budget: nothing is asked that is not needed, and nothing proved is asked again."""

from kalshi_simulator import Simulator
from tests.support.backfills import WORKERS, Run, fewest_pages, pages_of_all, varied_world

_LISTS = {"series": 1, "markets": 1, "historical_markets": 1, "events": 1, "historical_cutoff": 1}


async def test_a_backfill_asks_for_each_page_once_and_a_second_one_for_none(database_url: str) -> None:
    world = varied_world()
    wanted = {ticker: fewest_pages(world, ticker) for ticker in world.market_tickers() if world.trade_count(ticker)}
    assert 0 < len(wanted) < len(world.market_tickers())
    assert max(wanted.values()) >= 6
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, database_url)()
        stats = simulator.stats
        assert dict(stats.trade_pages) == wanted
        lists = {route: count for route, count in stats.by_route.items() if not route.endswith("trades")}
        assert lists == _LISTS
        assert job.progress["KXHIGHCHI"].stats.tally.requests == stats.total - 1  # the cutoff is nobody's
        assert job.progress["KXHIGHCHI"].stats.tally.retries == 0

        stats.reset()
        again = await Run(simulator.url, database_url)()
        assert stats.trade_pages.total() == 0
        assert stats.by_route == _LISTS
        assert again.progress["KXHIGHCHI"].proved_before == 24
        assert again.progress["KXHIGHCHI"].stats.trades == 0


async def test_the_same_pages_at_any_number_of_workers(database_url: str, empty_database_url: str) -> None:
    assert WORKERS not in (1, 24)
    world = varied_world()
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url, workers=24)()
        assert simulator.stats.trade_pages.total() == pages_of_all(world)
