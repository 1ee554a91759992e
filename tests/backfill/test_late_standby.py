"""A standby takes over that lacks the last commits: every job ends with what the exchange has, or says that it did not.

Real servers, one streaming from the other. The stream is cut, the job commits some more, the primary dies, and the
standby is promoted behind the address that the job uses.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from kalshi_ingest.backfill.summary import is_complete
from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.follow.state import Phase
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.web.db_health import watch
from kalshi_ingest.web.pace import RecentPace
from kalshi_simulator import Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from tests.follow.following import TICKERS, Following, LivingWorld, after, following, serving
from tests.support import minute_runs, postgres, standby
from tests.support.archives import exported
from tests.support.backfills import Run, assert_holds_all, fetch, trade_row, varied_world
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests
from tests.support.loads import held, loaded
from tests.support.patience import COMES
from tests.support.settlement_runs import Settle

LONG = range(2, 22)
Job = Callable[[str], Coroutine[Any, Any, object]]


@pytest.fixture(scope="module")
def stopped() -> Iterator[Path]:
    """A server's data directory to copy."""
    with standby.template() as path:
        yield path


async def _lose_some(pair: standby.Pair, job: "asyncio.Future[Any]", random: Random, first: int, lag: int) -> None:
    """Fail over under a job: to what it had stored after up to `first` commits, after up to `lag` more."""
    await pair.commits(random.randint(1, first), job)
    await pair.caught_up()
    pair.cut_stream()
    await pair.commits(random.randint(1, lag), job)
    await pair.fail_over(early=random.random() < 0.5)


# Backfill.


async def _backfill_ends_with_the_truth(stopped: Path, clean: Clean, seeds: Sequence[int]) -> None:
    world, lost = varied_world(), 0
    expected = await clean(world)
    async with Simulator(world) as simulator:
        for seed in seeds:
            async with standby.pair(stopped) as pair:
                running = asyncio.create_task(Run(simulator.url, pair.url)())
                await _lose_some(pair, running, Random(seed), first=35, lag=12)
                ended_before = running.done()  # then only the next run can notice
                with contextlib.suppress(OutOfReach):
                    job = await running
                    assert is_complete(list(job.progress.values())), seed
                    assert ended_before or await digests(pair.url, checkpoints=PROOF) == expected, seed
                    lost += any("earlier state" in warning for warning in job.progress["KXHIGHCHI"].warnings)
                await Run(simulator.url, pair.url)()
                assert await digests(pair.url, checkpoints=PROOF) == expected, seed
    assert lost >= 0.5 * len(seeds)


async def test_a_backfill(stopped: Path, clean: Clean) -> None:
    await _backfill_ends_with_the_truth(stopped, clean, [1])


@pytest.mark.long
async def test_many_backfills(stopped: Path, clean: Clean) -> None:
    await _backfill_ends_with_the_truth(stopped, clean, LONG)


# Follow.


class _Trading:
    """A day of Chicago in which trades are made whenever a test wants some."""

    def __init__(self, random: Random) -> None:
        self.world = LivingWorld(after())
        self.made = 0
        self._random = random

    def trade(self) -> None:
        """A few markets get one each."""
        self.world.clock.now += timedelta(seconds=1)
        for ticker in self._random.sample(TICKERS, self._random.randint(1, 4)):
            self.made += 1
            self.world.add(trade_row(ticker, self.world.clock.now, self.made))


async def _rows(url: str) -> int:
    return int((await fetch(url, "select count(*) from trades"))[0][0])


async def _stored(url: str, made: int) -> None:
    while await _rows(url) < made:
        await asyncio.sleep(0.01)


async def _never_ready_without(service: Following, url: str, made: int) -> None:
    """Until it is ready and all trades are there; never the one without the other."""
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            ready = not service.state.not_ready()
            rows = await _rows(url)
            assert not ready or rows == made, f"ready with {rows} of {made} trades"
            if ready:
                return
        await asyncio.sleep(0.01)


