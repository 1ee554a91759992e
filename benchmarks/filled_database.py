"""One filled database for all benchmarks of a run that only read: filling it takes minutes."""

from urllib.parse import urlsplit

import asyncpg

from benchmarks.bench_server import Server, fetch_rows
from benchmarks.filled import fill
from benchmarks.report import tell
from kalshi_ingest.postgres.migrate import migrate, migrations_dir

_NAME = "bench_filled"
_EXISTS = "select from pg_database where datname = 'bench_filled'"

_FULL = (18_500, 5_000_000)
_QUICK = (1_850, 200_000)
"""Markets and trades."""


async def filled_database(of: Server, *, quick: bool) -> str:
    """The URL of the filled database, which is made when it is first asked for and goes with the server."""
    parts = urlsplit(of.url)
    url = f"{parts.scheme}://{parts.netloc}/{_NAME}?{parts.query}"
    if not await fetch_rows(of.url, _EXISTS):
        markets, trades = _QUICK if quick else _FULL
        tell(f"filling a database with {markets:,} markets and {trades:,} trades")
        await fetch_rows(of.url, f"create database {_NAME}")
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection, migrations_dir())
            await fill(connection, markets, trades)
        finally:
            await connection.close()
    return url
