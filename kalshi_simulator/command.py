"""Runs a simulator as a process of its own: `kalshi-simulator`, and `kalshi-ingest simulate`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.options import Options, WrongOptionError
from kalshi_simulator.server import BASE_PATH, Simulator
from kalshi_simulator.simulation import simulator_of
from kalshi_simulator.weather.server import WeatherUrls
from kalshi_simulator.world import Tier, World, in_tier

_DEFAULT = Options()


def main(argv: Sequence[str] | None = None) -> int:
    """`kalshi-simulator`: serve until SIGINT or SIGTERM. 0 then, and 2 with one line for wrong options."""
    program = App(
        name="kalshi-simulator",
        help="Serve a simulated exchange, with its weather services, on localhost.",
        help_format="plaintext",
        help_formatter="plain",
        version_flags=(),
        default_parameter=Parameter(negative=(), allow_repeating=True, show_default=False),
        default_command=_simulate,
        print_error=False,
        exit_on_error=False,
    )
    try:
        command, bound, _ = program.parse_args(sys.argv[1:] if argv is None else argv)
        command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        error.verbose = False
        return _refused(str(error))
    except WrongOptionError as error:
        return _refused(str(error))
    return 0


def _simulate(options: Annotated[Options, Parameter(name="*")] = _DEFAULT) -> None:
    simulator = simulator_of(options, datetime.now(UTC))

    async def run() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await serve(simulator, host=options.host, port=options.port, stop=stop, announce=_say)

    asyncio.run(run())


def default_addresses() -> dict[str, str]:
    """Where a simulator listens unless it is told otherwise, by the name of the option of `kalshi-ingest`."""
    root = f"http://{_DEFAULT.host}:{_DEFAULT.port}"
    urls = WeatherUrls.below(root)
    return {
        "api_url": root + BASE_PATH,
        "iem_url": urls.iem,
        "ncei_url": urls.ncei,
        "visual_crossing_url": urls.visual_crossing,
    }


def _say(text: str) -> None:
    with suppress(OSError):  # it serves, whether or not somebody reads
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _refused(text: str) -> int:
    sys.stderr.write(f"kalshi-simulator: {text}\n")
    return 2


async def serve(
    simulator: Simulator, *, host: str, port: int, stop: asyncio.Event, announce: Callable[[str], None]
) -> None:
    """Serve until `stop` is set; once it listens, `announce` gets lines that say where, what and how its clock runs.

    Raises `WrongOptionError` when nothing can listen there.
    """
    world, limits = simulator.world, simulator.limits
    try:
        url = await simulator.start(host, port)
    except OSError as error:
        raise WrongOptionError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    try:
        budget = "no limit" if limits.requests_per_second is None else f"{limits.requests_per_second:g} requests/s"
        lines = [
            f"simulated exchange at {url} (WebSocket {simulator.channel_url}): {world.summary}, {budget}",
            _tiers(world),
            _services(simulator),
            *_clock(world.clock),
        ]
        announce("\n".join(lines))
        await stop.wait()
    finally:
        await simulator.stop()


def _tiers(world: World) -> str:
    entries = world.entries(None)
    archived = sum(in_tier(entry, Tier.HISTORICAL, world.cutoff, timedelta()) for entry in entries)
    return (
        f"historical tier: {archived:,} markets settled before {world.cutoff:%Y-%m-%d}, and trades made before it;"
        f" live tier: {len(entries) - archived:,} markets"
    )


def _clock(clock: SimulatedClock) -> list[str]:
    """One line about a clock that does not stand still."""
    if clock.speed == 0:
        return []
    return [f"clock: {clock.now:%Y-%m-%d %H:%M:%S} UTC and {clock.speed:g} simulated seconds per second"]


def _services(simulator: Simulator) -> str:
    urls = simulator.weather_urls
    return (
        f"weather: --iem-url {urls.iem} --ncei-url {urls.ncei} --visual-crossing-url {urls.visual_crossing}"
        f" (key {simulator.weather.config.visual_crossing_key})"
    )
