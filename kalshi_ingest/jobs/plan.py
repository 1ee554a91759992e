"""The plan of one series: its events and markets of both tiers, into the tables; what is left to walk, to the feed."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from kalshi_ingest.domain import strikes
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.domain.model import Event, Market, Tier, Unit
from kalshi_ingest.domain.plausible import cleaned, is_event_date
from kalshi_ingest.domain.tickers import check_market_ticker, event_date_of, parse_event_ticker
from kalshi_ingest.domain.walk import Checkpoint
from kalshi_ingest.errors import BadPayload, Permanent, Rejected, Transient, Unusable
from kalshi_ingest.exchange import parse_markets as parse
from kalshi_ingest.jobs.feed import Task
from kalshi_ingest.jobs.listed import Listed
from kalshi_ingest.jobs.progress import SeriesProgress
from kalshi_ingest.jobs.tools import Tools
from kalshi_ingest.store import catalog, checkpoints, listings

_PORTION = 250


class Taking(Protocol):
    """Whoever takes the markets that are left to walk."""

    def tracks(self, ticker: str) -> bool:
        """Whether somebody else writes this market's checkpoint while the plan is made."""

    def put(self, series_ticker: str, tasks: Iterable[Task]) -> None:
        """Take tasks of one series."""

    def close(self, series_ticker: str) -> None:
        """No more tasks of this series will come from this plan."""


@dataclass(frozen=True, slots=True)
class Dates:
    """The event dates asked for, both inclusive."""

    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end


