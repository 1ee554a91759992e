"""What the page's queries answer where it is not plain: which events, and which trade is the last."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from kalshi_ingest.store import page
from tests.postgres import execute
from tests.service.support import FIRST, NOW, TODAY, TOMORROW, fill


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The page's own session on a filled database."""
    await fill(database_url)
    opened = await page.connect(database_url, "page", 3)
    yield opened
    await opened.close()


async def _last_price(url: str, connection: asyncpg.Connection, *sweep: tuple[str, str, datetime]) -> Decimal | None:
    """The last price once only these trades, (side, price, time), are held of a market."""
    ticker = await connection.fetchval("select min(ticker) from markets")
    await execute(url, "delete from trades")
    for side, price, when in sweep:
        writing = await asyncpg.connect(url)
        await writing.execute(
            "insert into trades values ($1, $2, gen_random_uuid(), $3, 1, $4, false)",
            ticker,
            when,
            Decimal(price),
            side,
        )
        await writing.close()
    held = await page.market(connection, ticker)
    assert held is not None
    return held.last_price


async def test_the_last_trade_of_a_sweep_is_where_it_ended(database_url: str, connection: asyncpg.Connection) -> None:
    later = NOW + timedelta(microseconds=1)
    upwards = [("yes", "0.41", NOW), ("yes", "0.45", NOW), ("yes", "0.43", NOW)]
    assert await _last_price(database_url, connection, *upwards) == Decimal("0.45")
    downwards = [("no", "0.41", NOW), ("no", "0.38", NOW), ("no", "0.43", NOW)]
    assert await _last_price(database_url, connection, *downwards) == Decimal("0.38")
    assert await _last_price(database_url, connection, ("yes", "0.2", later), *upwards) == Decimal("0.2")
    assert await _last_price(database_url, connection) is None


async def test_events_that_have_not_settled_come_before_newer_ones(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async def dates() -> list[date]:
        found = await page.bins(connection, ["KXHIGHCHI"], FIRST, TOMORROW)
        return sorted({each.event_date for each in found}, reverse=True)

    assert await dates() == [TOMORROW, TODAY, TODAY - timedelta(days=1)]
    await execute(database_url, f"update markets set status = 'closed' where event_date = '{FIRST}'")
    assert await dates() == [TOMORROW, TODAY, FIRST]


async def test_the_session_can_only_read(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("delete from trades")
    assert await connection.fetchval("select current_setting('application_name')") == "kalshi_ingest page"


async def test_a_market_known_by_its_failure_only_is_counted(database_url: str, connection: asyncpg.Connection) -> None:
    ticker = await connection.fetchval("select min(ticker) from markets where event_date = $1", FIRST)
    await execute(database_url, f"delete from markets where ticker = '{ticker}'")
    await execute(
        database_url,
        f"update checkpoints set state = 'failed', verdict = null, error = 'why' where ticker = '{ticker}'",
    )
    days = await page.days(connection, ["KXHIGHCHI", "KXHIGHMIA"], FIRST, FIRST)
    chicago = days["KXHIGHCHI", FIRST]
    assert (chicago.listed, chicago.held, chicago.exact, chicago.failed) == (6, 5, 5, 1)
    assert days["KXHIGHMIA", FIRST].held == 6
