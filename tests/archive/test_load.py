"""Archives go into the tables exactly, again and again, over what is there already, and all or nothing."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalshi_ingest.archive.load import load
from kalshi_ingest.errors import Unusable
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.database import Database
from kalshi_simulator import Simulator
from tests.support import postgres
from tests.support.archives import exported, tree
from tests.support.backfills import Run, fetch, varied_world
from tests.support.filled import FilledDatabases
from tests.support.loads import counts, held, loaded
from tests.support.postgres import execute

_WORLD = varied_world(giant=2_500, trades_per_market=150.0)


@pytest.fixture
async def source(filled_databases: FilledDatabases) -> AsyncIterator[str]:
    """A database that was filled by a backfill."""
    async with filled_databases.clone("load", _fill) as url:
        yield url


async def _fill(url: str) -> None:
    async with Simulator(_WORLD) as simulator:
        await Run(simulator.url, url)()
    await execute(
        url,
        "insert into listings select series_ticker, event_date, 1, count(*), gen_random_uuid(), now() "
        "from markets group by 1, 2 on conflict do nothing",
    )


async def test_a_round_trip_gives_the_same_tables_and_files(source: str, database_url: str, tmp_path: Path) -> None:
    await exported(source, tmp_path / "one")
    result = await loaded(database_url, tmp_path / "one")
    assert not result.failed
    assert result.loaded["chicago"].proved == 24
    assert await held(database_url) == await held(source)
    await exported(database_url, tmp_path / "two")
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


async def test_a_round_trip_of_new_york_and_of_a_series_that_is_no_citys(
    postgres_url: str, template_database: str, database_url: str, tmp_path: Path
) -> None:
    world = varied_world(cities=("KXHIGHCHI", "KXHIGHNY", "KXHIGHDEN"), giant=0, trades_per_market=40.0)
    wanted = [Wanted("KXHIGHCHI", "chicago"), Wanted("KXHIGHNY", "nyc"), Wanted("KXHIGHDEN", None)]
    async with Simulator(world) as simulator, postgres.fresh_database(postgres_url, template_database) as source:
        await Run(simulator.url, source, wanted)()
        await exported(source, tmp_path / "one")
        result = await loaded(database_url, tmp_path / "one")
        assert list(result.loaded) == ["KXHIGHDEN", "chicago", "nyc"]
        assert await held(database_url) == await held(source)
    await exported(database_url, tmp_path / "two")
    first = tree(tmp_path / "one")
    assert {path for path in first if path.endswith(".txt")} == {
        f"{label}/summary_report.txt" for label in result.loaded
    }
    assert tree(tmp_path / "two") == first


async def test_a_second_load_changes_nothing(source: str, database_url: str, tmp_path: Path) -> None:
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    once = await held(database_url)
    again = (await loaded(database_url, tmp_path, ["KXHIGHCHI"])).loaded["chicago"]
    assert (again.markets, again.trades, again.candles_1m, again.proved) == (0, 0, 0, 0)
    assert await held(database_url) == once


async def test_a_verdict_that_is_known_takes_the_place_of_an_unknown_one(
    source: str, database_url: str, tmp_path: Path
) -> None:
    """As after the predecessor's archive, which states no volumes, comes one with proofs; and never back again."""
    await exported(source, tmp_path / "proved")
    await loaded(database_url, tmp_path / "proved")
    proved = await held(database_url)
    unknown = "update checkpoints set verdict = 'unknown', exchange_volume = null"
    await execute(database_url, unknown)
    assert await held(database_url) != proved
    await loaded(database_url, tmp_path / "proved")
    assert await held(database_url) == proved
    await execute(source, unknown)
    await exported(source, tmp_path / "unknown")
    await loaded(database_url, tmp_path / "unknown")
    assert await held(database_url) == proved


async def test_where_a_market_that_trades_is_asked_next_survives_the_archive(
    source: str, database_url: str, tmp_path: Path
) -> None:
    """Into an empty database; and what completes such a market leaves nothing of it."""
    await exported(source, tmp_path / "complete")
    await execute(
        source,
        "update checkpoints set state = 'open', verdict = null, completed_at = null, settled_first = false,"
        " newest_time = '2024-10-25T01:02:03.000004Z', since_time = '2024-10-25T01:00:00Z' where trades_stored > 0",
    )
    await exported(source, tmp_path / "open")
    await loaded(database_url, tmp_path / "open")
    assert await held(database_url) == await held(source)
    await loaded(database_url, tmp_path / "complete")
    rows = await fetch(
        database_url, "select state, newest_time, since_time, count(*) from checkpoints group by 1, 2, 3"
    )
    assert [tuple(row) for row in rows] == [("complete", None, None, 24)]


async def test_a_backfill_asks_nothing_again_for_what_was_proved(
    source: str, database_url: str, tmp_path: Path
) -> None:
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    before = await held(database_url)
    async with Simulator(_WORLD) as simulator:
        await Run(simulator.url, database_url)()
        assert simulator.stats.trade_pages.total() == 0
    assert {name: text for name, text in (await held(database_url)).items() if "listings" not in name} == {
        name: text for name, text in before.items() if "listings" not in name
    }


