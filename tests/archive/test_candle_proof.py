"""Candle files are held against the trades of the same archive by the rule that makes candles everywhere else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from kalshi_ingest.archive.candle_proof import CandleProof
from kalshi_ingest.domain.candles import MINUTE_US, fold
from kalshi_ingest.domain.model import Trade, to_datetime
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import CANDLES_1M, CANDLES_5M, TRADES

_START_US = int(datetime(2025, 11, 14, 15, tzinfo=UTC).timestamp()) * 1_000_000
Rows = list[dict[str, Any]]


def _market(random: Random, trades: int) -> list[Trade]:
    """Sweeps at few instants, so that order within an instant decides many opens and closes."""
    instants = [_START_US + random.randrange(0, 40 * MINUTE_US, random.choice([1, 20_000_000])) for _ in range(trades)]
    made = [
        Trade(
            random.choice(instants),
            random.randbytes(16),
            random.choice([10_000, 410_000, 420_000, 420_001, 1_000_000, 0]),
            random.choice([1, 100, 12_345, 999_999_999_999]),
            random.choice([1, -1]),
            False,
        )
        for _ in range(trades)
    ]
    return sorted(made)


def _trade_rows(ticker: str, trades: list[Trade]) -> Rows:
    return [
        {
            "ticker": ticker,
            "created_time": to_datetime(trade.created_us),
            "trade_id": trade.trade_id.hex(),
            "yes_price": Decimal(trade.price).scaleb(-6),
            "count": Decimal(trade.size).scaleb(-2),
            "taker_side": "yes" if trade.side > 0 else "no",
            "is_block_trade": False,
        }
        for trade in trades
    ]


def _candle_rows(ticker: str, trades: list[Trade], minutes: int) -> Rows:
    return [
        {
            "ticker": ticker,
            "period_minutes": minutes,
            "period_start": to_datetime(candle.start_us),
            "period_end": to_datetime(candle.start_us) + timedelta(minutes=minutes),
            "open": Decimal(abs(candle.open_key)).scaleb(-6),
            "high": Decimal(candle.high).scaleb(-6),
            "low": Decimal(candle.low).scaleb(-6),
            "close": Decimal(abs(candle.close_key)).scaleb(-6),
            "volume": Decimal(candle.volume).scaleb(-2),
            "vwap": Decimal(candle.notional // candle.volume).scaleb(-6),
            "num_trades": candle.trades,
        }
        for candle in fold(trades, minutes)
    ]


def _batches(rows: Rows, schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
    yield from pa.Table.from_pylist(rows, schema=schema).to_batches(size)


class _City:
    """Some markets' trades and candles, to be damaged."""

    def __init__(self, seed: int, sizes: list[int]) -> None:
        self.random = Random(seed)
        markets = {f"KXHIGHCHI-25NOV14-B{at}": _market(self.random, size) for at, size in enumerate(sizes)}
        self.trades = [row for ticker, trades in markets.items() for row in _trade_rows(ticker, trades)]
        self.candles = {
            minutes: [row for ticker, trades in markets.items() for row in _candle_rows(ticker, trades, minutes)]
            for minutes in (1, 5)
        }

    def prove(self, size: int, unproved: tuple[str, ...] = ()) -> None:
        proof = CandleProof(
            {
                "candles_1m": _batches(self.candles[1], CANDLES_1M.schema(), self.random.randint(1, size)),
                "candles_5m": _batches(self.candles[5], CANDLES_5M.schema(), self.random.randint(1, size)),
            },
            unproved,
        )
        for batch in _batches(self.trades, TRADES.schema(), size):
            proof.add(batch)
        proof.end()


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
@pytest.mark.parametrize("sizes", [[], [1], [0, 1, 400, 0, 2, 1_500, 30]])
def test_candles_that_the_trades_make_are_proved(sizes: list[int], size: int) -> None:
    _City(len(sizes), sizes).prove(size)


def test_more_groups_than_come_in_order_from_one_batch() -> None:
    _City(7, [300] * 60).prove(20_000)


@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "vwap", "volume", "num_trades"])
@pytest.mark.parametrize("step", [1, -1])
def test_one_wrong_value_is_named(minutes: int, column: str, step: int) -> None:
    city = _City(5, [3, 200, 1])
    row = city.random.choice(city.candles[minutes])
    units: dict[str, Any] = {"volume": Decimal("0.01"), "num_trades": 1}
    row[column] += step * units.get(column, Decimal("0.000001"))
    where = f"{row['ticker']} at {row['period_start']:%Y-%m-%d %H:%M}"
    said = rf"candles_{minutes}m: column {column}: {row[column]} of {where}"
    with pytest.raises(Unusable, match=said):
        city.prove(50)


@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize("at", [0, 4, -1])
def test_a_candle_too_few_or_too_many(minutes: int, at: int) -> None:
    city = _City(6, [200, 200])
    missing = city.candles[minutes].pop(at)
    with pytest.raises(Unusable, match=rf"candles_{minutes}m: column (ticker|period_start): .*{missing['ticker']} at "):
        city.prove(64)
    city = _City(6, [200, 200])
    surplus = city.candles[minutes][at]
    city.trades = [
        row
        for row in city.trades
        if not (
            row["ticker"] == surplus["ticker"]
            and surplus["period_start"] <= row["created_time"] < surplus["period_end"]
        )
    ]
    with pytest.raises(Unusable, match=r"candles_.m: column "):
        city.prove(64)


def test_markets_that_are_not_proved_are_left_out() -> None:
    city = _City(8, [50, 50, 50])
    odd = city.trades[0]["ticker"]
    city.candles[1] = [row for row in city.candles[1] if row["ticker"] != odd]
    city.candles[5][0]["close"] = Decimal("0.99")
    with pytest.raises(Unusable):
        city.prove(20)
    city.prove(20, (odd,))
