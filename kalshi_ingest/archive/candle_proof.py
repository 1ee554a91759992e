"""An archive's candle files held against the candles that its own trades make, while both are being read.

The rule is that of `domain.candles`, here over whole columns: making a million candles one by one would take longer
than loading them.
"""

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.archive.checks import Column, shown
from kalshi_ingest.errors import Unusable

_MINUTE_US = pa.scalar(60_000_000)
_FIVE_MINUTES_US = pa.scalar(300_000_000)
_MICROS = pa.scalar(10**6, pa.decimal128(7, 0))
_YES = pa.scalar("yes")
_FALSE = pa.scalar(False)
_TRUE = pa.array([True])

# When and in which order within a sweep, as one number that sorts: the time since five minutes began, then the price,
# a no-taker's below 0. The first and the last of a period are its open and its close.
_PRICES = pa.scalar(1 << 21)
_PRICE_OF = pa.scalar((1 << 21) - 1)
_NO_PRICE = pa.scalar(1 << 20)

_LAST_DIGIT = pa.scalar(Decimal("0.000001"), pa.decimal128(7, 6))

_FIELDS: list[tuple[str, Any]] = [
    ("ticker", pa.string()),
    ("start", pa.int64()),
    ("first", pa.int64()),
    ("last", pa.int64()),
    ("low", pa.decimal128(7, 6)),
    ("high", pa.decimal128(7, 6)),
    ("volume", pa.decimal128(30, 2)),
    ("worth", pa.decimal128(38, 8)),
    ("trades", pa.int64()),
]
_PARTS = pa.schema(_FIELDS)
_GROUPED: Any = [
    ("first", "min"),
    ("last", "max"),
    ("low", "min"),
    ("high", "max"),
    ("volume", "sum"),
    ("worth", "sum"),
    ("trades", "sum"),
]


