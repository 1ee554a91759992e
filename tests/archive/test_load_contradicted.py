"""An archive that contradicts the database takes no market into a dead end: the exchange decides."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kalshi_simulator import Simulator
from tests.archive import predecessors
from tests.support import recorded
from tests.support.archives import exported
from tests.support.backfills import Run, fetch, of_size, varied_world
from tests.support.dumps import PROOF, digests
from tests.support.filled import FilledDatabases
from tests.support.loads import held, loaded
from tests.support.postgres import execute

_WORLD = varied_world(giant=0, trades_per_market=60.0)
_ONE, _OTHER = of_size(_WORLD, 20, 3_000)[:2]
_TRADE = f"trade_id = (select trade_id from trades where ticker = '{_ONE}' order by 1 limit 1)"

_DAMAGE = {
    "another price": f"update trades set yes_price = 0.123456 where {_TRADE}",
    "a second later": f"update trades set created_time = created_time + interval '1 second' where {_TRADE}",
}
_COUNTED = (
    f"trades_stored = (select count(*) from trades where ticker = '{_ONE}'), "
    f"contracts_stored = (select sum(count) from trades where ticker = '{_ONE}') where ticker = '{_ONE}'"
)
_UNPROVED = {
    "an archive that proves nothing": f"update checkpoints set verdict = 'unknown', pages = 0, {_COUNTED}",
    "a restore of some tables": f"delete from checkpoints where ticker = '{_ONE}'",
    "rows were lost": f"delete from trades where ticker = '{_ONE}' and not {_TRADE}",
    "broken off": "update checkpoints set state = 'walking', verdict = null, completed_at = null, tier = 'live', "
    f"confirming = true, {_COUNTED}",
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(_WORLD) as serving:
        yield serving


@pytest.fixture
async def source(simulator: Simulator, filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """A database that was filled by a backfill."""
    async with filled_databases.clone("contradicted", lambda url: Run(simulator.url, url)()) as url:
        yield url


async def test_the_exchange_decides_where_neither_is_proved(
    source: str, simulator: Simulator, database_url: str, tmp_path: Path
) -> None:
    """The database holds the wrong row, and has lost another market, which the archive brings back."""
    whole = await digests(source, checkpoints=PROOF)
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    for damage, unproved in zip(itertools.cycle(_DAMAGE), _UNPROVED.values(), strict=False):
        await execute(
            database_url,
            _DAMAGE[damage],
            unproved,
            *(f"delete from {table} where ticker = '{_OTHER}'" for table in ("trades", "candles", "checkpoints")),
        )
        rows = f"select * from trades where ticker = '{_ONE}' order by trade_id"
        before = await fetch(database_url, rows)

        result = await loaded(database_url, tmp_path)

        assert not result.failed
        assert not result.whole
        assert result.loaded["chicago"].proved == 1
        assert await fetch(database_url, rows) == before
        (state,) = await fetch(database_url, f"select state, trades_stored from checkpoints where ticker = '{_ONE}'")
        assert tuple(state) == ("failed", len(before))
        (market,) = result.loaded["chicago"].contradicted
        told = result.as_text()
        assert f"{_ONE}: trade {market.trade_id} has other values; the exchange has to decide" in told
        day = market.event_date
        assert f"kalshi-ingest backfill --start {day} --end {day} --city chicago" in told
        (run,) = await fetch(
            database_url, "select status, error_message from ingestion_log order by started_at desc limit 1"
        )
        assert run["status"] == "partial"
        assert _ONE in run["error_message"]

        job = await Run(simulator.url, database_url)()
        assert job.progress["KXHIGHCHI"].failed == {}
        assert await digests(database_url, checkpoints=PROOF) == whole
        assert (await loaded(database_url, tmp_path)).whole


_ALONE = (
    f"trade_id = (select min(trade_id::text)::uuid from trades where ticker = '{_ONE}' "
    "group by date_trunc('minute', created_time) having count(*) = 1 order by 1 limit 1)"
)
_UNSEEN = {
    "a block trade": f"update trades set is_block_trade = not is_block_trade where {_ALONE}",
    "a microsecond later": f"update trades set created_time = created_time + interval '1us' where {_ALONE}",
}
"""What candles and sums do not tell, so that the archive proves itself."""


@pytest.mark.parametrize("damage", _UNSEEN)
async def test_what_the_database_has_proved_stays(source: str, database_url: str, tmp_path: Path, damage: str) -> None:
    await exported(source, tmp_path / "right")
    await loaded(database_url, tmp_path / "right")
    proved = await held(database_url)
    await execute(source, _UNSEEN[damage])
    await exported(source, tmp_path / "wrong")
    result = await loaded(database_url, tmp_path / "wrong")
    assert await held(database_url) == proved
    assert not result.whole
    assert [(each.ticker, each.proved) for each in result.loaded["chicago"].contradicted] == [(_ONE, True)]
    assert "what the database holds is proved and stays" in result.as_text()
    assert "backfill" not in result.as_text()


@recorded.needs_recorded
async def test_a_predecessors_archive_that_contradicts_itself(database_url: str, tmp_path: Path) -> None:
    """One trade comes twice, with two prices: that market is left to the exchange, the others are loaded."""
    rows = predecessors.trade_rows()
    ticker = rows[0]["market_ticker"]
    twice = rows[0] | {"count": rows[0]["count"] + 1}
    predecessors.write(tmp_path / "chicago", predecessors.market_rows(), [*rows, twice])
    result = await loaded(database_url, tmp_path)
    assert [each.ticker for each in result.loaded["chicago"].contradicted] == [ticker]
    states = await fetch(database_url, "select state, count(*) from checkpoints group by 1 order by 1")
    assert [tuple(row) for row in states] == [("complete", len(predecessors.market_rows()) - 1), ("failed", 1)]
    assert result.loaded["chicago"].trades == len([row for row in rows if row["market_ticker"] != ticker])
