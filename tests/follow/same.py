"""Whether two databases hold the same, table by table, and where they do not."""

import hashlib
from datetime import date

import asyncpg

from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_simulator import Simulator, SyntheticWorld
from tests.follow.living import Course
from tests.support.backfills import Run
from tests.support.dumps import PROOF, TABLES

_MARKETS = TABLES["markets"][0].removesuffix(", raw") + ", raw - '{volume_24h_fp,open_interest_fp}'::text[] as raw"
"""What moves from day to day even after a market settled, and reads 0 in the historical tier, is left out."""


def queries(last: date) -> dict[str, str]:
    """Per table the rows that have to agree, in a total order; `last` is the last event date that counts."""
    chosen = {table: columns for table, (columns, _) in TABLES.items()} | {"checkpoints": PROOF, "markets": _MARKETS}
    where = {"listings": f"where event_date <= '{last}'"}  # a service looks ahead
    return {
        table: f"select {chosen[table]} from {table} {where.get(table, '')} order by {order}"
        for table, (_, order) in TABLES.items()
    }


async def backfill(course: Course, world: SyntheticWorld, url: str) -> None:
    """A backfill of the whole course into an empty database, from an exchange without limits."""
    connection = await asyncpg.connect(url)
    await migrate(connection, migrations_dir())
    await connection.close()
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, url, course.wanted, dates=course.dates)()
    assert all(not each.failed and not each.open for each in job.progress.values())


async def same(one_url: str, other_url: str, last: date) -> dict[str, bool]:
    """Per table: whether both hold the same, byte for byte."""
    one, other = await _digests(one_url, last), await _digests(other_url, last)
    return {table: one[table] == other[table] for table in one}


async def rows_held(url: str) -> dict[str, int]:
    """Rows by table."""
    connection = await asyncpg.connect(url)
    try:
        return {table: await connection.fetchval(f"select count(*) from {table}") for table in TABLES}
    finally:
        await connection.close()


async def difference(one_url: str, other_url: str, table: str, last: date) -> str:
    """The first rows that only one of two holds."""
    one, other = await _rows(one_url, table, last), await _rows(other_url, table, last)
    lines = [f"- {row}" for row in one if row not in other][:5] + [f"+ {row}" for row in other if row not in one][:5]
    return "\n".join([f"{table}: {len(one)} rows against {len(other)}", *lines])


async def _rows(url: str, table: str, last: date) -> dict[str, None]:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        query = queries(last)[table]
        return dict.fromkeys(row[0] for row in await connection.fetch(f"select row(each.*)::text from ({query}) each"))
    finally:
        await connection.close()


async def _digests(url: str, last: date) -> dict[str, str]:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        return {table: await _digest(connection, query) for table, query in queries(last).items()}
    finally:
        await connection.close()


async def _digest(connection: asyncpg.Connection, query: str) -> str:
    summed = hashlib.sha256()

    async def take(chunk: bytes) -> None:
        summed.update(chunk)

    return f"{await connection.copy_from_query(query, output=take)} {summed.hexdigest()}"
