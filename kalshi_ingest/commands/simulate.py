"""`simulate`: a simulated exchange on localhost."""

import argparse
import asyncio
import importlib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from kalshi_ingest.clocks import utc_now
from kalshi_ingest.commands.common import date_of, say
from kalshi_ingest.commands.signals import current, stop_on_signals
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.jobs.simulation import AHEAD, check_simulation, start_of_the_clock
from kalshi_ingest.settings import Settings
from kalshi_simulator import Faults, Limits, Maintenance, Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.command import serve
from kalshi_simulator.config import ARCHIVE_AGE
from kalshi_simulator.world import World


def simulate(arguments: argparse.Namespace, _: Settings) -> int:
    """`simulate`: serve until stopped."""
    if arguments.http_host is not None or arguments.http_port is not None:
        raise Unusable("simulate listens where --host and --port say: leave out --http-host and --http-port")
    world = _world(arguments)
    simulator = _simulator(arguments, world)

    async def run() -> int:
        try:
            stop = stop_on_signals(code=COMPLETE)
            await serve(simulator, host=arguments.host, port=arguments.port, stop=stop, announce=say)
        except OSError as error:
            raise Unusable(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror}") from None
        return COMPLETE

    return asyncio.run(run())


def _simulator(arguments: argparse.Namespace, world: World) -> Simulator:
    faults = Faults(error_rate=arguments.error_rate, maintenance=Maintenance(weekly=arguments.maintenance))
    weather = WeatherConfig(seed=arguments.seed, plain=arguments.plain)
    path = arguments.public_key
    try:
        key = None if path is None else Path(path).read_bytes()
        limits = Limits(
            requests_per_second=arguments.limit or None,
            latency=arguments.latency,
            public_key_pem=key,
            cache_seconds=arguments.cache_seconds,
        )
        return Simulator(world, limits, faults, weather=weather)
    except OSError as error:
        raise Unusable(f"cannot read the public key {path}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Unusable(f"{path} holds no RSA or Ed25519 public key in PEM form") from None


def _world(arguments: argparse.Namespace) -> World:
    """The archive that was named, else a made-up world."""
    begin = start_of_the_clock(getattr(arguments, "from"), utc_now())
    yesterday = begin.date() - timedelta(days=1)
    runs = arguments.speed > 0
    last = begin.date() + AHEAD if runs else yesterday
    end = date_of(arguments.end, "--end") if arguments.end else last
    month_ends = min(end, yesterday) if runs else end
    start = date_of(arguments.start, "--start") if arguments.start else month_ends - timedelta(days=29)
    check_simulation(arguments, start, end)
    cutoff = None
    if arguments.cutoff:
        cutoff = datetime.combine(date_of(arguments.cutoff, "--cutoff"), time(0), tzinfo=UTC)
    try:
        if arguments.archive is not None:
            # Loaded only when it is wanted: Parquet takes 60 MB.
            with current().deferred():
                archive = importlib.import_module("kalshi_simulator.archive_world")
            world: World = archive.ArchiveWorld(Path(arguments.archive), cutoff)
            return world
        config = WorldConfig(
            start=start,
            end=end,
            now=begin,
            cutoff=cutoff,
            archive_age=ARCHIVE_AGE if arguments.archive_age is None else timedelta(days=arguments.archive_age),
            seed=arguments.seed,
            trades_per_market=arguments.trades_per_market,
            giant=arguments.giant,
            oddities=not arguments.plain,
        )
        return SyntheticWorld(config, SimulatedClock(begin, arguments.speed))
    except ValueError as error:
        raise Unusable(str(error)) from None
