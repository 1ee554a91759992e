"""`backfill` without dates, or with some: what was left out, it knows."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from kalshi_ingest import cli
from kalshi_simulator import Limits, SimulatedClock, Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import healthy, one_line, run

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


def evening(day: date) -> datetime:
    """Markets of `day` still trade, those of the day before have settled."""
    return datetime.combine(day, time(18), tzinfo=UTC)


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    config = WorldConfig(start=TODAY - timedelta(days=5), end=TODAY, now=evening(YESTERDAY), oddities=False)
    world = SyntheticWorld(config, SimulatedClock(evening(YESTERDAY)))
    async with Simulator(world, Limits(requests_per_second=200)) as simulator:
        yield simulator


async def runs(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select series_ticker, command from ingestion_log order by started_at")
    finally:
        await connection.close()
    return [(row["series_ticker"], row["command"]) for row in rows]


async def test_without_dates_it_goes_from_what_is_held_to_yesterday(exchange: Simulator, database_url: str) -> None:
    settings = healthy(exchange, database_url)
    empty = await run("backfill", **settings)
    one_line(empty, code=2, saying="nothing is held yet: say from which event date on, for example kalshi-ingest back")

    days = await run("backfill", "--days", "2", "--city", "denver", **settings)
    assert days.code == 0, days.out + days.err
    assert "markets have not settled yet: a later run completes them" in days.out.splitlines()[-1]
    named = await run("backfill", "--start", "2d", "--end", "yesterday", "--city", "denver", **settings)
    assert named.code == 1, named.out + named.err
    assert named.out.splitlines()[-1].startswith("Incomplete ")

    exchange.world.clock.now = evening(TODAY)
    rest = await run("backfill", **settings)
    assert rest.code == 0, rest.out + rest.err
    last = rest.out.splitlines()[-1]
    assert last.startswith("Complete: ")
    assert "settled" not in last
    both = f"backfill --start {TODAY - timedelta(days=2)} --end {YESTERDAY} --city denver"
    assert await runs(database_url) == [
        ("KXHIGHDEN", both),
        ("KXHIGHDEN", both),
        ("KXHIGHDEN", f"backfill --start {YESTERDAY} --end {YESTERDAY}"),
    ]


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (["--end", "yesterday"], "--end needs --start or --days beside it"),
        (["--start", "2d", "--days", "2"], "--start and --days exclude each other: leave one out"),
        (["--days", "0"], "--days 0 is out of range: 1 to 36500"),
        (["--start", "today"], f"--start {TODAY} lies after yesterday, {YESTERDAY}: name the --end too"),
        (["--start", "2d", "--end", "3d"], "lies after --end"),
    ],
)
def test_dates_that_do_not_fit_together(words: list[str], saying: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backfill", *words]) == 2
    assert saying in capsys.readouterr().err
