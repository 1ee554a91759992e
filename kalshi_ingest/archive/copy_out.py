"""One table on its way from PostgreSQL into files: the database reads on while a thread parses and writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pyarrow as pa

from kalshi_ingest.archive.csv_parser import CsvParser
from kalshi_ingest.archive.layouts import TableWriter
from kalshi_ingest.archive.queries import reading
from kalshi_ingest.parquet.manifest import FileEntry
from kalshi_ingest.parquet.storage import ArchiveStorage

T = TypeVar("T")


async def copied(
    storage: ArchiveStorage, table: str, writer: TableWriter, read: Callable[[reading.Take], Awaitable[None]]
) -> dict[str, FileEntry]:
    """Everything that `read` gives goes through `writer`: the files, path → file. One chunk at most waits."""
    parser = CsvParser(writer.incoming, table)
    under_way: asyncio.Task[None] | None = None

    async def take(chunk: bytes) -> None:
        nonlocal under_way
        if under_way is not None:
            await under_way
        under_way = asyncio.create_task(in_thread(storage, lambda: writer.write(parser.parse(chunk))))

    try:
        await read(take)
        if under_way is not None:
            await under_way
        return await in_thread(storage, writer.close)
    except BaseException:
        if under_way is not None:
            await asyncio.wait([under_way])
        writer.abandon()
        raise
    finally:
        pa.default_memory_pool().release_unused()


async def in_thread(storage: ArchiveStorage, work: Callable[[], T]) -> T:
    """Run blocking work in a thread; not left before it has ended.

    A failure to write to `storage` becomes an error with words for the user.
    """

    def explained() -> T:
        try:
            return work()
        except (OSError, pa.ArrowException) as error:
            raise storage.explained(error) from error

    running = asyncio.ensure_future(asyncio.to_thread(explained))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
