"""One market's candles against those that its trades make by `domain.candles`: how they differ, in words."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import asyncpg

from kalshi_ingest.coverage.rules.evidence import Rows
from kalshi_ingest.domain.candles import MINUTE_US, roll_up
from kalshi_ingest.domain.model import Candle, to_datetime, to_microseconds
from kalshi_ingest.postgres.checkpoints import stored_candles
from kalshi_ingest.postgres.moments import EVER_US

_WALKED_AT = "select updated_at from checkpoints where ticker = $1 and state = 'open'"

_DUE = timedelta(minutes=5)
"""A market that trades gets its candles when their periods have ended. A walk writes those that ended before it began,
which is never so long before its checkpoint was written."""

_CANDLES = """
select period_minutes, period_start, period_end, open, high, low, close, volume, vwap, num_trades
from candles where ticker = $1
order by period_start, period_minutes
"""


async def rows_of(connection: asyncpg.Connection, ticker: str) -> Rows | None:
    """What is held of one market and what is wrong with its candles; None when nothing is. Needs a transaction."""
    ones = await stored_candles(connection, ticker, *EVER_US)
    made = {(1, candle.start_us): candle for candle in ones}
    made |= {(5, candle.start_us): candle for candle in roll_up(ones, 5)}
    missing = dict(made)
    volumes = {1: Decimal(0), 5: Decimal(0)}
    held = {1: 0, 5: 0}
    surplus = wrong = 0
    faults: list[tuple[int, int, str]] = []
    for row in await connection.fetch(_CANDLES, ticker):
        minutes, start_us = row["period_minutes"], to_microseconds(row["period_start"])
        if minutes in held:
            held[minutes] += 1
            volumes[minutes] += row["volume"]
        candle = missing.pop((minutes, start_us), None)
        if candle is None:
            surplus += 1
            aligned = minutes in held and start_us % (minutes * MINUTE_US) == 0
            faults.append((start_us, minutes, "a candle without trades" if aligned else "no period starts here"))
        elif different := ", ".join(_differences(row, candle)):
            wrong += 1
            faults.append((start_us, minutes, different))
    missing = await _due(connection, ticker, missing)
    faults += [(start_us, minutes, "no candle") for minutes, start_us in missing]
    if not made and not faults:
        return None
    return Rows(
        trades=sum(candle.trades for candle in ones),
        contracts=sum(candle.volume for candle in ones),
        first_trade=to_datetime(ones[0].open_us) if ones else None,
        last_trade=to_datetime(ones[-1].close_us) if ones else None,
        candles_1m=held[1],
        candles_5m=held[5],
        contracts_1m=_hundredths(volumes[1]),
        contracts_5m=_hundredths(volumes[5]),
        missing_candles=len(missing),
        surplus_candles=surplus,
        wrong_candles=wrong,
        first_fault=_in_words(*min(faults)) if faults else None,
    )


async def _due(
    connection: asyncpg.Connection, ticker: str, missing: dict[tuple[int, int], Candle]
) -> dict[tuple[int, int], Candle]:
    """Those of the missing candles, (minutes, start) → candle, that should have been written by now."""
    walked_at = await connection.fetchval(_WALKED_AT, ticker) if missing else None
    if walked_at is None:
        return missing
    end_us = to_microseconds(walked_at - _DUE)
    return {key: candle for key, candle in missing.items() if key[1] + key[0] * MINUTE_US <= end_us}


def _differences(row: asyncpg.Record, made: Candle) -> Iterator[str]:
    """The columns of a held candle that are not as they were made, in the table's order."""
    minutes: int = row["period_minutes"]
    if to_microseconds(row["period_end"]) != made.start_us + minutes * MINUTE_US:
        yield "period_end"
    prices = {"open": abs(made.open_key), "high": made.high, "low": made.low, "close": abs(made.close_key)}
    for name, price in prices.items():
        if row[name].scaleb(6) != price:
            yield name
    if row["volume"].scaleb(2) != made.volume:
        yield "volume"
    if made.volume == 0 or row["vwap"].scaleb(6) != made.notional // made.volume:
        yield "vwap"
    if row["num_trades"] != made.trades:
        yield "num_trades"


def _hundredths(volume: Decimal) -> int:
    """0 for a sum that holds something other than a number."""
    return int(volume.scaleb(2)) if volume.is_finite() else 0


def _in_words(start_us: int, minutes: int, fault: str) -> str:
    start = to_datetime(start_us)
    seconds = start_us % MINUTE_US
    clock = f"{start:%Y-%m-%d %H:%M}" + (f":{seconds / 1_000_000:09.6f}".rstrip("0").rstrip(".") if seconds else "")
    return f"{minutes}m {clock}: {fault}"
