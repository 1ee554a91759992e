"""Fixtures every test may use: a real PostgreSQL, and in it a database for the one test."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, settings

from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_simulator import RowsWorld, Simulator, SyntheticWorld
from tests.support import postgres
from tests.support.backfills import Run, all_that_shows
from tests.support.clean import Clean
from tests.support.dumps import PROOF, digests
from tests.support.filled import FilledDatabases

TEMPLATE = "kalshi_template"

# The same examples on every machine and every day, however long each of them takes there.
settings.register_profile(
    "anywhere", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: none of them is to keep one worker busy while the other has nothing left to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def _blame_leaks_on_their_file() -> Iterator[None]:
    """What nobody closed is an error when it is collected, which may otherwise be in a test of another file."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """A test that runs a command configures the process's logs; the next one has them as they come."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A fast server of the embedded version, shared by the whole session: its superuser's URL."""
    postgres.remove_leftovers()
    newest = postgres.Installed(18, None)
    with postgres.fast_server(newest) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_database(postgres_url: str) -> str:
    """The name of a database with all of the repository's migrations, to be cloned."""
    await postgres.execute(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(postgres.with_database(postgres_url, TEMPLATE))
    try:
        await migrate(connection, migrations_dir())
    finally:
        await connection.close()
    return TEMPLATE


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    async with postgres.fresh_database(postgres_url, template_database) as url:
        yield url


@pytest.fixture(scope="session")
def filled_databases(postgres_url: str, template_database: str) -> FilledDatabases:
    """Databases that several tests want with the same rows."""
    return FilledDatabases(postgres_url, template_database)


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own with nothing in it."""
    async with postgres.fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session", params=postgres.installed(), ids=str)
def any_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each supported PostgreSQL at hand in turn: its superuser's URL."""
    which: postgres.Installed = request.param
    if which.version == 18:
        shared: str = request.getfixturevalue("postgres_url")
        yield shared
        return
    with postgres.fast_server(which) as url:
        yield url


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For tests that call `cli.main` themselves: no setting of the user's, neither of the environment nor of `.env`."""
    for name in [name for name in os.environ if name.startswith("KALSHI_INGEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory to be, for tests of the embedded server itself; what is left running is stopped."""
    with postgres.scratch_dir(postgres.fastest_place()) as path:
        yield path / "data"


@pytest.fixture(scope="session")
def clean(postgres_url: str, template_database: str) -> Clean:
    """What the tables hold after one undisturbed backfill of a world, but for the number of pages and walks.

    Of synthetic worlds that show the same it is found out once.
    """
    known: dict[str, dict[str, str]] = {}

    async def of_world(world: SyntheticWorld | RowsWorld) -> dict[str, str]:
        shown = all_that_shows(world) if isinstance(world, SyntheticWorld) else None
        if shown is not None and shown in known:
            return dict(known[shown])
        async with Simulator(world) as simulator, postgres.fresh_database(postgres_url, template_database) as url:
            await Run(simulator.url, url)()
            found = await digests(url, checkpoints=PROOF)
        if shown is not None:
            known[shown] = dict(found)
        return found

    return of_world
