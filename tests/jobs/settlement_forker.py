"""Forks runs of `weather settlement`, to be killed."""

import asyncio
from datetime import date, datetime

from kalshi_ingest.domain.cities import find_city
from kalshi_simulator.weather.server import WeatherUrls
from tests.jobs.forking import Order, serve
from tests.jobs.settlement_runs import SIX, Settle


def _settle(order: Order) -> int:
    run = Settle(
        WeatherUrls(order["iem"], order["ncei"], ""),
        order["database_url"],
        date.fromisoformat(order["start"]),
        date.fromisoformat(order["end"]),
        datetime.fromisoformat(order["now"]),
        cities=[find_city(order["city"])] if order.get("city") else SIX,
    )
    return 0 if asyncio.run(run()).complete else 1


if __name__ == "__main__":
    serve(_settle)
