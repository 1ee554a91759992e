"""Weeks of the exchange's life within minutes, and everything that can happen to a service meanwhile."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import asyncpg

from kalshi_ingest.clocks import steady
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_simulator import Limits, Maintenance, Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.faults import Faults
from tests.support.backfills import fetch
from tests.support.mortals import DatabaseServer, Service
from tests.support.patience import COMES

_HEAD_START = timedelta(days=2, hours=6)
"""The service is started late, so that it begins with a gap to close."""
_SETTLED = timedelta(days=1, hours=20)
"""After midnight of the last event date: by then every market of it has settled."""
_MAINTENANCE_SECONDS = 6.0
"""What a window of two hours takes at least, in real time: long enough to be noticed."""
_SLOW_SECONDS, _SLOW_SPEED = 3.0, 60.0
_WEEKLY = Maintenance(weekly=True)
_STEP = timedelta(minutes=30)
_STEP_SECONDS = 0.01


_OPEN_PERIODS = """
select count(distinct ticker) from trades where created_time >= date_bin('5 minutes', $1, '2000-01-01 00:00Z')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happens. The same seed gives the same plan of simulated time; what it hits is up to the machine."""

    series: Sequence[str]
    start: date
    days: int
    """Event dates."""
    speed: float
    """Simulated seconds per second."""
    kills: int = 0
    """Of the process. After a third of them it stays away, for minutes to days."""
    database_kills: int = 0
    exchange_outages: int = 0
    archive_age: timedelta = timedelta(days=10)
    trades_per_market: float = 150.0
    requests_per_second: float = 80.0
    seed: int = 1

    @property
    def last(self) -> date:
        """The last event date."""
        return self.start + timedelta(days=self.days - 1)

    @property
    def begins(self) -> datetime:
        """When the service is started first."""
        return datetime.combine(self.start, time(), UTC) + _HEAD_START

    @property
    def ends(self) -> datetime:
        """When time stands still."""
        return datetime.combine(self.last, time(), UTC) + _SETTLED

    @property
    def wanted(self) -> list[Wanted]:
        """The series as a job takes them."""
        cities = [city_of_series(series) for series in self.series]
        return [Wanted(city.series_ticker, city.key) for city in cities if city is not None]

    @property
    def dates(self) -> Dates:
        """The event dates as a job takes them."""
        return Dates(self.start, self.last)

    def words(self) -> list[str]:
        """The command line of the service."""
        words = ["follow", "--start", str(self.start), "--weather", "none"]
        return words + [word for each in self.wanted for word in ("--city", str(each.city))]

    def environment(self, api_url: str, database_url: str) -> dict[str, str]:
        """Its settings."""
        settings = {"API_URL": api_url, "DATABASE_URL": database_url, "HTTP_PORT": "0", "LOG_FORMAT": "json"}
        settings["REQUESTS_PER_SECOND"] = f"{self.requests_per_second:g}"
        return {f"KALSHI_INGEST_{name}": value for name, value in settings.items()}


@contextlib.asynccontextmanager
async def exchange_of(course: Course) -> AsyncIterator[Simulator]:
    """The exchange of a course for a `with` block; its time stands still until somebody lets it run."""
    config = WorldConfig(
        start=course.start,
        end=course.last,
        now=course.begins,
        seed=course.seed,
        cities=tuple(course.series),
        archive_age=course.archive_age,
        trades_per_market=course.trades_per_market,
    )
    limits = Limits(requests_per_second=course.requests_per_second)
    async with Simulator(SyntheticWorld(config), limits, Faults(maintenance=_WEEKLY)) as simulator:
        yield simulator


class ExchangeTime:
    """The pace of the simulated time: what runs it, slows it down for maintenance, and stops it.

    It goes in steps of this test's event loop, as many a second as the machine can do: where everything is slow, so is
    the time, and a week stays a week.
    """

    def __init__(self, simulator: Simulator, speed: float) -> None:
        self._clock = simulator.world.clock
        self._speed = speed
        self._held = 0
        self._most = speed
        self.windows = 0
        """Maintenance windows that were met."""

    @property
    def now(self) -> datetime:
        """The exchange's time."""
        return self._clock.now

    async def run(self) -> None:
        """Let it run, until cancelled; then it stands still."""
        closed = False
        while True:
            self.windows += self.closed and not closed
            closed = self.closed
            pace = min(self._speed, 7200 / _MAINTENANCE_SECONDS) if closed else self._speed
            if not self._held:
                self._clock.now += timedelta(seconds=min(pace, self._most) * _STEP_SECONDS)
            await asyncio.sleep(_STEP_SECONDS)

    async def slowly(self) -> None:
        """Go on for some real seconds, to the end of a five-minute period, as a service at ordinary times sees it."""
        self._most = _SLOW_SPEED
        await asyncio.sleep(_SLOW_SECONDS)
        passed = self.now.timestamp() % 300
        await self.until(self.now + timedelta(seconds=(285 - passed) % 300))
        self._most = self._speed

    @property
    def closed(self) -> bool:
        """Whether the exchange is in maintenance."""
        return _WEEKLY.resumes(self.now) is not None

    @contextlib.contextmanager
    def held(self) -> Iterator[datetime]:
        """Stop it for a `with` block."""
        self._held += 1
        try:
            yield self.now
        finally:
            self._held -= 1

    async def until(self, moment: datetime) -> None:
        """Wait for a moment."""
        while self.now < moment:
            await asyncio.sleep(min(0.2, max(0.002, (moment - self.now).total_seconds() / self._speed)))

    async def pass_by(self, length: timedelta, at_least: float) -> None:
        """Wait some real seconds; what is left of `length` then is gone at once, but for a maintenance window."""
        end = self.now + length
        await asyncio.sleep(at_least)
        moment = self.now
        while moment < end and _WEEKLY.resumes(moment + _STEP) is None:
            moment += _STEP
        if self.now < min(moment, end):
            self._clock.now = min(moment, end)


