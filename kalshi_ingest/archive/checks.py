"""Rules that rows of an archive keep, each checked over a whole column of a batch at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.errors import BadPayload, Unusable

Column = Any
"""An Arrow array; what the stubs say about functions over arrays is narrower than what these take."""

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# Made once, because Arrow looks for other packages whenever it makes a scalar.
_EARLIEST = pa.scalar(datetime(2000, 1, 1, tzinfo=UTC))
_LATEST = pa.scalar(datetime(2100, 1, 1, tzinfo=UTC))
_FREE, _CERTAIN = (pa.scalar(Decimal(price), pa.decimal128(7, 6)) for price in (0, 1))
_ZERO = pa.scalar(0)
_FALSE = pa.scalar(False)


@dataclass(frozen=True, slots=True)
class Rule:
    """What the values of one column keep. A missing value keeps every rule."""

    column: str
    kept: Callable[[pa.RecordBatch], Column]
    """A boolean per row: whether the rule is kept."""
    meaning: str
    """Ends the sentence "<value> is …"."""


def price(column: str) -> Rule:
    """A price in dollars, both ends included."""
    return Rule(column, lambda rows: _within(rows[column], _FREE, _CERTAIN), "not a price between 0 and 1")


def above_zero(column: str) -> Rule:
    return Rule(column, lambda rows: pc.greater(_column(rows, column), _ZERO), "not above 0")


def not_negative(column: str) -> Rule:
    return Rule(column, lambda rows: pc.greater_equal(_column(rows, column), _ZERO), "below 0")


def moment(column: str) -> Rule:
    """A time that an event of this century can have."""
    return Rule(column, lambda rows: _within(rows[column], _EARLIEST, _LATEST), "not a time from 2000 to 2100")


def uuid(column: str) -> Rule:
    """An id in PostgreSQL's own form: lower case, with hyphens."""
    return Rule(column, lambda rows: pc.match_substring_regex(rows[column], _UUID), "not of the form of a UUID")


def one_of(column: str, words: Iterable[str], meaning: str = "") -> Rule:
    """One of some words; `meaning` replaces their list in the error."""
    allowed = sorted(words)
    known = pa.array(allowed, pa.string())

    def kept(rows: pa.RecordBatch) -> Column:
        return pc.or_kleene(pc.is_in(rows[column], value_set=known), pc.is_null(rows[column]))

    return Rule(column, kept, meaning or f"none of {', '.join(allowed)}")


def equals(column: str, value: Any, meaning: str) -> Rule:
    expected = pa.scalar(value)
    return Rule(column, lambda rows: pc.equal(rows[column], expected), meaning)


def each(column: str, read: Callable[[Any], bool], meaning: str) -> Rule:
    """A rule that reads value by value, for small tables; what cannot be read breaks it."""

    def kept(rows: pa.RecordBatch) -> Column:
        return pa.array([value is None or holds(read, value) for value in rows[column].to_pylist()], pa.bool_())

    return Rule(column, kept, meaning)


def json_object(column: str) -> Rule:
    return json_value(column, dict, "not a JSON object")


def json_value(column: str, kind: type, meaning: str) -> Rule:
    """The text of a JSON value of one kind."""
    return each(column, lambda text: isinstance(orjson.loads(text), kind), meaning)


def period(width_us: int) -> tuple[Rule, ...]:
    """A candle's times: the start is a multiple of the length, the end follows one length later."""

    width = pa.scalar(width_us)

    def aligned(rows: pa.RecordBatch) -> Column:
        start: Column = pc.cast(rows["period_start"], pa.int64())
        return pc.equal(pc.multiply(pc.divide(start, width), width), start)

    def ends(rows: pa.RecordBatch) -> Column:
        start: Column = pc.cast(rows["period_start"], pa.int64())
        return pc.equal(pc.add(start, width), pc.cast(rows["period_end"], pa.int64()))

    minutes = width_us // 60_000_000
    return (
        Rule("period_start", aligned, f"not where a period of {minutes} min starts"),
        Rule("period_end", ends, f"not {minutes} min after period_start"),
    )


def inside_range(column: str) -> Rule:
    """One of a candle's prices lies between its low and its high."""

    def kept(rows: pa.RecordBatch) -> Column:
        values: Column = rows[column]
        return pc.and_(pc.greater_equal(values, rows["low"]), pc.less_equal(values, rows["high"]))

    return Rule(column, kept, "not between low and high")


class Order:
    """Rows come sorted by a key, each key once, over all batches of a file."""

    def __init__(self, path: str, key: Sequence[str]) -> None:
        self._path = path
        self._key = key
        self._last: dict[str, Column] = {}

    def check(self, batch: pa.RecordBatch, first_row: int) -> None:
        """The next batch; `first_row` is the number of its first row in the file, from 1. Raises `Unusable`."""
        known = 1 if self._last else 0
        ascending: Column = None
        same: Column = None
        columns = {
            name: pa.concat_arrays([self._last[name], batch[name]]) if known else batch[name] for name in self._key
        }
        pairs = batch.num_rows + known - 1
        for name in reversed(self._key):
            before, after = columns[name].slice(0, pairs), columns[name].slice(1)
            lower, equal = pc.less(before, after), pc.equal(before, after)
            ascending = lower if ascending is None else pc.or_(lower, pc.and_(equal, ascending))
            same = equal if same is None else pc.and_(equal, same)
        self._last = {name: column.slice(len(column) - 1) for name, column in columns.items()}
        index = pc.index(ascending, _FALSE).as_py()
        if index >= 0:
            shown = ", ".join(str(columns[name][index + 1].as_py()) for name in self._key)
            what = "comes twice" if same[index].as_py() else "is out of order"
            where = f"column {self._key[-1]}, row {first_row + index + 1 - known:,}"
            raise Unusable(f"{self._path}: {where}: the row {shown} {what} (sorted by {', '.join(self._key)})")


def check(path: str, batch: pa.RecordBatch, rules: Iterable[Rule], first_row: int) -> None:
    """Hold a batch against rules; `first_row` is the number of its first row in the file, from 1.

    Raises `Unusable` that names file, column, row and value.
    """
    for rule in rules:
        index = pc.index(rule.kept(batch), _FALSE).as_py()
        if index >= 0:
            refuse(path, rule.column, first_row + index, f"{shown(batch[rule.column][index])} is {rule.meaning}")


def check_present(path: str, batch: pa.RecordBatch, required: Iterable[str], first_row: int) -> None:
    """Every row has a value in these columns. Raises `Unusable`."""
    for name in required:
        if batch[name].null_count:
            index = pc.index(pc.is_null(batch[name]), True).as_py()
            refuse(path, name, first_row + index, "the value is missing")


def refuse(path: str, column: str, row: int, what: str) -> NoReturn:
    raise Unusable(f"{path}: column {column}, row {row:,}: {what}")


def shown(value: Any) -> str:
    """A value in an error: text in quotes and not at length."""
    plain = value.as_py()
    if isinstance(plain, str):
        return f"{plain!r:.80}"
    return f"{plain:%Y-%m-%d %H:%M:%S.%f}" if isinstance(plain, datetime) else str(plain)


def holds(read: Callable[[Any], bool], value: Any) -> bool:
    """Whether a value keeps a rule; one that cannot be read does not."""
    try:
        return read(value)
    except (ValueError, BadPayload):
        return False


def _column(rows: pa.RecordBatch, name: str) -> Column:
    return rows[name]


def _within(column: Column, low: Any, high: Any) -> Column:
    return pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
