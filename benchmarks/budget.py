"""Is the request budget used, and never overdrawn? Judged by the exchange, which enforces it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench_exchange import Exchange, World, exchange
from benchmarks.bench_server import Server, database
from benchmarks.children import backfill
from benchmarks.report import Row, tell

_LATENCY = 0.03
_TOKENS_PER_REQUEST = 10
_BAR = 0.98
_START_SECONDS = 2.0

# Requests a second, event dates, trades a market: about 25 seconds each. At 400/s the markets are small, so that
# this machine's speed is not what limits.
_FULL = ((5.0, 3, 150.0), (20.0, 14, 150.0), (100.0, 70, 150.0), (400.0, 278, 30.0))
_QUICK = ((5.0, 1, 150.0), (20.0, 5, 150.0), (100.0, 20, 150.0), (400.0, 84, 30.0))


async def run(server: Server, *, quick: bool) -> Sequence[Row]:
    """One paced backfill per rate."""
    rows: list[Row] = []
    for rate, days, trades in _QUICK if quick else _FULL:
        tell(f"budget: {rate:g} requests/s")
        rows += await _paced(server, rate, World(days, trades, limit=rate, latency=_LATENCY))
    return rows


async def _paced(server: Server, rate: float, world: World) -> list[Row]:
    async with exchange(world) as source, database(server) as url:
        starting = asyncio.create_task(_after_start(source))
        await backfill(source, url, rate)
        stats, early = await source.stats(), await starting
    seconds = stats["last_request"] - stats["first_request"]
    # The first request opens the interval, so its tokens are not part of what the interval gave.
    share = (stats["tokens_spent"] - _TOKENS_PER_REQUEST) / (seconds * rate * _TOKENS_PER_REQUEST)
    spent, later = stats["tokens_spent"] - early["tokens_spent"], stats["last_request"] - early["last_request"]
    steady = spent / (later * rate * _TOKENS_PER_REQUEST)
    late = stats["throttled_after_first_second"]
    return [
        Row(
            f"budget used at {rate:g} requests/s",
            f"{share:.1%}, without the start {steady:.1%} ({stats['total']} requests in {seconds:.1f} s)",
            f">= {_BAR:.0%}",
            share >= _BAR,
        ),
        Row(
            f"429s after the first second at {rate:g} requests/s",
            f"{late} (in it: {stats['throttled'] - late})",
            "0",
            late == 0,
        ),
    ]


async def _after_start(source: Exchange) -> Mapping[str, Any]:
    """What the exchange had seen once the lists of markets were in and trades were being asked for."""
    while True:
        stats = await source.stats()
        if stats["first_request"] is not None and stats["last_request"] - stats["first_request"] >= _START_SECONDS:
            return stats
        await asyncio.sleep(0.1)
