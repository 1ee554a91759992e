"""Archives of the predecessor load exactly, and prove nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_ingest.errors import Unusable
from kalshi_simulator import RowsWorld, Simulator
from tests.archive import predecessors
from tests.support import postgres, recorded
from tests.support.backfills import Run, fetch, small_world
from tests.support.loads import counts, held, loaded

pytestmark = recorded.needs_recorded


def _world() -> RowsWorld:
    tapes: dict[str, list[dict[str, Any]]] = {}
    for row in recorded.golden_trades():
        tapes.setdefault(row["ticker"], []).append(recorded.modern_trade(row))
    bodies = list(recorded.golden_events())
    return RowsWorld(
        series=small_world().series_rows(),
        events=[body["event"] for body in bodies],
        markets=[recorded.modern_market(row) for body in bodies for row in body["markets"]],
        trades=tapes,
    )


@pytest.mark.parametrize("folder", ["chicago", "KXHIGHCHI", "Chi"])
async def test_the_same_trades_and_candles_as_the_exact_path(
    postgres_url: str, template_database: str, database_url: str, tmp_path: Path, folder: str
) -> None:
    predecessors.write(tmp_path / folder, predecessors.market_rows(), predecessors.trade_rows())
    result = await loaded(database_url, tmp_path)
    assert result.loaded["chicago"].trades == len(predecessors.trade_rows())
    async with Simulator(_world()) as simulator, postgres.fresh_database(postgres_url, template_database) as url:
        await Run(simulator.url, url)()
        exact, ours = await held(url), await held(database_url)
        assert ours["trades"] == exact["trades"]
        assert ours["candles"] == exact["candles"]
        strikes = (
            "select ticker, event_date, strike_type, floor_strike, cap_strike, status, api_status, result, volume, "
        )
        strikes += "last_price, open_time, close_time from markets order by 1"
        assert await fetch(database_url, strikes) == await fetch(url, strikes)
        verdicts = await fetch(
            database_url, "select distinct state, verdict, exchange_volume, pages, settled_first from checkpoints"
        )
        assert [tuple(row) for row in verdicts] == [("complete", "unknown", None, 0, True)]

        once = await held(database_url)
        again = (await loaded(database_url, tmp_path)).loaded["chicago"]
        assert (again.trades, again.candles_1m, again.markets) == (0, 0, 0)
        assert await held(database_url) == once

        simulator.stats.reset()
        await Run(simulator.url, database_url)()
        assert simulator.stats.trade_pages.total() >= len(predecessors.market_rows())
        proved = await fetch(database_url, "select distinct verdict from checkpoints")
        assert [row[0] for row in proved] == ["exact"]
        assert (await held(database_url))["candles"] == exact["candles"]
        assert (await held(database_url))["trades"] == exact["trades"]


async def test_rows_twice_in_the_archive_are_stored_once(database_url: str, tmp_path: Path) -> None:
    rows = predecessors.trade_rows()
    predecessors.write(tmp_path / "chicago", predecessors.market_rows(), [*rows, *rows[:50]])
    await loaded(database_url, tmp_path)
    assert (await counts(database_url))["trades"] == len(rows)
    sums = await fetch(database_url, "select sum(trades_stored)::int from checkpoints")
    assert sums[0][0] == len(rows)


async def test_what_is_not_settled_gets_no_checkpoint(database_url: str, tmp_path: Path) -> None:
    markets = predecessors.market_rows()
    markets[0] |= {"status": "active", "result": None}
    predecessors.write(tmp_path / "chicago", markets, predecessors.trade_rows())
    await loaded(database_url, tmp_path)
    assert (await counts(database_url))["trades"] == len(predecessors.trade_rows())
    unproved = await fetch(
        database_url, "select ticker from markets where ticker not in (select ticker from checkpoints)"
    )
    assert [row[0] for row in unproved] == [markets[0]["ticker"]]
    async with Simulator(_world()) as simulator:
        await Run(simulator.url, database_url)()
    proved = await fetch(database_url, "select verdict, count(*) from checkpoints group by 1")
    assert [tuple(row) for row in proved] == [("exact", len(markets))]


async def test_new_york_loads_and_files_may_be_missing(database_url: str, tmp_path: Path) -> None:
    markets = [
        row
        | {name: row[name].replace("KXHIGHCHI", "KXHIGHNY") for name in ("ticker", "event_ticker")}
        | {"series_ticker": "HIGHNY", "raw_json": None}
        for row in predecessors.market_rows()
    ]
    predecessors.write(tmp_path / "new_york", markets, [])
    (tmp_path / "new_york/trades.parquet").unlink()
    series = predecessors.SERIES | {"series_ticker": "KXHIGHNY"}
    pq.write_table(pa.Table.from_pylist([series]), tmp_path / "new_york/series.parquet")
    result = await loaded(database_url, tmp_path, ["nyc"])
    assert result.loaded["nyc"].markets == len(markets)
    cities = await fetch(database_url, "select distinct city, series_ticker from markets")
    assert [tuple(row) for row in cities] == [("nyc", "KXHIGHNY")]


_Change = Callable[[dict[str, Any], dict[str, Any]], object]
"""Damages the first market or the first trade."""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _, trade: trade.update(yes_price=101), r"trades\.parquet: column yes_price, row 1: 101 is not a price"),
        (lambda _, trade: trade.update(count=0), r"trades\.parquet: column count, row 1: 0 is not above 0"),
        (
            lambda _, trade: trade.update(taker_side=None),
            r"trades\.parquet: column taker_side, row 1: the value is mis",
        ),
        (
            lambda _, trade: trade.update(trade_id="x"),
            r"trades\.parquet: column trade_id, row 1: 'x' is not of the form",
        ),
        (
            lambda _, trade: trade.update(market_ticker="X"),
            r"trades\.parquet: column market_ticker, row 1: 'X' is not in",
        ),
        (lambda market, _: market.update(status="odd"), r"markets\.parquet: column status, row 1: 'odd' is none of"),
        (lambda market, _: market.update(event_ticker="X"), r"markets\.parquet: column event_ticker, row 1: "),
        (lambda market, _: market.update(close_time=None), r"markets\.parquet: column close_time, row 1: the value is"),
        (
            lambda market, _: market.update(last_price=101),
            r"markets\.parquet: column last_price, row 1: 101 is not a price",
        ),
        (lambda market, _: market.update(raw_json="{"), r"markets\.parquet: column raw_json, row 1: "),
        (
            lambda market, _: market.update(series_ticker="KXHIGHMIA"),
            r"markets\.parquet: column series_ticker, row 1: ",
        ),
    ],
)
async def test_damage_is_named_and_nothing_is_written(
    database_url: str, tmp_path: Path, change: _Change, said: str
) -> None:
    markets, trades = predecessors.market_rows(), predecessors.trade_rows()
    change(markets[0], trades[0])
    predecessors.write(tmp_path / "chicago", markets, trades)
    with pytest.raises(Unusable, match=said):
        await loaded(database_url, tmp_path)
    assert set((await counts(database_url)).values()) == {0}
