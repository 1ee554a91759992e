"""What a run that found nothing does to what coverage expects: only an honest answer, or a person, takes dates back."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import asyncpg
import pytest

from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.backfill.summary import summary
from kalshi_ingest.coverage.queries import evidence
from kalshi_ingest.errors import OutOfReach, Unusable
from kalshi_ingest.follow.queries import first_dates
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.status import run_history
from kalshi_ingest.status.held import status
from kalshi_simulator import Faults, RowsWorld, Simulator
from tests.support.backfills import CHICAGO, IMPATIENT, Run, fetch, small_world

HELD = (date(2025, 7, 1), date(2025, 7, 1))
MISTAKEN = Dates(date(2024, 11, 1), date(2024, 11, 14))
NOW = datetime(2025, 7, 20, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    """One day of Chicago, the first of July."""
    async with Simulator(small_world()) as simulator:
        yield simulator


async def backfill(exchange: Simulator, url: str, dates: Dates, wanted: Sequence[Wanted] = CHICAGO) -> Backfill:
    return await Run(exchange.url, url, wanted, dates=dates)()


async def expected(database: Database) -> tuple[date, date] | None:
    return await database.run(evidence.expected_dates)


async def begins(database: Database) -> dict[str, date]:
    """Where `follow` would begin."""
    return await database.run(lambda connection: first_dates(connection, ["KXHIGHCHI"]))


def told(job: Backfill) -> str:
    return summary(list(job.progress.values()), seconds=1, interrupted=False)


@pytest.mark.parametrize("mistaken", [MISTAKEN, Dates(date(2026, 3, 1), date(2026, 3, 2))], ids=["before", "after"])
async def test_dates_that_the_exchange_does_not_have_are_not_expected(
    mistaken: Dates, exchange: Simulator, database_url: str, database: Database
) -> None:
    job = await backfill(exchange, database_url, mistaken)
    assert await expected(database) is None
    assert await begins(database) == {}
    (reason,) = job.progress["KXHIGHCHI"].failed.values()
    assert f"from {mistaken.start} to {mistaken.end}; it lists 2025-07-01 to 2025-07-01" in reason
    hopeless = mistaken.end < HELD[1]
    assert told(job).endswith("check --start and --end." if hopeless else "Run the same command again later.")
    assert ("run the command again to retry" in told(job)) is not hopeless
    await backfill(exchange, database_url, Dates(*HELD))
    assert await expected(database) == HELD
    assert await begins(database) == {"KXHIGHCHI": HELD[0]}
    await backfill(exchange, database_url, mistaken)
    assert await expected(database) == HELD
    assert "Every market is proved complete." in (await status(database)).as_text()


async def test_a_run_that_found_something_is_expected_whole(
    exchange: Simulator, database_url: str, database: Database
) -> None:
    await backfill(exchange, database_url, Dates(date(2025, 6, 28), date(2025, 7, 1)))
    assert await expected(database) == (date(2025, 6, 28), date(2025, 7, 1))


async def test_a_run_that_could_not_list_stays_expected_until_it_is_forgotten(
    exchange: Simulator, database_url: str, database: Database
) -> None:
    await backfill(exchange, database_url, Dates(*HELD))
    async with Simulator(small_world(), faults=Faults(error_rate=1.0)) as ill:
        with pytest.raises(OutOfReach):
            await Run(ill.url, database_url, dates=MISTAKEN, retry=IMPATIENT)()
    assert await expected(database) == (MISTAKEN.start, HELD[1])
    assert await begins(database) == {"KXHIGHCHI": MISTAKEN.start}
    said = await run_history.forget_run(database, await newest(database_url), NOW)
    assert "It asked for event dates 2024-11-01 to 2024-11-14 of chicago." in said
    assert said.endswith("`coverage` expects event dates 2025-07-01 to 2025-07-01.")
    assert await expected(database) == HELD
    assert await begins(database) == {"KXHIGHCHI": HELD[0]}
    assert "Every market is proved complete." in (await status(database)).as_text()


async def test_lists_without_a_row_prove_nothing(database_url: str, database: Database) -> None:
    """So answers an exchange that lost its lists; the dates are not called free of events either."""
    async with Simulator(RowsWorld(series=small_world().series_rows())) as ill:
        job = await backfill(ill, database_url, MISTAKEN)
    assert await expected(database) == (MISTAKEN.start, MISTAKEN.end)
    assert await fetch(database_url, "select * from listings") == []
    assert "and none of any other date" in job.progress["KXHIGHCHI"].failed["KXHIGHCHI"]
    assert told(job).endswith("Run the same command again later.")


async def test_a_series_that_the_exchange_does_not_know_is_not_expected(
    exchange: Simulator, database_url: str, database: Database
) -> None:
    with pytest.raises(Unusable, match="knows no series KXNOSUCH"):
        await backfill(exchange, database_url, MISTAKEN, [Wanted("KXNOSUCH", None)])
    assert await expected(database) is None
    assert (await evidence.read(database_url)).series == {}


async def newest(url: str) -> str:
    rows = await fetch(url, "select run_id::text from ingestion_log order by started_at desc limit 1")
    return str(rows[0][0])[:8]


async def test_forgetting_changes_no_more_than_what_is_expected(
    exchange: Simulator, database_url: str, database: Database
) -> None:
    await backfill(exchange, database_url, Dates(date(2025, 6, 28), HELD[1]))
    rows = await fetch(database_url, "select * from checkpoints order by ticker")
    said = await run_history.forget_run(database, await newest(database_url), NOW)
    assert said.endswith("`coverage` expects event dates 2025-07-01 to 2025-07-01."), "what is held stays expected"
    assert await fetch(database_url, "select * from checkpoints order by ticker") == rows
    again = await run_history.forget_run(database, await newest(database_url), NOW.replace(year=2026))
    assert "was forgotten already, on 2025-07-20 00:00:00 UTC" in again
    assert again.endswith("as before: other runs asked for them, or they are held.")
    shown = run_history.runs_text(await run_history.newest_runs(database))
    assert "success, forgotten" in shown
    whole = run_history.run_text(await run_history.one_run(database, await newest(database_url)))
    assert "forgotten  2025-07-20 00:00:00 UTC: coverage does not expect these dates because of it" in whole


async def test_a_run_that_asked_for_no_dates_is_forgotten_without_any(database_url: str, database: Database) -> None:
    """A load takes what its archive holds."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_LOGGED, UUID(int=1), "load --input here", "KXHIGHCHI", "success", NOW)
    await connection.close()
    said = await run_history.forget_run(database, await newest(database_url), NOW)
    assert said.startswith("Run 00000000 is forgotten: load --input here\n  Everything that it stored stays")
    assert "None" not in said


_LOGGED = "insert into ingestion_log (run_id, command, series_ticker, status, started_at) values ($1, $2, $3, $4, $5)"


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("", "no run's id begins with ''"),
        ("%", "no run's id begins with '%'"),
        ("________", "no run's id"),
        ("0000", "2 runs have an id that begins with '0000'"),
        (str(UUID(int=1)), "fetched weather"),
        (str(UUID(int=2)), "is still at work"),
    ],
)
async def test_a_run_that_cannot_be_forgotten(prefix: str, reason: str, database_url: str, database: Database) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(_LOGGED, UUID(int=1), "weather settlement", "KXHIGHCHI", "success", NOW)
    await connection.execute(_LOGGED, UUID(int=2), "backfill", "KXHIGHMIA", "running", NOW)
    await connection.close()
    other = Database(database_url)
    await other.open()
    try:
        await other.locks.take_series(["KXHIGHMIA"])
        with pytest.raises(Unusable, match=reason):
            await run_history.forget_run(database, prefix, NOW)
    finally:
        await other.close()
    assert await fetch(database_url, "select * from ingestion_log where forgotten_at is not null") == []
