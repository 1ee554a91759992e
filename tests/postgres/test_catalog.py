"""Series, events and markets: unchanged content keeps its time, changed content gets a new one."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import orjson

from kalshi_ingest.domain.model import Tier
from kalshi_ingest.domain.strikes import Strike
from kalshi_ingest.exchange import parse_markets as parse
from kalshi_ingest.postgres import catalog
from tests.support.backfills import small_world

FIRST, LATER = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
WORLD = small_world()
SERIES = parse.series(WORLD.series_rows()[0], "KXHIGHCHI")
EVENTS = [parse.event(event.row(), "KXHIGHCHI") for event in WORLD.events(None)]
STRIKE = Strike("between", Decimal("55"), Decimal("56"), "wire")


async def _store(connection: asyncpg.Connection, now: datetime, tier: Tier = Tier.LIVE, **changes: Any) -> None:
    rows = [WORLD.market(ticker) for ticker in WORLD.market_tickers()]
    rows[0] |= changes
    markets = [(parse.market(row, tier), STRIKE) for row in rows]
    async with connection.transaction():
        await catalog.store_series(connection, SERIES, "chicago", now)
        await catalog.store_events(connection, EVENTS, "chicago", now)
        await catalog.store_markets(connection, "KXHIGHCHI", "chicago", markets, now)


async def _times(connection: asyncpg.Connection) -> list[tuple[datetime, int]]:
    query = (
        "select fetched_at, count(*) from (select fetched_at from series union all select fetched_at from events "
        "union all select fetched_at from markets) as rows group by 1 order by 1"
    )
    return [(row[0], row[1]) for row in await connection.fetch(query)]


async def test_only_what_changed_is_written_again(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await _store(connection, FIRST)
    await _store(connection, LATER)
    assert await _times(connection) == [(FIRST, 8)]
    written = "select sum(n_tup_upd) from pg_stat_user_tables where relname in ('series', 'events', 'markets')"
    await connection.execute("select pg_stat_force_next_flush()")
    assert await connection.fetchval(written) == 0

    await _store(connection, LATER, rules_primary="Settled by The Weather Company.")
    assert await _times(connection) == [(FIRST, 7), (LATER, 1)]
    changed = await connection.fetchrow("select * from markets where fetched_at = $1", LATER)
    assert changed is not None
    assert changed["settlement_authority"] == "The Weather Company"
    assert orjson.loads(changed["raw"])["rules_primary"] == "Settled by The Weather Company."
    await connection.close()


async def test_numbers_are_exact_and_unknown_is_null(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await _store(
        connection, FIRST, volume_fp="12345678901.23", last_price_dollars="0.290001", settlement_value_dollars=None
    )
    row = await connection.fetchrow(
        "select volume::text, last_price::text, settlement_value, floor_strike::text, city "
        "from markets where ticker = $1",
        WORLD.market_tickers()[0],
    )
    assert row is not None
    assert tuple(row) == ("12345678901.23", "0.290001", None, "55", "chicago")
    await connection.close()


async def test_open_interest_is_kept_when_a_market_moves_to_the_historical_tier(database_url: str) -> None:
    """That tier says 0.00 for every market, which is no statement."""
    connection = await asyncpg.connect(database_url)
    query = "select open_interest::text, fetched_at from markets where ticker = $1"
    ticker = WORLD.market_tickers()[0]
    await _store(connection, FIRST, open_interest_fp="2573.93")
    moved = {"open_interest_fp": "0.00", "volume_24h_fp": "0.00"}
    for now in (LATER, datetime(2026, 1, 4, tzinfo=UTC)):
        await _store(connection, now, Tier.HISTORICAL, **moved)
        row = await connection.fetchrow(query, ticker)
        assert row is not None
        assert tuple(row) == ("2573.93", LATER)
    await connection.close()
