"""Exports in one line, and what a test wants to know of the folder afterwards."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from kalshi_ingest.archive.export import ExportResult, export
from kalshi_ingest.parquet.manifest import Layout
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.database import Database


async def exported(
    url: str, storage: Path | str, *, layout: Layout = "cities", labels: Sequence[str] | None = None
) -> ExportResult:
    """One export with a connection of its own, as a process would have it."""
    database = Database(url)
    await database.open()
    try:
        return await export(database, ArchiveStorage.at(str(storage)), layout=layout, labels=labels)
    finally:
        await database.close()


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, also hidden ones: path → SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_whole(folder: Path) -> None:
    """Every file under a final name is readable, and the manifest, if there is one, tells the truth."""
    for path in folder.rglob("*.parquet"):
        pq.read_table(path, partitioning=None)
    manifest = folder / "manifest.json"
    if manifest.exists():
        for city in orjson.loads(manifest.read_bytes())["cities"].values():
            for path, file in city["files"].items():
                content = (folder / path).read_bytes()
                assert len(content) == file["bytes"], path
                assert hashlib.sha256(content).hexdigest() == file["sha256"], path


SHUFFLED = (
    "create temporary table kept as select * from trades; truncate trades; "
    "insert into trades select * from kept order by md5(trade_id::text); drop table kept",
    "create temporary table kept as select * from candles; truncate candles; "
    "insert into candles select * from kept order by md5(ticker || period_start); drop table kept",
    "create temporary table kept as select * from markets; truncate markets; "
    "insert into markets select * from kept order by md5(ticker); drop table kept",
)
"""The same rows in another order on disk."""


def child(url: str, folder: Path, layout: Layout) -> list[str]:
    """The command line of an export in a process of its own, which says `begun` before it begins."""
    return [sys.executable, "-m", "tests.support.archives", url, str(folder), layout]


def main() -> None:
    """Be that process."""
    import asyncio

    url, folder, layout = sys.argv[1:]
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    asyncio.run(exported(url, folder, layout="cities" if layout == "cities" else "dataset"))


if __name__ == "__main__":
    main()
