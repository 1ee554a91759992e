"""The rows of a series' lists: those asked for, as records; unreadable ones, by name; and how many there are."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from kalshi_ingest.domain.calendar import event_dates
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.domain.model import Event, Market, Tier
from kalshi_ingest.domain.plausible import cleaned, is_event_date
from kalshi_ingest.domain.tickers import EventTicker, check_market_ticker, event_date_of, parse_event_ticker
from kalshi_ingest.errors import BadPayload, Permanent, Transient
from kalshi_ingest.exchange import parse_markets as parse
from kalshi_ingest.ingest.progress import SeriesProgress
from kalshi_ingest.ingest.resources import RunContext


class ListingCounts:
    """Events and markets of one series, each once."""

    def __init__(self, series_ticker: str) -> None:
        self._city = city_of_series(series_ticker)
        self._names = {series_ticker, series_ticker.removeprefix("KX")}
        self.events: set[str] = set()
        """Events in the list of events."""
        self.events_with_markets: set[str] = set()
        """Events that a listed market belongs to."""
        self.first: date | None = None
        """The first event date in the lists, whether or not it was requested."""
        self.last: date | None = None
        self._markets: Counter[date] = Counter()

    def note(self, event: EventTicker) -> None:
        """A row of the lists names this event. Another series' event says nothing about this one."""
        if event.series_part.partition("-")[0] in self._names:
            self.first = min(self.first or event.event_date, event.event_date)
            self.last = max(self.last or event.event_date, event.event_date)

    def market(self, event_ticker: str) -> None:
        """Count one market; the caller sees to it that each comes once."""
        self.events_with_markets.add(event_ticker)
        self._markets[parse_event_ticker(event_ticker).event_date] += 1

    def counts(self, start: date, end: date, today: date) -> dict[date, tuple[int, int]]:
        """(events, markets) per event date, once both lists were read to their ends.

        A city has an event every day, so a day from its first on that the lists do not name counts 0, once it is
        over. Of another series no one can say which days should have an event. Lists without a single row prove
        nothing about any day: an exchange in trouble may answer so.
        """
        events = Counter(parse_event_ticker(ticker).event_date for ticker in self.events | self.events_with_markets)
        days = set(events)
        if self._city is not None and self.first is not None:
            first, last = max(start, self._city.first_event_date), min(end, today - timedelta(days=1))
            days |= set(event_dates(first, last)) if first <= last else set()
        return {day: (events[day], self._markets[day]) for day in days}


class ListRows:
    """Reads the rows of one series. A row that breaks its contract fails its market or event, and nothing else."""

    def __init__(
        self, context: RunContext, progress: SeriesProgress, listed: ListingCounts, wanted: Callable[[date], bool]
    ) -> None:
        """`wanted`: whether an event date was asked for. What the lists hold is counted in `listed`."""
        self._api = context.api
        self._clock = context.api.now
        self._progress = progress
        self._series = progress.wanted.series_ticker
        self._listed = listed
        self._wanted = wanted
        self._seen: set[str] = set()
        self._own_events: dict[str, bool] = {}
        self._warned: set[str] = set()
        self._rejected: dict[str, tuple[date, str]] = {}

    def rejected(self) -> Mapping[str, tuple[date, str]]:
        """Markets whose rows could not be read since this was asked last → their event date and the reason."""
        rejected, self._rejected = self._rejected, {}
        return rejected

    def events(self, rows: Iterable[Any]) -> list[Event]:
        """The events of a page that were asked for."""
        events: list[Event] = []
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
        return events

    async def markets(self, rows: Iterable[Any], tier: Tier) -> list[Market]:
        """The markets of a page that were asked for, each once."""
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
                    self.fail(ticker, f"asked for series {self._series}, got market {market.ticker} of another series")
            except BadPayload as error:
                self._reject(ticker, event_ticker, error)
        return markets

    def _reject(self, ticker: object, event_ticker: object, error: BadPayload) -> None:
        """A market whose row cannot be read: failed, with the reason, unless its trades are proved already.

        Only a row whose two tickers agree identifies its market.
        """
        self.fail(ticker, str(error))
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

    def fail(self, ticker: object, reason: str) -> None:
        """This market failed before it could be walked."""
        name = _name(ticker)
        if name not in self._progress.ended:
            self._progress.markets += 1
            self._progress.ended.add(name)
        self._progress.failed[name] = reason

    def _is_dated(self, ticker: object) -> bool:
        day = event_date_of(ticker)
        return day is not None and self._wanted(day)

    def _asked(self, event_ticker: str) -> bool:
        try:
            event = parse_event_ticker(event_ticker)
        except BadPayload:
            self.warn(f"event {_name(event_ticker)} of {self._series} was left out: its name holds no date")
            return False
        if not is_event_date(event.event_date, self._clock().date()):
            self.warn(f"event {event_ticker} of {self._series} was left out: its date is impossible")
            return False
        self._listed.note(event)
        return self._wanted(event.event_date)

    def _is_foreign(self, event_ticker: str) -> bool:
        """Whether an event is named like those of another city."""
        named = city_of_series(parse_event_ticker(event_ticker).series_part.partition("-")[0])
        return named is not None and named.series_ticker != self._series

    async def _is_own(self, market: Market) -> bool:
        """Whether a market is of this series: the exchange ignores filters it does not know.

        Raises `BadPayload` when the exchange does not state the event's series.
        """
        name = parse_event_ticker(market.event_ticker).series_part.partition("-")[0]
        if name in (self._series, self._series.removeprefix("KX")):
            return True
        if self._is_foreign(market.event_ticker):
            return False
        if market.event_ticker not in self._own_events:
            try:
                series = await self._api.event_series(market.event_ticker, self._progress.stats.tally)
            except (Permanent, Transient) as error:
                raise BadPayload(f"market {market.ticker}: which series it belongs to is not known: {error}") from None
            self._own_events[market.event_ticker] = series == self._series
        return self._own_events[market.event_ticker]

    def warn(self, warning: str) -> None:
        """Say something once."""
        if warning not in self._warned:
            self._warned.add(warning)
            self._progress.warnings.append(warning)


def _name(ticker: object) -> str:
    """What a row is called that may be called anything."""
    try:
        return cleaned(f"{ticker!s:.60}")
    except RecursionError:
        return "a row whose name is nested too deeply"
