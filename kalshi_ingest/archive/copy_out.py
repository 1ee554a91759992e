"""One table on its way from PostgreSQL into files: the database reads on while a thread parses and writes."""

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pyarrow as pa
from pyarrow import csv

from kalshi_ingest.archive.layouts import TableWriter
from kalshi_ingest.archive.queries import reading
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.manifest import FileEntry
from kalshi_ingest.parquet.storage import ArchiveStorage

T = TypeVar("T")


class UnfitRow(Unusable):
    """A row holds a value that the archive's types cannot, such as an infinite moment: its city is left out."""


class CsvParser:
    """Parses chunks of whole rows; each value becomes what the schema says, or an error that names it."""

    def __init__(self, schema: pa.Schema, table: str) -> None:
        """`table`: what the rows are, for messages."""
        self._schema = schema
        self._table = table
        # As PostgreSQL writes: NULL is a bare empty field, "" an empty text; a text may hold line ends.
        self._convert = csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        )
        self._parse = csv.ParseOptions(newlines_in_values=True)

    def parse(self, chunk: bytes) -> pa.Table:
        """The rows of one chunk. Raises `UnfitRow` for a value that the schema's type cannot hold."""
        # One block holds the whole chunk: a row that is cut by a block's end would be an error.
        read = csv.ReadOptions(column_names=self._schema.names, use_threads=False, block_size=len(chunk) + 1)
        try:
            parsed = csv.read_csv(
                io.BytesIO(chunk), read_options=read, parse_options=self._parse, convert_options=self._convert
            )
        except pa.ArrowException as error:
            first_line = str(error).splitlines()[0]
            reason = re.sub(r"In CSV column #(\d+): ", self._column, first_line)
            raise UnfitRow(
                f"a row of {self._table} has no place in the archive: {reason}; "
                "`kalshi-ingest coverage --fix` finds and repairs what cannot be right"
            ) from None
        return pa.Table.from_arrays(parsed.columns, schema=self._schema)

    def _column(self, found: re.Match[str]) -> str:
        return f"column {self._schema.names[int(found[1])]}: "


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
