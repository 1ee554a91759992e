"""A database that answers and cannot be used: everything says database, and the service comes back by itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.follow.state import Phase
from tests.follow.following import QUICK, TICKER, LivingWorld, after, following, serving
from tests.support import postgres
from tests.support.backfills import trade_row

Ill = Callable[[str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _read_only(url: str) -> AsyncIterator[None]:
    """As after a failover to a standby that is not promoted."""
    name = urlsplit(url).path[1:]
    setting = f"alter database {name} set default_transaction_read_only ="
    admin = postgres.with_database(url, "postgres", "postgres")
    await postgres.execute(admin, f"{setting} on")
    try:
        await postgres.end_sessions(url)
        yield
    finally:
        await postgres.execute(admin, f"{setting} off")


@asynccontextmanager
async def _without_a_right(url: str) -> AsyncIterator[None]:
    owner = postgres.with_database(url, urlsplit(url).path[1:], "postgres")
    await postgres.execute(owner, "revoke insert, update on checkpoints from limited_follower")
    try:
        yield
    finally:
        await postgres.execute(owner, "grant insert, update on checkpoints to limited_follower")


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(postgres.with_database(url, urlsplit(url).path[1:], "postgres"))
    try:
        async with connection.transaction():
            await connection.execute("lock table checkpoints in exclusive mode")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def _newer(url: str) -> AsyncIterator[None]:
    """Another program has migrated it."""
    owner = postgres.with_database(url, urlsplit(url).path[1:], "postgres")
    newer = "insert into schema_migrations select max(version) + 1, '9999_newer.sql', 'x' from schema_migrations"
    await postgres.execute(owner, newer)
    try:
        await postgres.end_sessions(owner)
        yield
    finally:
        await postgres.execute(owner, "delete from schema_migrations where name = '9999_newer.sql'")


@pytest.fixture
async def limited_url(database_url: str) -> AsyncIterator[str]:
    """The database as somebody uses it who may not do everything."""
    everything = "all privileges on all {} in schema public, wx to limited_follower"
    for statement in (
        "drop role if exists limited_follower",
        "create role limited_follower login",
        "grant usage on schema public, wx to limited_follower",
        f"grant {everything.format('tables')}",
        f"grant {everything.format('sequences')}",
        f"grant temporary on database {urlsplit(database_url).path[1:]} to limited_follower",
    ):
        await postgres.execute(database_url, statement)
    yield postgres.with_database(database_url, urlsplit(database_url).path[1:], "limited_follower")
    await postgres.end_sessions(database_url)
    await postgres.execute(database_url, "drop owned by limited_follower; drop role limited_follower")


@pytest.mark.parametrize(
    ("ill", "reason"),
    [
        (_read_only, "the database is read-only"),
        (_without_a_right, "the database user lacks a right"),
        (_locked, "the table checkpoints is locked by process"),
        (_newer, "schema is newer than this program"),
    ],
    ids=["read-only", "a right", "locked", "newer schema"],
)
async def test_it_says_database_and_recovers(ill: Ill, reason: str, limited_url: str) -> None:
    world = LivingWorld(after())
    world.add(trade_row(TICKER, after(-5), 1))
    intervals = replace(QUICK, database_silence=0.5)
    async with serving(world) as simulator, following(simulator.url, limited_url, intervals=intervals) as service:
        await service.up_to_date()
        async with ill(limited_url):
            world.add(trade_row(TICKER, after(-4), 2))
            await service.until(lambda: service.state.phase is Phase.DATABASE_AWAY)
            assert reason in service.state.reason
            assert service.state.losses == {"database": 1}
            service.state.database_seen_at = service.state.clock()
            assert f"the database cannot be used: {service.state.reason}" in service.state.not_ready()
            service.state.database_seen_at = None
        await service.until_rows(limited_url, "select count(*)::int from trades", [(2,)])
        await service.up_to_date()
        assert service.state.losses["exchange"] == 0
