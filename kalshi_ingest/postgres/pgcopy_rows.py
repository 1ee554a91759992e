"""PostgreSQL's binary COPY format, and trades and candles in it, straight from their integers.

Going through `Decimal`, `UUID`, `datetime` and asyncpg's encoders would double the client's time; `benchmarks/`
measures it. A field is its length, four bytes, and its value.
"""

from collections.abc import AsyncIterator, Sequence
from itertools import compress, cycle
from struct import Struct
from typing import TypeVar

import asyncpg

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.model import Candle, Trade

TRADE_COLUMNS = ("ticker", "created_time", "trade_id", "yes_price", "count", "taker_side", "is_block_trade")
CANDLE_COLUMNS = (
    "ticker",
    "period_minutes",
    "period_start",
    "period_end",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "num_trades",
)

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_CHUNK_ROWS = 2_000
"""About 250 kB at a time."""
_REMEMBERED = 2_000
"""Ten times as many would make a service grow for months, and a backfill hardly faster."""

EPOCH_US = 946_684_800_000_000
"""From 1970 to 2000-01-01, from which PostgreSQL counts microseconds."""
NULL = b"\xff\xff\xff\xff"
BOOLEANS = {False: b"\0\0\0\1\0", True: b"\0\0\0\1\1"}
COLUMNS_START = Struct(">h")
"""What a row begins with: how many fields it has."""
LENGTH = Struct(">i")
NUMERIC = Struct(">ihhHH")
"""A `numeric` up to its digits to the base of 10,000: length, digits, weight of the first, sign, decimals."""
_NEGATIVE = b"\x40\x00"

_MOMENT = Struct(">iq")
_TIME_AND_ID = Struct(">iqi16s")
_PERIOD = Struct(">ihiqiq")
_INTEGER = Struct(">ii")
_TWO_DIGITS = Struct(">ihhHHhh")

T = TypeVar("T")


def text(value: str) -> bytes:
    content = value.encode()
    return LENGTH.pack(len(content)) + content


def moment(second: int) -> bytes:
    """Seconds since 1970-01-01 UTC as a field of `timestamptz`."""
    return _MOMENT.pack(8, second * 1_000_000 - EPOCH_US)


def row_start(columns: int, key: str) -> bytes:
    """The start of a row, up to its first field, a text."""
    return COLUMNS_START.pack(columns) + text(key)


_SIDES = {1: text("yes"), -1: text("no")}


class Numerics(dict[int | None, bytes]):
    """A whole number of 10^-`scale`, or None, as a field of `numeric`; remembers those that it has encoded."""

    def __init__(self, scale: int) -> None:
        super().__init__({None: NULL})
        self._scale = scale
        self._fraction_digits = -(-scale // 4)
        self._padding = 10 ** (self._fraction_digits * 4 - scale)

    def __missing__(self, value: int) -> bytes:
        high, low = divmod(value * self._padding, 10_000)
        if value < 0:
            unsigned = self[-value]
            encoded = unsigned[:8] + _NEGATIVE + unsigned[10:]
        elif low and 0 < high < 10_000:  # nearly all that is not remembered; the general way takes four times as long
            encoded = _TWO_DIGITS.pack(12, 2, 1 - self._fraction_digits, 0, self._scale, high, low)
        else:
            encoded = self._encoded(value)
        if len(self) < _REMEMBERED:
            self[value] = encoded
        return encoded

    def _encoded(self, value: int) -> bytes:
        digits: list[int] = []
        rest = value * self._padding
        while rest:
            rest, digit = divmod(rest, 10_000)
            digits.append(digit)
        weight = len(digits) - 1 - self._fraction_digits if digits else 0
        stored = digits[::-1]
        while stored and stored[-1] == 0:
            stored.pop()
        head = NUMERIC.pack(8 + 2 * len(stored), len(stored), weight, 0, self._scale)
        return head + Struct(f">{len(stored)}h").pack(*stored)


class Encoder:
    """Encodes rows; remembers the prices and counts it has seen."""

    def __init__(self) -> None:
        self._prices = Numerics(6)
        self._counts = Numerics(2)

    def trades(self, ticker: str, trades: Sequence[Trade]) -> list[bytes]:
        """Rows of `TRADE_COLUMNS`."""
        start = row_start(len(TRADE_COLUMNS), ticker)
        prices, counts, pack = self._prices, self._counts, _TIME_AND_ID.pack
        return [
            start
            + pack(8, created_us - EPOCH_US, 16, trade_id)
            + prices[price]
            + counts[size]
            + _SIDES[side]
            + BOOLEANS[block]
            for created_us, trade_id, price, size, side, block in trades
        ]

    def candles(self, ticker: str, minutes: int, candles: Sequence[Candle]) -> list[bytes]:
        """Rows of `CANDLE_COLUMNS`; the mean price is cut to 6 decimals, as the exchange cuts its own."""
        start = row_start(len(CANDLE_COLUMNS), ticker)
        width = minutes * MINUTE_US
        prices, counts, pack, integer = self._prices, self._counts, _PERIOD.pack, _INTEGER.pack
        rows: list[bytes] = []
        for start_us, _, open_key, _, close_key, high, low, volume, notional, trades in candles:
            period_start = start_us - EPOCH_US
            period = pack(2, minutes, 8, period_start, 8, period_start + width)
            if high == low:
                price = prices[high]
                rows.append(start + period + price * 4 + counts[volume] + price + integer(4, trades))
                continue
            rows.append(
                start
                + period
                + prices[abs(open_key)]
                + prices[high]
                + prices[low]
                + prices[abs(close_key)]
                + counts[volume]
                + prices[notional // volume]
                + integer(4, trades)
            )
        return rows


def interleave_for_btree(rows: Sequence[T]) -> list[T]:
    """Rows in key order, rearranged so that the primary key's pages end up four fifths full instead of half.

    A B-tree page that fills up in ascending order splits in the middle, and its left half stays half empty for
    good (PostgreSQL knows better only for keys of up to 16 bytes). So three rows of five go first and leave pages
    half full; the other two then fall between them and fill the pages without splitting them again.
    """
    first, between = cycle((1, 0, 1, 0, 1)), cycle((0, 1, 0, 1, 0))
    return [*compress(rows, first), *compress(rows, between)]


async def copy_in(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[bytes], schema: str | None = None
) -> None:
    """Copy encoded rows into a table, of the search path unless `schema` is given."""
    await connection.copy_to_table(table, schema_name=schema, source=_stream(rows), columns=columns, format="binary")


async def _stream(rows: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield _HEADER
    for first in range(0, len(rows), _CHUNK_ROWS):
        yield b"".join(rows[first : first + _CHUNK_ROWS])
    yield _TRAILER


def staging(table: str, columns: Sequence[str], name: str) -> str:
    """The statement that makes `name`, a temporary table of these columns of `table`, emptied at each commit.

    It leaves out columns that the table's owner added, and with them their constraints.
    """
    selected = f"select {', '.join(columns)} from {table} with no data"  # noqa: S608
    return f"create temporary table if not exists {name} on commit delete rows as {selected}"


def emptying(name: str) -> str:
    """The statement that empties a staging table before the commit does."""
    return f"delete from {name}"  # noqa: S608
