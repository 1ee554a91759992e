"""Arrow's columns as rows of PostgreSQL's binary COPY format, whole columns at a time.

An archive's rows are columns already; making an object of each value would take ten times as long as this.
"""

from array import array
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ingest.postgres.pgcopy_rows import COLUMNS_START, EPOCH_US, LENGTH, NUMERIC, interleave_for_btree, text

Column = Any
"""An Arrow array or scalar of bytes; what the stubs say of functions over arrays is narrower than these."""


def copy_rows(batch: pa.RecordBatch) -> bytes:
    """The rows of a batch of trades or candles, without header and trailer.

    No value may be missing; a decimal has 2 or 6 digits behind its point; `trade_id` is a UUID's text.
    """
    if not batch.num_rows:
        return b""
    parts: list[Column] = [_scalar(COLUMNS_START.pack(batch.num_columns))]
    for name in batch.schema.names:
        parts += _field(name, batch[name])
    joined: Column = pc.binary_join_element_wise(*parts, _scalar(b""))
    return bytes(joined.buffers()[2].to_pybytes())


def _field(name: str, column: Column) -> tuple[Column, ...]:
    kind = column.type
    if name == "trade_id":
        return _fixed(bytes.fromhex(_joined(pc.replace_substring(column, "-", ""))), 16)
    if pa.types.is_string(kind):
        return (_texts(column),)
    if pa.types.is_decimal(kind):
        return _numerics(column, kind.scale)
    if pa.types.is_boolean(kind):
        return _fixed(_plain(pc.cast(column, pa.int8()), "b"), 1)
    if pa.types.is_timestamp(kind):
        since = pc.subtract(pc.cast(column, pa.int64()), _scalar(EPOCH_US))
        return _fixed(_plain(since, "q"), 8)
    return _fixed(_plain(column, {2: "h", 4: "i"}[kind.byte_width]), kind.byte_width)


def interleaved(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows in key order, rearranged by `interleave_for_btree`."""
    return batch.take(pa.array(interleave_for_btree(range(batch.num_rows)), pa.int64()))


def _texts(column: Column) -> Column:
    """A column of few different texts, each of them encoded once."""
    known = column.dictionary_encode()
    return pa.array([text(each) for each in known.dictionary.to_pylist()], pa.binary()).take(known.indices)


def _joined(column: Column) -> str:
    """The values of a column of ASCII texts, one behind the other."""
    _, edges, content = column.buffers()
    places = memoryview(edges).cast("i")
    return str(memoryview(content)[places[column.offset] : places[column.offset + len(column)]], "ascii")


def _numerics(column: Column, scale: int) -> tuple[Column, ...]:
    """Decimals as `numeric`: digits to the base of 10,000. The server drops leading and trailing zeros."""
    units: Column = pc.cast(pc.multiply(column, _scalar(10**scale, pa.decimal128(7, 0))), pa.int64())
    whole, rest = _divided(units, 10**scale)
    if scale == 6:
        third, last = _divided(rest, 100)
        digits = _packed(whole, third, pc.multiply(last, _scalar(100)))
        return _scalar(NUMERIC.pack(16, 4, 1, 0, scale)), _fixed(_plain(digits, "q"), 8)[1]
    upper, fourth = _divided(whole, 10_000)
    upper, third = _divided(upper, 10_000)
    first, second = _divided(upper, 10_000)
    fraction = pc.cast(pc.multiply(rest, _scalar(100)), pa.int16())
    return (
        _scalar(NUMERIC.pack(18, 5, 3, 0, scale)),
        _fixed(_plain(_packed(first, second, third, fourth), "q"), 8)[1],
        _fixed(_plain(fraction, "h"), 2)[1],
    )


def _divided(column: Column, by: int) -> tuple[Column, Column]:
    """Quotient and remainder of whole numbers of 0 or more."""
    quotient: Column = pc.divide(column, _scalar(by))
    return quotient, pc.subtract(column, pc.multiply(quotient, _scalar(by)))


def _packed(*digits: Column) -> Column:
    """Digits of 16 bits as one number of 64."""
    packed = digits[0]
    for digit in digits[1:]:
        packed = pc.add(pc.multiply(packed, _scalar(65_536)), digit)
    return packed


def _plain(column: Column, code: str) -> bytes:
    """The values of an integer column, highest byte first."""
    width = column.type.byte_width
    start = column.offset * width
    values = array(code)
    values.frombytes(column.buffers()[1].to_pybytes()[start : start + len(column) * width])
    values.byteswap()
    return values.tobytes()


def _fixed(content: bytes, width: int) -> tuple[Column, Column]:
    """Values of one width that lie one after another: their length, and they."""
    kind = pa.binary(width)
    cells: Column = pa.Array.from_buffers(kind, len(content) // width, [None, pa.py_buffer(content)])
    return _scalar(LENGTH.pack(width)), pc.cast(cells, pa.binary())


@cache
def _scalar(value: int | bytes, kind: pa.DataType | None = None) -> Column:
    """One of few constants, made once: for each new one Arrow looks for a package that may not be installed."""
    return pa.scalar(value, kind)
