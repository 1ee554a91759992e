"""A world of explicit rows, for tests written by hand and for recorded data."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypedDict, Unpack

from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.row_tapes import RawTape, SortedTape
from kalshi_simulator.tapes import Tape
from kalshi_simulator.wire import Row, parse_time
from kalshi_simulator.world import EventEntry, MarketEntry

_LONG_AGO = datetime(2021, 6, 1, tzinfo=UTC)


class RowMarket:
    """One given market row. Fields that a list needs and the row lacks count as empty."""

    __slots__ = ("_row", "closes", "created", "event_ticker", "series_ticker", "settled", "ticker", "updated")

    def __init__(self, row: Row, series_ticker: str) -> None:
        self._row = row
        self.ticker: str = row.get("ticker", "")
        self.event_ticker: str = row.get("event_ticker", "")
        self.series_ticker = series_ticker
        self.created = _moment(row, "created_time") or 0
        self.updated = _moment(row, "updated_time") or self.created
        self.closes = _moment(row, "close_time") or 0
        self.settled = _moment(row, "settlement_ts")
        if self.settled is None and row.get("status") == "finalized":
            self.settled = self.closes  # rows recorded before settlement_ts existed

    @property
    def status(self) -> str:
        """Field vocabulary, as given."""
        status: str = self._row.get("status", "")
        return status

    def row(self) -> Row:
        """The row as given."""
        return dict(self._row)


class RowEvent:
    """One given event row with the markets that name it."""

    __slots__ = ("_row", "created", "markets", "series_ticker", "ticker")

    def __init__(self, row: Row, markets: Sequence[RowMarket]) -> None:
        self._row = row
        self.ticker: str = row.get("event_ticker", "")
        self.series_ticker: str = row.get("series_ticker", "")
        self.markets = markets
        self.created = max((market.created for market in markets), default=0)

    def row(self) -> Row:
        """The row as given."""
        return dict(self._row)


class GivenRows(TypedDict, total=False):
    """What a world of rows is made of; everything may be left out.

    `trades` maps a ticker to its rows in any order. `tapes` overrides it for single tickers with rows that
    are served exactly as given, `raw` does so for all. `cutoff` defaults to long ago: everything is live.
    """

    series: Sequence[Row]
    events: Sequence[Row]
    markets: Sequence[Row]
    trades: Mapping[str, Sequence[Row]]
    cutoff: datetime
    raw: bool
    tapes: Mapping[str, Sequence[Row]]


class RowsWorld:
    """Serves the given wire rows.

    Trades are sorted newest first, by (created_time, trade_id) descending. With `raw=True`, or per ticker
    through `tapes`, they are served exactly as given, in the given order, however wrong; such a tape lies
    wholly in the tier of its market, and time filters do not apply to it.
    """

    def __init__(self, **given: Unpack[GivenRows]) -> None:
        events, markets = given.get("events", ()), given.get("markets", ())
        make = RawTape if given.get("raw", False) else SortedTape
        self.cutoff = given.get("cutoff", _LONG_AGO)
        self.clock = SimulatedClock.of_the_wall()
        self._series = list(given.get("series", ()))
        series_of = {row.get("event_ticker"): row.get("series_ticker", "") for row in events}
        self._markets = [
            RowMarket(row, series_of.get(row.get("event_ticker")) or _guess_series(row)) for row in markets
        ]
        self._markets.sort(key=lambda market: (market.created, market.ticker), reverse=True)
        self._by_ticker = {market.ticker: market for market in self._markets}
        self._events = [
            RowEvent(row, [m for m in self._markets if m.event_ticker == row.get("event_ticker")]) for row in events
        ]
        self._events.sort(key=lambda event: (event.created, event.ticker), reverse=True)
        self._tapes: dict[str, SortedTape | RawTape] = {market.ticker: SortedTape(()) for market in self._markets}
        self._tapes |= {ticker: make(rows) for ticker, rows in given.get("trades", {}).items()}
        self._tapes |= {ticker: RawTape(rows) for ticker, rows in given.get("tapes", {}).items()}

    @property
    def summary(self) -> str:
        """One line for a person who starts the simulator."""
        return f"{len(self._markets)} given markets"

    def market_tickers(self) -> list[str]:
        """Every market, newest created first."""
        return [market.ticker for market in self._markets]

    def market(self, ticker: str) -> Row:
        """The market's row."""
        return self._by_ticker[ticker].row()

    def trades(self, ticker: str) -> list[Row]:
        """All trades of a market, newest first (as given, if raw), whatever tier serves them."""
        return self._tapes[ticker].given() if ticker in self._tapes else []

    def trade_count(self, ticker: str) -> int:
        """How many trades a market has."""
        return len(self._tapes[ticker]) if ticker in self._tapes else 0

    def series_rows(self) -> Sequence[Row]:
        """The series as given."""
        return self._series

    def events(self, series: str | None) -> Sequence[EventEntry]:
        """Events, newest created first."""
        return [event for event in self._events if series in (None, event.series_ticker)]

    def event(self, ticker: str) -> EventEntry | None:
        """One event."""
        return next((event for event in self._events if event.ticker == ticker), None)

    def entries(self, series: str | None) -> Sequence[MarketEntry]:
        """Markets, newest created first."""
        return [market for market in self._markets if series in (None, market.series_ticker)]

    def entry(self, ticker: str) -> MarketEntry | None:
        """One market."""
        return self._by_ticker.get(ticker)

    def tape(self, ticker: str) -> Tape | None:
        """The tape of a market, or None for an unknown one."""
        return self._tapes.get(ticker)


def _moment(row: Row, name: str) -> int | None:
    text = row.get(name)
    if isinstance(text, str):
        with contextlib.suppress(ValueError):  # deliberately wrong rows must be servable
            return parse_time(text)
    return None


def _guess_series(row: Row) -> str:
    event: str = row.get("event_ticker", "")
    return event.rpartition("-")[0]
