"""The endpoints this program asks, each answer checked against its request."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from kalshi_ingest.domain.audit import MinuteCandle
from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.model import Cutoff, MarketSnapshot, Series, Tier, Trade, Unit, to_microseconds
from kalshi_ingest.domain.plausible import SLACK, trade_moments
from kalshi_ingest.errors import BadPayload, Rejected, ServerFailed
from kalshi_ingest.exchange import parse_candles
from kalshi_ingest.exchange import parse_markets as parse
from kalshi_ingest.exchange.availability import STATUS_PATH
from kalshi_ingest.exchange.caching import KnownCache, Made
from kalshi_ingest.exchange.client import Client, Tally, Told
from kalshi_ingest.exchange.costs import TOKENS_PER_REQUEST, costs
from kalshi_ingest.exchange.parse_trades import TradeParser, check_moments, cursor_of, rows_of

TRADES_PER_PAGE = 1000
MARKETS_PER_PAGE = 500
"""Half of what the exchange allows: decoded, 1,000 markets take over ten megabytes, six series are listed at once."""
FIRST_MARKETS = 100
"""The first page of a list of markets is short, so that the workers have something to do while the rest is listed."""
EVENTS_PER_PAGE = 200
CANDLES_PER_REQUEST = 5_000
"""Minutes that one request may span, whether or not anything traded in them."""
SNAPSHOTS_PER_REQUEST = 100
"""Tickers in one address, which stays far below what servers take."""
_LONGEST_LIST = 10_000
_EMPTY_PAGES = 100
"""So many pages of trades in a row that hold none and promise more are not a list but a fault."""
_TOKENS = 0.01, 1_000_000
"""The least and the most of what an account can get a second."""

_TRADE_PATHS: Mapping[Tier, str] = {Tier.LIVE: "/markets/trades", Tier.HISTORICAL: "/historical/trades"}
_MARKET_PATHS: Mapping[Tier, str] = {Tier.LIVE: "/markets", Tier.HISTORICAL: "/historical/markets"}


@dataclass(frozen=True, slots=True)
class TradePage:
    """One page of a market's trades, ascending, and where the next one is (None: this was the last)."""

    trades: list[Trade]
    cursor: str | None
    made: Made | None = None
    """When the exchange made it; None: no tier holds the market, so nothing was answered."""


