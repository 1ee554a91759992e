"""Every statement is prepared on the migrated schema, on every PostgreSQL at hand: a misspelt column fails here."""

import asyncpg

from kalshi_ingest.store import (
    audit,
    catalog,
    checkpoints,
    evidence,
    forgetting,
    grid,
    history,
    listings,
    minutes,
    queries,
    runs,
    settlements,
    staging,
)
from kalshi_ingest.store.migrate import migrate, migrations_dir
from tests import postgres

_VERBS = ("select", "insert", "update", "delete")


def statements() -> dict[str, str]:
    found = {
        f"{module.__name__}.{name}": value
        for module in (
            audit,
            catalog,
            checkpoints,
            evidence,
            forgetting,
            grid,
            history,
            listings,
            minutes,
            queries,
            runs,
            settlements,
            staging,
        )
        for name, value in vars(module).items()
        if isinstance(value, str) and value.strip().startswith(_VERBS)
    }
    assert len(found) >= 14
    return found


async def test_every_statement_can_be_prepared(any_postgres: str) -> None:
    async with postgres.fresh_database(any_postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection, migrations_dir())
            await connection.execute("create temporary table staged_trades (like trades)")
            for name, statement in statements().items():
                try:
                    await connection.prepare(statement)
                except asyncpg.PostgresError as error:
                    raise AssertionError(f"{name}: {error}") from error
        finally:
            await connection.close()


async def test_every_column_says_what_it_is(database_url: str) -> None:
    """Units and sources are told by the schema itself."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            """
            select n.nspname || '.' || c.relname as table_name, a.attname as column_name
            from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'wx')
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where c.relkind in ('r', 'm', 'v') and c.relname <> 'schema_migrations'
                and col_description(c.oid, a.attnum) is null
            """
        )
    finally:
        await connection.close()
    assert [f"{row['table_name']}.{row['column_name']}" for row in rows] == []
