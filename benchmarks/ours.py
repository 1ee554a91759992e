"""Our backfill in a process of its own, uncapped."""

import asyncio
from datetime import date

from benchmarks.children import UNCAPPED, given, timed
from kalshi_ingest import logs
from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.ingest.resources import Exchange, open_resources


async def main() -> None:
    """Backfill the dates given: markets, trades, candles, checkpoints, log."""
    arguments = given()
    logs.configure("json", "warning")
    dates = Dates(date.fromisoformat(arguments["start"]), date.fromisoformat(arguments["end"]))
    wanted = [Wanted(city.series_ticker, city.key) for city in CITIES if not city.retired]
    exchange = Exchange(arguments["url"], requests_per_second=UNCAPPED)
    async with open_resources(exchange, arguments["database"], utc_now) as session:
        job = Backfill(session.context, wanted, dates, "benchmark")

        async def work() -> tuple[int, int]:
            await job.run(asyncio.Event())
            done = [each.stats for each in job.progress.values()]
            return sum(each.trades for each in done), sum(each.candles_1m + each.candles_5m for each in done)

        await timed(work)


if __name__ == "__main__":
    asyncio.run(main())
