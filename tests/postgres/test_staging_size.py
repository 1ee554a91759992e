"""What a page costs the one writer of all series: it must not grow with the market that the page belongs to."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from kalshi_ingest.domain.model import Trade, to_microseconds
from kalshi_ingest.postgres.pgcopy_rows import Encoder
from kalshi_ingest.postgres.staging import _add
from tests.support.backfills import fetch

TICKER = "KXBIG-25NOV14-B1"
HELD = 50_000
"""Trades of the market, one each second: enough to be noticed in a few pages of the index."""
BEGAN = datetime(2025, 11, 13, 12, tzinfo=UTC)
_FILL = """
insert into trades (ticker, created_time, trade_id, yes_price, count, taker_side, is_block_trade)
select $1, $2::timestamptz + number * interval '1 second', gen_random_uuid(), 0.5, 1, 'yes', false
from generate_series(1, $3::integer) as number
"""
_READ = """
select sum(pg_stat_get_xact_blocks_fetched(oid)) from pg_class
where oid in ('trades'::regclass, 'trades_pkey'::regclass)
"""


@pytest.mark.parametrize("analyzed", [True, False], ids=["statistics", "none"])
async def test_five_trades_of_a_large_market(database_url: str, analyzed: bool) -> None:
    await fetch(database_url, _FILL, TICKER, BEGAN, HELD)
    connection = await asyncpg.connect(database_url)
    try:
        if analyzed:
            await connection.execute("analyze trades")
        newest = to_microseconds(BEGAN + timedelta(seconds=HELD))
        page = [Trade(newest + number, UUID(int=number).bytes, 500_000, 100, 1, False) for number in range(1, 6)]
        async with connection.transaction():
            before = await connection.fetchval(_READ)
            assert len(await _add(connection, Encoder(), TICKER, page)) == 5
            read = await connection.fetchval(_READ) - before
        # Of the market 20 minutes at most are looked through, 600 trades that lie before the page among them.
        assert read < 200
    finally:
        await connection.close()
