"""Forks backfills, to be killed."""

import asyncio

from tests.jobs.forking import Order, serve
from tests.jobs.harness import Run


def _backfill(order: Order) -> int:
    asyncio.run(Run(order["api_url"], order["database_url"], workers=order["workers"])())
    return 0


if __name__ == "__main__":
    serve(_backfill)
