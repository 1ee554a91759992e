"""Runs a simulator as a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.server import Simulator
from kalshi_simulator.world import Tier, World, in_tier


async def serve(
    simulator: Simulator, *, host: str, port: int, stop: asyncio.Event, announce: Callable[[str], None]
) -> None:
    """Serve until `stop` is set; once it listens, `announce` gets lines that say where, what and how its clock runs."""
    world, limits = simulator.world, simulator.limits
    url = await simulator.start(host, port)
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
