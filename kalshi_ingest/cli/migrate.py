"""`migrate`: bring the database's schema up to date."""

import asyncio

from kalshi_ingest.cli.common import database_url, interruptible, say
from kalshi_ingest.cli.options import DATABASE, LOGS, command
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.ingest.resources import migrate_schema
from kalshi_ingest.settings import Settings


@command(*DATABASE, *LOGS)
def migrate(settings: Settings) -> int:
    """`migrate`: apply what is missing."""

    async def apply(url: str) -> int:
        applied = await migrate_schema(url)
        say("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
        return COMPLETE

    with database_url(settings) as url:
        return asyncio.run(interruptible(apply(url)))
