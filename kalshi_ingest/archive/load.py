"""Archives into the database, one city after another: each is checked whole, then written in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

import structlog

from kalshi_ingest.archive.load_report import LoadResult, entries_of
from kalshi_ingest.archive.predecessor.files import predecessor_city, predecessor_folders
from kalshi_ingest.archive.predecessor.rows import Origin
from kalshi_ingest.archive.queries.load import Loaded, load_city
from kalshi_ingest.archive.verification import ArchivedCity, Steps, checked_city
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exchange.parse_markets import STATUSES
from kalshi_ingest.ingest.restarting import with_restarts
from kalshi_ingest.ingest.run_log import Entry, invoker, run_log
from kalshi_ingest.parquet.manifest import Manifest, read_manifest
from kalshi_ingest.parquet.memory import give_back
from kalshi_ingest.parquet.schema import MANIFEST, MARKETS
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import LONG, Connection, Database

log = structlog.get_logger()

T = TypeVar("T")


async def load(
    database: Database,
    storage: ArchiveStorage,
    labels: Sequence[str] | None,
    *,
    clock: Callable[[], datetime],
    command: str = "load",
) -> LoadResult:
    """Load the cities named by `labels`, or all that the archive holds. Doing it again changes nothing.

    `command` is what the ingestion log tells. A city that cannot be loaded is left as it was and listed.
    Raises `Unusable` when there is no archive, no city to load or none that could be loaded, `OutOfReach` when the
    database stays away.
    """
    run = ingestion_log.Run(uuid4(), command, invoker(), clock(), None, None)
    return await with_restarts([database], lambda: _load(database, storage, labels, run, clock))


async def _load(
    database: Database,
    storage: ArchiveStorage,
    labels: Sequence[str] | None,
    run: ingestion_log.Run,
    clock: Callable[[], datetime],
) -> LoadResult:
    checks = await asyncio.to_thread(_checks, storage, labels, Origin(run.run_id, run.started_at, STATUSES))
    result = LoadResult()
    async for label, checked in _checked(checks):
        try:
            result.loaded[label] = await _write(database, await checked, run, clock)
            give_back()
            log.info("loaded", city=label, trades=result.loaded[label].trades)
        except Unusable as error:
            log.warning("load_failed", city=label, reason=str(error))
            result.failed[label] = str(error)
    if not result.loaded:
        raise Unusable("nothing was loaded: " + "; ".join(result.failed.values()))
    await database.run(_analyze, longest=LONG)
    return result


async def _analyze(connection: Connection) -> None:
    """Later queries are planned from what the tables hold now."""
    await connection.execute("analyze trades; analyze candles; analyze markets; analyze checkpoints")


def _checks(storage: ArchiveStorage, labels: Sequence[str] | None, origin: Origin) -> dict[str, Steps]:
    """City → its check, not begun yet."""
    try:
        return _found(storage, labels, origin)
    except OSError as error:
        raise storage.unreadable(error) from error


def _found(storage: ArchiveStorage, labels: Sequence[str] | None, origin: Origin) -> dict[str, Steps]:
    if not storage.exists():
        raise Unusable(f"no archive at {storage}: no such folder")
    manifest = read_manifest(storage)
    if manifest is not None:
        _require_city_folders(manifest, storage)
        wanted = _chosen(sorted(manifest.cities), labels, storage)
        checks = {label: checked_city(storage, label, manifest.cities[label]) for label in wanted}
        if labels is None:
            checks |= {
                label: _unnamed(label, storage) for label in storage.folders() if _is_unnamed(label, manifest, storage)
            }
        return checks
    folders = predecessor_folders(storage)
    if not folders:
        raise Unusable(
            f"{storage} is not an archive: it holds neither {MANIFEST} nor a city's folder with markets.parquet"
        )
    wanted = _chosen(sorted(folders), labels, storage)
    return {label: predecessor_city(storage, label, folders[label], origin) for label in wanted}


def _is_unnamed(label: str, manifest: Manifest, storage: ArchiveStorage) -> bool:
    return label not in manifest.cities and storage.exists(f"{label}/{MARKETS.file}")


def _unnamed(label: str, storage: ArchiveStorage) -> Steps:
    """A folder with a city's files that the manifest does not name, as after an export that was killed."""
    yield
    raise Unusable(f"{MANIFEST} of {storage} does not name this folder: export it again, or remove the folder")


def _require_city_folders(manifest: Manifest, storage: ArchiveStorage) -> None:
    if manifest.layout != "cities":
        raise Unusable(
            f"{storage} is an archive in the layout {manifest.layout!r}, made for DuckDB, Polars and Spark; "
            "load reads the layout 'cities': export it without --layout"
        )
    if not manifest.cities:
        raise Unusable(f"the archive at {storage} holds no city")


def _chosen(held: Sequence[str], labels: Sequence[str] | None, storage: ArchiveStorage) -> list[str]:
    if labels is None:
        return list(held)
    wanted = [label if label in held else find_city(label).key for label in labels]
    missing = [label for label in wanted if label not in held]
    if missing:
        raise Unusable(f"the archive at {storage} does not hold {', '.join(missing)}; it holds {', '.join(held)}")
    return list(dict.fromkeys(wanted))


async def _checked(checks: Mapping[str, Steps]) -> AsyncIterator[tuple[str, Awaitable[ArchivedCity]]]:
    """Each city with its check; while the server writes one city, the next one is being checked."""
    waiting = [(label, steps) for label, steps in checks.items()]
    checking = asyncio.ensure_future(_in_steps(waiting[0][1]))
    try:
        for at, (label, _) in enumerate(waiting):
            current = checking
            await asyncio.wait([current])
            if at + 1 < len(waiting):
                checking = asyncio.ensure_future(_in_steps(waiting[at + 1][1]))
            yield label, current
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)


async def _in_steps(steps: Steps) -> ArchivedCity:
    """Run a check in a thread, step by step, so that a stop need not wait for its end."""

    def step() -> ArchivedCity | None:
        try:
            next(steps)
        except StopIteration as end:
            found: ArchivedCity = end.value
            return found
        return None

    while (city := await asyncio.to_thread(step)) is None:
        pass
    return city


async def _write(
    database: Database, city: ArchivedCity, run: ingestion_log.Run, clock: Callable[[], datetime]
) -> Loaded:
    await database.locks.take_series(city.series_tickers, then=f"load {city.label} when it has ended")
    series = dict.fromkeys(city.series_tickers, Entry())

    async def work(connection: Connection) -> Loaded:
        loaded = await load_city(connection, city, run.run_id, clock())
        await log.end_with(connection, entries_of(loaded, city.series_tickers))
        return loaded

    try:
        async with run_log(database, run, lambda: series, clock) as log:
            loaded = await database.run(work, longest=LONG)
    except Unusable:
        await database.locks.release(series)
        raise
    await database.locks.release(series)  # what follows may take hours, and is about other cities
    return loaded
