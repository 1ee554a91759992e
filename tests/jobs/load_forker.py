"""Forks loads, to be killed."""

import asyncio
from pathlib import Path

from tests.jobs.forking import Order, serve
from tests.jobs.loads import loaded


def _load(order: Order) -> int:
    return 1 if asyncio.run(loaded(order["database_url"], Path(order["folder"]))).failed else 0


if __name__ == "__main__":
    serve(_load)
