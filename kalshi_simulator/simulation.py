"""The simulator that the options of its command ask for."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from kalshi_simulator.budget import Limits
from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.config import ARCHIVE_AGE, WorldConfig
from kalshi_simulator.faults import Faults
from kalshi_simulator.maintenance import Maintenance
from kalshi_simulator.options import AHEAD, Options, WrongOptionError, date_of, moment_of
from kalshi_simulator.server import Simulator
from kalshi_simulator.synthetic import SyntheticWorld
from kalshi_simulator.weather.config import WeatherConfig
from kalshi_simulator.world import World


def simulator_of(options: Options, now: datetime) -> Simulator:
    """The simulator, not listening yet. Raises `WrongOptionError` for options that make no sense."""
    world = _world(options, now)
    faults = Faults(error_rate=options.error_rate, maintenance=Maintenance(weekly=options.maintenance))
    weather = WeatherConfig(seed=options.seed, plain=options.plain)
    path = options.public_key
    try:
        limits = Limits(
            requests_per_second=options.limit or None,
            latency=options.latency,
            public_key_pem=None if path is None else Path(path).read_bytes(),
            cache_seconds=options.cache_seconds,
        )
        return Simulator(world, limits, faults, weather=weather)
    except OSError as error:
        raise WrongOptionError(f"cannot read the public key {path}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise WrongOptionError(f"{path} holds no RSA or Ed25519 public key in PEM form") from None


def _world(options: Options, now: datetime) -> World:
    """The archive that was named, else a made-up world."""
    begin = moment_of(options.from_, now)
    yesterday = begin.date() - timedelta(days=1)
    runs = options.speed > 0
    last = begin.date() + AHEAD if runs else yesterday
    end = date_of(options.end, "--end") if options.end else last
    month_ends = min(end, yesterday) if runs else end
    start = date_of(options.start, "--start") if options.start else month_ends - timedelta(days=29)
    options.check(start, end)
    cutoff = None
    if options.cutoff:
        cutoff = datetime.combine(date_of(options.cutoff, "--cutoff"), time(0), tzinfo=UTC)
    try:
        if options.archive is not None:
            archive = importlib.import_module("kalshi_simulator.archive_world")  # only if wanted: Parquet takes 60 MB
            world: World = archive.ArchiveWorld(Path(options.archive), cutoff)
            return world
        config = WorldConfig(
            start=start,
            end=end,
            now=begin,
            cutoff=cutoff,
            archive_age=ARCHIVE_AGE if options.archive_age is None else timedelta(days=options.archive_age),
            seed=options.seed,
            trades_per_market=options.trades_per_market,
            giant=options.giant,
            oddities=not options.plain,
        )
        return SyntheticWorld(config, SimulatedClock(begin, options.speed))
    except ValueError as error:
        raise WrongOptionError(str(error)) from None
