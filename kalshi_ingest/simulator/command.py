"""Runs a simulator as a process of its own."""

from __future__ import annotations

import asyncio
import sys

from kalshi_ingest.simulator.budget import Limits
from kalshi_ingest.simulator.config import WorldConfig
from kalshi_ingest.simulator.faults import Faults
from kalshi_ingest.simulator.server import Simulator
from kalshi_ingest.simulator.synthetic import SyntheticWorld


async def serve(
    config: WorldConfig, limits: Limits, faults: Faults, *, host: str, port: int, stop: asyncio.Event
) -> None:
    """Serve a synthetic world until `stop` is set; one line on stdout says where, once it listens."""
    world = SyntheticWorld(config)
    simulator = Simulator(world, limits, faults)
    url = await simulator.start(host, port)
    try:
        budget = "no limit" if limits.requests_per_second is None else f"{limits.requests_per_second:g} requests/s"
        sys.stdout.write(f"simulated exchange at {url}: {world.summary}, {budget}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await simulator.stop()