@dataclass
class Life:
    """Lives through a course: kills, outages, and the end."""

    course: Course
    simulator: Simulator
    server: DatabaseServer
    database_url: str
    service: Service
    told: Counter[str] = field(default_factory=Counter)
    """What happened, by kind."""
    away: timedelta = timedelta()
    """How long the process stayed away in all, in the exchange's time."""

    def __post_init__(self) -> None:
        self.time = ExchangeTime(self.simulator, self.course.speed)
        self._away: set[str] = set()
        self._calm = asyncio.Event()
        self._calm.set()

    async def run(self) -> None:
        """From the first start to the moment at which everything is settled and proved; the service still runs."""
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.time.run())
            troubles = [group.create_task(self._database_dies()), group.create_task(self._exchange_goes())]
            try:
                await self._die_often()
                await self._live_until(self.course.ends)
                await asyncio.gather(*troubles)
                if self.service.has_ended:
                    await self._start_again()
            finally:
                running.cancel()
        await self._settle()

    async def stop(self) -> int:
        """Stop the service in order: its exit code."""
        await self.service.is_up()
        self.service.send(signal.SIGTERM)
        return await self.service.ended()

    # The process.

    async def _die_often(self) -> None:
        random = Random(f"{self.course.seed} kills")
        lives, outages = self._fates(random)
        for life, outage in zip(lives, outages, strict=True):
            if not life:
                self._calm.clear()
                while self._away or self.time.closed:
                    await asyncio.sleep(0.02)
            await self.service.start()
            await (self._live_until(self.time.now + life) if life else self.time.slowly())
            with self.time.held() as now:
                self.service.send(signal.SIGKILL)
                await self.service.ended()
                self.told["kills"] += 1
                await self._assert_no_open_candle(now)
            self._calm.set()
            if outage:
                self.told["outages of the process"] += 1
                await self.time.pass_by(outage, 0)
                self.away += self.time.now - now
        await self.service.start()

    def _fates(self, random: Random) -> tuple[list[timedelta], list[timedelta]]:
        """How long each life lasts and what follows it; together they fill nine tenths of the course.

        Every fourth life is short, slow and undisturbed: only then a period that goes on holds trades that are stored.
        """
        kills = self.course.kills
        whole = (self.course.ends - self.course.begins) * 0.9
        kinds = [(3, 60), (60, 720), (720, 1440 * 2.5)]
        outages = [timedelta()] * kills
        for number, place in enumerate(random.sample(range(kills), kills // 3)):
            low, high = kinds[(0, 0, 1, 0, 1, 0, 2, 0)[number % 8]]
            outages[place] = timedelta(minutes=random.uniform(low, high))
        weights = [random.expovariate(1) if number % 4 != 2 else 0.0 for number in range(kills)]
        left = whole - sum(outages, timedelta())
        assert left > whole / 3
        return [left * (weight / sum(weights)) for weight in weights], outages

    async def _live_until(self, moment: datetime) -> None:
        """Wait. A service that ends because the database is away at its start is started again, as by a supervisor."""
        waiting = asyncio.create_task(self.time.until(moment))
        try:
            while not waiting.done():
                if self.service.has_ended:
                    await self._start_again()
                await asyncio.wait([waiting], timeout=0.05)
        finally:
            waiting.cancel()

    async def _start_again(self) -> None:
        code = await self.service.ended()
        assert code == 3, f"the service ended with {code}:\n{self.service.said()}"
        self.told["ends for want of a database"] += 1
        while "database" in self._away:
            await asyncio.sleep(0.05)
        await self.service.start()

    async def _assert_no_open_candle(self, now: datetime) -> None:
        try:
            rows = await fetch(self.database_url, "select * from candles where period_end > $1 limit 3", now)
            traded = await fetch(self.database_url, _OPEN_PERIODS, now)
        except (OSError, asyncpg.PostgresError):
            return  # the database is away as well
        self.told["looks for open candles"] += 1
        self.told["open periods with trades at these looks"] += traded[0][0]
        assert not rows, f"candles of a period that goes on at {now}: {rows}"

    # What it depends on.

    async def _database_dies(self) -> None:
        random = Random(f"{self.course.seed} database")
        for number, moment in enumerate(self._moments(random, self.course.database_kills)):
            await self._trouble("database", moment)
            (self.server.kill if number % 2 else self.server.stop_immediately)()
            self.told["kills of the database"] += 1
            if number % 4 == 1:
                await self.time.pass_by(timedelta(hours=random.uniform(0.1, 12)), random.uniform(1, 5))
            elif number % 4 == 2:
                await asyncio.sleep(random.uniform(0, 1))
            await self.server.start_again()
            self._away.discard("database")

    async def _exchange_goes(self) -> None:
        random = Random(f"{self.course.seed} exchange")
        port = int(self.simulator.url.rpartition(":")[2].partition("/")[0])
        for moment in self._moments(random, self.course.exchange_outages):
            await self._trouble("exchange", moment)
            await self.simulator.stop()
            self.told["outages of the exchange"] += 1
            await self.time.pass_by(timedelta(hours=random.uniform(0.1, 12)), random.uniform(0.5, 4))
            await self.simulator.start(port=port)
            self._away.discard("exchange")

    async def _trouble(self, what: str, moment: datetime) -> None:
        await self.time.until(moment)
        await self._calm.wait()
        self._away.add(what)

    def _moments(self, random: Random, number: int) -> list[datetime]:
        whole = self.course.ends - self.course.begins
        return sorted(self.course.begins + whole * random.uniform(0.02, 0.95) for _ in range(number))

    # The end.

    async def _settle(self) -> None:
        """Time stands still: whatever is left is done, without another start."""
        expected = len(self.simulator.world.entries(None))
        query = "select count(*) filter (where state = 'complete') from checkpoints"
        before, since = -1, steady()
        while (complete := (await fetch(self.database_url, query))[0][0]) < expected:
            assert not self.service.has_ended, self.service.said()
            if complete != before:
                before, since = complete, steady()
            assert steady() < since + COMES, await self._left(expected - complete)
            await asyncio.sleep(0.2)

    async def _left(self, number: int) -> str:
        rows = await fetch(
            self.database_url,
            "select ticker, status, state, verdict, error from markets full join checkpoints using (ticker) "
            "where state is distinct from 'complete' order by ticker limit 10",
        )
        return f"{number} markets are left at {self.time.now}: {[tuple(row) for row in rows]}\n{self.service.said()}"
