"""Tapes read from an archive's trade files when they are asked for.

A file is sorted by ticker, so a market lies in one or two of its row groups, and their statistics tell which.
Only what was asked for last stays in memory, however many trades the files hold.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import pairwise
from typing import Any, Generic, TypeVar

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet as pq

from kalshi_simulator.archive_entries import Columns, dollars
from kalshi_simulator.archive_files import COLUMNS
from kalshi_simulator.tapes import Key
from kalshi_simulator.wire import Row, dump, time_text

_GROUP_ROWS = 600_000
"""Rows of row groups in memory, about 90 bytes each."""
_TAPE_ROWS = 20_000
"""Rows of single markets in memory."""

Name = TypeVar("Name", bound=Hashable)
Held = TypeVar("Held", bound=Sized)


class Recent(Generic[Name, Held]):
    """What was used last, up to `most` rows in sum; the newest one whatever its size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows = 0
        self._held: OrderedDict[Name, Held] = OrderedDict()

    def get(self, name: Name, read: Callable[[], Held]) -> Held:
        """What has this name, read only if it is not held."""
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        found = self._held[name] = read()
        self._rows += len(found)
        while self._rows > self._most and len(self._held) > 1:
            self._rows -= len(self._held.popitem(last=False)[1])
        return found


class TradeFile:
    """One city's trades, read by market."""

    def __init__(self, file: pq.ParquetFile, path: str) -> None:
        """Raises `ValueError` for a file that cannot be searched by ticker."""
        self._file = file
        self._groups = list(_groups(file, path))
        if any(before[2] > after[1] for before, after in pairwise(self._groups)):
            raise ValueError(f"{path} is not sorted by ticker: export the archive again")

    def covering(self, ticker: str) -> list[int]:
        """The row groups in which a market may have trades."""
        return [group for group, low, high in self._groups if low <= ticker <= high]

    def group(self, number: int) -> pa.Table:
        """One row group."""
        table = self._file.read_row_group(number, columns=list(COLUMNS["trades"]), use_threads=False)
        pa.default_memory_pool().release_unused()  # else Arrow keeps what the decoding took
        return table


class MarketTrades:
    """One market's trades, oldest first by (created_time, trade_id)."""

    def __init__(self, table: pa.Table) -> None:
        order = pc.sort_indices(table, [("created_time", "ascending"), ("trade_id", "ascending")])
        self.table = table.take(order)  # also a copy: a mere slice would keep its row group in memory
        created: Iterable[Any] = self.table.column("created_time").cast(pa.int64()).to_pylist()
        self.created: array[int] = array("q", created)
        """Unix microseconds."""

    def __len__(self) -> int:
        return len(self.created)

    def trade_id(self, place: int) -> str:
        """The id of one trade."""
        return str(self.table.column("trade_id")[place].as_py())


class ArchiveTrades:
    """All trades of an archive, by city and market."""

    def __init__(self, files: Mapping[str, TradeFile]) -> None:
        self._files = files
        self._groups: Recent[tuple[str, int], pa.Table] = Recent(_GROUP_ROWS)
        self._markets: Recent[tuple[str, str], MarketTrades] = Recent(_TAPE_ROWS)

    def of(self, city: str, ticker: str) -> MarketTrades:
        """One market's trades."""
        return self._markets.get((city, ticker), partial(self._read, city, ticker))

    def _read(self, city: str, ticker: str) -> MarketTrades:
        file = self._files[city]
        schema = pa.schema(COLUMNS["trades"])
        parts = [schema.empty_table()]
        for number in file.covering(ticker):
            group = self._groups.get((city, number), partial(file.group, number))
            parts.append(_of_market(group, ticker).cast(schema))
        return MarketTrades(pa.concat_tables(parts))


class ArchiveTape:
    """One market's tape. It holds no trades itself, so that a list of all tapes stays small."""

    raw = False

    def __init__(self, trades: ArchiveTrades, city: str, ticker: str) -> None:
        self._trades = trades
        self._city = city
        self._ticker = ticker

    def __len__(self) -> int:
        return len(self._held)

    def key(self, index: int) -> Key:
        """The keyset of one row."""
        held = self._held
        place = len(held) - 1 - index
        return held.created[place], held.trade_id(place)

    def since(self, moment: int) -> int:
        """How many rows were created at or after `moment` (Unix microseconds)."""
        held = self._held
        return len(held) - bisect_left(held.created, moment)

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""
        held = self._held
        moment, trade_id = key
        place = bisect_left(held.created, moment)
        while place < len(held) and held.created[place] == moment and held.trade_id(place) < trade_id:
            place += 1
        return len(held) - place

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas."""
        held = self._held
        asked = held.table.drop_columns(["ticker", "created_time"]).slice(len(held) - stop, stop - start)
        created = held.created[len(held) - stop : len(held) - start]
        rows = [dump(_row(self._ticker, *pair)) for pair in zip(created, asked.to_pylist(), strict=True)]
        return b",".join(reversed(rows))

    def blocks(self) -> Sequence[int]:
        """Indexes of the block trades, ascending."""
        flags = self._held.table.column("is_block_trade").to_pylist()
        return [index for index, block in enumerate(reversed(flags)) if block]

    @property
    def _held(self) -> MarketTrades:
        return self._trades.of(self._city, self._ticker)


def _row(ticker: str, created: int, held: Columns) -> Row:
    price, side = held["yes_price"], held["taker_side"]
    return {
        "count_fp": f"{held['count']:.2f}",
        "created_time": time_text(created),
        "is_block_trade": held["is_block_trade"],
        "no_price_dollars": dollars(1 - price),
        "taker_book_side": "bid" if side == "yes" else "ask",
        "taker_outcome_side": side,
        "taker_side": side,
        "ticker": ticker,
        "trade_id": held["trade_id"],
        "yes_price_dollars": dollars(price),
    }


def _of_market(group: pa.Table, ticker: str) -> pa.Table:
    """The rows of one market, found by bisection because the file is sorted by ticker."""
    tickers, places = group.column("ticker"), range(len(group))
    start = bisect_left(places, ticker, key=lambda place: str(tickers[place]))
    stop = bisect_right(places, ticker, key=lambda place: str(tickers[place]))
    return group.slice(start, stop - start)


def _groups(file: pq.ParquetFile, path: str) -> Iterator[tuple[int, str, str]]:
    """Number, lowest and highest ticker of each row group that holds rows."""
    place = file.schema_arrow.names.index("ticker")
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        if not group.num_rows:
            continue
        statistics = group.column(place).statistics
        if statistics is None or not statistics.has_min_max:
            raise ValueError(f"{path} has no statistics of its tickers: export the archive again")
        yield number, str(statistics.min), str(statistics.max)
