"""The tables in a schema of their own: every command finds them there, and nothing is in `public`."""

from pathlib import Path

import pytest

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.postgres.address import split_schema, with_schema, with_search_path
from kalshi_simulator import SyntheticWorld
from tests.cli.test_cli import one_line, run
from tests.support import postgres, tour
from tests.support.backfills import assert_holds_all, fetch

SCHEMA = "kalshi_data"
_IN_PUBLIC = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"


async def test_every_command_works_in_it(empty_database_url: str, tmp_path: Path) -> None:
    async with tour.exchange() as (simulator, settings):
        settings |= {"DATABASE_URL": empty_database_url, "DATABASE_SCHEMA": SCHEMA}
        await tour.everything(settings, tmp_path / "archive")
        asked = await tour.succeeds("database", "psql", "-Atc", "select count(*) from trades", settings=settings)
        address = (await tour.succeeds("database", "url", settings=settings)).out.strip()
        assert isinstance(simulator.world, SyntheticWorld)
        await assert_holds_all(address, simulator.world)
        assert (await fetch(address, "select count(*) from trades"))[0][0] == int(asked.out)
    assert (await fetch(empty_database_url, _IN_PUBLIC))[0][0] == 0


async def test_a_database_holds_the_tables_once(database_url: str) -> None:
    """There is one schema for the weather."""
    result = await run("migrate", DATABASE_URL=database_url, DATABASE_SCHEMA=SCHEMA)
    one_line(result, code=2, saying="in the schema public already: set KALSHI_INGEST_DATABASE_SCHEMA=public")
    exists = "select count(*) from pg_namespace where nspname = $1"
    assert (await fetch(database_url, exists, SCHEMA))[0][0] == 0


async def test_tables_that_are_moved(database_url: str) -> None:
    moved = "".join(
        f"alter table public.{row[0]} set schema {SCHEMA};"
        for row in await fetch(database_url, "select tablename from pg_tables where schemaname = 'public'")
    )
    await postgres.execute(database_url, f"create schema {SCHEMA}; {moved}")
    settings = {"DATABASE_URL": database_url, "DATABASE_SCHEMA": SCHEMA}
    assert "up to date" in (await tour.succeeds("migrate", settings=settings)).out
    await tour.succeeds("status", settings=settings)


async def test_a_command_before_the_first_migration(empty_database_url: str) -> None:
    result = await run("status", DATABASE_URL=empty_database_url, DATABASE_SCHEMA=SCHEMA)
    one_line(result, code=2, saying="run `kalshi-ingest migrate`")


@pytest.mark.parametrize("name", ["Kalshi", "wx", "pg_temp", "a;b", "information_schema", "a-b", "1a"])
async def test_names_that_need_quotes_or_are_taken(name: str) -> None:
    one_line(await run("status", DATABASE_SCHEMA=name), code=2, saying="KALSHI_INGEST_DATABASE_SCHEMA: must be")


def test_the_schema_travels_with_the_address() -> None:
    plain = "postgresql://me@there/base"
    assert with_schema(plain, "public") == plain
    assert split_schema(with_schema(plain, SCHEMA)) == (plain, SCHEMA)
    more = f"{plain}?sslmode=require&options=-cjit%3Doff"
    assert split_schema(with_schema(more, SCHEMA)) == (more, SCHEMA)
    assert with_search_path(with_schema(plain, SCHEMA)) == f"{plain}?options=-csearch_path%3D{SCHEMA}"
    assert with_search_path(with_schema(more, SCHEMA)).endswith(f"options=-cjit%3Doff%20-csearch_path%3D{SCHEMA}")
    assert with_search_path(plain) == plain
    with pytest.raises(DatabaseUnusable, match="names a schema"):
        split_schema(f"{plain}?schema=x%22y")
