"""The one writer: gathers the workers' steps and commits rows, candles and checkpoints together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from kalshi_ingest.domain.checkpoint import Checkpoint
from kalshi_ingest.domain.walk import Step
from kalshi_ingest.errors import BadPayload, IngestError, Permanent
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, copy_in, interleave_for_btree
from kalshi_ingest.postgres.sqlstate import translated
from kalshi_ingest.postgres.staging import clear, merge_step

_BATCH_TRADES = 20_000


REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.CardinalityViolationError)
"""Rows that the database refuses, among others that it would accept."""


@dataclass(frozen=True, slots=True)
class Written:
    checkpoint: Checkpoint
    trades: int
    candles_1m: int
    candles_5m: int


@dataclass(slots=True)
class _Item:
    held: Checkpoint | None
    step: Step | Checkpoint
    done: "asyncio.Future[Written]"

    @property
    def ticker(self) -> str:
        return self.step.ticker


class Outdated(Permanent):
    """The tables contradict what a step assumes; nothing of it was stored: walk again from what they hold.

    Either the market's checkpoint is not the one the step started from, or rows that it proved new are there.
    """


class Writer:
    """Commits steps. A worker waits for its step, so at most one page per worker is ever lost or repeated."""

    def __init__(
        self, database: Database, run_id: Callable[[], UUID], clock: Callable[[], datetime], *, queued: int
    ) -> None:
        """`run_id` names the run in the checkpoints. `queued`: the longest the queue may get."""
        self._database = database
        self._run_id = run_id
        self._clock = clock
        self._encoder = Encoder()
        self._queue: asyncio.Queue[_Item | None] = asyncio.Queue(queued)
        # A batch of all workers' pages would leave none to fetch while it is written.
        self._batch_items = max(1, queued // 2)

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    async def write(self, held: Checkpoint | None, step: Step | Checkpoint) -> Written:
        """Hand over one step, or a checkpoint alone, and wait until it is committed.

        `held`: the market's checkpoint as it was stored when the step was made; None: it had none. Raises `Outdated`
        when the database holds another one.
        """
        done: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Item(held, step, done))
        return await done

    async def finish(self) -> None:
        """Let `run` end once everything handed over so far is committed."""
        await self._queue.put(None)

    async def run(self) -> None:
        """Commit what comes until `finish`. An error of the database ends it and reaches every waiting worker."""
        ended = False
        while not ended:
            first = await self._queue.get()
            batch = [] if first is None else [first]
            ended = first is None
            size = _size(first)
            while not ended and size < _BATCH_TRADES and len(batch) < self._batch_items and not self._queue.empty():
                item = self._queue.get_nowait()
                if item is None:
                    ended = True
                else:
                    batch.append(item)
                    size += _size(item)
            if batch:
                batch.sort(key=lambda item: item.ticker)
                await self._commit(batch)

    async def _commit(self, batch: list[_Item]) -> None:
        try:
            written = await self._database.run(self._transaction, batch)
        except (*REFUSED, BadPayload) as error:
            await self._commit_alone(batch, error)
            return
        except Exception as error:
            meaning = translated(error)
            if not isinstance(meaning, IngestError):  # a fault, perhaps of what one market brought
                await self._commit_alone(batch, error)
                return
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(meaning)
            raise
        for item in batch:
            if item.done.cancelled():
                continue
            if item.ticker in written:
                item.done.set_result(written[item.ticker])
            else:
                item.done.set_exception(Outdated(f"{item.ticker}: its checkpoint is not the one this walk began with"))

    async def _commit_alone(self, batch: list[_Item], error: Exception) -> None:
        """One market's rows are wrong, or too much for this program; alone, the others go through."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        for item in batch:
            await self._commit([item])

    async def _transaction(self, connection: asyncpg.Connection, batch: list[_Item]) -> dict[str, Written]:
        """What each market's step added; markets whose checkpoint in the database is another one are left out."""
        outdated = await checkpoints.outdated(connection, {item.ticker: item.held for item in batch})
        return await self._store(connection, [item for item in batch if item.ticker not in outdated])

    async def _store(self, connection: asyncpg.Connection, batch: list[_Item]) -> dict[str, Written]:
        written: list[Written] = []
        trade_rows: list[bytes] = []
        candle_rows: list[bytes] = []
        for item in batch:
            step = item.step
            if isinstance(step, Step) and not step.fresh:
                merged = await merge_step(connection, self._encoder, item.ticker, step)
                checkpoint = step.after(merged.trades, merged.contracts)
                written.append(Written(checkpoint, merged.trades, merged.candles_1m, merged.candles_5m))
                continue
            written.append(_written(item))
            if isinstance(step, Step):
                if step.replacing:
                    await clear(connection, item.ticker)
                trade_rows += self._encoder.trades(item.ticker, step.trades)
                candle_rows += self._encoder.candles(item.ticker, 1, step.candles)
                candle_rows += self._encoder.candles(item.ticker, 5, step.candles_5m)
        if trade_rows:
            await copy_in(connection, "trades", TRADE_COLUMNS, interleave_for_btree(trade_rows))
        if candle_rows:
            await copy_in(connection, "candles", CANDLE_COLUMNS, interleave_for_btree(candle_rows))
        now = self._clock()
        await checkpoints.store(connection, [result.checkpoint for result in written], self._run_id(), now)
        return {result.checkpoint.ticker: result for result in written}


def _written(item: _Item) -> Written:
    """What a step that went straight in, or a checkpoint alone, added."""
    step = item.step
    if isinstance(step, Checkpoint):
        return Written(step, 0, 0, 0)
    checkpoint = step.after(len(step.trades), sum(trade.size for trade in step.trades))
    return Written(checkpoint, len(step.trades), len(step.candles), len(step.candles_5m))


def _fail(item: _Item, error: Exception) -> None:
    refused = isinstance(error, (*REFUSED, IngestError))
    if item.done.done():
        if not refused:  # the caller has stopped waiting for it
            raise error
        return
    if isinstance(error, asyncpg.UniqueViolationError):
        item.done.set_exception(Outdated(f"{item.ticker}: rows of this page are in the table already"))
    elif refused and not isinstance(error, IngestError):
        item.done.set_exception(BadPayload(f"{item.ticker}: the database refuses the rows: {error}"))
    else:
        item.done.set_exception(error)


def _size(item: _Item | None) -> int:
    return len(item.step.trades) if item is not None and isinstance(item.step, Step) else 1