@pytest.mark.parametrize("pages", [3, 9, 16])
async def test_a_broken_off_backfill_is_completed(source: str, database_url: str, tmp_path: Path, pages: int) -> None:
    await exported(source, tmp_path)
    async with Simulator(_WORLD) as simulator:
        run = Run(simulator.url, database_url, workers=2)

        def answered(route: str, _: str | None) -> None:
            if simulator.stats.trade_pages.total() >= pages:
                run.stop.set()

        simulator.on_answered = answered
        await run()
    partly = (await counts(database_url))["trades"]
    whole = (await counts(source))["trades"]
    assert 0 < partly < whole
    result = await loaded(database_url, tmp_path)
    assert result.loaded["chicago"].trades == whole - partly
    ours, theirs = await held(database_url), await held(source)
    for name in ("trades", "candles", "markets", "events", "series"):
        assert ours[name] == theirs[name]
    async with Simulator(_WORLD) as simulator:
        await Run(simulator.url, database_url)()
        assert simulator.stats.trade_pages.total() == 0


async def test_lost_rows_come_back_with_their_candles(source: str, database_url: str, tmp_path: Path) -> None:
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    whole = await held(database_url)
    await execute(
        database_url,
        "delete from trades where created_time < (select percentile_disc(0.3) within group (order by created_time) "
        "from trades)",
        "delete from candles where period_minutes = 5",
        "update candles set close = 0.5 where ticker = (select min(ticker) from trades)",
    )
    await loaded(database_url, tmp_path)
    after = await held(database_url)
    assert after["trades"] == whole["trades"]
    assert after["checkpoints"] == whole["checkpoints"]


@pytest.mark.parametrize(
    "damage",
    [
        "delete from candles",
        "delete from candles where period_minutes = 5",
        "delete from candles where (ticker, period_start) in "
        "(select ticker, max(period_start) from candles group by ticker)",
        "update candles set volume = volume + 1 where ticker = (select min(ticker) from trades)",
        "insert into candles select ticker, period_minutes, period_start + interval '1 day', "
        "period_end + interval '1 day', open, high, low, close, volume, vwap, num_trades from candles "
        "where ticker = (select max(ticker) from trades) on conflict do nothing",
    ],
)
async def test_candles_that_do_not_add_up_to_held_trades_are_made_anew(
    source: str, database_url: str, tmp_path: Path, damage: str
) -> None:
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    whole = await held(database_url)
    await execute(database_url, damage)
    assert (await held(database_url))["candles"] != whole["candles"]
    result = (await loaded(database_url, tmp_path)).loaded["chicago"]
    assert (result.trades, result.proved) == (0, 0)
    assert await held(database_url) == whole


async def test_forgotten_markets_get_candles_and_proof_back(source: str, database_url: str, tmp_path: Path) -> None:
    """As `coverage --fix` leaves them before its backfill: trades without candles and checkpoint."""
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    whole = await held(database_url)
    await execute(database_url, "delete from candles", "delete from checkpoints")
    await loaded(database_url, tmp_path)
    assert await held(database_url) == whole


async def test_a_candle_that_its_trades_do_not_make_is_refused(source: str, database_url: str, tmp_path: Path) -> None:
    await execute(
        source,
        "update candles set close = low where (ticker, period_minutes, period_start) = "
        "(select ticker, period_minutes, period_start from candles where close > low limit 1)",
    )
    await exported(source, tmp_path)
    with pytest.raises(Unusable, match=r"candles_.m\.parquet: column close: .* is not what the trades make"):
        await loaded(database_url, tmp_path)
    assert set((await counts(database_url)).values()) == {0}


async def test_unproved_checkpoints_go_only_into_new_ground(source: str, database_url: str, tmp_path: Path) -> None:
    held_ticker, new_ticker = [
        row[0] for row in await fetch(source, "select ticker from checkpoints where trades_stored > 20 limit 2")
    ]
    await execute(
        source,
        "update checkpoints set state = 'open', verdict = null, completed_at = null "
        f"where ticker in ('{held_ticker}', '{new_ticker}')",
    )
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    states = dict(await _states(database_url))
    assert states[held_ticker] == states[new_ticker] == "open"
    await execute(
        database_url,
        f"delete from trades where ticker = '{held_ticker}' and created_time < (select avg(extract(epoch from "
        f"created_time)) * interval '1s' + 'epoch'::timestamptz from trades where ticker = '{held_ticker}')",
        f"delete from trades where ticker = '{new_ticker}'",
        f"delete from candles where ticker = '{new_ticker}'",
        f"delete from checkpoints where ticker = '{new_ticker}'",
        f"update checkpoints set trades_stored = (select count(*) from trades where ticker = '{held_ticker}'), "
        f"contracts_stored = (select sum(count) from trades where ticker = '{held_ticker}') "
        f"where ticker = '{held_ticker}'",
    )
    await loaded(database_url, tmp_path)
    states = dict(await _states(database_url))
    assert held_ticker not in states
    assert states[new_ticker] == "open"


