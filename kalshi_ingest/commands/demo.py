"""`demo`: everything in one, offline."""

import argparse
import asyncio

from kalshi_ingest import logs
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.commands.backfill import run_backfill
from kalshi_ingest.commands.common import embedded_server
from kalshi_ingest.commands.signals import stop_on_signals
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import INTERRUPTED
from kalshi_ingest.jobs import demo as demo_job
from kalshi_ingest.settings import Settings

_MOST_DEMO_DAYS = 365


def demo(arguments: argparse.Namespace, settings: Settings) -> int:
    """`demo`: everything in one, offline, in a database of its own."""
    if not 1 <= arguments.days <= _MOST_DEMO_DAYS:
        raise Unusable(f"--days {arguments.days} is out of range: 1 to {_MOST_DEMO_DAYS}")
    logs.configure("console", "warning")
    data_dir = settings.data_dir / "demo"

    async def run(url: str) -> int:
        code = await demo_job.run(url, data_dir, arguments.days, utc_now(), run_backfill, stop_on_signals())
        return INTERRUPTED if code is None else code

    with embedded_server(data_dir) as server:
        return asyncio.run(run(server.url))
