"""The floor of a load: rows that are binary COPY files already, put into the program's own, empty tables."""

import asyncio
import json
import time

import asyncpg

from benchmarks.children import given
from kalshi_ingest.postgres.migrate import migrate, migrations_dir


async def main() -> None:
    """Make the tables, then time one COPY for each of them, on one connection."""
    arguments = given()
    connection = await asyncpg.connect(arguments["database"])
    seconds: dict[str, float] = {}
    try:
        await migrate(connection, migrations_dir())
        for table, path in arguments["files"].items():
            started = time.perf_counter()
            await connection.copy_to_table(table, source=path, format="binary")
            seconds[table] = time.perf_counter() - started
    finally:
        await connection.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    asyncio.run(main())