async def test_an_unproved_checkpoint_that_counts_other_trades_is_not_taken(
    source: str, database_url: str, tmp_path: Path
) -> None:
    """Not of a market that is new to the database either: only proved ones were counted before."""
    right, short, dear = [
        row[0] for row in await fetch(source, "select ticker from checkpoints where trades_stored > 20 limit 3")
    ]
    await execute(
        source,
        "update checkpoints set state = 'open', verdict = null, completed_at = null "
        f"where ticker in ('{right}', '{short}', '{dear}')",
        f"update checkpoints set trades_stored = trades_stored + 1 where ticker = '{short}'",
        f"update checkpoints set contracts_stored = contracts_stored + 1 where ticker = '{dear}'",
    )
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    states = dict(await _states(database_url))
    assert states[right] == "open"
    assert states.keys() == dict(await _states(source)).keys() - {short, dear}


async def _states(url: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in await fetch(url, "select ticker, state from checkpoints")]


async def test_the_newer_row_of_a_market_wins(source: str, database_url: str, tmp_path: Path) -> None:
    await exported(source, tmp_path)
    await loaded(database_url, tmp_path)
    older, newer, same = [row[0] for row in await fetch(source, "select ticker from markets order by 1 limit 3")]
    await execute(
        database_url,
        f"update markets set title = 'mine', fetched_at = fetched_at - interval '1 day' where ticker = '{older}'",
        f"update markets set title = 'mine', fetched_at = fetched_at + interval '1 day' where ticker = '{newer}'",
        f"update markets set fetched_at = fetched_at - interval '1 day' where ticker = '{same}'",
    )
    before = await _stamps(database_url)
    await loaded(database_url, tmp_path)
    after = await _stamps(database_url)
    assert after[older] == (await _stamps(source))[older]
    assert after[newer] == before[newer]
    assert after[same] == before[same]


async def _stamps(url: str) -> dict[str, object]:
    return {row[0]: tuple(row) for row in await fetch(url, "select ticker, title, fetched_at from markets")}


async def test_one_bad_city_does_not_stop_the_others(source: str, database_url: str, tmp_path: Path) -> None:
    await execute(
        source,
        "insert into series select 'KXHIGHNY', 'nyc', title, category, frequency, settlement_sources, raw, fetched_at "
        "from series",
    )
    await exported(source, tmp_path)
    path = tmp_path / "chicago/trades.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    result = await loaded(database_url, tmp_path)
    assert len(result.failed) == 1
    assert list(result.loaded) == ["nyc"]
    assert "chicago/trades.parquet has " in result.failed["chicago"]
    assert [row[0] for row in await fetch(database_url, "select city from series")] == ["nyc"]
    with pytest.raises(Unusable, match="nothing was loaded: chicago/trades"):
        await loaded(database_url, tmp_path, ["chicago"])


async def test_what_is_no_archive_is_said_so(source: str, database_url: str, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no such folder"):
        await loaded(database_url, tmp_path / "nowhere")
    with pytest.raises(Unusable, match="is not an archive"):
        await loaded(database_url, tmp_path)
    await exported(source, tmp_path / "dataset", layout="dataset")
    with pytest.raises(Unusable, match="layout"):
        await loaded(database_url, tmp_path / "dataset")
    await exported(source, tmp_path / "cut")
    with pytest.raises(Unusable, match="does not hold denver"):
        await loaded(database_url, tmp_path / "cut", ["denver"])
    (tmp_path / "cut/manifest.json").unlink()
    with pytest.raises(Unusable, match=r"manifest\.json is missing"):
        await loaded(database_url, tmp_path / "cut")
    assert set((await counts(database_url)).values()) == {0}


async def test_a_city_that_is_loaded_is_free_for_others(source: str, database_url: str, tmp_path: Path) -> None:
    """While later cities are loaded, which may take hours, a backfill of it can begin."""
    await exported(source, tmp_path)
    first, other = Database(database_url), Database(database_url)
    await first.open()
    await other.open()
    try:
        await load(first, ArchiveStorage.at(str(tmp_path)), None, clock=lambda: datetime.now(UTC))
        await other.locks.take_series(["KXHIGHCHI"])
    finally:
        await first.close()
        await other.close()


async def test_a_folder_that_the_manifest_does_not_name_is_reported(
    source: str, database_url: str, tmp_path: Path
) -> None:
    """As after an export that was killed between taking a city out of the manifest and naming it again."""
    await exported(source, tmp_path)
    shutil.copytree(tmp_path / "chicago", tmp_path / "miami")
    result = await loaded(database_url, tmp_path)
    assert list(result.loaded) == ["chicago"]
    assert "manifest.json of" in result.failed["miami"]
    assert "export it again" in result.as_text()
    assert not (await loaded(database_url, tmp_path, ["chicago"])).failed
