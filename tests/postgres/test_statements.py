"""Every statement is prepared on the migrated schema, on every PostgreSQL at hand: a misspelt column fails here."""

import asyncpg

from kalshi_ingest.archive.queries import merge_catalog, reading
from kalshi_ingest.parquet.schema import EVENTS, MARKETS, TABLES
from kalshi_ingest.postgres import catalog, pgcopy_rows
from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from tests.support import postgres, statements

_LOADED = {
    "series": ("series_ticker", "city", "title", "fetched_at"),
    "events": ("event_ticker", "series_ticker", "event_date", "fetched_at"),
    "markets": ("ticker", "event_ticker", "series_ticker", "event_date", "floor_strike", "fetched_at"),
    "listings": ("series_ticker", "event_date", "events", "markets", "run_id", "listed_at"),
}
"""Tables of an archive that a load merges, and some of their columns."""

_READ = [
    reading.Rows(table.source, ["ticker"], table.key, by_date, table.period_minutes)
    for table in TABLES
    for by_date in (False, True)
    if table.source in ("trades", "candles")
]

MADE: dict[str, list[object]] = {
    "postgres.catalog.merging": [
        catalog.merging("events", EVENTS.names, "staged_events"),
        catalog.merging("markets", MARKETS.names, "staged_markets"),
    ],
    "archive.queries.merge_catalog.merging": [
        merge_catalog.merging(table, columns) for table, columns in _LOADED.items()
    ],
    "postgres.upsert.upsert": [],  # what is made of it is here, or a constant of a module
    "postgres.pgcopy_rows.staging": [pgcopy_rows.staging("markets", ["ticker", "series_ticker"], "staged_here")],
    "postgres.pgcopy_rows.emptying": [pgcopy_rows.emptying("staged_events"), pgcopy_rows.emptying("loaded_series")],
    "archive.queries.reading.of_series": [
        reading.of_series(reading.Rows("markets", ["ticker", "title"], ["ticker"], by_date=True))
    ],
    "archive.queries.reading.of_tickers": [reading.of_tickers(rows) for rows in _READ],
    "postgres.candle_sql.counted": [],  # the constant coverage.queries.rows._ROWS is made of it
    "postgres.grants.grants": [],  # a script: test_grants.py runs it
    # With the name of a schema in them: every migration of every test runs them, and test_own_schema.py with another.
    "postgres.migrate._applied": [],
    "postgres.migrate._apply": [],
    "postgres.migrate._begin": [],
}
"""What functions make of their arguments: every function that the source shows to make a statement has to be here."""

_UTILITY = ("set", "create", "drop", "analyze", "refresh")
"""The server checks these when they run, so they run, and are undone."""

_NOT_HERE = ("create database",)
"""What no transaction can undo; each test with a cluster of its own runs it."""

_STAND_INS = f"""
create temporary table pg_dist_partition (logicalrelid regclass);
{pgcopy_rows.staging("events", EVENTS.names, "staged_events")};
{pgcopy_rows.staging("markets", MARKETS.names, "staged_markets")};
"""


def every_statement() -> dict[str, str]:
    """Every statement of the package by module and name."""
    every: dict[str, str] = {}
    for number, one in enumerate(statements.found()):
        short = one.name.removeprefix("kalshi_ingest.")
        if one.text is not None:
            every[f"{number} {short}"] = one.text
        else:
            every |= {f"{number} {short}{place}": text for place, text in statements.named_texts(MADE[short])}
    return every


async def test_every_statement_can_be_prepared(any_postgres: str) -> None:
    every = every_statement()
    assert len(every) >= 140
    async with postgres.fresh_database(any_postgres) as url:
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection, migrations_dir())
            await connection.execute("refresh materialized view wx.minute_obs_1m")
            for table in (*_LOADED, "checkpoints", "trades"):
                await connection.execute(f"create temporary table loaded_{table} (like public.{table})")
            await connection.execute(_STAND_INS)
            for text in every.values():
                if text.strip().lower().startswith("create temporary"):
                    await connection.execute(text)
            refused = {name: await _refusal(connection, text) for name, text in every.items()}
        finally:
            await connection.close()
    prepared = [every[name] for name, error in refused.items() if not error]
    faults = {
        name: error
        for name, error in refused.items()
        if error and not any(every[name].strip() in text for text in prepared)  # a part of what was prepared whole
    }
    assert faults == {}


async def _refusal(connection: asyncpg.Connection, text: str) -> str:
    if text.lower().startswith(_NOT_HERE):
        return ""
    try:
        if text.split(maxsplit=1)[0].lower() in _UTILITY:
            undone = connection.transaction()
            await undone.start()
            try:
                await connection.execute(text)
            finally:
                await undone.rollback()
        else:
            await connection.prepare(text)
    except asyncpg.PostgresError as error:
        return str(error)
    return ""


def test_a_statement_is_found_wherever_it_stands() -> None:
    """In constants, tuples, tables, objects, and inside functions, also when it is put together there."""
    found = {one.name.removeprefix("kalshi_ingest."): one.text for one in statements.found()}
    for name in (
        "postgres.staging._CLEAR[1]",
        "postgres.citus._IS_SPREAD",
        "archive.queries.load._HIGHEST[trades]",
        "coverage.queries.rows._ROWS.spread",
    ):
        assert name in found
    assert (found["postgres.checkpoints.of_tickers"] or "").endswith("where ticker = any($1::text[])")
    assert "analyze checkpoints" in {one.text for one in statements.found()}
    assert {name for name, text in found.items() if text is None} == set(MADE)
    for sentence in (
        "with --fix: do not ask first",
        "Fetch markets, trades and candles",
        "UPDATE 1",
        "set X to a place",
    ):
        assert not statements.is_sql(sentence)


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
