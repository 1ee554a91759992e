"""`export`: the database as Parquet files."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated

from kalshi_ingest.archive.export import export as write_archive
from kalshi_ingest.cli.common import database_url, interruptible, say
from kalshi_ingest.cli.options import DATABASE, LOGS, command, names, option
from kalshi_ingest.domain.cities import city_of_series, find_city
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE
from kalshi_ingest.ingest.resources import migrate_schema, open_database
from kalshi_ingest.parquet.manifest import Layout
from kalshi_ingest.parquet.memory import use_system_memory
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.settings import Settings

Export = Callable[[str], Coroutine[None, None, int]]
"""Given the database's address, does the export; the exit code."""


@command(*DATABASE, *LOGS)
def export(
    settings: Settings,
    *,
    output: Annotated[str, option("a folder, or a URI such as s3://bucket/folder", metavar="DIR")],
    layout: Annotated[Layout, option("dataset: hive folders by series and event date")] = "cities",
    city: Annotated[tuple[str, ...], names("a city; all that are held by default")] = (),
    series: Annotated[tuple[str, ...], names("any other series", "TICKER")] = (),
) -> int:
    """`export`: 0 when every file is in its place, 1 when a city could not be exported."""
    labels = [label(name) for name in [*city, *series]]
    work = prepared_export(output, labels or None, layout, expected=False)
    with database_url(settings) as url:
        return asyncio.run(work(url))


def prepared_export(
    output: str, labels: Sequence[str] | None, layout: Layout = "cities", *, expected: bool = True
) -> Export:
    """An export that is ready to run. Raises `Unusable` at once when nothing can be written to `output`.

    `expected`: a label of which nothing is held is not a mistake, as after a backfill that could not get it.
    """
    use_system_memory()
    storage = ArchiveStorage.at(output)
    storage.require_writable()

    async def write(url: str) -> int:
        await migrate_schema(url)
        database = await open_database(url)
        try:
            result = await write_archive(database, storage, layout=layout, labels=labels, expected=expected)
        finally:
            await database.close()
        say(result.as_text())
        return INCOMPLETE if result.failed else COMPLETE

    async def work(url: str) -> int:
        return await interruptible(write(url), "stopping: what is published stays whole")

    return work


def label(name: str) -> str:
    """How an archive calls what the user named: a city's key, another series' own ticker."""
    ticker = name.upper()
    if ticker.startswith("KX") and city_of_series(ticker) is None:
        return ticker
    return find_city(name).key
