"""The schema's history: numbered SQL files, each applied once, in order, whole or not at all.

A file `NNNN_name.sql` runs in one transaction with its row in `schema_migrations`. An applied file never changes: its
SHA-256 is compared, since two databases "at version 3" must be equal. A mistake is corrected by the next file.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from kalshi_ingest.errors import DatabaseUnusable, Unusable
from kalshi_ingest.postgres import relations, rights
from kalshi_ingest.postgres.sqlstate import Kind, kind_of
from kalshi_ingest.settings import PUBLIC

LOCK_KEY = 7737584877727997804
"""Key of the session advisory lock that lets one process migrate at a time (`kalshi_l` as eight bytes)."""

OLDEST_SERVER = 15


LONGEST = 7 * 86400.0
"""Seconds that waiting for another program's migration, and a migration itself, may take."""

_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
"""Server-side limits, often set for a role, that would end a migration or the wait for another one."""

_DENIED_SCHEMA = re.compile(r"for schema (\S+)")
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
_TRANSACTION_WORD = re.compile(
    r"^\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK)(?:\s+(?:WORK|TRANSACTION))?\s*;", re.I | re.M
)

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer CONSTRAINT schema_migrations_pkey PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

# Another program may keep a table of that name too: it is this one's where the weather's schema is there as well.
_ELSEWHERE = """
SELECT nspname FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace
WHERE relname = 'ingestion_log' AND nspname <> $1
  AND EXISTS (SELECT FROM pg_namespace WHERE nspname = any($2::text[]))
"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str
    checksum: str


def migrations_dir() -> Path:
    """The folder with the schema: inside an installed package, at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


async def migrate(connection: asyncpg.Connection, directory: Path, schema: str = PUBLIC) -> list[str]:
    """Apply what the database lacks and return the names of the files applied now.

    Names in the files belong to `schema`, which is created where it is missing and has to be first in the search path.
    A second migration at the same time waits and then finds nothing to do. The connection must be a direct one:
    session locks do not survive a pooler in transaction mode.
    """
    migrations = await asyncio.to_thread(read, directory)
    async with _explained(connection), _only_one(connection):
        if not await _has_table(connection, schema):
            await _begin(connection, schema, migrations)
        applied = await _applied(connection, schema)
        pending = _pending(migrations, applied)
        if pending:
            held = relations.made_by((each.sql for each in migrations[: len(applied)]), schema)
            made = relations.schemas_made_by(each.sql for each in pending)
            await rights.require_to_migrate(connection, schema, made, held)
        for migration in pending:
            await _apply(connection, migration, schema)
    return [migration.name for migration in pending]


async def require_current(connection: asyncpg.Connection, directory: Path, schema: str = PUBLIC) -> None:
    """Raise `Unusable` unless the database's schema is exactly the one this program was written for."""
    await require(connection, await asyncio.to_thread(read, directory), schema)


async def require(connection: asyncpg.Connection, migrations: Sequence[Migration], schema: str = PUBLIC) -> None:
    """The same for migrations that were read before; outside a transaction."""
    async with _explained(connection):
        try:
            applied = await _applied(connection, schema)
        except asyncpg.UndefinedTableError:
            applied = []
        pending = _pending(migrations, applied)
        if pending:
            names = ", ".join(migration.name for migration in pending)
            raise DatabaseUnusable(
                f"the schema of {await _database(connection)} lacks {names}: run `kalshi-ingest migrate`"
            )


def read(directory: Path) -> list[Migration]:
    """All migrations in `directory`, in order; refuses gaps, duplicates and names that say no number."""
    if not directory.is_dir():
        raise Unusable(f"no migrations found: {directory} is not a directory; reinstall kalshi-ingest")
    found: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise Unusable(f"{path}: a migration is called NNNN_name.sql, for example 0001_markets.sql")
        data = path.read_bytes()
        found.append(Migration(int(match[1]), path.name, data.decode(), hashlib.sha256(data).hexdigest()))
    for position, migration in enumerate(found):
        if position and migration.version == found[position - 1].version:
            raise Unusable(
                f"{directory}: {found[position - 1].name} and {migration.name} have the same number: renumber one"
            )
        if migration.version != position + 1:
            raise Unusable(
                f"{directory}: number {position + 1:04} is missing before {migration.name}: "
                "reinstall kalshi-ingest, or number the files without a gap"
            )
        if _TRANSACTION_WORD.search(migration.sql):
            raise Unusable(f"{directory / migration.name}: a migration must not begin or end a transaction itself")
    return found


