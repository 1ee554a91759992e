"""Fixtures of the job tests."""

from collections.abc import Awaitable, Callable

import pytest

from kalshi_simulator import RowsWorld, Simulator, SyntheticWorld
from tests import postgres
from tests.jobs.dumps import PROOF, digests
from tests.jobs.harness import Run

Clean = Callable[[SyntheticWorld | RowsWorld], Awaitable[dict[str, str]]]


@pytest.fixture
def clean(postgres_url: str, template_database: str) -> Clean:
    """What the tables hold after one undisturbed backfill of a world, but for the number of pages and walks."""

    async def of_world(world: SyntheticWorld | RowsWorld) -> dict[str, str]:
        async with Simulator(world) as simulator, postgres.fresh_database(postgres_url, template_database) as url:
            await Run(simulator.url, url)()
            return await digests(url, checkpoints=PROOF)

    return of_world
