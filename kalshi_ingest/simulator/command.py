"""Runs a simulator as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from kalshi_ingest.simulator.server import Simulator
from kalshi_ingest.simulator.world import Tier, World, in_tier


async def serve(simulator: Simulator, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; three lines on stdout say where and what, once it listens."""
    world, limits = simulator.world, simulator.limits
    url = await simulator.start(host, port)
    try:
        budget = "no limit" if limits.requests_per_second is None else f"{limits.requests_per_second:g} requests/s"
        sys.stdout.write(
            f"simulated exchange at {url}: {world.summary}, {budget}\n{_tiers(world)}\n{_services(simulator)}\n"
        )
        sys.stdout.flush()
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


def _services(simulator: Simulator) -> str:
    urls = simulator.weather_urls
    return (
        f"weather: --iem-url {urls.iem} --ncei-url {urls.ncei} --visual-crossing-url {urls.visual_crossing}"
        f" (key {simulator.weather.config.visual_crossing_key})"
    )
