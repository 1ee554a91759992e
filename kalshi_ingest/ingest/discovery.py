"""Discovery of one series: its events and markets of both tiers, into the tables; what is left to walk, to a queue."""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from kalshi_ingest.domain import strikes
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Task, Verdict
from kalshi_ingest.domain.model import Event, Market, Tier, Unit
from kalshi_ingest.errors import Permanent, Rejected, Transient, Unusable
from kalshi_ingest.ingest.listing_rows import ListingCounts, ListRows
from kalshi_ingest.ingest.progress import SeriesProgress
from kalshi_ingest.ingest.resources import RunContext
from kalshi_ingest.postgres import catalog, checkpoints
from kalshi_ingest.postgres.database import Connection
from kalshi_ingest.postgres.writer import REFUSED

_PORTION = 250


Put = Callable[[str, Iterable[Task]], None]
"""Takes the tasks of one series."""


@dataclass(frozen=True, slots=True)
class Dates:
    """The event dates asked for, both inclusive."""

    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end


class SeriesDiscovery:
    """Lists one series and feeds what is not proved yet to the workers, page by page."""

    def __init__(
        self,
        context: RunContext,
        progress: SeriesProgress,
        dates: Dates,
        *,
        run_id: UUID,
        turn: asyncio.Semaphore,
        followed: Container[str] = frozenset(),
    ) -> None:
        """`turn` is shared by the plans of a run: a decoded page of markets takes megabytes.

        `followed`: markets whose checkpoints the scheduler's workers write meanwhile.
        """
        self._api = context.api
        self._database = context.planning
        self._clock = context.api.now
        self._progress = progress
        self._dates = dates
        self._run_id = run_id
        self._turn = turn
        self._followed = followed
        self._series = progress.wanted.series_ticker
        self._city = progress.wanted.city
        self._listed = ListingCounts(self._series)
        self._rows = ListRows(context, progress, self._listed, lambda day: day in dates)
        self._known: Mapping[str, Checkpoint] = {}

    async def run(self, put: Put, *, recent: bool = False) -> None:
        """List everything. The live tier comes first: a market that moves meanwhile is then seen at least once.

        `recent`: nothing of the asked dates can be in the historical tier yet, so only the live one is asked.
        Raises `Unusable` when the exchange does not know the series. A row that cannot be read fails that market
        alone; a list that cannot be read fails the series.
        """
        try:
            await self._store_series()
            for tier in (Tier.LIVE,) if recent else (Tier.LIVE, Tier.HISTORICAL):
                await self._list_markets(tier, put)
            await self._list_events(recent=recent)
            self._progress.listed = True
            self._progress.markets_listed = None if self._listed.first is None else self._progress.markets
            if not self._progress.markets:
                self._nothing_listed()
        except (Permanent, Transient) as error:
            self._progress.failed[self._series] = f"the list is incomplete: {error}"

    def _nothing_listed(self) -> None:
        """Said as what it is: lists that hold other dates, or lists without a row, which prove nothing."""
        asked = f"with an event date from {self._dates.start} to {self._dates.end}"
        first, last = self._listed.first, self._listed.last
        if first is None or last is None:
            self._progress.failed[self._series] = f"the exchange lists no market {asked}, and none of any other date"
            return
        self._progress.absent = self._dates.end < last and not self._listed.events
        self._progress.failed[self._series] = f"the exchange lists no market {asked}; it lists {first} to {last}"

    async def _store_series(self) -> None:
        try:
            series = await self._api.series(self._series, self._progress.stats.tally)
        except Rejected as error:
            if error.status != 404:
                raise
            self._progress.markets_listed = 0 if self._city is None else None  # a city's series there always was
            raise Unusable(f"the exchange knows no series {self._series}: check the ticker") from None

        async def work(connection: Connection) -> dict[str, Checkpoint]:
            await catalog.store_series(connection, series, self._city, self._clock())
            return await checkpoints.load(connection, [self._series], self._dates.start, self._dates.end)

        self._known = await self._database.run(work)

    async def _list_markets(self, tier: Tier, put: Put) -> None:
        held: list[Market] = []
        pages = self._api.markets(self._series, tier, self._progress.stats.tally)
        more = True
        while more:
            async with self._turn:
                rows = await anext(pages, None)
                more = rows is not None
                # In portions, so that the workers have something to do before a long page is read to its end.
                for start in range(0, len(rows or ()), _PORTION):
                    held = await self._take_portion((rows or [])[start : start + _PORTION], held, tier, put)
                rows = None
        await self._store_markets(held, put)

    async def _take_portion(self, rows: Sequence[Any], held: list[Market], tier: Tier, put: Put) -> list[Market]:
        """Store whole events; the last one may continue in the next portion, and strikes need all its markets."""
        held = held + await self._rows.markets(rows, tier)
        last = held[-1].event_ticker if held else ""
        await self._store_markets([market for market in held if market.event_ticker != last], put)
        return [market for market in held if market.event_ticker == last]

    async def _store_markets(self, markets: Sequence[Market], put: Put) -> None:
        rejected = self._rows.rejected()
        resolved = list(zip(markets, strikes.of_markets(markets), strict=True))
        try:
            await self._store(resolved, rejected, put)
        except REFUSED:  # alone, the others go through
            for each in resolved:
                try:
                    await self._store([each], {}, put)
                except REFUSED as error:
                    self._rows.fail(each[0].ticker, f"market {each[0].ticker}: the database refuses its row: {error}")
            await self._store([], rejected, put)

    async def _store(
        self,
        resolved: Sequence[tuple[Market, strikes.Strike]],
        rejected: Mapping[str, tuple[date, str]],
        put: Put,
    ) -> None:
        markets = [market for market, _ in resolved]
        if not markets and not rejected:
            return
        quiet = [market for market in markets if self._proved_empty(market) and market.ticker not in self._followed]
        unknown = [market for market in markets if market.ticker not in self._known]

        async def work(connection: Connection) -> tuple[set[str], Mapping[str, Checkpoint]]:
            now = self._clock()
            await catalog.store_markets(connection, self._series, self._city, resolved, now)
            moved = await checkpoints.outdated(
                connection, {market.ticker: self._known.get(market.ticker) for market in quiet}
            )
            doubted = await self._doubted(connection, unknown)
            finished = [
                self._empty_checkpoint(market)
                for market in quiet
                if market.ticker not in moved and market.ticker not in doubted
            ]
            failed = await self._failed(connection, rejected)
            await checkpoints.store(connection, [*finished, *failed, *doubted.values()], self._run_id, now)
            return moved, doubted

        # For markets that moved since discovery began, the worker learns from the writer what is stored now.
        moved, doubted = await self._database.run(work)
        done = {market.ticker for market in quiet} - moved - doubted.keys()
        self._progress.markets += len(markets)
        self._progress.ended |= done
        self._progress.verdicts[Verdict.EXACT] += len(done)
        tasks: list[Task] = []
        # In the order of the primary keys, so that their indexes grow at few places and stay dense.
        for market in sorted(markets, key=lambda market: market.ticker):
            known = self._known.get(market.ticker) or doubted.get(market.ticker)
            if known is not None and known.is_proved(market.volume):
                self._progress.proved_before += 1
                self._progress.verdicts[known.verdict or Verdict.UNKNOWN] += 1
            elif market.ticker not in done:
                tasks.append(Task(self._unit(market), known))
        put(self._series, tasks)

    async def _doubted(self, connection: Connection, markets: Sequence[Market]) -> dict[str, Checkpoint]:
        """Checkpoints of markets of which trades are held without one: these are compared, not believed."""
        held = await checkpoints.without(connection, [market.ticker for market in markets])
        return {
            market.ticker: self._of_held(market.ticker, market.event_date, held).failed(
                "trades are held that no checkpoint proves"
            )
            for market in markets
            if market.ticker in held
        }

    async def _failed(self, connection: Connection, rejected: Mapping[str, tuple[date, str]]) -> list[Checkpoint]:
        """The checkpoints of markets whose rows cannot be read: what is stored stays, and so does what is proved."""
        known = await checkpoints.of_tickers(connection, list(rejected)) if rejected else {}
        held = await checkpoints.without(connection, list(rejected))
        now = [known.get(ticker) or self._of_held(ticker, day, held) for ticker, (day, _) in rejected.items()]
        return [
            each.failed(rejected[each.ticker][1])
            for each in now
            if each.state is not State.COMPLETE and each.ticker not in self._followed
        ]

    def _of_held(self, ticker: str, day: date, held: Mapping[str, tuple[int, int]]) -> Checkpoint:
        """A checkpoint for a market that has none, and may hold trades nevertheless."""
        trades, contracts = held.get(ticker, (0, 0))
        return Checkpoint(ticker, self._series, day, trades_stored=trades, contracts_stored=contracts)

    def _proved_empty(self, market: Market) -> bool:
        """A settled market's volume of 0, read after it settled, proves that there is nothing to ask for."""
        known = self._known.get(market.ticker)
        untouched = known is None or (known.trades_stored == 0 and known.state is not State.COMPLETE)
        return market.status == "settled" and market.volume == 0 and untouched

    def _empty_checkpoint(self, market: Market) -> Checkpoint:
        return Checkpoint(
            market.ticker,
            self._series,
            market.event_date,
            state=State.COMPLETE,
            settled_first=True,
            exchange_volume=0,
            verdict=Verdict.EXACT,
        )

    def _unit(self, market: Market) -> Unit:
        return Unit(
            market.ticker,
            self._series,
            market.event_date,
            market.open_time,
            market.close_time,
            market.status == "settled",
            market.volume,
        )

    async def _list_events(self, *, recent: bool) -> None:
        events: list[Event] = []
        # A market closes a day after the event date begins; the exchange lists the events of many years.
        start = datetime.combine(self._dates.start, time(), tzinfo=UTC) if recent else None
        async for rows in self._api.events(self._series, self._progress.stats.tally, start):
            events += self._rows.events(rows)

        async def work(connection: Connection) -> None:
            now = self._clock()
            await catalog.store_events(connection, _unique(events), self._city, now)
            counts = self._listed.counts(self._dates.start, self._dates.end, self._clock().date())
            await catalog.store_listings(connection, self._series, counts, self._run_id, now)

        await self._database.run(work)
        listed = {event.ticker for event in events}
        for ticker in sorted(listed - self._listed.events_with_markets):
            self._progress.failed[ticker] = "the exchange lists this event, but no market of it in either tier"
        for ticker in sorted(self._listed.events_with_markets - listed):
            self._rows.warn(f"event {ticker} has markets but is missing from the exchange's list of events")


def _unique(events: Sequence[Event]) -> list[Event]:
    return list({event.ticker: event for event in events}.values())
