"""Kills and faults together: whatever happens at once, nothing false is stored, and the end is exact."""

from random import Random

import pytest

from tests.support.killable import killable
from tests.support.mortals import database_server
from tests.support.storm import Storm


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 7))])
async def test_60_kills_with_faults_and_dying_databases(seed: int) -> None:
    with database_server() as server:
        storm = await Storm.prepare(server)
        async with killable("tests.support.backfills:backfill") as backfills:
            await storm.blow(backfills, 60, Random(seed))
