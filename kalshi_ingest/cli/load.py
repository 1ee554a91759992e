"""`load`: an archive back into the tables."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from kalshi_ingest.archive.load import load as read_archive
from kalshi_ingest.cli.common import database_url, interruptible, say
from kalshi_ingest.cli.export import label
from kalshi_ingest.cli.options import DATABASE, LOGS, command, command_line, names, option
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.parquet.memory import use_system_memory
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.rights import FETCH
from kalshi_ingest.settings import Settings
from kalshi_ingest.weather.grid.queries import refresh


@command(*DATABASE, *LOGS)
def load(
    settings: Settings,
    *,
    folder: Annotated[
        str, option("a folder that export wrote, or a URI; also the predecessor's form", name="--input", metavar="DIR")
    ],
    city: Annotated[tuple[str, ...], names("a city; all of the archive by default")] = (),
    refresh_grid: Annotated[bool, option("refresh the one-minute weather grid afterwards")] = False,
) -> int:
    """`load`: 0 when every city is in the tables, 1 when one could not be loaded or a market contradicts."""
    use_system_memory()
    storage = ArchiveStorage.at(folder)
    labels = [label(name) for name in city] or None
    told = command_line(["load"], input=str(storage), city=city)

    async def work(url: str) -> int:
        loading = _load(url, storage, labels, told, refresh_grid=refresh_grid)
        return await interruptible(loading, "stopping: the city under way is left as it was")

    with database_url(settings) as url:
        return asyncio.run(work(url))


async def _load(
    url: str, storage: ArchiveStorage, labels: Sequence[str] | None, told: str, *, refresh_grid: bool
) -> int:
    await migrate_schema(url)
    database = await open_database(url, FETCH)
    try:
        result = await read_archive(database, storage, labels, clock=utc_now, command=told)
        say(result.as_text())
        if refresh_grid:
            grid = await refresh(database)
            say(f"\nThe one-minute weather grid holds {grid.rows:,} rows, refreshed in {grid.seconds:.1f} s.")
    finally:
        await database.close()
    return COMPLETE if result.whole else INCOMPLETE
