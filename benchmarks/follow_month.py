"""A month of `follow` within minutes: killed and cut off all the time, then the same month in one process."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from statistics import mean

import psutil

from benchmarks.bench_server import Server
from benchmarks.report import Row, tell
from kalshi_simulator import Simulator, SyntheticWorld
from kalshi_simulator.config import CITIES_OF_THE_PRODUCT
from tests.follow.living import Course, ExchangeTime, Life, exchange_of
from tests.follow.same import backfill, difference, rows_held, same
from tests.support.backfills import assert_holds_all
from tests.support.mortals import database_server, service

_MEGABYTES = 150
_GROWTH = 1.05

# A month with the end of summer time in it, and with the first of a month.
_MONTH = Course(
    series=CITIES_OF_THE_PRODUCT,
    start=date(2025, 10, 15),
    days=31,
    speed=5_000,
    kills=100,
    database_kills=20,
    exchange_outages=6,
)
_QUICK = replace(_MONTH, start=date(2025, 10, 14), days=6, speed=15_000, kills=10, database_kills=3, exchange_outages=1)


async def run(_: Server, *, quick: bool) -> Sequence[Row]:
    """Both months, on a PostgreSQL server of their own that can be killed."""
    course = _QUICK if quick else _MONTH
    return [*await _killed(course), *await _steady(replace(course, kills=0, database_kills=0, exchange_outages=0))]


async def _killed(course: Course) -> list[Row]:
    tell(f"follow: {course.days} days, {course.kills} kills of the process, {course.database_kills} of the database")
    with database_server() as server, tempfile.TemporaryDirectory() as place:
        followed, fresh = await server.database("followed"), await server.database("fresh")
        async with (
            exchange_of(course) as simulator,
            service(course.words(), course.environment(simulator.url, followed), Path(place) / "follow.log") as forked,
        ):
            life = Life(course, simulator, server, followed, forked)
            began = time.monotonic()
            await life.run()
            code = await life.stop()
            seconds = time.monotonic() - began
            tell(f"  {seconds:.0f} s; now a fresh backfill of the same dates")
            await backfill(course, _world(simulator), fresh)
            rows = [*_what_happened(life, code, seconds), *_requests(simulator)]
            return rows + await _compared(course, _world(simulator), followed, fresh)


def _what_happened(life: Life, code: int, seconds: float) -> list[Row]:
    course = life.course
    span = (course.ends - course.begins).total_seconds() / 86_400
    wanted = {"kills": course.kills, "kills of the database": course.database_kills}
    enough = all(life.told[what] == number for what, number in wanted.items())
    told = ", ".join(f"{number} {what}" for what, number in sorted(life.told.items()))
    away = life.away.total_seconds() / 86_400
    return [
        Row(f"follow, {span:.1f} days in {seconds:.0f} s", told, "all of them", enough),
        Row("follow: the process was away", f"{away:.1f} days in all"),
        Row("follow: maintenance windows met", str(life.time.windows)),
        Row("follow: SIGTERM at the end", f"exit {code}", "exit 0", code == 0),
    ]


def _requests(simulator: Simulator) -> list[Row]:
    stats = simulator.stats
    statuses = ", ".join(f"{count:,} of {status}" for status, count in sorted(stats.by_status.items()))
    return [
        Row("follow: requests", f"{stats.total:,} ({statuses})"),
        Row("follow: answers with status 429", str(stats.throttled), "0", stats.throttled == 0),
    ]


async def _compared(course: Course, world: SyntheticWorld, followed: str, fresh: str) -> list[Row]:
    held = await rows_held(followed)
    found = await same(followed, fresh, course.last)
    for table in [table for table, agrees in found.items() if not agrees]:
        tell(await difference(followed, fresh, table, course.last))
    await assert_holds_all(followed, world)
    return [
        Row(f"follow: {table}, {held[table]:,} rows", _identical(agrees), "identical to a backfill", agrees)
        for table, agrees in found.items()
    ]


async def _steady(course: Course) -> list[Row]:
    tell(f"follow: {course.days} days in one process")
    with database_server() as server, tempfile.TemporaryFile() as said:
        followed = await server.database("followed")
        async with exchange_of(course) as simulator:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kalshi_ingest", *course.words()),
                env=_environment(course.environment(simulator.url, followed)),
                stdout=said,
                stderr=said,
            )
            samples = await _sampled(course, simulator, process)
            process.send_signal(signal.SIGTERM)
            if await process.wait() != 0:
                said.seek(0)
                raise RuntimeError(said.read().decode()[-2000:])
    return _memory(course, samples)


async def _sampled(
    course: Course, simulator: Simulator, process: asyncio.subprocess.Process
) -> list[tuple[datetime, float]]:
    """(the exchange's time, megabytes of resident memory), four times a second."""
    clock = ExchangeTime(simulator, course.speed)
    running = asyncio.create_task(clock.run())
    watched = psutil.Process(process.pid)
    samples: list[tuple[datetime, float]] = []
    while clock.now < course.ends:
        samples.append((clock.now, watched.memory_info().rss / 1e6))
        await asyncio.sleep(0.25)
    running.cancel()
    return samples


def _memory(course: Course, samples: Sequence[tuple[datetime, float]]) -> list[Row]:
    quarter = (course.ends - course.begins) / 4
    parts = [
        [size for moment, size in samples if quarter * part <= moment - course.begins < quarter * (part + 1)]
        for part in range(4)
    ]
    means = [mean(part) for part in parts]
    peak, growth = max(size for _, size in samples), means[3] / means[1]
    shown = ", ".join(f"{each:.1f}" for each in means)
    return [
        Row(
            "follow: memory, last quarter / second",
            f"{growth:.3f} (MB by quarter: {shown})",
            f"<= {_GROWTH}",
            growth <= _GROWTH,
        ),
        Row("follow: peak memory", f"{peak:.0f} MB", f"<= {_MEGABYTES} MB", peak <= _MEGABYTES),
    ]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_INGEST_")} | dict(settings)


def _world(simulator: Simulator) -> SyntheticWorld:
    world = simulator.world
    if not isinstance(world, SyntheticWorld):
        raise TypeError("a course has a synthetic world")
    return world


def _identical(agrees: bool) -> str:
    return "yes" if agrees else "NO"
