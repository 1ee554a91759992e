"""One city of an archive into the tables, in the caller's transaction: all of it or nothing.

Markets of which the database holds nothing are copied straight in. The others go through a staging table; what is
there already stays, and what comes to it is judged by what the table then holds. Where the two contradict each other,
nothing is taken of that market.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.archive.queries import merge
from kalshi_ingest.archive.queries.contradicted import Contradicted, doubt
from kalshi_ingest.archive.queries.merge_catalog import merge_rows, stage
from kalshi_ingest.archive.verification import ArchivedCity
from kalshi_ingest.domain.candles import roll_up
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import (
    CANDLES_1M,
    CANDLES_5M,
    CHECKPOINTS,
    EVENTS,
    LISTINGS,
    MARKETS,
    SERIES,
    TRADES,
    ArchiveTable,
)
from kalshi_ingest.postgres.checkpoints import stored_candles
from kalshi_ingest.postgres.moments import EVER_US
from kalshi_ingest.postgres.pgcopy_arrow import copy_rows, interleaved
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, Encoder, copy_in

_BATCH_ROWS = 20_000
_HIGHEST = {"trades": "select max(ticker) from trades", "candles": "select max(ticker) from candles"}

T = TypeVar("T")


@dataclass(slots=True)
class Loaded:
    markets: int = 0
    trades: int = 0
    candles_1m: int = 0
    candles_5m: int = 0
    proved: int = 0
    """Markets whose checkpoint is complete now and was not before."""
    contradicted: list[Contradicted] = field(default_factory=list)
    """Markets of which nothing was taken, by ticker."""


async def load_city(connection: asyncpg.Connection, city: ArchivedCity, run_id: UUID, now: datetime) -> Loaded:
    """Add a city's rows. Doing it again changes nothing.

    Raises `Unusable` when the database refuses a row; the caller's transaction is then void.
    """
    loaded = Loaded()
    try:
        for table in (SERIES, EVENTS, MARKETS, LISTINGS):
            added = await merge_rows(connection, table.name, table.names, city.rows(table))
            loaded.markets += added if table is MARKETS else 0
        await stage(connection, CHECKPOINTS.name, CHECKPOINTS.names, city.rows(CHECKPOINTS))
        known = await merge.known_tickers(connection, everything=not city.proved)
        sink = _Sink(connection, city, known, loaded)
        await sink.copy_fresh()
        added_to, contradicted = await sink.merge_held()
        agreed = known - contradicted.keys()
        loaded.proved, remade = await merge.settle_checkpoints(connection, agreed, added_to, counted=not city.proved)
        await sink.remake_candles(remade)
        loaded.contradicted = await doubt(connection, contradicted, run_id, now) if contradicted else []
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        where = f"{error.table_name or ''} {error.column_name or ''}".strip()
        raise Unusable(f"the database refuses a row{' of ' + where if where else ''}: {error}") from error
    return loaded


class _Sink:
    def __init__(
        self, connection: asyncpg.Connection, city: ArchivedCity, known: frozenset[str], loaded: Loaded
    ) -> None:
        self._connection = connection
        self._city = city
        self._known = pa.array(sorted(known), pa.string())
        self._loaded = loaded

    async def copy_fresh(self) -> None:
        """The markets of which nothing is held: their trades and candles straight in."""
        if not self._city.proved or len(self._known) == await merge.archived_markets(self._connection):
            return
        self._loaded.trades += await self._copy_file(TRADES, TRADES.source, known=False)
        self._loaded.candles_1m += await self._copy_file(CANDLES_1M, CANDLES_1M.source, known=False)
        self._loaded.candles_5m += await self._copy_file(CANDLES_5M, CANDLES_5M.source, known=False)

    async def merge_held(self) -> tuple[list[str], dict[str, UUID]]:
        """The other markets' trades, through staging: the tickers that got some, and `merge.merge_staged`'s others."""
        if not len(self._known):
            return [], {}
        await merge.create_staging(self._connection)
        await self._copy_file(TRADES, merge.STAGED, known=True)
        added, contradicted = await merge.merge_staged(self._connection)
        self._loaded.trades += sum(added.values())
        return list(added), contradicted

    async def remake_candles(self, tickers: Sequence[str]) -> None:
        """The candles of markets that held some trades already, from all that are stored now."""
        if not tickers:
            return
        await self._connection.execute("delete from candles where ticker = any($1::text[])", list(tickers))
        encoder = Encoder()
        rows: list[bytes] = []
        for ticker in sorted(tickers):
            candles = await stored_candles(self._connection, ticker, *EVER_US)
            longer = roll_up(candles, 5)
            rows += encoder.candles(ticker, 1, candles) + encoder.candles(ticker, 5, longer)
            self._loaded.candles_1m += len(candles)
            self._loaded.candles_5m += len(longer)
            if len(rows) >= _BATCH_ROWS:
                await self._copy("candles", CANDLE_COLUMNS, b"".join(rows))
                rows = []
        await self._copy("candles", CANDLE_COLUMNS, b"".join(rows))

    async def _copy_file(self, file: ArchiveTable, table: str, *, known: bool) -> int:
        """Copy the rows of markets that are, or are not, among those that the database knows; how many."""
        highest = "" if known else await self._connection.fetchval(_HIGHEST[table]) or ""
        copied = 0

        def encoded() -> Generator[tuple[int, bytes], None, None]:
            for batch in self._city.batches(file):
                chosen = self._chosen(batch, known=known)
                # Behind everything else an index fills its pages by itself; between others it does not.
                between = not known and chosen.num_rows and chosen["ticker"][0].as_py() <= highest
                yield chosen.num_rows, copy_rows(interleaved(chosen) if between else chosen)

        async def copy(rows: tuple[int, bytes]) -> None:
            nonlocal copied
            copied += rows[0]
            await self._copy(table, file.names, rows[1])

        await _each(encoded(), copy)
        return copied

    def _chosen(self, batch: pa.RecordBatch, *, known: bool) -> pa.RecordBatch:
        if not len(self._known):
            return batch.slice(0, 0) if known else batch
        among: Any = pc.is_in(batch["ticker"], value_set=self._known)
        return batch.filter(among if known else pc.invert(among))

    async def _copy(self, table: str, columns: tuple[str, ...], rows: bytes) -> None:
        if rows:
            await copy_in(self._connection, table, columns, [rows])


async def _each(made: Generator[T, None, None], use: Callable[[T], Awaitable[None]]) -> None:
    """Use each item; the next one is made in a thread while the server works on the one before."""
    task = asyncio.ensure_future(asyncio.to_thread(next, made, None))
    try:
        while (item := await asyncio.shield(task)) is not None:
            task = asyncio.ensure_future(asyncio.to_thread(next, made, None))
            await use(item)
    finally:
        await asyncio.wait([task])
        made.close()
