"""A worker: takes a market, walks its pages, hands every page to the writer, and says how the walk ended."""

import asyncio
from collections.abc import Mapping

import asyncpg
import structlog

from kalshi_ingest.domain.completeness import tiers_of
from kalshi_ingest.domain.model import Candle, Cutoff, Unit
from kalshi_ingest.domain.walk import BUCKET_US, Checkpoint, Walk
from kalshi_ingest.errors import Permanent, Rejected, Transient
from kalshi_ingest.exchange.api import Api, TradePage
from kalshi_ingest.jobs.feed import Feed, Task
from kalshi_ingest.jobs.progress import SeriesProgress
from kalshi_ingest.store import checkpoints
from kalshi_ingest.store.database import Database
from kalshi_ingest.store.writer import NotFresh, Writer

_CUTOFF_SECONDS = 60.0

log = structlog.get_logger()


class Border:
    """The cutoff as it was at most a minute ago: it moves while a run goes on."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._turn = asyncio.Lock()
        self._known: Cutoff | None = None
        self._read_at = 0.0

    async def now(self) -> Cutoff:
        """The cutoff, asked for again when what is known is old."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._known is None or now - self._read_at > _CUTOFF_SECONDS:
                self._known, self._read_at = await self._api.cutoff(), now
            return self._known


class Walker:
    """Walks markets; every worker of a run shares one."""

    def __init__(
        self,
        api: Api,
        database: Database,
        writer: Writer,
        border: Border,
        progress: Mapping[str, SeriesProgress],
    ) -> None:
        self._api = api
        self._database = database
        self._writer = writer
        self._border = border
        self._progress = progress

    async def work(self, feed: Feed) -> None:
        """Walk markets until the feed has no more."""
        while (task := await feed.take()) is not None:
            await self._walk(task)

    async def _walk(self, task: Task) -> None:
        """One market. Its own errors fail it and nothing else; the reason goes into its checkpoint and the log."""
        progress = self._progress[task.unit.series_ticker]
        walk = Walk(task.unit, tiers_of(task.unit, await self._border.now()), task.known)
        try:
            await self._restore(walk, task.unit)
            await self._pages(walk, task.unit, progress)
        except (Permanent, Transient) as error:
            log.warning("market failed", ticker=task.unit.ticker, reason=str(error))
            progress.failed[task.unit.ticker] = str(error)
            await self._writer.write(walk.checkpoint, walk.checkpoint.failed(str(error)))
        else:
            self._count(walk.checkpoint, progress)
        progress.walked += 1

    async def _restore(self, walk: Walk, unit: Unit) -> None:
        """After a restart: the candles of the bucket that the last stored page cut, from its stored trades."""
        start = walk.cut_bucket
        if start is None:
            return

        async def work(connection: asyncpg.Connection, _: bool) -> list[Candle]:
            return await checkpoints.stored_candles(connection, unit.ticker, start, start + BUCKET_US)

        walk.restore(await self._database.run(work))

    async def _pages(self, walk: Walk, unit: Unit, progress: SeriesProgress) -> None:
        resumed = walk.checkpoint.cursor is not None
        while (position := walk.position) is not None:
            try:
                page: TradePage = await self._api.trades(unit.ticker, *position, progress.tally)
            except Rejected as error:
                if not (resumed and error.status == 400):
                    raise
                log.info("the exchange no longer takes a stored cursor; walking again", ticker=unit.ticker)
                resumed = False
                walk.start_over(tiers_of(unit, await self._border.now()))
                continue
            resumed = False
            tiers = tiers_of(unit, await self._border.now())
            before = walk.checkpoint
            step = walk.take(page.trades, page.cursor, tiers)
            try:
                written = await self._writer.write(before, step)
            except NotFresh:
                log.warning("rows without a checkpoint; walking over staging", ticker=unit.ticker)
                walk.start_over(tiers)
                continue
            walk.stored(written.checkpoint)
            progress.trades += written.trades
            progress.candles_1m += written.candles_1m
            progress.candles_5m += written.candles_5m

    def _count(self, checkpoint: Checkpoint, progress: SeriesProgress) -> None:
        if checkpoint.verdict is None:
            progress.open += 1
            return
        progress.verdicts[checkpoint.verdict] += 1
        if checkpoint.verdict != "exact":
            stored = checkpoint.contracts_stored / 100
            volume = "unstated" if checkpoint.exchange_volume is None else f"{checkpoint.exchange_volume / 100:.2f}"
            progress.warnings.append(
                f"{checkpoint.ticker} is {checkpoint.verdict}: its trades sum to {stored:.2f} contracts, "
                f"the exchange's own volume is {volume} (walked twice, every tier)"
            )
