"""`export` and `load`: the database as Parquet files, and back."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence

from kalshi_ingest.archive.manifest import Layout
from kalshi_ingest.archive.memory import use_system_memory
from kalshi_ingest.archive.place import Place
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.commands.common import database_url, interruptible, say
from kalshi_ingest.domain.cities import city_of_series, find_city
from kalshi_ingest.exit_codes import COMPLETE, INCOMPLETE
from kalshi_ingest.jobs.export import export as write_archive
from kalshi_ingest.jobs.load import load as read_archive
from kalshi_ingest.jobs.session import migrated, with_database
from kalshi_ingest.settings import Settings
from kalshi_ingest.store.grid import refresh
from kalshi_ingest.store.rights import FETCH

Export = Callable[[str], Coroutine[None, None, int]]
"""Given the database's address, does the export; the exit code."""


def export(arguments: argparse.Namespace, settings: Settings) -> int:
    """`export`: 0 when every file is in its place, 1 when a city could not be exported."""
    labels = [_label(name) for name in [*arguments.city, *arguments.series]]
    work = prepared_export(arguments.output, labels or None, arguments.layout, expected=False)
    with database_url(settings) as url:
        return asyncio.run(work(url))


def prepared_export(
    output: str, labels: Sequence[str] | None, layout: Layout = "cities", *, expected: bool = True
) -> Export:
    """An export that is ready to run. Raises `Unusable` at once when nothing can be written to `output`.

    `expected`: a label of which nothing is held is no mistake, as after a backfill that could not get it.
    """
    use_system_memory()
    place = Place.at(output)
    place.require_writable()

    async def write(url: str) -> int:
        await migrated(url)
        database = await with_database(url)
        try:
            result = await write_archive(database, place, layout=layout, labels=labels, expected=expected)
        finally:
            await database.close()
        say(result.as_text())
        return INCOMPLETE if result.failed else COMPLETE

    async def work(url: str) -> int:
        return await interruptible(write(url), "stopping: what is published stays whole")

    return work


def load(arguments: argparse.Namespace, settings: Settings) -> int:
    """`load`: 0 when every city is in the tables, 1 when one could not be loaded or a market contradicts."""
    use_system_memory()
    place = Place.at(arguments.input)
    labels = [_label(name) for name in arguments.city] or None
    command = " ".join(["load", "--input", str(place), *(f"--city {name}" for name in arguments.city)])

    async def work(url: str) -> int:
        loading = _load(url, place, labels, command, refresh_grid=arguments.refresh_grid)
        return await interruptible(loading, "stopping: the city under way is left as it was")

    with database_url(settings) as url:
        return asyncio.run(work(url))


async def _load(url: str, place: Place, labels: Sequence[str] | None, command: str, *, refresh_grid: bool) -> int:
    await migrated(url)
    database = await with_database(url, FETCH)
    try:
        result = await read_archive(database, place, labels, clock=utc_now, command=command)
        say(result.as_text())
        if refresh_grid:
            grid = await refresh(database)
            say(f"\nThe one-minute weather grid holds {grid.rows:,} rows, refreshed in {grid.seconds:.1f} s.")
    finally:
        await database.close()
    return COMPLETE if result.whole else INCOMPLETE


def _label(name: str) -> str:
    """How an archive calls what the user named: a city's key, another series' own ticker."""
    ticker = name.upper()
    if ticker.startswith("KX") and city_of_series(ticker) is None:
        return ticker
    return find_city(name).key
