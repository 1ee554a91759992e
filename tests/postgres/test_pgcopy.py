"""The binary encoding, read back by PostgreSQL itself: every value exact."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import asyncpg
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.model import Candle, Trade, to_datetime, to_microseconds
from kalshi_ingest.postgres.pgcopy_arrow import interleaved
from kalshi_ingest.postgres.pgcopy_rows import CANDLE_COLUMNS, TRADE_COLUMNS, Encoder, copy_in, interleave_for_btree
from tests.support.candles import candles_of
from tests.support.postgres import with_database

TICKER = "KXHIGHCHI-25NOV14-B55.5"
MOMENTS = st.datetimes(datetime(2021, 1, 1), datetime(2035, 12, 31, 23, 59, 59, 999_999))  # noqa: DTZ001
PRICES = st.one_of(st.integers(0, 1_000_000), st.integers(0, 100).map(lambda cents: cents * 10_000))
SIZES = st.one_of(st.integers(1, 10**13), st.integers(1, 10**9).map(lambda contracts: contracts * 100))
TRADES = st.builds(
    Trade,
    MOMENTS.map(lambda moment: to_microseconds(moment.replace(tzinfo=UTC))),
    st.binary(min_size=16, max_size=16),
    PRICES,
    SIZES,
    st.sampled_from((1, -1)),
    st.booleans(),
)


async def _back(url: str, table: str, columns: tuple[str, ...], rows: list[bytes]) -> list[tuple[str, ...]]:
    """Rows as text, in the order in which they were copied in."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        await connection.execute(f"create temporary table copied (like {table}, place serial)")
        await copy_in(connection, "copied", columns, rows)
        texts = ", ".join(f"{column}::text" for column in columns)
        return [tuple(row) for row in await connection.fetch(f"select {texts} from copied order by place")]
    finally:
        await connection.close()


@settings(max_examples=40, deadline=None)
@given(trades=st.lists(TRADES, max_size=200))
def test_trades(postgres_url: str, template_database: str, trades: list[Trade]) -> None:
    url = with_database(postgres_url, template_database)
    held = asyncio.run(_back(url, "trades", TRADE_COLUMNS, Encoder().trades(TICKER, trades)))
    assert held == [
        (
            TICKER,
            _shown(trade.created_us),
            str(UUID(bytes=trade.trade_id)),
            _price(trade.price),
            _count(trade.size),
            "yes" if trade.side == 1 else "no",
            "true" if trade.is_block else "false",
        )
        for trade in trades
    ]


@settings(max_examples=40, deadline=None)
@given(trades=st.lists(TRADES, max_size=60), hours=st.integers(0, 100), minutes=st.sampled_from((1, 5)))
def test_candles(postgres_url: str, template_database: str, trades: list[Trade], hours: int, minutes: int) -> None:
    near = [trade._replace(created_us=trade.created_us % ((hours + 1) * 3_600_000_000)) for trade in trades]
    later = [trade._replace(created_us=trade.created_us + 1_700_000_000_000_000) for trade in near]
    candles = candles_of(later, minutes)
    url = with_database(postgres_url, template_database)
    held = asyncio.run(_back(url, "candles", CANDLE_COLUMNS, Encoder().candles(TICKER, minutes, candles)))
    assert held == [
        (
            TICKER,
            str(minutes),
            _shown(candle.start_us),
            _shown(candle.start_us + minutes * 60_000_000),
            _price(abs(candle.open_key)),
            _price(candle.high),
            _price(candle.low),
            _price(abs(candle.close_key)),
            _count(candle.volume),
            _cut_mean(candle, later, minutes),
            str(candle.trades),
        )
        for candle in candles
    ]


def test_the_mean_is_cut_and_not_rounded(postgres_url: str, template_database: str) -> None:
    trades = [Trade(1, bytes(16), 10_000, 100, 1, False), Trade(2, bytes(16), 20_000, 200, 1, False)]
    rows = Encoder().candles(TICKER, 1, candles_of(trades))
    url = with_database(postgres_url, template_database)
    assert asyncio.run(_back(url, "candles", CANDLE_COLUMNS, rows))[0][9] == "0.016666"


def test_three_rows_of_five_go_first_and_the_others_fall_between_them() -> None:
    assert interleave_for_btree(range(12)) == [0, 2, 4, 5, 7, 9, 10, 1, 3, 6, 8, 11]
    batch = pa.RecordBatch.from_pydict({"place": range(12)})
    assert interleaved(batch)["place"].to_pylist() == interleave_for_btree(range(12))


def test_nothing_is_a_valid_stream(postgres_url: str, template_database: str) -> None:
    url = with_database(postgres_url, template_database)
    assert asyncio.run(_back(url, "trades", TRADE_COLUMNS, [])) == []


def _cut_mean(candle: Candle, trades: list[Trade], minutes: int) -> str:
    end = candle.start_us + minutes * 60_000_000
    inside = {trade for trade in trades if candle.start_us <= trade.created_us < end}
    worth = sum(Fraction(trade.price, 10**6) * trade.size for trade in inside)
    return _price(int(worth / sum(trade.size for trade in inside) * 10**6))


def _price(millionths: int) -> str:
    return f"{Decimal(millionths).scaleb(-6):.6f}"


def _count(hundredths: int) -> str:
    return f"{Decimal(hundredths).scaleb(-2):.2f}"


def _shown(microseconds: int) -> str:
    """As PostgreSQL writes a timestamptz in UTC."""
    moment = to_datetime(microseconds)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}+00"
