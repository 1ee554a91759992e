"""All that the program does with a database, as its users run it: the same for every form of database and of role."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from kalshi_simulator import Limits, Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from tests.cli.test_cli import Ended, ended, run, started
from tests.cli.test_follow import asked, port_of, until_caught_up

FIRST, LAST = date(2025, 7, 1), date(2025, 7, 2)
DATES = ("--start", str(FIRST), "--end", str(LAST))
CHICAGO = ("--city", "chicago")
BACKFILL = ("backfill", *CHICAGO, *DATES)
COVERAGE = ("coverage", *CHICAGO, *DATES)
FOLLOW = ("follow", *CHICAGO, "--start", str(FIRST), "--weather", "none")


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[Simulator, dict[str, str]]]:
    """Two settled days of Chicago and the settings with which they are found."""
    config = WorldConfig(
        start=FIRST,
        end=LAST,
        now=datetime(2025, 7, 20, tzinfo=UTC),
        cities=("KXHIGHCHI",),
        trades_per_market=60.0,
        oddities=False,
    )
    weather = WeatherConfig(plain=True, throttle_seconds=None, seeded_outage=False)
    async with Simulator(SyntheticWorld(config), Limits(requests_per_second=500), weather=weather) as simulator:
        urls = simulator.weather_urls
        yield (
            simulator,
            {
                "API_URL": simulator.url,
                "REQUESTS_PER_SECOND": "400",
                "IEM_URL": urls.iem,
                "NCEI_URL": urls.ncei,
                "VISUAL_CROSSING_URL": urls.visual_crossing,
            },
        )


async def succeeds(*words: str, settings: Mapping[str, str]) -> Ended:
    """The outcome of a command that ends with 0."""
    result = await run(*words, **settings)
    assert result.code == 0, f"{' '.join(words)}: {result.out}{result.err}"
    return result


async def everything(settings: Mapping[str, str], archive: Path) -> None:
    """Every command, and the service."""
    await every_command(settings, archive)
    await follows(settings)


async def every_command(settings: Mapping[str, str], archive: Path) -> None:
    """What ends by itself, on a database that may be empty; `archive` is written and loaded."""
    for words in (
        ("migrate",),
        BACKFILL,
        ("weather", "settlement", *CHICAGO, *DATES),
        ("weather", "grid"),
        ("status", "--runs"),
        COVERAGE,
        ("export", "--output", str(archive)),
        ("load", "--input", str(archive)),
    ):
        await succeeds(*words, settings=settings)


async def follows(settings: Mapping[str, str]) -> None:
    """The service until it has caught up, with its page; then it is stopped."""
    known = {**settings, "HTTP_PORT": "0"}
    process = await started(*FOLLOW, settings=known)
    try:
        known["HTTP_PORT"] = await port_of(process)
        await until_caught_up(known)
        status, page = await asked(known, "/")
        assert status == 200
        assert "Chicago" in page
        assert "KXHIGHCHI-25JUL02" in page, "the page reads its own tables"
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).code == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
