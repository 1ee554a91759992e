"""All that the program does with a database, as its users run it: the same for every form of database and of role."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from kalshi_ingest.simulator import Limits, Simulator, SyntheticWorld, WeatherConfig, WorldConfig
from tests.test_cli import Ended, ended, run, started
from tests.test_cli_follow import asked, port_of, until_caught_up

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


async def writes(settings: Mapping[str, str], archive: Path | None = None) -> None:
    """What fills the tables: both kinds of weather, the markets, the service, an archive."""
    await succeeds(*BACKFILL, settings=settings)
    await succeeds("weather", "settlement", *CHICAGO, *DATES, settings=settings)
    await succeeds("weather", "minutes", *CHICAGO, *DATES, settings=settings)
    await follows(settings)
    if archive is not None:
        await succeeds("load", "--input", str(archive), settings=settings)


async def reads(settings: Mapping[str, str], archive: Path) -> None:
    """What only looks at them; writes the archive."""
    await succeeds("status", settings=settings)
    await succeeds("status", "--runs", settings=settings)
    await succeeds(*COVERAGE, "--candles", "2", settings=settings)
    await succeeds("export", "--output", str(archive), settings=settings)


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