class SeriesPlan:
    """Lists one series and feeds what is not proved yet to the workers, page by page."""

    def __init__(
        self, tools: Tools, progress: SeriesProgress, dates: Dates, *, run_id: UUID, turn: asyncio.Semaphore
    ) -> None:
        """`turn` is shared by the plans of a run: a decoded page of markets takes megabytes."""
        self._api = tools.api
        self._database = tools.planning
        self._clock = tools.clock
        self._progress = progress
        self._dates = dates
        self._run_id = run_id
        self._turn = turn
        self._series = progress.wanted.series_ticker
        self._city = progress.wanted.city
        self._seen: set[str] = set()
        self._listed = Listed(self._series)
        self._own_events: dict[str, bool] = {}
        self._warned: set[str] = set()
        self._rejected: dict[str, tuple[date, str]] = {}
        """Markets whose rows cannot be read → their event date and the reason."""
        self._known: Mapping[str, Checkpoint] = {}

    async def run(self, feed: Taking, *, recent: bool = False) -> None:
        """List everything. The live tier comes first: a market that moves meanwhile is then seen at least once.

        `recent`: nothing of the asked dates can be in the historical tier yet, so only the live one is asked.
        Raises `Unusable` when the exchange does not know the series. A row that cannot be read fails that market
        alone; a list that cannot be read fails the series.
        """
        try:
            await self._store_series()
            for tier in (Tier.LIVE,) if recent else (Tier.LIVE, Tier.HISTORICAL):
                await self._list_markets(tier, feed)
            await self._list_events(recent=recent)
            self._progress.listed = True
            self._progress.markets_listed = None if self._listed.first is None else self._progress.markets
            if not self._progress.markets:
                self._nothing_listed()
        except (Permanent, Transient) as error:
            self._progress.failed[self._series] = f"the list is incomplete: {error}"
        finally:
            feed.close(self._series)

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
            series = await self._api.series(self._series, self._progress.tally)
        except Rejected as error:
            if error.status != 404:
                raise
            self._progress.markets_listed = 0 if self._city is None else None  # a city's series there always was
            raise Unusable(f"the exchange knows no series {self._series}: check the ticker") from None

        async def work(connection: asyncpg.Connection, _: bool) -> dict[str, Checkpoint]:
            await catalog.store_series(connection, series, self._city, self._clock())
            return await checkpoints.load(connection, [self._series], self._dates.start, self._dates.end)

        self._known = await self._database.run(work)

    async def _list_markets(self, tier: Tier, feed: Taking) -> None:
        held: list[Market] = []
        pages = self._api.markets(self._series, tier, self._progress.tally)
        more = True
        while more:
            async with self._turn:
                rows = await anext(pages, None)
                more = rows is not None
                # In portions, so that the workers have something to do before a long page is read to its end.
                for start in range(0, len(rows or ()), _PORTION):
                    held = await self._take_portion((rows or [])[start : start + _PORTION], held, tier, feed)
                rows = None
        await self._store_markets(held, feed)

    async def _take_portion(self, rows: Sequence[Any], held: list[Market], tier: Tier, feed: Taking) -> list[Market]:
        """Store what is whole; the last event may go on in the next portion, and strikes are told from a whole one."""
        held = held + await self._readable(rows, tier)
        last = held[-1].event_ticker if held else ""
        await self._store_markets([market for market in held if market.event_ticker != last], feed)
        return [market for market in held if market.event_ticker == last]

    async def _readable(self, rows: Iterable[Any], tier: Tier) -> list[Market]:
        """The markets of a page that were asked for. A row that breaks its contract fails its market."""
        markets: list[Market] = []
        for row in rows:
            ticker = row.get("ticker") if isinstance(row, dict) else None
            if isinstance(ticker, str) and ticker in self._seen:
                continue
            event_ticker = row.get("event_ticker") if isinstance(row, dict) else None
            # Either may be wrong: a market is passed over only when neither names a date that was asked for.
            if isinstance(event_ticker, str) and not self._asked(event_ticker) and not self._is_dated(ticker):
                continue
            try:
                market = parse.market(row, tier)
                self._seen.add(market.ticker)
                if await self._is_own(market):
                    self._listed.market(market.event_ticker)
                    markets.append(market)
                else:
                    # Its checkpoint, if it has one, is another series' and stays as it is.
                    self._fail(ticker, f"asked for series {self._series}, got market {market.ticker} of another series")
            except BadPayload as error:
                self._reject(ticker, event_ticker, error)
        return markets

    def _reject(self, ticker: object, event_ticker: object, error: BadPayload) -> None:
        """A market whose row cannot be read: failed, with the reason, unless its trades are proved already.

        Only a row whose two tickers agree tells which market it is about.
        """
        self._fail(ticker, str(error))
        if not isinstance(ticker, str) or not isinstance(event_ticker, str):
            return
        try:
            event_date = parse_event_ticker(event_ticker).event_date
            check_market_ticker(ticker, event_ticker)
        except BadPayload:
            return
        if ticker not in self._seen and not self._is_foreign(event_ticker):
            self._seen.add(ticker)
            self._listed.market(event_ticker)
            self._rejected[ticker] = (event_date, str(error))

    def _fail(self, ticker: object, reason: str) -> None:
        name = _name(ticker)
        if name not in self._progress.ended:
            self._progress.markets += 1
            self._progress.ended.add(name)
        self._progress.failed[name] = reason

    def _is_dated(self, ticker: object) -> bool:
        day = event_date_of(ticker)
        return day is not None and day in self._dates

    def _asked(self, event_ticker: str) -> bool:
        try:
            event = parse_event_ticker(event_ticker)
        except BadPayload:
            self._warn(f"event {_name(event_ticker)} of {self._series} was left out: its name tells no date")
            return False
        if not is_event_date(event.event_date, self._clock().date()):
            self._warn(f"event {event_ticker} of {self._series} was left out: its date is impossible")
            return False
        self._listed.note(event)
        return event.event_date in self._dates

    def _is_foreign(self, event_ticker: str) -> bool:
        """Whether an event is named like those of another city."""
        named = city_of_series(parse_event_ticker(event_ticker).series_part.partition("-")[0])
        return named is not None and named.series_ticker != self._series

    async def _is_own(self, market: Market) -> bool:
        """Whether a market is of this series: the exchange ignores filters it does not know.

        Raises `BadPayload` when the exchange, asked about the event, does not tell.
        """
        name = parse_event_ticker(market.event_ticker).series_part.partition("-")[0]
        if name in (self._series, self._series.removeprefix("KX")):
            return True
        if self._is_foreign(market.event_ticker):
            return False
        if market.event_ticker not in self._own_events:
            try:
                series = await self._api.event_series(market.event_ticker, self._progress.tally)
            except (Permanent, Transient) as error:
                raise BadPayload(
                    f"market {market.ticker}: which series it belongs to cannot be told: {error}"
                ) from None
            self._own_events[market.event_ticker] = series == self._series
        return self._own_events[market.event_ticker]

    async def _store_markets(self, markets: Sequence[Market], feed: Taking) -> None:
        rejected, self._rejected = self._rejected, {}
        if not markets and not rejected:
            return
        resolved = list(zip(markets, strikes.of_markets(markets), strict=True))
        quiet = [market for market in markets if self._proved_empty(market) and not feed.tracks(market.ticker)]

        async def work(connection: asyncpg.Connection, _: bool) -> set[str]:
            now = self._clock()
            await catalog.store_markets(connection, self._series, self._city, resolved, now)
            moved = await checkpoints.outdated(
                connection, {market.ticker: self._known.get(market.ticker) for market in quiet}
            )
            finished = [self._empty_checkpoint(market) for market in quiet if market.ticker not in moved]
            failed = await self._failed(connection, rejected, feed)
            await checkpoints.store(connection, finished + failed, self._run_id, now)
            return moved

        # Of markets that moved on since the plan began, the writer tells the worker what is stored now.
        done = {market.ticker for market in quiet} - await self._database.run(work)
        self._progress.markets += len(markets)
        self._progress.ended |= done
        self._progress.verdicts["exact"] += len(done)
        tasks: list[Task] = []
        # In the order of the primary keys, so that their indexes grow at few places and stay dense.
        for market in sorted(markets, key=lambda market: market.ticker):
            known = self._known.get(market.ticker)
            if known is not None and known.state == "complete" and known.exchange_volume == market.volume:
                self._progress.proved_before += 1
                self._progress.verdicts[known.verdict or "unknown"] += 1
            elif market.ticker not in done:
                tasks.append(Task(self._unit(market), known))
        feed.put(self._series, tasks)

    async def _failed(
        self, connection: asyncpg.Connection, rejected: Mapping[str, tuple[date, str]], feed: Taking
    ) -> list[Checkpoint]:
        """The checkpoints of markets whose rows cannot be read: what is stored stays, and so does what is proved."""
        known = await checkpoints.of_tickers(connection, list(rejected)) if rejected else {}
        now = [known.get(ticker) or Checkpoint(ticker, self._series, day) for ticker, (day, _) in rejected.items()]
        return [
            each.failed(rejected[each.ticker][1])
            for each in now
            if each.state != "complete" and not feed.tracks(each.ticker)
        ]

    def _proved_empty(self, market: Market) -> bool:
        """A settled market's volume of 0, read after it settled, proves that there is nothing to ask for."""
        known = self._known.get(market.ticker)
        untouched = known is None or (known.trades_stored == 0 and known.state != "complete")
        return market.status == "settled" and market.volume == 0 and untouched

    def _empty_checkpoint(self, market: Market) -> Checkpoint:
        return Checkpoint(
            market.ticker,
            self._series,
            market.event_date,
            state="complete",
            settled_first=True,
            exchange_volume=0,
            verdict="exact",
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
        async for rows in self._api.events(self._series, self._progress.tally, start):
            for row in rows:
                ticker = row.get("event_ticker") if isinstance(row, dict) else None
                if isinstance(ticker, str) and not self._asked(ticker):
                    continue
                if isinstance(ticker, str) and self._is_foreign(ticker):
                    self._progress.failed[_name(ticker)] = f"asked for series {self._series}, got event {ticker}"
                    continue
                if isinstance(ticker, str):
                    self._listed.events.add(ticker)
                try:
                    events.append(parse.event(row, self._series))
                except BadPayload as error:
                    self._progress.failed[_name(ticker)] = str(error)

        async def work(connection: asyncpg.Connection, _: bool) -> None:
            now = self._clock()
            await catalog.store_events(connection, _unique(events), self._city, now)
            counts = self._listed.counts(self._dates.start, self._dates.end, now.date())
            await listings.store_listings(connection, self._series, counts, self._run_id, now)

        await self._database.run(work)
        listed = {event.ticker for event in events}
        for ticker in sorted(listed - self._listed.events_with_markets):
            self._progress.failed[ticker] = "the exchange lists this event, but no market of it in either tier"
        for ticker in sorted(self._listed.events_with_markets - listed):
            self._warn(f"event {ticker} has markets but is missing from the exchange's list of events")

    def _warn(self, warning: str) -> None:
        if warning not in self._warned:
            self._warned.add(warning)
            self._progress.warnings.append(warning)


def _name(ticker: object) -> str:
    """What a row is called that may be called anything."""
    return cleaned(ticker[:60]) if isinstance(ticker, str) else f"{ticker!r:.60}"


def _unique(events: Sequence[Event]) -> list[Event]:
    return list({event.ticker: event for event in events}.values())
