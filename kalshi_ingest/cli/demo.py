"""`demo`: everything in one, offline."""

import asyncio
from typing import Annotated

from kalshi_ingest import logs
from kalshi_ingest.cli import demo_steps
from kalshi_ingest.cli.common import embedded_server
from kalshi_ingest.cli.options import command, option
from kalshi_ingest.cli.signals import stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import INTERRUPTED
from kalshi_ingest.settings import Settings

_MOST_DEMO_DAYS = 365


@command("data_dir")
def demo(
    settings: Settings, *, days: Annotated[int, option("event dates per city (default 30)", metavar="N")] = 30
) -> int:
    """`demo`: everything in one, offline, in a database of its own."""
    if not 1 <= days <= _MOST_DEMO_DAYS:
        raise Unusable(f"--days {days} is out of range: 1 to {_MOST_DEMO_DAYS}")
    logs.configure("console", "warning")
    data_dir = settings.data_dir / "demo"

    async def run(url: str) -> int:
        code = await demo_steps.run(url, data_dir, days, utc_now(), stop_on_signals())
        return INTERRUPTED if code is None else code

    with embedded_server(data_dir) as server:
        return asyncio.run(run(server.url))
