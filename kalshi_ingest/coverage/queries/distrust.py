"""Deletes wrong checkpoints, so that the next backfill proves their markets again."""

from collections.abc import Sequence

import asyncpg

_CHECKPOINTS = "delete from checkpoints where ticker = any($1::text[])"
_CANDLES = "delete from candles where ticker = any($1::text[])"


async def forget(connection: asyncpg.Connection, tickers: Sequence[str]) -> None:
    """Delete the checkpoints and candles of some markets, in the caller's transaction; their trades stay.

    The next backfill compares these with the exchange's, adds missing ones and rebuilds every candle.
    """
    await connection.execute(_CHECKPOINTS, list(tickers))
    await connection.execute(_CANDLES, list(tickers))
