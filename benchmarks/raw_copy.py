"""The floor: rows that are in the table already, copied once more into a table of the same definition."""

import asyncio
from io import BytesIO

import asyncpg

from benchmarks.children import given, timed


async def main() -> None:
    """Take the rows out as a COPY stream, then time nothing but putting them in again."""
    connection = await asyncpg.connect(given()["database"])
    await connection.execute("create table copied (like trades including all)")
    stream = BytesIO()
    await connection.copy_from_table("trades", output=stream, format="binary")
    stream.seek(0)

    async def work() -> tuple[int, int]:
        done = await connection.copy_to_table("copied", source=stream, format="binary")
        return int(done.split()[-1]), 0

    await timed(work)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