async def _follow_is_ready_only_when_all_is_there(stopped: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        random = Random(seed)
        trading = _Trading(random)
        async with (
            standby.pair(stopped) as pair,
            serving(trading.world) as simulator,
            following(simulator.url, pair.url) as service,
        ):
            watching = asyncio.create_task(watch(service.state, pair.url, RecentPace()))
            try:
                trading.trade()
                await service.up_to_date()
                for _ in range(random.randint(0, 3)):
                    trading.trade()
                    await _stored(pair.url, trading.made)
                await pair.caught_up()
                pair.cut_stream()
                for _ in range(random.randint(1, 4)):
                    trading.trade()
                    await _stored(pair.url, trading.made)
                await service.until(lambda: not service.state.not_ready())
                await pair.fail_over(early=random.random() < 0.5)
                assert await _rows(pair.standby_url) < trading.made
                await asyncio.wait_for(_never_ready_without(service, pair.standby_url, trading.made), COMES)
                trading.world.settle()
                complete = "select state, verdict, count(*) from checkpoints group by 1, 2"
                await service.until_rows(pair.url, complete, [("complete", "exact", len(TICKERS))])
                await assert_holds_all(pair.url, trading.world.rows)
            finally:
                watching.cancel()
                await asyncio.wait([watching])


async def test_follow(stopped: Path) -> None:
    await _follow_is_ready_only_when_all_is_there(stopped, [1])


@pytest.mark.long
async def test_follow_many_times(stopped: Path) -> None:
    await _follow_is_ready_only_when_all_is_there(stopped, LONG)


async def test_what_one_session_confirmed_the_next_does_not_vouch_for(database_url: str) -> None:
    """The exchange is away, and an earlier state of the database is restored meanwhile."""
    trading = _Trading(Random(1))
    simulator = serving(trading.world)
    url = await simulator.start()
    async with following(url, database_url) as service:
        watching = asyncio.create_task(watch(service.state, database_url, RecentPace()))
        try:
            trading.trade()
            await service.until(lambda: not service.state.not_ready())
            await simulator.stop()
            await service.until(lambda: service.state.phase is Phase.EXCHANGE_AWAY)
            await _restore_an_earlier_state(service, database_url)
            await simulator.start(port=urlsplit(url).port or 0)
            await asyncio.wait_for(_never_ready_without(service, database_url, trading.made), COMES)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await simulator.stop()


async def _restore_an_earlier_state(service: Following, url: str) -> None:
    """As a restore does it: sessions end, and when the next ones are served, the rows are those of before."""
    restoring = await asyncpg.connect(url)
    try:
        async with restoring.transaction():
            await restoring.execute("truncate trades, candles, checkpoints, commit_fences")
            assert await restoring.fetch(postgres.END_SESSIONS)
            await service.until(lambda: bool(service.state.not_ready()))
    finally:
        await restoring.close()


# Load, settlements and minutes, all at once.


_DAYS = (date(2025, 7, 1), date(2025, 7, 3))
_CITIES = (minute_runs.CHICAGO, minute_runs.LA)
_NOW = datetime(2025, 7, 20, 12, tzinfo=UTC)
_WEATHER = {
    "wx.settlement_obs": "loc_id, date_local, source, product_id, payload_sha256",
    "wx.settlement": "loc_id, date_local",
    "wx.settlement_poll": "loc_id, date_local, source",
    "wx.minute_obs": "loc_id, ts_utc",
    "wx.minute_day": "loc_id, date_local",
}


async def _weather(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    found: dict[str, str] = {}
    try:
        for table, order in _WEATHER.items():
            rows = await connection.fetch(f"select * from {table} order by {order}")
            found[table] = f"{len(rows)} {hashlib.sha256(repr(rows).encode()).hexdigest()}"
    finally:
        await connection.close()
    return found


@contextlib.asynccontextmanager
async def _jobs(source: str, folder: Path) -> AsyncIterator[dict[str, Job]]:
    """Load, settlements and minutes, each as a function of the database's address. `source`: an empty database."""
    world = SyntheticWorld(
        WorldConfig(start=date(2025, 7, 1), end=date(2025, 7, 1), now=_NOW, trades_per_market=20.0, seed=3)
    )
    weather = WeatherConfig(plain=True, throttle_seconds=None, seeded_outage=False)
    async with Simulator(world, weather=weather) as simulator:
        wanted = [Wanted(city.series_ticker, city.key) for city in _CITIES]
        await Run(simulator.url, source, wanted)()
        await exported(source, folder)
        urls = simulator.weather_urls
        yield {
            "load": lambda url: loaded(url, folder),
            "settlement": lambda url: Settle(urls, url, *_DAYS, _NOW, cities=_CITIES)(),
            "minutes": lambda url: minute_runs.fetched(
                urls, url, _CITIES, kind="visualcrossing", first=_DAYS[0], last=_DAYS[1]
            ),
        }


async def _state(url: str) -> dict[str, dict[str, str]]:
    """What each of the jobs left behind."""
    weather = await _weather(url)
    return {
        "load": await held(url),
        "settlement": {name: text for name, text in weather.items() if "settlement" in name},
        "minutes": {name: text for name, text in weather.items() if "minute" in name},
    }


async def _what_is_loaded_and_weather_end_with_the_truth(
    stopped: Path, database_url: str, source: str, folder: Path, seeds: Sequence[int]
) -> None:
    async with _jobs(source, folder) as jobs:
        for job in jobs.values():
            await job(database_url)
        expected = await _state(database_url)
        for seed in seeds:
            async with standby.pair(stopped) as pair:
                running = {name: asyncio.create_task(job(pair.url)) for name, job in jobs.items()}
                together = asyncio.gather(*running.values(), return_exceptions=True)
                await _lose_some(pair, together, Random(seed), first=14, lag=8)
                under_way = [name for name, job in running.items() if not job.done()]
                for error in await together:
                    assert not isinstance(error, BaseException) or isinstance(error, OutOfReach), error
                found = await _state(pair.url)
                for name in under_way:
                    assert found[name] == expected[name] or running[name].exception() is not None, (seed, name)
                for job in jobs.values():
                    await job(pair.url)
                assert await _state(pair.url) == expected, seed


@pytest.fixture
async def source(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    async with postgres.fresh_database(postgres_url, template_database) as url:
        yield url


async def test_load_settlements_and_minutes(stopped: Path, database_url: str, source: str, tmp_path: Path) -> None:
    await _what_is_loaded_and_weather_end_with_the_truth(stopped, database_url, source, tmp_path, [5])


@pytest.mark.long
async def test_loads_and_weather_many_times(stopped: Path, database_url: str, source: str, tmp_path: Path) -> None:
    await _what_is_loaded_and_weather_end_with_the_truth(stopped, database_url, source, tmp_path, LONG)
