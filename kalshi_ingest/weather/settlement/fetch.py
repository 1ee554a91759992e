"""Requests settlements with as few requests as each service allows."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.settlement import Source
from kalshi_ingest.errors import OutOfReach, Permanent, Unusable
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import new_session
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.weather.settlement.plan import CityYear, by_year, cheaper_by_day
from kalshi_ingest.weather.sources import iem, ncei
from kalshi_ingest.weather.sources.client import PATIENCE, Service
from kalshi_ingest.weather.sources.decoding import Answer

_TEXTS_WITHIN = {Source.CLI: timedelta(days=3), Source.CF6: timedelta(days=7)}
"""How long after a climate day its texts are looked for; later corrections show in IEM's rows."""
_ENOUGH = 2
"""After so many requests in a row without an answer a service is left alone for the rest of the run."""

Wanted = Mapping[City, Sequence[date]]
"""The climate days that each city has to be asked about, in order."""


@dataclass(frozen=True, slots=True)
class Services:
    iem: Service
    ncei: Service


@dataclass(frozen=True, slots=True)
class Batch:
    """The answers of one source for some days of one city, stored in one transaction."""

    city: City
    source: Source
    days: Sequence[date]
    answers: Sequence[Answer | str]
    """One per request; a string is the reason of a failure."""


Keep = Callable[[Batch], Awaitable[None]]


@asynccontextmanager
async def services(
    iem_url: str, ncei_url: str, *, requests_per_second: float | None = None, retry: RetryPolicy = PATIENCE
) -> AsyncIterator[Services]:
    """The services at these addresses, each at its own pace unless `requests_per_second` is given."""
    async with new_session() as http:
        at_iem, at_ncei = (requests_per_second or each.REQUESTS_PER_SECOND for each in (iem, ncei))
        yield Services(
            Service(http, address_of(iem.NAME, iem_url), requests_per_second=at_iem, retry=retry),
            Service(http, address_of(ncei.NAME, ncei_url), requests_per_second=at_ncei, retry=retry),
        )


class Fetching:
    """The requests of one run; each batch goes to `keep` as soon as it is whole."""

    def __init__(self, ask: Services, clock: Callable[[], datetime], keep: Keep) -> None:
        self.failed: dict[str, str] = {}
        """Failed request → why."""
        self.unusable: Unusable | None = None
        """The error of a service that needs a change by the user; the others are still asked."""
        self.requests: Counter[str] = Counter()
        """City key → requests sent; one that serves all cities counts for the first."""
        self.retries: Counter[str] = Counter()
        self._ask = ask
        self._clock = clock
        self._keep = keep
        self._unanswered: Counter[str] = Counter()

    async def reports(self, wanted: Wanted) -> None:
        """Daily climate reports: per city and year its texts, and IEM's rows of them, by day where that is cheaper."""
        for some in by_year(wanted):
            if cheaper_by_day(some):
                by_day = [await self._day(some, day) for day in sorted({day for each in some for day in each.days})]
                for each in some:
                    await self._report(each, [_of(answer, each.city) for answer in by_day])
            else:
                for each in some:
                    await self._report(each, [await self._year(Source.CLI, each)])

    async def forms(self, wanted: Wanted) -> None:
        """IEM's rows of the monthly form, per city and year."""
        for some in by_year(wanted):
            for each in some:
                answers = [await self._year(Source.IEM_CF6, each)]
                await self._keep(Batch(each.city, Source.IEM_CF6, each.days, answers))

    async def form_texts(self, wanted: Wanted) -> None:
        """The texts of the monthly form: one request per city and year brings every issuance."""
        for some in by_year(wanted):
            for each in some:
                await self._keep(Batch(each.city, Source.CF6, each.days, [await self._texts(Source.CF6, each)]))

    async def summaries(self, wanted: Wanted) -> None:
        """GHCN-Daily: one request for all cities and days."""
        cities = [city for city, days in wanted.items() if days]
        if not cities:
            return
        first, last = min(wanted[city][0] for city in cities), max(wanted[city][-1] for city in cities)
        ask = partial(ncei.daily_maxima, self._ask.ncei, cities, first, last, self._clock())
        answer = await self._fetch(self._ask.ncei, f"{ncei.NAME} GHCND {first} to {last}", cities[0], ask)
        for city in cities:
            await self._keep(Batch(city, Source.GHCND, wanted[city], [_of(answer, city)]))

    async def _report(self, each: CityYear, rows: Sequence[Answer | str]) -> None:
        texts = await self._texts(Source.CLI, each)
        await self._keep(Batch(each.city, Source.CLI, each.days, [texts, *rows]))

    async def _texts(self, source: Source, each: CityYear) -> Answer | str:
        """What was issued from the beginning of the first day, read by us."""
        now = self._clock()
        start = climate_day_utc(each.city, each.days[0])[0]
        end = min(now, climate_day_utc(each.city, each.days[-1])[1] + _TEXTS_WITHIN[source])
        station = each.city.station
        pil = station.cli_pil if source is Source.CLI else station.cf6_pil
        what = f"{iem.NAME} texts of {pil} {each.days[0]} to {each.days[-1]}"
        fetch = iem.cli_texts if source is Source.CLI else iem.cf6_texts
        ask = partial(fetch, self._ask.iem, each.city, start, end, now)
        return await self._fetch(self._ask.iem, what, each.city, ask)

    async def _year(self, source: Source, each: CityYear) -> Answer | str:
        what = f"{iem.NAME} {source} {each.city.station.loc_id} {each.year}"
        ask = partial(iem.year_rows, self._ask.iem, source, each.city, each.year, self._clock())
        return await self._fetch(self._ask.iem, what, each.city, ask)

    async def _day(self, some: Sequence[CityYear], day: date) -> Answer | str:
        cities = [each.city for each in some]
        ask = partial(iem.cli_day, self._ask.iem, cities, day, self._clock())
        return await self._fetch(self._ask.iem, f"{iem.NAME} CLI {day}", cities[0], ask)

    async def _fetch(
        self, service: Service, what: str, city: City, ask: Callable[[], Awaitable[Answer]]
    ) -> Answer | str:
        """The answer, or why there is none. One task uses each service, so its counters are those of this request."""
        if self._unanswered[service.name] >= _ENOUGH:
            return self._failure(what, f"not asked, because {service.name} is out of reach")
        sent, repeated = service.requests, service.retries
        try:
            answer = await ask()
        except OutOfReach as error:
            self._unanswered[service.name] += 1
            return self._failure(what, str(error))
        except Unusable as error:
            self._unanswered[service.name] = _ENOUGH
            self.unusable = self.unusable or error
            return self._failure(what, str(error))
        except Permanent as error:
            return self._failure(what, str(error))
        finally:
            self.requests[city.key] += service.requests - sent
            self.retries[city.key] += service.retries - repeated
        self._unanswered[service.name] = 0
        return answer

    def _failure(self, what: str, why: str) -> str:
        self.failed[what] = why
        return f"{what}: {why}"


def _of(answer: Answer | str, city: City) -> Answer | str:
    if isinstance(answer, str):
        return answer
    loc_id = city.station.loc_id
    return Answer(
        [each for each in answer.reports if each.observation.loc_id == loc_id],
        [each for each in answer.unreadable if each.loc_id in (loc_id, None)],
    )