class CandleProof:
    """Takes the trades of one city in the order of their file, and reads each candle file along with them."""

    def __init__(self, candles: dict[str, Iterator[pa.RecordBatch]], unproved: Collection[str]) -> None:
        """`candles`: the path of each of the two files, 1 minute first → its rows; `unproved`: markets left out."""
        self._unproved = pa.array(sorted(unproved), pa.string())
        self._ones, self._fives = _Made(_MINUTE_US), _Made(_FIVE_MINUTES_US)
        self._files = [_Held(path, map(self._proved, rows)) for path, rows in candles.items()]

    def add(self, trades: pa.RecordBatch) -> None:
        """The next trades. Raises `Unusable` that names file, column and market for a candle they do not make."""
        self._hold(self._ones.add(_singles(self._proved(trades))))

    def end(self) -> None:
        """No more trades: every candle has to be accounted for."""
        self._hold(self._ones.end())
        self._files[1].compare(self._fives.end())
        for file in self._files:
            file.end()

    def _hold(self, ones: pa.Table) -> None:
        self._files[0].compare(ones)
        self._files[1].compare(self._fives.add(ones))

    def _proved(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if not len(self._unproved):
            return rows
        left_out: Any = pc.is_in(rows["ticker"], value_set=self._unproved)
        return rows.filter(pc.invert(left_out))


class _Made:
    """Candles of one length, from shorter ones that come in order."""

    def __init__(self, width_us: "pa.Scalar[Any]") -> None:
        self._width_us = width_us
        self._open = _PARTS.empty_table()
        """The last one, which the next rows may still belong to."""

    def add(self, parts: pa.Table) -> pa.Table:
        """The candles that can get no more trades."""
        start: Column = pc.multiply(pc.divide(parts["start"], self._width_us), self._width_us)
        made = _joined(pa.concat_tables([self._open, parts.set_column(1, "start", start)]))
        done = max(made.num_rows - 1, 0)
        self._open = made.slice(done)
        return made.slice(0, done)

    def end(self) -> pa.Table:
        """The last one; no row where there were no trades."""
        return self._open


def _joined(parts: pa.Table) -> pa.Table:
    """Neighbours of one market and period made one."""
    first = _firsts(parts["ticker"], parts["start"])
    columns: dict[str, Any] = {name: parts[name] for name, _ in _GROUPED}
    steps: Column = pc.cast(first, pa.int64())
    columns["run"] = pc.cumulative_sum(steps)
    # By a number that grows along the rows, since groups come out in no order.
    grouped = pa.table(columns).group_by("run", use_threads=False).aggregate(_GROUPED).sort_by("run")
    keys = parts.select(["ticker", "start"]).filter(first)
    values = [grouped[f"{name}_{how}"] for name, how in _GROUPED]
    return pa.table([*keys.columns, *values], names=_PARTS.names).cast(_PARTS)


def _firsts(*columns: Column) -> Column:
    """Whether a row differs in any of the columns from the one before it."""
    new: Column = None
    for column in columns:
        differs = pc.not_equal(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
        new = differs if new is None else pc.or_(new, differs)
    return pa.chunked_array([_TRUE.slice(0, len(columns[0])), *new.chunks])


class _Held:
    """The rows of a candle file, compared with those that the trades make."""

    def __init__(self, path: str, batches: Iterator[pa.RecordBatch]) -> None:
        self._path = path
        self._batches = batches
        self._waiting: pa.Table | None = None

    def compare(self, made: pa.Table) -> None:
        """The next candles have to be these."""
        while made.num_rows:
            held = self._next()
            if held is None:
                self._refuse("ticker", f"the candle of {_name(made, 0)} is missing, though there are trades")
            rows = min(held.num_rows, made.num_rows)
            self._compare(held.slice(0, rows), made.slice(0, rows))
            self._waiting, made = held.slice(rows), made.slice(rows)

    def end(self) -> None:
        """There have to be no more."""
        held = self._next()
        if held is not None:
            self._refuse("ticker", f"there are no trades for the candle of {_name(_keyed(held), 0)}")

    def _next(self) -> pa.Table | None:
        """What is left of a batch, or the next one that holds a row."""
        while self._waiting is None or not self._waiting.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._waiting = pa.Table.from_batches([batch])
        return self._waiting

    def _compare(self, held: pa.Table, made: pa.Table) -> None:
        keyed = _keyed(held)
        for name in ("ticker", "start"):
            at = _first_false(pc.equal(keyed[name], made[name]))
            if at is not None:
                self._refuse(
                    name,
                    f"the candle of {_name(keyed, at)} is not the next one of the trades, "
                    f"which is that of {_name(made, at)}",
                )
        for name, same in _agreements(held, made):
            at = _first_false(same)
            if at is not None:
                value = shown(held[name][at])
                self._refuse(name, f"{value} of {_name(keyed, at)} is not what the trades make")

    def _refuse(self, column: str, what: str) -> NoReturn:
        raise Unusable(f"{self._path}: column {'period_start' if column == 'start' else column}: {what}")


def _singles(trades: pa.RecordBatch) -> pa.Table:
    """Each trade as the candle of its own."""
    time: Column = pc.cast(trades["created_time"], pa.int64())
    since: Column = pc.subtract(time, pc.multiply(pc.divide(time, _FIVE_MINUTES_US), _FIVE_MINUTES_US))
    price: Column = trades["yes_price"]
    units = _units(price)
    key: Column = pc.if_else(pc.equal(trades["taker_side"], _YES), units, pc.negate(units))
    place: Column = pc.add(pc.multiply(since, _PRICES), pc.add(key, _NO_PRICE))
    count: Column = trades["count"]
    worth: Column = pc.multiply(price, count)
    one = pa.repeat(pa.scalar(1), trades.num_rows)
    columns: list[Any] = [trades["ticker"], time, place, place, price, price, count, worth, one]
    return pa.table(columns, names=_PARTS.names).cast(_PARTS)


def _agreements(held: pa.Table, made: pa.Table) -> Iterator[tuple[str, Column]]:
    """Column → a boolean per row: whether it is as the trades make it."""
    volume: Column = made["volume"]
    for name, place in (("open", made["first"]), ("close", made["last"])):
        units: Any = pc.subtract(pc.bit_wise_and(place, _PRICE_OF), _NO_PRICE)
        yield name, pc.equal(_units(held[name]), pc.abs(units))
    for name in ("high", "low", "volume"):
        yield name, pc.equal(held[name], made[name])
    # Cut to six digits: times the volume it is not more than the worth, and one more in the last digit would be.
    size = pc.cast(volume, pa.decimal128(18, 2))
    least: Column = pc.multiply(held["vwap"], size)
    step: Column = pc.multiply(_LAST_DIGIT, size)
    yield "vwap", pc.and_(pc.less_equal(least, made["worth"]), pc.greater(pc.add(least, step), made["worth"]))
    yield "num_trades", pc.equal(pc.cast(held["num_trades"], pa.int64()), made["trades"])


def _units(price: Column) -> Column:
    return pc.cast(pc.multiply(price, _MICROS), pa.int64())


def _keyed(held: pa.Table) -> pa.Table:
    start: Column = pc.cast(held["period_start"], pa.int64())
    return pa.table({"ticker": held["ticker"], "start": start})


def _name(rows: pa.Table, at: int) -> str:
    start = rows["start"][at].cast(pa.timestamp("us", tz="UTC")).as_py()
    return f"{rows['ticker'][at].as_py()} at {start:%Y-%m-%d %H:%M}"


def _first_false(kept: Column) -> int | None:
    index = pc.index(kept, _FALSE).as_py()
    return None if index < 0 else int(index)
