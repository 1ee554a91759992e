"""Rows of an archive's small tables into their tables: the newer of two rows wins, equal ones are left alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from kalshi_ingest.postgres.pgcopy_rows import emptying, staging
from kalshi_ingest.postgres.upsert import differs, upsert

_KEYS = {
    "series": ("series_ticker",),
    "events": ("event_ticker",),
    "markets": ("ticker",),
    "listings": ("series_ticker", "event_date"),
}
_STAMPS = {"series": "fetched_at", "events": "fetched_at", "markets": "fetched_at", "listings": "listed_at"}
"""Table → the column that tells which of two rows is newer."""
_WITHOUT_CONTENT = frozenset({"fetched_at", "listed_at", "run_id"})
_TRIMMED = frozenset({"floor_strike", "cap_strike"})


async def stage(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterator[Sequence[Sequence[Any]]]
) -> None:
    """COPY rows into `loaded_<table>`, an empty temporary table like `table`."""
    staged = f"loaded_{table}"
    await connection.execute(staging(table, columns, staged))
    await connection.execute(emptying(staged))
    for some in rows:
        await connection.copy_records_to_table(staged, records=some, columns=columns)


async def merge_rows(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterator[Sequence[Sequence[Any]]]
) -> int:
    """Insert rows, or refresh the held ones that are older and differ; how many were inserted or refreshed."""
    await stage(connection, table, columns, rows)
    done = await connection.execute(merging(table, columns))
    return int(done.split()[-1])


def merging(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts from `loaded_<table>`, or refreshes what is older and differs."""
    selected = [f"trim_scale({name})" if name in _TRIMMED else name for name in columns]
    source = f"select {', '.join(selected)} from loaded_{table}"  # noqa: S608
    content = [name for name in columns if name not in _WITHOUT_CONTENT]
    newer = f"held.{_STAMPS[table]} < excluded.{_STAMPS[table]}"
    return f"{upsert(table, columns, _KEYS[table], source)} where {newer} and {differs(content)}"
