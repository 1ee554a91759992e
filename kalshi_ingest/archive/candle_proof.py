"""An archive's candle files held against the candles that its own trades make, while both are being read."""

from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from itertools import pairwise, repeat
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.domain.candles import MINUTE_US, append, fold, roll_up
from kalshi_ingest.domain.model import Candle, to_datetime
from kalshi_ingest.errors import Unusable

_BUCKET_US = 5 * MINUTE_US
_COLUMNS = (
    ("period_start", 0),
    *((name, 6) for name in ("open", "close", "high", "low")),
    ("volume", 2),
    ("vwap", 6),
    ("num_trades", 0),
)
"""Each with its digits behind the point."""

_YES, _UP, _DOWN = pa.scalar("yes"), pa.scalar(1), pa.scalar(-1)
_UNITS = {digits: pa.scalar(10**digits, pa.decimal128(7, 0)) for digits in (2, 6)}

_Row = tuple[int, ...]
"""The values of `_COLUMNS`, as whole numbers: microseconds, millionths of a dollar, hundredths of a contract."""

T = TypeVar("T")


class CandleProof:
    """Takes the trades of one city in the order of their file, and reads each candle file along with them."""

    def __init__(self, candles: dict[str, Iterator[pa.RecordBatch]], unproved: Collection[str]) -> None:
        """`candles`: the path of each of the two files, 1 minute first → its rows; `unproved`: markets left out."""
        self._unproved = frozenset(unproved)
        self._files = [_CandleFile(path, self._markets(rows, _candles)) for path, rows in candles.items()]
        self._sums: dict[str, tuple[int, int]] = {}
        self._ticker = ""
        self._open: list[Candle] = []
        """The newest minutes, of at most one bucket, to which the next trades may belong."""

    def add(self, trades: pa.RecordBatch) -> None:
        """The next trades. Raises `Unusable` that names file, column and market for a candle they do not make."""
        for ticker, rows in self._markets([trades], _trades):
            if ticker != self._ticker:
                self._compare(len(self._open))
                self._ticker = ticker
            append(self._open, fold(rows))
            newest = self._open[-1].start_us
            cut = newest - newest % _BUCKET_US
            self._compare(len(self._open) - sum(candle.start_us >= cut for candle in self._open[-5:]))

    def end(self) -> dict[str, tuple[int, Decimal]]:
        """No more trades: every candle has to be accounted for. Returns each market's trades and contracts."""
        self._compare(len(self._open))
        for file in self._files:
            file.end()
        return {ticker: (trades, Decimal(size).scaleb(-2)) for ticker, (trades, size) in self._sums.items()}

    def _compare(self, done: int) -> None:
        """The first `done` candles get no more trades: they have to be the next ones in the files."""
        if not done:
            return
        ones = self._open[:done]
        del self._open[:done]
        trades, size = self._sums.get(self._ticker, (0, 0))
        trades, size = trades + sum(each.trades for each in ones), size + sum(each.volume for each in ones)
        self._sums[self._ticker] = trades, size
        for file, made in zip(self._files, (ones, roll_up(ones, 5)), strict=True):
            file.compare(self._ticker, [_row(candle) for candle in made])

    def _markets(
        self, batches: Iterable[pa.RecordBatch], read: Callable[[pa.RecordBatch], list[T]]
    ) -> Iterator[tuple[str, list[T]]]:
        """The rows of one market after the other, in parts."""
        for batch in batches:
            if not batch.num_rows:
                continue
            tickers: Any = batch["ticker"]
            ends: Any = pc.not_equal(tickers.slice(0, len(tickers) - 1), tickers.slice(1))
            edges = [0, *(place + 1 for place in pc.indices_nonzero(ends).to_pylist()), len(tickers)]
            rows = read(batch)
            for start, end in pairwise(edges):
                ticker = tickers[start].as_py()
                if ticker not in self._unproved:
                    yield ticker, rows[start:end]


class _CandleFile:
    def __init__(self, path: str, markets: Iterator[tuple[str, list[_Row]]]) -> None:
        self._path = path
        self._markets = markets
        self._ticker = ""
        self._rows: list[_Row] = []

    def compare(self, ticker: str, made: list[_Row]) -> None:
        """The next candles have to be these."""
        while made:
            if not self._next():
                self._refuse("ticker", f"the candle of {_name(ticker, made[0])} is missing, though there are trades")
            rows = min(len(self._rows), len(made))
            if ticker != self._ticker or self._rows[:rows] != made[:rows]:
                self._differ(ticker, made)
            self._rows, made = self._rows[rows:], made[rows:]

    def end(self) -> None:
        """There have to be no more."""
        if self._next():
            self._refuse("ticker", f"there are no trades for the candle of {_name(self._ticker, self._rows[0])}")

    def _next(self) -> bool:
        while not self._rows:
            following = next(self._markets, None)
            if following is None:
                return False
            self._ticker, self._rows = following
        return True

    def _differ(self, ticker: str, made: list[_Row]) -> NoReturn:
        """Name the first candle that is not the one made, and the first column in which it differs."""
        pairs = zip(self._rows, made, strict=False)
        held, due = next(pair for pair in pairs if ticker != self._ticker or pair[0] != pair[1])
        if (self._ticker, held[0]) != (ticker, due[0]):
            self._refuse(
                "period_start" if ticker == self._ticker else "ticker",
                f"the candle of {_name(self._ticker, held)} is not the next one of the trades, "
                f"which is that of {_name(ticker, due)}",
            )
        column = next(at for at, value in enumerate(held) if value != due[at])
        name, digits = _COLUMNS[column]
        self._refuse(
            name, f"{Decimal(held[column]).scaleb(-digits)} of {_name(ticker, held)} is not what the trades make"
        )

    def _refuse(self, column: str, what: str) -> NoReturn:
        raise Unusable(f"{self._path}: column {column}: {what}")


def _row(made: Candle) -> _Row:
    start_us, _, open_key, _, close_key, high, low, volume, notional, trades = made
    return (start_us, abs(open_key), abs(close_key), high, low, volume, notional // volume, trades)


def _candles(batch: pa.RecordBatch) -> list[_Row]:
    return list(zip(*(_numbers(batch[name]) for name, _ in _COLUMNS), strict=True))


def _trades(batch: pa.RecordBatch) -> list[tuple[int, bytes, int, int, int, bool]]:
    sides = pc.if_else(pc.equal(batch["taker_side"], _YES), _UP, _DOWN)
    columns = map(_numbers, (batch["created_time"], batch["yes_price"], batch["count"], sides))
    created, prices, sizes, keys = columns
    return list(zip(created, repeat(b""), prices, sizes, keys, repeat(False), strict=False))


def _numbers(column: Any) -> list[int]:
    """The values as whole numbers, decimals in their last digit; Arrow's own objects would take ten times as long."""
    if pa.types.is_decimal(column.type):
        column = pc.multiply(column, _UNITS[column.type.scale])
    column = pc.cast(column, pa.int64())
    values = memoryview(column.buffers()[1]).cast("q")
    return values[column.offset : column.offset + len(column)].tolist()


def _name(ticker: str, row: _Row) -> str:
    return f"{ticker} at {to_datetime(row[0]):%Y-%m-%d %H:%M}"
