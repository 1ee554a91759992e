"""The candles of any trades, which the program itself only ever gets in order and once each."""

from collections.abc import Iterable

from kalshi_ingest.domain.candles import fold
from kalshi_ingest.domain.model import Candle, Trade


def candles_of(trades: Iterable[Trade], minutes: int = 1) -> list[Candle]:
    """Candles of `minutes` length, oldest first, of trades in any order and given any number of times."""
    return fold(sorted(set(trades)), minutes)
