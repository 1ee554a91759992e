"""`simulate` and `demo`: everything without the real exchange."""

import argparse
import asyncio
from datetime import timedelta

from kalshi_ingest import logs
from kalshi_ingest.commands.backfill import run_backfill
from kalshi_ingest.commands.common import COMPLETE, date_of, now, stop_on_signals
from kalshi_ingest.errors import Unusable
from kalshi_ingest.jobs import demo as demo_job
from kalshi_ingest.jobs.simulation import check_simulation
from kalshi_ingest.settings import Settings
from kalshi_ingest.simulator import Faults, Limits, WorldConfig
from kalshi_ingest.simulator.command import serve
from kalshi_ingest.store import embedded

_MOST_DEMO_DAYS = 365


def simulate(arguments: argparse.Namespace, _: Settings) -> int:
    """`simulate`: serve until stopped."""
    end = date_of(arguments.end, "--end") if arguments.end else now().date() - timedelta(days=1)
    start = date_of(arguments.start, "--start") if arguments.start else end - timedelta(days=29)
    check_simulation(arguments, start, end)
    world = WorldConfig(
        start=start,
        end=end,
        now=now(),
        seed=arguments.seed,
        trades_per_market=arguments.trades_per_market,
        giant=arguments.giant,
        oddities=not arguments.plain,
    )
    limits = Limits(requests_per_second=arguments.limit or None, latency=arguments.latency)
    faults = Faults(error_rate=arguments.error_rate)

    async def run() -> int:
        try:
            await serve(world, limits, faults, host=arguments.host, port=arguments.port, stop=stop_on_signals())
        except OSError as error:
            raise Unusable(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror}") from None
        return COMPLETE

    return asyncio.run(run())


def demo(arguments: argparse.Namespace, settings: Settings) -> int:
    """`demo`: everything in one, offline, in a database of its own."""
    if not 1 <= arguments.days <= _MOST_DEMO_DAYS:
        raise Unusable(f"--days {arguments.days} is out of range: 1 to {_MOST_DEMO_DAYS}")
    logs.configure("console", "warning")
    data_dir = settings.data_dir / "demo"
    with embedded.running(data_dir) as server:
        return asyncio.run(demo_job.run(server.url, data_dir, arguments.days, now(), run_backfill))
