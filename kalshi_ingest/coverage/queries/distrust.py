"""Taking back a claim that turned out to be wrong, so that the next backfill proves the market anew."""

from collections.abc import Sequence

import asyncpg

_CHECKPOINTS = "delete from checkpoints where ticker = any($1::text[])"
_CANDLES = "delete from candles where ticker = any($1::text[])"


async def forget(connection: asyncpg.Connection, tickers: Sequence[str]) -> None:
    """Delete the checkpoints and candles of some markets, in the caller's transaction; their trades stay.

    The next backfill then walks these markets over staging: trades that are there are compared with the exchange's,
    trades that are missing are added, and every candle is made from what is stored.
    """
    await connection.execute(_CHECKPOINTS, list(tickers))
    await connection.execute(_CANDLES, list(tickers))
