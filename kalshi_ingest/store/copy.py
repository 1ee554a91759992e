"""Trades and candles as PostgreSQL's binary COPY format, straight from their integers.

Going through `Decimal`, `UUID` and `datetime` objects and asyncpg's own encoders costs about as much client time
as everything else together; `benchmarks/` measures it.
"""

from collections.abc import AsyncIterator, Sequence
from struct import Struct

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

# PostgreSQL counts microseconds from 2000-01-01.
_POSTGRES_EPOCH_US = 946_684_800_000_000

_ROW_START = Struct(">hi")
_TIME_AND_ID = Struct(">iqi16s")
_PERIOD = Struct(">ihiqiq")
_INTEGER = Struct(">ii")
_TWO_DIGITS = Struct(">ihhHHhh")
_SIDES = {1: b"\0\0\0\3yes", -1: b"\0\0\0\2no"}
_BOOLEANS = {False: b"\0\0\0\1\0", True: b"\0\0\0\1\1"}


class Numerics(dict[int, bytes]):
    """A scaled integer as the length and the value of a binary `numeric` of `scale` decimals."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._scale = scale
        self._fraction_digits = -(-scale // 4)
        self._padding = 10 ** (self._fraction_digits * 4 - scale)

    def __missing__(self, value: int) -> bytes:
        high, low = divmod(value * self._padding, 10_000)
        if low and 0 < high < 10_000:  # nearly all that is not remembered; the general way takes four times as long
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
        header = (8 + 2 * len(stored), len(stored), weight, 0, self._scale)
        return Struct(f">ihhHH{len(stored)}h").pack(*header, *stored)


class Encoder:
    """Encodes rows; remembers the prices and counts it has seen."""

    def __init__(self) -> None:
        self._prices = Numerics(6)
        self._counts = Numerics(2)

    def trades(self, ticker: str, trades: Sequence[Trade]) -> list[bytes]:
        """Rows of `TRADE_COLUMNS`."""
        start = _row_start(len(TRADE_COLUMNS), ticker)
        prices, counts, pack = self._prices, self._counts, _TIME_AND_ID.pack
        return [
            start
            + pack(8, created_us - _POSTGRES_EPOCH_US, 16, trade_id)
            + prices[price]
            + counts[size]
            + _SIDES[side]
            + _BOOLEANS[block]
            for created_us, trade_id, price, size, side, block in trades
        ]

    def candles(self, ticker: str, minutes: int, candles: Sequence[Candle]) -> list[bytes]:
        """Rows of `CANDLE_COLUMNS`; the mean price is cut to 6 decimals, as the exchange cuts its own."""
        start = _row_start(len(CANDLE_COLUMNS), ticker)
        width = minutes * MINUTE_US
        prices, counts, pack, integer = self._prices, self._counts, _PERIOD.pack, _INTEGER.pack
        rows: list[bytes] = []
        for start_us, _, open_key, _, close_key, high, low, volume, notional, trades in candles:
            period_start = start_us - _POSTGRES_EPOCH_US
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


def woven(rows: Sequence[bytes]) -> list[bytes]:
    """Rows in key order, rearranged so that the primary key's pages end up four fifths full instead of half.

    A B-tree page that fills up in ascending order splits in the middle, and its left half stays half empty for
    good (PostgreSQL knows better only for keys of up to 16 bytes). So three rows of five go first and leave pages
    half full; the other two then fall between them and fill the pages without splitting them again.
    """
    return [row for index, row in enumerate(rows) if index % 5 not in (1, 3)] + [
        row for index, row in enumerate(rows) if index % 5 in (1, 3)
    ]


async def binary_copy(rows: Sequence[bytes]) -> AsyncIterator[bytes]:
    """The COPY stream of encoded rows, in chunks."""
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


def _row_start(columns: int, ticker: str) -> bytes:
    text = ticker.encode()
    return _ROW_START.pack(columns, len(text)) + text
