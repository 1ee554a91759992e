"""A worker: takes a market, walks its pages, hands every page to the writer, and says how the walk ended."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import structlog

from kalshi_ingest.clocks import steady
from kalshi_ingest.domain.checkpoint import Checkpoint, Task, Verdict
from kalshi_ingest.domain.model import Cutoff, Tier, Unit, tiers_of, to_datetime, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US, Walk, closing, resume_from
from kalshi_ingest.errors import BadPayload, Permanent, Rejected, Transient
from kalshi_ingest.exchange.api import Api, TradePage
from kalshi_ingest.ingest.page_age import PageAge
from kalshi_ingest.ingest.progress import SeriesProgress
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.ingest.task_queue import TaskQueue
from kalshi_ingest.postgres import checkpoints
from kalshi_ingest.postgres.database import Connection
from kalshi_ingest.postgres.staging import Contradiction
from kalshi_ingest.postgres.writer import Outdated, Writer

_CUTOFF_SECONDS = 60.0
_RELOADS = 3
"""Times that a market may turn out to be stored otherwise than its walk believed, before it fails."""
_FIRST_SECONDS = 5.0
"""How long the first pages wait for the cutoff, which saves them a request each."""

OnPage = Callable[[Task, TradePage, int | None], None]
"""(task, the page, the moment after which candles were held back)."""

_REWALK_SECONDS = 3_600.0
"""Between two rewalks of a market, seconds: an exchange that wavers fails it in between."""

log = structlog.get_logger()


class CutoffCache:
    """The cutoff as it was about a minute ago: it moves during a run, and refreshing it blocks no one."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: Cutoff | None = None
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Refresh it until cancelled. A failed request leaves what is known."""
        while True:
            try:
                self._known = await self._api.cutoff()
            except (Permanent, Transient) as error:
                log.warning("cutoff_failed", reason=str(error))
            self._asked.set()
            await asyncio.sleep(_CUTOFF_SECONDS)

    async def tiers(self, unit: Unit, since_us: int | None = None) -> tuple[Tier, ...]:
        """The tiers that can hold trades of `unit`: both as long as the exchange does not say where the cutoff is."""
        cutoff = await self.cutoff()
        if cutoff is None:
            return (Tier.LIVE, Tier.HISTORICAL)
        return tiers_of(unit, cutoff, None if since_us is None else to_datetime(since_us))

    async def cutoff(self) -> Cutoff | None:
        """As it was last read; the first answer is waited for, but not through all its retries."""
        if not self._asked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self._asked.wait()
            self._asked.set()  # later callers do not wait again
        return self._known


class Worker:
    """Walks markets; every worker of a run shares one."""

    def __init__(
        self,
        context: RunContext,
        writer: Writer,
        cutoffs: CutoffCache,
        progress: Mapping[str, SeriesProgress],
        on_page: OnPage | None = None,
    ) -> None:
        """`on_page` is called with every page once it is committed."""
        self._on_page = on_page
        self._api = context.api
        self._database = context.writing
        self._writer = writer
        self._cutoffs = cutoffs
        self._progress = progress
        self._rewalked_at: dict[str, float] = {}
        """Ticker → when it was last rewalked, on the loop's clock."""

    async def work(self, queue: TaskQueue) -> None:
        """Walk markets until the feed has no more."""
        while (task := await queue.take()) is not None:
            await self.walk(task)

    async def walk(self, task: Task) -> Checkpoint:
        """One market. Its own errors fail it and nothing else; the reason goes into its checkpoint and the log."""
        progress = self._progress[task.unit.series_ticker]
        since_us = resume_from(task.known, task.unit) if task.only_new else None
        if since_us is not None and since_us > to_microseconds(self._api.now()):
            since_us = None  # a wrong moment of an older version: nothing lies after it
        tiers = await self._cutoffs.tiers(task.unit, since_us)
        walk = Walk(task.unit, tiers, task.known, since_us=since_us, unwritten=task.unwritten)
        try:
            await self._restore(walk, task.unit)
            await self._pages(walk, task, progress)
        except (Permanent, Transient) as error:
            reason = str(error).replace("\0", "")  # PostgreSQL's text cannot hold it
            log.warning("market_failed", ticker=task.unit.ticker, reason=reason)
            progress.failed[task.unit.ticker] = reason
            await self._fail(walk, task.unit, reason)
        else:
            progress.failed.pop(task.unit.ticker, None)
            self._count(walk.checkpoint, progress)
        progress.ended.add(task.unit.ticker)
        return walk.checkpoint

    async def close(self, task: Task, known: Checkpoint, closed_us: int) -> Checkpoint:
        """Write the candles of the task's buckets that ended by `closed_us`, of trades that are stored already."""
        progress = self._progress[task.unit.series_ticker]
        try:
            written = await self._writer.write(known, closing(known, task.unwritten, closed_us))
        except Outdated:  # the trades may not be there either
            return await self.walk(replace(task, only_new=False))
        progress.stats.add(written)
        return written.checkpoint

    async def _restore(self, walk: Walk, unit: Unit) -> None:
        """After a restart: the candles of the bucket that the last stored page cut, from its stored trades."""
        start = walk.cut_bucket
        if start is None:
            return
        walk.restore(await self._database.run(checkpoints.stored_candles, unit.ticker, start, start + BUCKET_US))

    async def _reload(self, walk: Walk, unit: Unit) -> None:
        """The tables differ from what the walk believed: restart from what they hold."""

        async def work(connection: Connection) -> tuple[Checkpoint | None, int, int]:
            known = await checkpoints.of_tickers(connection, [unit.ticker])
            return known.get(unit.ticker), *await checkpoints.stored_trades(connection, unit.ticker)

        walk.reload(*await self._database.run(work), await self._cutoffs.tiers(unit))

    async def _fail(self, walk: Walk, unit: Unit, reason: str) -> None:
        for _ in range(_RELOADS):
            try:
                walk.stored((await self._writer.write(walk.held, walk.failed(reason))).checkpoint)
            except Outdated:
                await self._reload(walk, unit)
            else:
                return
        walk.stored(walk.failed(reason))  # the table keeps what another session writes

    async def _pages(self, walk: Walk, task: Task, progress: SeriesProgress) -> None:
        unit = task.unit
        resumed = walk.checkpoint.cursor is not None
        page_age = PageAge(walk, task.known)
        answered: set[Tier] = set()
        reloads = 0
        while (position := walk.position) is not None:
            try:
                page = await self._page(walk, unit, position, answered, page_age, progress)
            except Rejected as error:
                if not (resumed and error.status == 400):
                    raise
                log.info("cursor_rejected", ticker=unit.ticker)
                resumed = False
                walk.start_over(await self._cutoffs.tiers(unit, walk.checkpoint.since_us))
                continue
            resumed = False
            tiers = await self._cutoffs.tiers(unit, walk.checkpoint.since_us)
            if page is None:
                page, tiers = TradePage([], None), (Tier.LIVE, Tier.HISTORICAL)
            if walk.replacing and not page.trades and unit.volume != 0:
                if walk.skip(tiers):
                    continue
                raise BadPayload(f"{unit.ticker}: the exchange contradicts what is held and then shows no trade")
            page_age.take(walk, page.made)
            step = walk.take(page.trades, page.cursor, tiers, page_age.closed_us)
            try:
                written = await self._writer.write(walk.held, step)
            except Outdated as error:
                reloads += 1
                if reloads > _RELOADS:
                    raise
                log.warning("walk_restarted", ticker=unit.ticker, reason=str(error))
                await self._reload(walk, unit)
                continue
            except Contradiction as error:
                if not self._rewalk(walk, tiers, progress, str(error)):
                    raise
                continue
            walk.stored(written.checkpoint)
            progress.stats.add(written)
            if self._on_page is not None:
                self._on_page(task, page, page_age.closed_us)
            if walk.surplus:
                self._replace_surplus(walk, tiers, progress)

    def _rewalk(self, walk: Walk, tiers: Sequence[Tier], progress: SeriesProgress, reason: str) -> bool:
        """Let a walk replace what is held, because it contradicts the exchange; false when it was replaced just now.

        What is held may be wrong, or what the exchange says at this moment. Either way its next honest answer wins.
        """
        ticker, now = walk.checkpoint.ticker, asyncio.get_running_loop().time()
        if now - self._rewalked_at.get(ticker, -math.inf) < _REWALK_SECONDS:
            return False
        self._rewalked_at[ticker] = now
        log.warning("market_rewalked", ticker=ticker, reason=reason)
        progress.warnings.append(f"{reason}: the market was walked again, and what the exchange says now was stored")
        walk.begin_replacement(tiers)
        return True

    def _replace_surplus(self, walk: Walk, tiers: Sequence[Tier], progress: SeriesProgress) -> None:
        surplus = f"{walk.checkpoint.ticker}: more is held than the exchange shows"
        if not self._rewalk(walk, tiers, progress, surplus):
            raise BadPayload(f"{surplus}, though it was walked again less than an hour ago")

    async def _page(
        self,
        walk: Walk,
        unit: Unit,
        position: tuple[Tier, str | None],
        answered: set[Tier],
        page_age: PageAge,
        progress: SeriesProgress,
    ) -> TradePage | None:
        """One page; None when the tier says that it holds no such market, so that the other one has to."""
        tier, cursor = position
        while True:
            asked = steady()
            try:
                page = await self._api.trades(unit, tier, cursor, progress.stats.tally, walk.checkpoint.since_us)
            except Rejected as error:
                if error.status == 404 and (tier is Tier.LIVE or Tier.LIVE in answered):
                    return None
                raise
            answered.add(tier)
            if not await page_age.is_copy(walk, page.made, asked):
                return page

    def _count(self, checkpoint: Checkpoint, progress: SeriesProgress) -> None:
        if checkpoint.verdict is None:
            progress.open += 1
            return
        progress.verdicts[checkpoint.verdict] += 1
        progress.stats.proved[checkpoint.verdict] += 1
        if checkpoint.verdict is not Verdict.EXACT:
            progress.warnings.append(
                f"{checkpoint.ticker} is {checkpoint.verdict}: its trades sum to "
                f"{_contracts(checkpoint.contracts_stored)} contracts, the exchange's own volume is "
                f"{_contracts(checkpoint.exchange_volume)} (walked twice, every tier)"
            )


def _contracts(hundredths: int | None) -> str:
    return "unstated" if hundredths is None else str(Decimal(hundredths).scaleb(-2))
