"""Runs a simulator as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from kalshi_ingest.simulator.budget import Limits
from kalshi_ingest.simulator.faults import Faults
from kalshi_ingest.simulator.server import Simulator
from kalshi_ingest.simulator.world import Tier, World, in_tier


async def serve(world: World, limits: Limits, faults: Faults, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve a world until `stop` is set; two lines on stdout say where and what, once it listens."""
    simulator = Simulator(world, limits, faults)
    url = await simulator.start(host, port)
    try:
        budget = "no limit" if limits.requests_per_second is None else f"{limits.requests_per_second:g} requests/s"
        sys.stdout.write(f"simulated exchange at {url}: {world.summary}, {budget}\n{_tiers(world)}\n")
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
