"""The loop one would write by hand: as fast as it gets with the usual parts, and nothing else.

No candles, no checkpoints, no retries, no checks; the list of markets comes for free. Read it side by side with
`ours.py`: both run in processes of their own against the same simulator and the same server.
"""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import orjson

from benchmarks.children import given, timed

WORKERS = 20
_COLUMNS = ("ticker", "created_time", "trade_id", "yes_price", "count", "taker_side", "is_block_trade")
_TABLE = """
create table bare_trades (
    ticker text not null, created_time timestamptz not null, trade_id uuid not null, yes_price numeric(7,6) not null,
    count numeric(16,2) not null, taker_side text not null, is_block_trade boolean not null,
    primary key (ticker, created_time, trade_id))
"""


async def main() -> None:
    """Fetch every trade of the tickers given and store it."""
    arguments = given()
    connections = [await asyncpg.connect(arguments["database"]) for _ in range(WORKERS)]
    await connections[0].execute(_TABLE)
    for connection in connections:
        await connection.execute("create temporary table staged (like bare_trades) on commit delete rows")
    waiting = iter(arguments["tickers"])
    async with aiohttp.ClientSession() as http:

        async def work() -> tuple[int, int]:
            jobs = [_work(http, arguments["url"], connection, waiting) for connection in connections]
            return sum(await asyncio.gather(*jobs)), 0

        await timed(work)


async def _work(http: aiohttp.ClientSession, url: str, connection: asyncpg.Connection, waiting: Any) -> int:
    stored = 0
    for ticker in waiting:
        cursor = ""
        while True:
            params = {"ticker": ticker, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            async with http.get(f"{url}/historical/trades", params=params) as response:
                page = orjson.loads(await response.read())
            rows = [_row(trade) for trade in page["trades"]]
            async with connection.transaction():
                await connection.copy_records_to_table("staged", records=rows, columns=_COLUMNS)
                done = await connection.execute("insert into bare_trades select * from staged on conflict do nothing")
            stored += int(done.split()[-1])
            cursor = page["cursor"]
            if not cursor:
                break
    return stored


def _row(trade: dict[str, Any]) -> tuple[Any, ...]:
    return (
        trade["ticker"],
        datetime.fromisoformat(trade["created_time"]),
        UUID(trade["trade_id"]),
        Decimal(trade["yes_price_dollars"]),
        Decimal(trade["count_fp"]),
        trade["taker_side"],
        trade["is_block_trade"],
    )


if __name__ == "__main__":
    asyncio.run(main())
