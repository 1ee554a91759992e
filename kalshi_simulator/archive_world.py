"""A world over a Parquet archive: real data, served as the exchange would serve it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from kalshi_simulator.archive_entries import ArchiveEvent, ArchiveMarket, series_row
from kalshi_simulator.archive_files import ArchiveFiles
from kalshi_simulator.archive_tapes import ArchiveTape, ArchiveTrades, TradeFile
from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.config import ARCHIVE_AGE
from kalshi_simulator.wire import Row, from_micros
from kalshi_simulator.world import EventEntry, MarketEntry

Entry = TypeVar("Entry", ArchiveMarket, ArchiveEvent)


class ArchiveWorld:
    """Serves an archive as it stands: nothing is made up, and no market moves on with the clock.

    Series, events and markets stay in memory, trades are read when a request needs them. `cutoff` (UTC) is
    settable; left out, it trails the archive's last settlement as the exchange's own trails the clock, by sixty
    days floored to midnight. So an archive of more than sixty days fills both tiers, whenever it is served.
    """

    def __init__(self, folder: Path, cutoff: datetime | None = None) -> None:
        """Raises `ValueError`, saying what to do, for a folder that is no archive, is damaged or holds no market."""
        files = ArchiveFiles(folder)
        self._cities = files.cities
        self._series = [series_row(row) for city in self._cities for row in files.rows(city, "series")]
        self._days: list[date] = []
        self._markets: list[ArchiveMarket] = []
        self._city_of: dict[str, str] = {}
        for city in self._cities:
            self._read_markets(city, files)
        if not self._markets:
            raise ValueError(f"{folder} holds no market: there is nothing to serve")
        self._markets.sort(key=_place, reverse=True)
        self._by_ticker = {market.ticker: market for market in self._markets}
        self._markets_of = _by_series(self._markets)
        self._events = self._read_events(files)
        self._event_by_ticker = {event.ticker: event for event in self._events}
        self._events_of = _by_series(self._events)
        opened = {city: files.open(city, "trades") for city in self._cities}
        self._trade_count = sum(file.metadata.num_rows for file in opened.values())
        self._trades = ArchiveTrades(
            {city: TradeFile(file, str(folder / city / "trades.parquet")) for city, file in opened.items()}
        )
        pa.default_memory_pool().release_unused()  # what reading the markets took stays with Arrow otherwise
        self.cutoff = self._trailing_cutoff() if cutoff is None else cutoff
        self.clock = SimulatedClock.of_the_wall()

    @property
    def summary(self) -> str:
        """One line for a person who starts the simulator."""
        return (
            f"{len(self._markets):,} markets and {self._trade_count:,} trades of {', '.join(self._cities)},"
            f" event dates {min(self._days)} to {max(self._days)}"
        )

    # The truth, for comparisons.

    def market_tickers(self) -> list[str]:
        """Every market, newest created first."""
        return [market.ticker for market in self._markets]

    # What the server asks for.

    def series_rows(self) -> Sequence[Row]:
        """The series of the archive."""
        return self._series

    def events(self, series: str | None) -> Sequence[EventEntry]:
        """Events, newest created first."""
        return self._events if series is None else self._events_of.get(series, [])

    def event(self, ticker: str) -> EventEntry | None:
        """One event."""
        return self._event_by_ticker.get(ticker)

    def entries(self, series: str | None) -> Sequence[MarketEntry]:
        """Markets, newest created first."""
        return self._markets if series is None else self._markets_of.get(series, [])

    def entry(self, ticker: str) -> MarketEntry | None:
        """One market."""
        return self._by_ticker.get(ticker)

    def tape(self, ticker: str) -> ArchiveTape | None:
        """The tape of a market, or None for an unknown one."""
        city = self._city_of.get(ticker)
        return None if city is None else ArchiveTape(self._trades, city, ticker)

    def _read_markets(self, city: str, files: ArchiveFiles) -> None:
        days: set[date] = set()
        for row in files.rows(city, "markets"):
            market = ArchiveMarket(row)
            self._markets.append(market)
            self._city_of[market.ticker] = city
            days.add(row["event_date"])
        self._days += days

    def _read_events(self, files: ArchiveFiles) -> list[ArchiveEvent]:
        markets: defaultdict[str, list[ArchiveMarket]] = defaultdict(list)
        for market in self._markets:
            markets[market.event_ticker].append(market)
        rows = (row for city in self._cities for row in files.rows(city, "events"))
        events = [ArchiveEvent(row, markets[row["event_ticker"]]) for row in rows]
        return sorted(events, key=_place, reverse=True)

    def _trailing_cutoff(self) -> datetime:
        last = max(market.settled or market.updated for market in self._markets)
        return datetime.combine((from_micros(last) - ARCHIVE_AGE).date(), time(0), tzinfo=UTC)


def _place(entry: ArchiveMarket | ArchiveEvent) -> tuple[int, str]:
    return entry.created, entry.ticker


def _by_series(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.series_ticker].append(entry)
    return found
