"""Readiness over a real server that is stopped hard and started again, and beside a page that waits for a lock."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from structlog.testing import capture_logs

from kalshi_ingest.clocks import steady
from kalshi_ingest.postgres.embedded import server as embedded
from kalshi_ingest.web import db_health, queries
from kalshi_ingest.web.app import serving
from kalshi_ingest.web.pace import RecentPace
from tests.support import postgres
from tests.support.patience import until
from tests.web.support import following

_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
_OPTIONS = {"fsync": "off", "shared_buffers": "32MB"}
BAR_SECONDS = 15


@pytest.fixture
def server() -> Iterator[tuple[Path, str]]:
    """A server of the test's own: its home and the URL of its superuser."""
    with postgres.scratch_dir(_MEMORY) as place:
        home = place / "data"
        yield home, postgres.with_database(embedded.start(home, options=_OPTIONS).url, "postgres")


async def _becomes(session: aiohttp.ClientSession, url: str, status: int) -> float:
    """Seconds until `/readyz` answers so; `/livez` has to answer all the while."""
    started = steady()
    while True:
        async with session.get(f"{url}/livez") as alive, session.get(f"{url}/readyz") as ready:
            assert alive.status == 200
            if ready.status == status:
                return steady() - started
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_false_soon_after_the_database_is_lost_and_true_again_by_itself(server: tuple[Path, str]) -> None:
    home, database_url = server
    async with aiohttp.ClientSession() as session, serving(following(), database_url, "127.0.0.1", 0) as url:
        await _becomes(session, url, 200)
        os.kill(int((home / "postgresql-18" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        assert await _becomes(session, url, 503) < BAR_SECONDS
        async with session.get(f"{url}/readyz") as answer:
            assert (await answer.json())["reasons"] == ["the database does not answer"]
        while postgres.postgres_processes(home):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(embedded.start, home, options=_OPTIONS)
        assert await _becomes(session, url, 200) < BAR_SECONDS


async def test_a_page_that_waits_does_not_hold_up_the_watch(database_url: str) -> None:
    state = following()
    blocking = await asyncpg.connect(database_url)
    async with aiohttp.ClientSession() as session, serving(state, database_url, "127.0.0.1", 0) as url:
        async with blocking.transaction():
            await blocking.execute("lock table markets in access exclusive mode")
            page = asyncio.create_task(_page(session, url))
            await until(lambda: state.database_seen_at is not None)
            first = state.database_seen_at
            await until(lambda: state.database_seen_at != first)
            assert not page.done()
            assert state.not_ready() == []
        assert "Nothing from the database" not in await page
    await blocking.close()


async def test_a_fault_of_the_watch_is_logged_once_and_counted_each_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: asyncpg.Connection) -> None:
        raise TypeError("nobody foresaw this")

    monkeypatch.setattr(queries, "answers", broken)
    monkeypatch.setattr(db_health, "_EVERY_SECONDS", 0.01)
    state = following()
    with capture_logs() as logged:
        watching = asyncio.create_task(db_health.watch(state, database_url, RecentPace()))
        await until(lambda: state.faults >= 3)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert [line["event"] for line in logged] == ["database_watch_failed"]
    assert state.database_seen_at is None


async def test_a_page_gives_up_on_a_slow_database(database_url: str) -> None:
    state = following()
    blocking = await asyncpg.connect(database_url)
    async with aiohttp.ClientSession() as session, serving(state, database_url, "127.0.0.1", 0) as url:
        async with blocking.transaction():
            await blocking.execute("lock table markets in access exclusive mode")
            assert "Nothing from the database: it did not answer in time" in await _page(session, url)
            assert state.not_ready() == []
        assert "Nothing from the database" not in await _page(session, url)
    await blocking.close()


async def _page(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(f"{url}/") as answer:
        assert answer.status == 200
        return await answer.text()
