"""Loads in one line, and what the tables hold afterwards to the last column that an archive carries."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kalshi_ingest.archive.load import load
from kalshi_ingest.archive.load_report import LoadResult
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.database import Database
from tests.support.backfills import fetch
from tests.support.dumps import digests
from tests.support.killable import Order


async def loaded(url: str, folder: Path, labels: Sequence[str] | None = None) -> LoadResult:
    """One load with a connection of its own, as a process would have it."""
    database = Database(url)
    await database.open()
    try:
        return await load(database, ArchiveStorage.at(str(folder)), labels, clock=lambda: datetime.now(UTC))
    finally:
        await database.close()


def load_folder(order: Order) -> int:
    """A load as a killable run."""
    return 1 if asyncio.run(loaded(order["database_url"], Path(order["folder"]))).failed else 0


async def held(url: str) -> dict[str, str]:
    """Digests of all tables, with the columns that two backfills may differ in: a load changes none of them."""
    rest = {
        "stamps": "select ticker, fetched_at, open_interest from markets order by 1",
        "proofs": "select * from checkpoints order by 1",
        "series": "select series_ticker, fetched_at from series order by 1",
        "events": "select event_ticker, fetched_at from events order by 1",
        "listings": "select * from listings order by 1, 2",
    }
    rows = {name: repr(await fetch(url, query)) for name, query in rest.items()}
    return await digests(url) | {f"all {name}": text for name, text in rows.items()}


async def counts(url: str) -> dict[str, int]:
    """Rows per table."""
    names = ("series", "events", "markets", "trades", "candles", "checkpoints", "listings")
    return {name: (await fetch(url, f"select count(*) from {name}"))[0][0] for name in names}
