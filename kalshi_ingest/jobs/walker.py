"""A worker: takes a market, walks its pages, hands every page to the writer, and says how the walk ended."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import asyncpg
import structlog

from kalshi_ingest.domain.completeness import tiers_of
from kalshi_ingest.domain.model import Candle, Cutoff, Tier, Unit
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
        self._read_at = float("-inf")

    async def tiers(self, unit: Unit) -> tuple[Tier, ...]:
        """The tiers that can hold trades of `unit`: both as long as the exchange does not say where the cutoff is."""
        await self.refresh()
        return (Tier.LIVE, Tier.HISTORICAL) if self._known is None else tiers_of(unit, self._known)

    async def refresh(self) -> None:
        """Ask for the cutoff again when what is known is old."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if now - self._read_at > _CUTOFF_SECONDS:
                try:
                    self._known = await self._api.cutoff()
                except (Permanent, Transient) as error:
                    log.warning("the cutoff between the tiers cannot be read", reason=str(error))
                self._read_at = asyncio.get_running_loop().time()  # after failing for minutes, not before


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
        walk = Walk(task.unit, await self._border.tiers(task.unit), task.known)
        try:
            await self._restore(walk, task.unit)
            await self._pages(walk, task.unit, progress)
        except (Permanent, Transient) as error:
            reason = str(error).replace("\0", "")  # PostgreSQL's text cannot hold it
            log.warning("market failed", ticker=task.unit.ticker, reason=reason)
            progress.failed[task.unit.ticker] = reason
            await self._writer.write(walk.checkpoint, walk.checkpoint.failed(reason))
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

    async def _recount(self, walk: Walk) -> None:
        """Rows were there that the checkpoint did not know of: count what is really held."""

        async def work(connection: asyncpg.Connection, _: bool) -> tuple[int, int]:
            return await checkpoints.stored_trades(connection, walk.checkpoint.ticker)

        trades, contracts = await self._database.run(work)
        walk.stored(replace(walk.checkpoint, trades_stored=trades, contracts_stored=contracts))

    async def _pages(self, walk: Walk, unit: Unit, progress: SeriesProgress) -> None:
        resumed = walk.checkpoint.cursor is not None
        answered: set[Tier] = set()
        while (position := walk.position) is not None:
            try:
                page = await self._page(unit, position, answered, progress)
            except Rejected as error:
                if not (resumed and error.status == 400):
                    raise
                log.info("the exchange no longer takes a stored cursor; walking again", ticker=unit.ticker)
                resumed = False
                walk.start_over(await self._border.tiers(unit))
                continue
            resumed = False
            tiers = await self._border.tiers(unit)
            if page is None:
                page, tiers = TradePage([], None), (Tier.LIVE, Tier.HISTORICAL)
            before = walk.checkpoint
            step = walk.take(page.trades, page.cursor, tiers)
            try:
                written = await self._writer.write(before, step)
            except NotFresh:
                log.warning("rows without a checkpoint; walking over staging", ticker=unit.ticker)
                walk.start_over(tiers)
                await self._recount(walk)
                continue
            walk.stored(written.checkpoint)
            progress.trades += written.trades
            progress.candles_1m += written.candles_1m
            progress.candles_5m += written.candles_5m

    async def _page(
        self, unit: Unit, position: tuple[Tier, str | None], answered: set[Tier], progress: SeriesProgress
    ) -> TradePage | None:
        """One page; None when the tier says that it holds no such market, so that the other one has to."""
        tier, cursor = position
        try:
            page = await self._api.trades(unit.ticker, tier, cursor, progress.tally)
        except Rejected as error:
            if error.status == 404 and (tier is Tier.LIVE or Tier.LIVE in answered):
                return None
            raise
        answered.add(tier)
        return page

    def _count(self, checkpoint: Checkpoint, progress: SeriesProgress) -> None:
        if checkpoint.verdict is None:
            progress.open += 1
            return
        progress.verdicts[checkpoint.verdict] += 1
        if checkpoint.verdict != "exact":
            progress.warnings.append(
                f"{checkpoint.ticker} is {checkpoint.verdict}: its trades sum to "
                f"{_contracts(checkpoint.contracts_stored)} contracts, the exchange's own volume is "
                f"{_contracts(checkpoint.exchange_volume)} (walked twice, every tier)"
            )


def _contracts(hundredths: int | None) -> str:
    return "unstated" if hundredths is None else str(Decimal(hundredths).scaleb(-2))