def _pending(migrations: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    """The migrations still to do, once what was done is known to be what the files say."""
    for expected, row in enumerate(applied, start=1):
        if row["version"] > len(migrations):
            raise DatabaseUnusable(
                f"schema is newer than this program: upgrade kalshi-ingest (the database has {row['name']}, "
                f"this program knows {len(migrations)} migrations)"
            )
        if row["version"] != expected:
            raise DatabaseUnusable(
                f"schema_migrations has {row['name']} but no number {expected:04}: its rows were changed by "
                "hand; put the missing row back"
            )
        migration = migrations[expected - 1]
        if row["checksum"] != migration.checksum:
            raise DatabaseUnusable(
                f"{migration.name} was changed after it had been applied: restore the file and put the change "
                "into a new migration"
            )
    return list(migrations[len(applied) :])


async def _apply(connection: asyncpg.Connection, migration: Migration, schema: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql, timeout=LONGEST)
            await connection.execute(
                f'INSERT INTO "{schema}".schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',  # noqa: S608
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnusable(f"{migration.name}: {await _missing_right(connection, error)}") from error
    except asyncpg.PostgresError as error:
        if kind_of(error) not in (Kind.FAULT, Kind.REFUSED):
            raise
        position = str(getattr(error, "position", None) or "")
        line = migration.sql.count("\n", 0, int(position) - 1) + 1 if position.isdigit() else None
        place = f", line {line}" if line else ""
        raise DatabaseUnusable(
            f"migration {migration.name}{place} failed, and nothing of it was applied: {error}"
        ) from error


async def _has_table(connection: asyncpg.Connection, schema: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{schema}".schema_migrations'))


async def _begin(connection: asyncpg.Connection, schema: str, migrations: Sequence[Migration]) -> None:
    """Make the schema, where it is missing, and the list of what was applied to it.

    There is one schema for the weather, so a database holds the tables once.
    """
    made = relations.schemas_made_by(each.sql for each in migrations)
    for other in await connection.fetch(_ELSEWHERE, schema, made):
        raise DatabaseUnusable(
            f"{await _database(connection)} holds kalshi-ingest's tables in the schema {other[0]} already: set "
            f"KALSHI_INGEST_DATABASE_SCHEMA={other[0]}, or use another database"
        )
    exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema)
    await rights.require_to_migrate(connection, schema, made if exists else [schema, *made], [])
    async with connection.transaction():
        if not exists:
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(_CREATE_TABLE)


async def _applied(connection: asyncpg.Connection, schema: str) -> list[asyncpg.Record]:
    query = f'SELECT version, name, checksum FROM "{schema}".schema_migrations ORDER BY version'  # noqa: S608
    return await connection.fetch(query)


async def _database(connection: asyncpg.Connection) -> str:
    return f"the database {await connection.fetchval('SELECT current_database()')}"


async def _missing_right(connection: asyncpg.Connection, error: asyncpg.PostgresError) -> str:
    """What PostgreSQL denied, and the statement with which the database's owner can allow it."""
    row = await connection.fetchrow("SELECT quote_ident(current_user) AS me, current_database() AS database")
    me, database = (row["me"], row["database"]) if row else ("?", "?")
    said = str(error)
    if found := _DENIED_SCHEMA.search(said):
        advice = f"let its owner run GRANT USAGE, CREATE ON SCHEMA {found[1]} TO {me}"
    elif "for database" in said:
        advice = f'let its owner run GRANT CREATE ON DATABASE "{database}" TO {me}'
    else:
        advice = "connect as the owner of these tables, or let that owner grant the right"
    return f"the database user {me} lacks a right in the database {database}: {said}; {advice}"


@asynccontextmanager
async def _explained(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Refuse a server that is too old, and say which right is missing; other errors come as asyncpg raises them."""
    try:
        version = connection.get_server_version().major
        if version < OLDEST_SERVER:
            raise DatabaseUnusable(
                f"the server is PostgreSQL {version}: kalshi-ingest needs version {OLDEST_SERVER} or newer"
            )
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnusable(await _missing_right(connection, error)) from error


@asynccontextmanager
async def _only_one(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Hold the migration lock, with the session's time limits off; both end with the block."""
    limits = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _LIMITS}
    for name in limits:
        await connection.execute("SELECT set_config($1, '0', false)", name)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY, timeout=LONGEST)
        try:
            yield
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
    finally:
        if not connection.is_closed():
            for name, value in limits.items():
                await connection.execute("SELECT set_config($1, $2, false)", name, value)
