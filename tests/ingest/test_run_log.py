"""How a run is logged: what it counted, and how it ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from kalshi_ingest.ingest import run_log as module
from kalshi_ingest.ingest.run_log import Entry, RunLog, logged, run_log
from kalshi_ingest.postgres import ingestion_log
from kalshi_ingest.postgres.database import Database
from tests.support.backfills import fetch

NOW = datetime(2025, 7, 1, tzinfo=UTC)
ENTRY = Entry(ingestion_log.SeriesCount(markets=1, trades=5, requests=2))
_LOG = "select status, error_message, trades_fetched, finished_at from ingestion_log"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


async def _logged(database: Database, url: str, entry: Entry, work: Callable[[RunLog], None]) -> tuple[object, ...]:
    """The row of a run that does `work`."""
    run = ingestion_log.Run(uuid4(), "a test", "somebody", NOW, date(2025, 7, 1), date(2025, 7, 1))
    try:
        async with run_log(database, run, lambda: {"KXHIGHCHI": entry}, lambda: NOW) as log:
            assert [tuple(row) for row in await fetch(url, _LOG)] == [("running", None, 0, None)]
            work(log)
    except (ValueError, asyncio.CancelledError):
        pass
    (row,) = await fetch(url, _LOG)
    return tuple(row)


def _breaks(_: RunLog) -> None:
    raise ValueError


def _breaks_in_words(_: RunLog) -> None:
    raise ValueError("a bad value")


def _is_cancelled(_: RunLog) -> None:
    raise asyncio.CancelledError


def _says_so(log: RunLog) -> None:
    log.interrupted = True


@pytest.mark.parametrize(
    ("entry", "work", "status", "reason"),
    [
        (ENTRY, lambda _: None, "success", None),
        (Entry(ENTRY.counts, {"M1": "why"}, partial="1 failed"), lambda _: None, "partial", "1 failed"),
        (ENTRY, _says_so, "interrupted", "stopped by the user"),
        (ENTRY, _is_cancelled, "interrupted", "stopped by the user"),
        (ENTRY, _breaks, "failed", "ValueError"),
        (ENTRY, _breaks_in_words, "failed", "a bad value"),
    ],
)
async def test_every_way_to_end(
    database: Database,
    database_url: str,
    entry: Entry,
    work: Callable[[RunLog], None],
    *,
    status: str,
    reason: str | None,
) -> None:
    assert await _logged(database, database_url, entry, work) == (status, reason, 5, NOW)


async def test_an_outcome_that_came_with_the_rows_stays(database: Database, database_url: str) -> None:
    run = ingestion_log.Run(uuid4(), "a test", "somebody", NOW, None, None)
    async with run_log(database, run, lambda: {"KXHIGHCHI": Entry()}, lambda: NOW) as log:
        await database.run(lambda connection: log.end_with(connection, {"KXHIGHCHI": ENTRY}))
    assert [tuple(row) for row in await fetch(database_url, _LOG)] == [("success", None, 5, NOW)]


@pytest.mark.parametrize(("hurried", "stopped"), [(False, False), (True, False), (False, True)])
async def test_a_complete_run_is_logged_however_long_the_database_takes(
    monkeypatch: pytest.MonkeyPatch, *, hurried: bool, stopped: bool
) -> None:
    """The bug: a last line that took longer than two seconds was given up, and the run shown as interrupted."""
    monkeypatch.setattr(module, "LOG_SECONDS", 0.01)
    stop, written = asyncio.Event(), []

    async def writing() -> None:
        if stopped:
            stop.set()
        await asyncio.sleep(0.2)
        written.append(True)

    await logged(writing(), hurried=hurried, stop=stop)
    assert bool(written) is not (hurried or stopped)