class Api:
    """Kalshi's public market data, as records."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._trades = TradeParser()
        self._cache = KnownCache(client.clock.steady)

    def now(self) -> datetime:
        """The time at the exchange, by its answers so far."""
        return self._client.clock()

    @property
    def cache_seconds(self) -> float:
        """For how long a cache before the exchange repeats trades and snapshots, as they state; 0: none is known."""
        return self._cache.seconds

    async def cutoff(self) -> Cutoff:
        """The border between the live and the historical tier at this moment."""
        return await self._client.get(
            "/historical/cutoff", {}, lambda answer: parse.cutoff(answer, self._client.clock.latest())
        )

    async def series(self, ticker: str, tally: Tally) -> Series:
        """One series; `Rejected` with status 404 when the exchange does not know it."""

        def read(answer: Any) -> Series:
            return parse.series(answer.get("series") if isinstance(answer, dict) else None, ticker)

        return await self._client.get(f"/series/{quote(ticker)}", {}, read, tally)

    def events(
        self, series_ticker: str, tally: Tally, closing_after: datetime | None = None
    ) -> AsyncIterator[list[Any]]:
        """The events that the exchange lists for a series, as pages of rows: some are odd, and the plan reports them.

        `closing_after` spares the exchange those whose markets all closed before; rows of others are passed on too.
        """
        filters = {"series_ticker": series_ticker}
        if closing_after is not None:
            filters["min_close_ts"] = str(int(closing_after.timestamp()))
        return self._pages("/events", "events", filters, (EVENTS_PER_PAGE, EVENTS_PER_PAGE), tally)

    async def event_series(self, event_ticker: str, tally: Tally) -> str | None:
        """The series that an event says it belongs to; None when the exchange does not know the event."""

        def read(answer: Any) -> str:
            event = answer.get("event") if isinstance(answer, dict) else None
            if not isinstance(event, dict) or event.get("event_ticker") != event_ticker:
                raise BadPayload(f"GET /events/{event_ticker}: the answer is not about that event")
            series_ticker = event.get("series_ticker")
            if not isinstance(series_ticker, str):
                raise BadPayload(f"GET /events/{event_ticker}: series_ticker is {series_ticker!r:.60}, not a string")
            return series_ticker

        try:
            return await self._client.get(f"/events/{quote(event_ticker)}", {}, read, tally)
        except Rejected as error:
            if error.status == 404:
                return None
            raise

    def markets(self, series_ticker: str, tier: Tier, tally: Tally) -> AsyncIterator[list[Any]]:
        """Every market of a series in one tier, as pages of rows, newest created first."""
        limits = (FIRST_MARKETS, MARKETS_PER_PAGE)
        return self._pages(_MARKET_PATHS[tier], "markets", {"series_ticker": series_ticker}, limits, tally)

    async def market_snapshots(self, tickers: Sequence[str], tally: Tally) -> tuple[dict[str, MarketSnapshot], Made]:
        """How far up to `SNAPSHOTS_PER_REQUEST` markets had got, and when; only those of the live tier.

        A row that cannot be read counts as one that states nothing: the lists of its series report it.
        """
        asked = frozenset(tickers)
        found: dict[str, MarketSnapshot] = {}
        pages = 0
        made: Made | None = None
        filters = {"tickers": ",".join(tickers)}
        async for told in self._told_pages("/markets", "markets", filters, (MARKETS_PER_PAGE, MARKETS_PER_PAGE), tally):
            made = told.made if made is None else made.and_(told.made)
            for row in told.value:
                ticker = row.get("ticker") if isinstance(row, dict) else None
                if isinstance(ticker, str) and ticker in asked:
                    try:
                        found[ticker] = parse.market_snapshot(row)
                    except BadPayload:
                        found[ticker] = MarketSnapshot("", None)
            pages += bool(told.value)  # an empty page that names a next one says nothing
            if len(found) == len(asked) or pages == 2:  # an exchange that ignores the filter lists all it has
                break
        if made is None:
            raise AssertionError("a list has at least one page")
        self._cache.shown(made)
        return found, made

    async def is_trading(self) -> bool:
        """Whether the exchange says that it is open; false in its maintenance."""
        return await self._client.get(STATUS_PATH, {}, _trading)

    async def trades(
        self, unit: Unit, tier: Tier, cursor: str | None, tally: Tally, since_us: int | None = None
    ) -> TradePage:
        """The page of a market's trades at `cursor` (None: the newest), newest page first; empty pages are followed.

        A trade of a time when its market did not live, or still to come, is refused. `since_us` spares the exchange
        older ones; rows before it are passed on all the same.
        """
        path, ticker = _TRADE_PATHS[tier], unit.ticker
        earliest, latest = trade_moments(unit.event_date, unit.open_time, unit.close_time)
        filters = {"ticker": ticker, "limit": str(TRADES_PER_PAGE)}
        if since_us is not None:
            filters["min_ts"] = str(since_us // 1_000_000)
        asked = [cursor]
        made: Made | None = None

        def read(answer: Any) -> TradePage:
            trades = self._trades.page(rows_of(answer, "trades", path), ticker)
            check_moments(trades, ticker, earliest, min(latest, self._client.clock.latest() + SLACK))
            following = cursor_of(answer, path)
            if following is not None and following in asked:
                raise BadPayload(f"GET {path} {ticker}: the next page's cursor is this page's: a loop")
            return TradePage(trades, following)

        while len(asked) <= _EMPTY_PAGES:
            params = filters if asked[-1] is None else {**filters, "cursor": asked[-1]}
            told = await self._client.ask(path, params, read, tally)
            made = told.made if made is None else made.and_(told.made)
            if tier is Tier.LIVE:
                self._cache.shown(told.made)
            if told.value.trades or told.value.cursor is None:
                return replace(told.value, made=made)
            asked.append(told.value.cursor)
        raise ServerFailed(f"GET {path} {ticker}: {_EMPTY_PAGES} empty pages in a row, and the last promises more")

    async def candles(
        self, ticker: str, series_ticker: str, tier: Tier, start: datetime, end: datetime, tally: Tally
    ) -> AsyncIterator[list[MinuteCandle]]:
        """The exchange's own one-minute candles of every minute that overlaps [`start`, `end`), oldest first, in parts.

        `Rejected` with status 404 when `tier` does not serve the market: a settled one moves from the live to the
        historical tier at some moment, also between two parts.
        """
        path = f"/series/{quote(series_ticker)}/markets/{quote(ticker)}/candlesticks"
        if tier is Tier.HISTORICAL:
            path = f"/historical/markets/{quote(ticker)}/candlesticks"
        first, stop = to_microseconds(start) // MINUTE_US * 60 + 60, -(-to_microseconds(end) // MINUTE_US) * 60
        for begin in range(first, stop + 1, 60 * CANDLES_PER_REQUEST):
            last = min(begin + 60 * (CANDLES_PER_REQUEST - 1), stop)

            def read(answer: Any, begin: int = begin, last: int = last) -> list[MinuteCandle]:
                return parse_candles.candles(answer, ticker, begin, last)

            asked = {"start_ts": str(begin), "end_ts": str(last), "period_interval": "1"}
            yield await self._client.get(path, asked, read, tally)

    async def account_requests_per_second(self) -> float:
        """The read budget of the configured key, in requests of the default cost a second."""
        return await self._client.get("/account/limits", {}, _budget)

    async def learn_costs(self) -> None:
        """Ask what a request costs, in general and on single routes, and tell the client."""
        self._client.costs = await self._client.get("/account/endpoint_costs", {}, costs)

    async def _pages(
        self, path: str, key: str, filters: Mapping[str, str], limits: tuple[int, int], tally: Tally
    ) -> AsyncIterator[list[Any]]:
        """The rows of a list, page by page; `limits` are the rows of the first and of every later page."""
        async for told in self._told_pages(path, key, filters, limits, tally):
            yield told.value

    async def _told_pages(
        self, path: str, key: str, filters: Mapping[str, str], limits: tuple[int, int], tally: Tally
    ) -> AsyncIterator[Told[list[Any]]]:
        """The same, each page with when it was made. The cursor carries no filters, so every page repeats them."""
        seen: set[str] = set()
        cursor: str | None = None

        def read(answer: Any) -> tuple[list[Any], str | None]:
            return rows_of(answer, key, path), cursor_of(answer, path)

        for _ in range(_LONGEST_LIST):
            asked = {**filters, "limit": str(limits[0] if cursor is None else limits[1])}
            if cursor is not None:
                asked["cursor"] = cursor
            told = await self._client.ask(path, asked, read, tally)
            page, cursor = told.value
            tally.oldest = max(tally.oldest, told.made.age)
            yield Told(page, told.made)
            if cursor is None:
                return
            if cursor in seen:
                raise BadPayload(f"GET {path}: the exchange repeats a cursor: a loop after {len(seen)} pages")
            seen.add(cursor)
        raise BadPayload(f"GET {path}: no end after {_LONGEST_LIST} pages")


def _trading(answer: Any) -> bool:
    active = answer.get("exchange_active") if isinstance(answer, dict) else None
    trading = answer.get("trading_active") if isinstance(answer, dict) else None
    if not isinstance(active, bool) or not isinstance(trading, bool):
        raise BadPayload("GET /exchange/status: exchange_active or trading_active is neither true nor false")
    return active and trading


def _budget(answer: Any) -> float:
    read = answer.get("read") if isinstance(answer, dict) else None
    rate = read.get("refill_rate") if isinstance(read, dict) else None
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not _TOKENS[0] <= rate <= _TOKENS[1]:
        raise BadPayload(f"GET /account/limits: read.refill_rate is {rate!r:.60}, not a number of tokens a second")
    return rate / TOKENS_PER_REQUEST
