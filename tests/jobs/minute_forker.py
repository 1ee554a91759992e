"""Forks runs of `weather minutes`, to be killed."""

import asyncio
from datetime import date

from kalshi_ingest.domain.cities import find_city
from kalshi_simulator.weather.server import WeatherUrls
from tests.jobs.forking import Order, serve
from tests.jobs.minute_runs import fetched


def _fetch(order: Order) -> int:
    work = fetched(
        WeatherUrls.below(order["root"]),
        order["database_url"],
        [find_city(name) for name in order["cities"]],
        kind=order["kind"],
        first=date.fromisoformat(order["first"]),
    )
    return asyncio.run(work).exit_code


if __name__ == "__main__":
    serve(_fetch)
