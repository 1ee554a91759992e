"""What the page's queries answer where it is not plain: which events, and which trade is the last."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from kalshi_ingest.coverage.job import examine
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.findings import DayState
from kalshi_ingest.web import queries
from kalshi_ingest.web.db_connection import Link
from kalshi_ingest.web.view import Choice, held
from tests.support.postgres import execute
from tests.web.support import FIRST, NOW, TODAY, TOMORROW, fill, following


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The page's own session on a filled database."""
    await fill(database_url)
    opened = await queries.connect(database_url, "page", 3)
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
    held = await queries.market(connection, ticker)
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
        found = await queries.bins(connection, ["KXHIGHCHI"], FIRST, TOMORROW)
        return sorted({each.event_date for each in found}, reverse=True)

    assert await dates() == [TOMORROW, TODAY, TODAY - timedelta(days=1)]
    await execute(database_url, f"update markets set status = 'closed' where event_date = '{FIRST}'")
    assert await dates() == [TOMORROW, TODAY, FIRST]


async def test_the_session_can_only_read(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("delete from trades")
    assert await connection.fetchval("select current_setting('application_name')") == "kalshi_ingest page"


DAMAGE = (
    "delete from markets where event_ticker = 'KXHIGHMIA-25JUL18' and ticker like '%T%'",
    f"update listings set events = 0, markets = 0 where series_ticker = 'KXHIGHMIA' and event_date = '{TOMORROW}'",
    "delete from listings where series_ticker = 'KXHIGHCHI' and event_date = '2025-07-18'",
    "update checkpoints set verdict = 'short', exchange_volume = contracts_stored + 1 where ticker = "
    "(select min(ticker) from checkpoints where verdict = 'exact')",
    "update checkpoints set state = 'failed', verdict = null, error = 'why' where ticker = "
    f"(select max(ticker) from checkpoints where event_date = '{FIRST}')",
    "delete from markets where ticker = (select ticker from checkpoints where state = 'failed')",
    "delete from events where event_ticker = 'KXHIGHCHI-25JUL19'",
    "update markets set result = 'no' where event_ticker = 'KXHIGHMIA-25JUL19'",
    "insert into listings values ('KXHIGHCHI', '2025-07-15', 0, 0, gen_random_uuid(), now())",
    "insert into ingestion_log (run_id, command, series_ticker, status, started_at, min_event_date, max_event_date) "
    "values (gen_random_uuid(), 'backfill', 'KXHIGHMIA', 'failed', now(), '2025-07-14', '2025-07-14')",
)


async def test_each_date_is_what_coverage_says_it_is(database_url: str, connection: asyncpg.Connection) -> None:
    link = Link(database_url, "page", 30)
    told: set[DayState] = set()
    for damage in ("select 1", *DAMAGE):
        await execute(database_url, damage)
        shown = await held(link, following(), NOW, Choice(None, 5))
        report = await examine(database_url, Scope(NOW, series=("KXHIGHCHI", "KXHIGHMIA")))
        assert {at: each.state for at, each in shown.days.items()} == {
            (each.subject.series_ticker, day): state for each in report.series for day, state in each.days.items()
        }, damage
        told.update(each.state for each in shown.days.values())
    link.close()
    assert told == set(DayState)


async def test_a_series_with_too_many_markets_for_a_page_is_not_judged(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_MOST_JUDGED", 29)
    await execute(database_url, "delete from markets where ticker = (select min(ticker) from markets)")
    judged, evidence = await queries.evidence(connection, ["KXHIGHCHI", "KXHIGHMIA"], FIRST, TOMORROW)
    assert judged == ["KXHIGHCHI"], "29 of its markets are left, and 30 of the other"
    assert {market.series_ticker for market in evidence.markets} == {"KXHIGHCHI"}
    link = Link(database_url, "page", 30)
    shown = await held(link, following(), NOW, Choice(None, 5))
    link.close()
    assert shown.crowded == {"KXHIGHMIA"}
