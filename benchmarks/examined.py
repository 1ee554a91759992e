"""`coverage` over a filled database in a process of its own, and beside it one query that reads every trade once."""

import asyncio
import json
import resource
import time
from datetime import UTC, datetime

import asyncpg

from benchmarks.children import given, megabytes
from kalshi_ingest.coverage.job import examine
from kalshi_ingest.coverage.report_text import as_text
from kalshi_ingest.coverage.rules.cases import Scope

_ROUNDS = 3
_YARDSTICK = "select ticker, count(*), sum(count) from trades group by ticker"


async def main() -> None:
    """Judge everything that is held, three times, each time followed by the query."""
    url = given()["database"]
    scope = Scope(datetime.now(UTC))
    examined: list[float] = []
    queried: list[float] = []
    holes = 0
    connection = await asyncpg.connect(url)
    try:
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            report = await examine(url, scope)
            as_text(report)
            examined.append(time.perf_counter() - started)
            holes = report.total.holes
            started = time.perf_counter()
            await connection.fetch(_YARDSTICK)
            queried.append(time.perf_counter() - started)
    finally:
        await connection.close()
    peak = megabytes(resource.getrusage(resource.RUSAGE_SELF))
    print(json.dumps({"examined": examined, "queried": queried, "holes": holes, "peak_megabytes": peak}))


if __name__ == "__main__":
    asyncio.run(main())
