"""`simulate`: a simulated exchange on localhost."""

import argparse
import asyncio
import importlib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from kalshi_ingest.commands.common import COMPLETE, date_of, now, stop_on_signals
from kalshi_ingest.errors import Unusable
from kalshi_ingest.jobs.simulation import check_simulation
from kalshi_ingest.settings import Settings
from kalshi_ingest.simulator import Faults, Limits, Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from kalshi_ingest.simulator.command import serve
from kalshi_ingest.simulator.world import World


def simulate(arguments: argparse.Namespace, _: Settings) -> int:
    """`simulate`: serve until stopped."""
    world = _world(arguments)
    limits = Limits(requests_per_second=arguments.limit or None, latency=arguments.latency)
    faults = Faults(error_rate=arguments.error_rate)
    weather = WeatherConfig(seed=arguments.seed, plain=arguments.plain)
    simulator = Simulator(world, limits, faults, weather=weather)

    async def run() -> int:
        try:
            stop = stop_on_signals()
            await serve(simulator, host=arguments.host, port=arguments.port, stop=stop)
        except OSError as error:
            raise Unusable(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror}") from None
        return COMPLETE

    return asyncio.run(run())


def _world(arguments: argparse.Namespace) -> World:
    """The archive that was named, else a made-up world."""
    end = date_of(arguments.end, "--end") if arguments.end else now().date() - timedelta(days=1)
    start = date_of(arguments.start, "--start") if arguments.start else end - timedelta(days=29)
    check_simulation(arguments, start, end)
    cutoff = None
    if arguments.cutoff:
        cutoff = datetime.combine(date_of(arguments.cutoff, "--cutoff"), time(0), tzinfo=UTC)
    try:
        if arguments.archive is not None:
            # Loaded only when it is wanted: Parquet takes 60 MB.
            archive = importlib.import_module("kalshi_ingest.simulator.archive_world")
            world: World = archive.ArchiveWorld(Path(arguments.archive), cutoff)
            return world
        config = WorldConfig(
            start=start,
            end=end,
            now=now(),
            cutoff=cutoff,
            seed=arguments.seed,
            trades_per_market=arguments.trades_per_market,
            giant=arguments.giant,
            oddities=not arguments.plain,
        )
        return SyntheticWorld(config)
    except ValueError as error:
        raise Unusable(str(error)) from None
