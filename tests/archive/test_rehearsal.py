"""The rehearsal: what was recorded goes into a database, out as an archive, over HTTP, and into a second database."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from kalshi_ingest.archive.export import export
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Faults, RowsWorld, Simulator, SyntheticWorld
from kalshi_simulator.archive_world import ArchiveWorld
from tests.backfill.test_recorded_trades import recorded_world
from tests.support import postgres, recorded
from tests.support.backfills import CHICAGO, DOGGED, Run, varied_world
from tests.support.dumps import PROOF, digests

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""As a cutoff: all is live."""
OF_THE_RUN = {"fetched_at", "run_id", "updated_at", "completed_at", "listed_at", "pages", "walk"}
"""Columns that tell of the run, not of the data."""


async def _exported(url: str, folder: Path) -> Path:
    database = Database(url)
    await database.open()
    try:
        await export(database, ArchiveStorage.at(str(folder)))
    finally:
        await database.close()
    return folder


async def _backfilled(world: RowsWorld | SyntheticWorld | ArchiveWorld, url: str, wanted: Sequence[Wanted]) -> None:
    async with Simulator(world) as simulator:
        job = await Run(simulator.url, url, wanted)()
    assert [each.failed for each in job.progress.values()] == [{}] * len(wanted)


def _assert_same_archives(first: Path, second: Path) -> None:
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*.parquet"))
    assert names == sorted(str(path.relative_to(second)) for path in second.rglob("*.parquet"))
    for name in names:
        if Path(name).stem in ("trades", "candles_1m", "candles_5m"):
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
        else:
            assert _content(first / name) == _content(second / name), name


def _content(path: Path) -> pa.Table:
    table = pq.read_table(path)
    return table.drop_columns([name for name in table.column_names if name in OF_THE_RUN])


@pytest.fixture
async def second_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """Another migrated database."""
    async with postgres.fresh_database(postgres_url, template_database) as url:
        yield url


@recorded.needs_recorded
async def test_the_recorded_trades_rehearsed(database_url: str, second_url: str, tmp_path: Path) -> None:
    world, wanted = recorded_world()
    await _backfilled(world, database_url, wanted)
    archive = await _exported(database_url, tmp_path / "first")
    assert sum(pq.read_metadata(path).num_rows for path in archive.glob("*/trades.parquet")) > 45_000
    await _backfilled(ArchiveWorld(archive, LONG_AGO), second_url, wanted)
    assert await digests(second_url, checkpoints=PROOF) == await digests(database_url, checkpoints=PROOF)
    _assert_same_archives(archive, await _exported(second_url, tmp_path / "second"))


@pytest.mark.parametrize(
    "cutoff",
    [
        datetime(2024, 10, 24, 12, tzinfo=UTC),
        pytest.param(LONG_AGO, marks=pytest.mark.long),
        pytest.param(datetime(2030, 1, 1, tzinfo=UTC), marks=pytest.mark.long),
    ],
)
async def test_wherever_the_cutoff_lies_trades_and_candles_come_back(
    database_url: str, second_url: str, tmp_path: Path, cutoff: datetime
) -> None:
    await _backfilled(varied_world(), database_url, CHICAGO)
    archive = await _exported(database_url, tmp_path / "archive")
    await _backfilled(ArchiveWorld(archive, cutoff), second_url, CHICAGO)
    first, second = await digests(database_url), await digests(second_url)
    for table in ("trades", "candles", "events", "series"):
        assert second[table] == first[table], table


async def test_a_rehearsal_with_faults(database_url: str, second_url: str, tmp_path: Path) -> None:
    await _backfilled(varied_world(cutoff=LONG_AGO), database_url, CHICAGO)
    archive = await _exported(database_url, tmp_path / "archive")
    faults = Faults(seed=5, error_rate=0.3, slow_body_seconds=0.05)
    async with Simulator(ArchiveWorld(archive, LONG_AGO), faults=faults) as simulator:
        for _ in range(6):  # what a fault leaves undone, the next run does
            job = await Run(simulator.url, second_url, CHICAGO, retry=DOGGED)()
            if not any(each.failed for each in job.progress.values()):
                break
    assert sum(simulator.stats.faults.values()) > 5
    before, after = await digests(database_url, checkpoints=PROOF), await digests(second_url, checkpoints=PROOF)
    del before["listings"], after["listings"]  # the exchange of an archive lives in the present: more days are over
    assert after == before
