"""A run of `weather settlement` in a few lines."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime

from kalshi_ingest.domain.cities import CITIES, City, find_city
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.weather.settlement.fetch import services
from kalshi_ingest.weather.settlement.job import SettlementJob, SettlementRequest
from kalshi_ingest.weather.settlement.report import SettlementReport
from kalshi_simulator.weather.server import WeatherUrls
from tests.support.killable import Order

QUICK = RetryPolicy(attempts=4, first_delay=0.001, longest_delay=0.01, read_timeout=10, total_timeout=20)
SIX = tuple(city for city in CITIES if not city.retired)


class Settle:
    """One run with its own connections, as a process would have them; `now` is what its clock shows."""

    def __init__(
        self,
        urls: WeatherUrls,
        database_url: str,
        start: date,
        end: date,
        now: datetime | Callable[[], datetime],
        *,
        cities: Sequence[City] = SIX,
        retry: RetryPolicy = QUICK,
        again: bool = False,
    ) -> None:
        self.stop = asyncio.Event()
        self.job: SettlementJob | None = None
        self._urls = urls
        self._database_url = database_url
        self._asked = SettlementRequest(cities, start, end, f"weather settlement --start {start} --end {end}", again)
        self._clock = now if callable(now) else lambda: now
        self._retry = retry

    async def __call__(self) -> SettlementReport:
        """Run to the end, or until `stop`."""
        database = Database(self._database_url)
        await database.open()
        try:
            asking = services(self._urls.iem, self._urls.ncei, requests_per_second=10_000, retry=self._retry)
            async with asking as ask:
                self.job = SettlementJob(self._asked, ask, database, self._clock)
                return await self.job.run(self.stop)
        finally:
            await database.close()


def settle(order: Order) -> int:
    """A run as a killable one."""
    run = Settle(
        WeatherUrls(order["iem"], order["ncei"], ""),
        order["database_url"],
        date.fromisoformat(order["start"]),
        date.fromisoformat(order["end"]),
        datetime.fromisoformat(order["now"]),
        cities=[find_city(order["city"])] if order.get("city") else SIX,
    )
    return 0 if asyncio.run(run()).complete else 1
