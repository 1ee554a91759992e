"""Every statement is prepared on the migrated schema, on every PostgreSQL at hand: a misspelt column fails here."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import asyncpg

import kalshi_ingest
from kalshi_ingest.store.migrate import migrate, migrations_dir
from tests import postgres

_VERBS = ("select", "insert", "update", "delete", "with", "refresh")
_LOADED = ("series", "events", "markets", "listings", "checkpoints", "trades")
"""Tables of an archive that a load copies to temporary ones."""


def modules() -> Iterator[ModuleType]:
    """Every module of the package but the simulator, which knows no database, and the entry, which runs."""
    for found in pkgutil.walk_packages(kalshi_ingest.__path__, "kalshi_ingest."):
        if ".simulator" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def constants(*beginnings: str) -> dict[str, str]:
    """Strings at the top of a module that begin with one of these words, by name."""
    return {
        f"{module.__name__}.{name}": value
        for module in modules()
        for name, value in list(vars(module).items())
        if isinstance(value, str) and value.lower().split(maxsplit=1)[:1] and value.lower().split()[0] in beginnings
    }


async def test_every_statement_can_be_prepared(any_postgres: str) -> None:
    found = constants(*_VERBS)
    # What others are built from is prepared as a part of them.
    statements = {
        name: text for name, text in found.items() if not any(text in other != text for other in found.values())
    }
    assert len(statements) >= 70
    async with postgres.fresh_database(any_postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection, migrations_dir())
            for table in _LOADED:
                await connection.execute(f"create temporary table loaded_{table} (like public.{table})")
            for statement in constants("create").values():
                await connection.execute(statement)
            for name, statement in statements.items():
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
