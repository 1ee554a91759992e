"""An archive served as the exchange would: every row of its files, in both tiers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from kalshi_simulator import Faults, Limits, Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.archive_tapes import Recent
from kalshi_simulator.archive_world import ArchiveWorld
from tests.simulator.archives import write_archive
from tests.simulator.support import served

CUTOFF = datetime(2025, 7, 4, tzinfo=UTC)
"""Inside the lives of two events, whose trades lie in both tiers."""
CITIES = {"KXHIGHCHI": "chicago", "KXHIGHDEN": "denver"}
SOURCE = SyntheticWorld(
    WorldConfig(
        start=date(2025, 7, 1),
        end=date(2025, 7, 5),
        now=datetime(2025, 9, 1, tzinfo=UTC),
        cutoff=CUTOFF,
        cities=tuple(CITIES),
        trades_per_market=60,
        giant=2_500,
    )
)
"""What the archive is written from, and what it has to be served like."""
GIANT = SOURCE.giant_market or ""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the source."""
    return write_archive(tmp_path_factory.mktemp("archive") / "whole", SOURCE, CITIES)


@pytest.mark.parametrize("path", ["/markets/trades", "/historical/trades"])
@pytest.mark.parametrize("limit", [7, 1000])
async def test_the_trades_of_every_market_page_by_page(archive: Path, path: str, limit: int) -> None:
    wanted_of = [ticker for ticker in SOURCE.market_tickers() if limit > 100 or SOURCE.trade_count(ticker) < 100]
    async with served(Simulator(SOURCE)) as truth, served(Simulator(ArchiveWorld(archive, CUTOFF))) as api:
        for ticker in wanted_of:
            wanted = await truth.pages(path, "trades", ticker=ticker, limit=limit)
            assert await api.pages(path, "trades", ticker=ticker, limit=limit) == wanted


async def test_no_trade_of_the_file_is_missing_and_none_is_added(archive: Path) -> None:
    world = ArchiveWorld(archive, CUTOFF)
    held = 0
    for city in CITIES.values():
        held += pq.read_metadata(archive / city / "trades.parquet").num_rows
    async with served(Simulator(world)) as api:
        found = []
        for ticker in world.market_tickers():
            for path in ("/markets/trades", "/historical/trades"):
                found += await api.walk(path, "trades", ticker=ticker, limit=1000)
    assert len(found) == held == sum(SOURCE.trade_count(ticker) for ticker in SOURCE.market_tickers())
    assert len({row["trade_id"] for row in found}) == held


@pytest.mark.parametrize(
    "query",
    [
        {"min_ts": 1751551200},
        {"max_ts": 1751551200},
        {"min_ts": 1751464800, "max_ts": 1751551200},
        {"is_block_trade": "true"},
        {"is_block_trade": "false"},
    ],
)
async def test_filters_of_trades(archive: Path, query: dict[str, Any]) -> None:
    async with served(Simulator(SOURCE)) as truth, served(Simulator(ArchiveWorld(archive, CUTOFF))) as api:
        for path in ("/markets/trades", "/historical/trades"):
            for of in ({"ticker": GIANT}, {"limit": 1000}):  # one market, and the whole exchange's first page
                assert await api.get(path, **query, **of) == await truth.get(path, **query, **of)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/markets", {}),
        ("/markets", {"series_ticker": "KXHIGHDEN", "status": "settled"}),
        ("/markets", {"min_settled_ts": 1751716800}),
        ("/markets", {"min_close_ts": 1751716800}),
        ("/historical/markets", {"series_ticker": "KXHIGHCHI"}),
        ("/historical/markets", {"tickers": GIANT}),
        ("/events", {"series_ticker": "KXHIGHDEN", "with_nested_markets": "true"}),
        ("/events", {"min_close_ts": 1751716800}),
    ],
)
async def test_lists(archive: Path, path: str, query: dict[str, Any]) -> None:
    name = path.rpartition("/")[2]
    async with served(Simulator(SOURCE)) as truth, served(Simulator(ArchiveWorld(archive, CUTOFF))) as api:
        wanted = await truth.pages(path, name, **query, limit=5)
        if name == "events":  # a stray test event has no date, so no archive holds it
            wanted = [[row for row in page if not row["event_ticker"].startswith("test_")] for page in wanted]
            assert await api.walk(path, name, **query, limit=5) == [row for page in wanted for row in page]
        else:
            assert await api.pages(path, name, **query, limit=5) == wanted
        assert wanted[0]


async def test_single_rows_and_candles(archive: Path) -> None:
    async with served(Simulator(SOURCE)) as truth, served(Simulator(ArchiveWorld(archive, CUTOFF))) as api:
        assert await api.get("/series/KXHIGHCHI") == await truth.get("/series/KXHIGHCHI")
        window = {"start_ts": 1751292000, "end_ts": 1751558400, "period_interval": 1}
        for ticker in SOURCE.market_tickers():
            series, event = SOURCE.market(ticker)["event_ticker"].partition("-")[0], ticker.rpartition("-")[0]
            for path, query in (
                (f"/markets/{ticker}", {}),
                (f"/historical/markets/{ticker}", {}),
                (f"/events/{event}", {}),
                (f"/series/{series}/markets/{ticker}/candlesticks", window),
                (f"/historical/markets/{ticker}/candlesticks", window),
            ):
                assert await api.ask(path, **query) == await truth.ask(path, **query), path


async def test_unknown_names(archive: Path) -> None:
    async with served(Simulator(ArchiveWorld(archive))) as api:
        assert (await api.ask("/series/KXHIGHMIA"))[0] == 404
        assert (await api.ask("/markets/KXHIGHMIA-25JUL01-B80.5"))[0] == 404
        assert await api.get("/markets/trades", ticker="KXHIGHMIA-25JUL01-B80.5") == {"cursor": "", "trades": []}


async def test_the_cutoff_can_be_moved_and_trails_the_last_settlement_by_default(archive: Path) -> None:
    world = ArchiveWorld(archive)
    settled = max(SOURCE.entries(None), key=lambda entry: entry.settled or 0).settled or 0
    last = datetime.fromtimestamp(settled // 1_000_000, UTC)
    assert world.cutoff == (last - timedelta(days=60)).replace(hour=0, minute=0, second=0)
    async with served(Simulator(world)) as api:
        assert await api.walk("/historical/markets", "markets") == []
        assert await api.walk("/historical/trades", "trades", ticker=GIANT) == []
        world.cutoff = datetime(2026, 1, 1, tzinfo=UTC)
        assert len(await api.walk("/historical/markets", "markets")) == len(world.market_tickers())
        assert len(await api.walk("/historical/trades", "trades", ticker=GIANT)) == SOURCE.trade_count(GIANT)
        assert await api.walk("/markets", "markets") == []


async def test_budget_and_faults(archive: Path) -> None:
    limits = Limits(requests_per_second=1, burst_seconds=2)
    async with served(Simulator(ArchiveWorld(archive), limits)) as api:
        statuses = [(await api.ask("/markets", limit=1))[0] for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    simulator = Simulator(ArchiveWorld(archive), faults=Faults(targeted={GIANT: "duplicate_seam"}))
    async with served(simulator) as api:
        rows = await api.walk("/markets/trades", "trades", ticker=GIANT, limit=1000)
        assert len({row["trade_id"] for row in rows}) < len(rows)


async def test_what_raw_does_not_tell_comes_from_the_columns(tmp_path: Path) -> None:
    markets = [market for market in SOURCE.market_tickers() if "CHI-25JUL05" in market]
    bare = [*markets, "KXHIGHCHI-25JUL05"]
    world = ArchiveWorld(write_archive(tmp_path / "bare", SOURCE, {"KXHIGHCHI": "chicago"}, bare=bare), CUTOFF)
    told = {
        *("cap_strike", "close_time", "event_ticker", "expiration_value", "floor_strike", "last_price_dollars"),
        *("open_interest_fp", "open_time", "result", "rules_primary", "settlement_ts", "settlement_value_dollars"),
        *("status", "strike_type", "ticker", "title", "volume_fp"),
    }
    async with served(Simulator(world)) as api:
        rows = await api.walk("/markets", "markets", series_ticker="KXHIGHCHI", limit=2)
        event = (await api.get("/events/KXHIGHCHI-25JUL05"))["event"]
    found = {row["ticker"]: row for row in rows}
    for ticker in markets:
        assert found[ticker] == {name: value for name, value in SOURCE.market(ticker).items() if name in told}
    title = next(each.row()["title"] for each in SOURCE.events("KXHIGHCHI") if each.ticker == "KXHIGHCHI-25JUL05")
    assert event == {"event_ticker": "KXHIGHCHI-25JUL05", "series_ticker": "KXHIGHCHI", "title": title}


async def test_an_open_interest_that_nobody_knows_is_left_out(archive: Path, tmp_path: Path) -> None:
    """In the live tier; the historical tier says 0.00 of every market."""
    folder = shutil.copytree(archive, tmp_path / "unknown")
    path = folder / "denver" / "markets.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("open_interest")
    nothing = pa.nulls(table.num_rows, pa.decimal128(16, 2))
    pq.write_table(table.set_column(place, table.schema.field(place), nothing), path)
    async with served(Simulator(ArchiveWorld(folder, CUTOFF))) as api:
        live = await api.walk("/markets", "markets", series_ticker="KXHIGHDEN")
        archived = await api.walk("/historical/markets", "markets", series_ticker="KXHIGHDEN")
    assert live
    assert not any("open_interest_fp" in row for row in live)
    assert {row["open_interest_fp"] for row in archived} == {"0.00"}


def test_recent_holds_what_was_used_last_and_no_more_than_it_may() -> None:
    made: list[str] = []

    def make(name: str, size: int) -> Callable[[], str]:
        def read() -> str:
            made.append(name)
            return name * size

        return read

    recent: Recent[str, str] = Recent(10)
    for name, size in (("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4), ("d", 99), ("d", 99), ("a", 4)):
        assert recent.get(name, make(name, size)) == name * size
    assert made == ["a", "b", "c", "b", "d", "a"]


def _manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _unsorted(folder: Path) -> None:
    path = folder / "chicago" / "trades.parquet"
    pq.write_table(pq.read_table(path).sort_by([("ticker", "descending")]), path, row_group_size=700)


def _float_prices(folder: Path) -> None:
    path = folder / "chicago" / "trades.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("yes_price")
    pq.write_table(table.set_column(place, "yes_price", table.column(place).cast(pa.float64())), path)


def _without(column: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "denver" / "markets.parquet"
        pq.write_table(pq.read_table(path).drop_columns([column]), path)

    return spoil


def _cut(folder: Path) -> None:
    path = folder / "denver" / "events.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def _shorter(folder: Path) -> None:
    path = folder / "denver" / "trades.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("spoil", "saying"),
    [
        (shutil.rmtree, "is not a folder"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is damaged"),
        (lambda folder: _manifest(folder, cities=[]), "is damaged"),
        (lambda folder: _manifest(folder, cities={}), "no market"),
        (lambda folder: _manifest(folder, format="another"), "'another'"),
        (lambda folder: _manifest(folder, version=3), "version 3"),
        (lambda folder: _manifest(folder, layout="dataset"), "layout dataset"),
        (lambda folder: (folder / "denver" / "trades.parquet").unlink(), r"no denver/trades\.parquet"),
        (_cut, r"denver/events\.parquet cannot be read"),
        (_shorter, r"denver/trades\.parquet has \d+ rows"),
        (_without("api_status"), r"denver/markets\.parquet: column api_status is missing"),
        (_float_prices, r"chicago/trades\.parquet: column yes_price is double"),
        (_unsorted, r"chicago/trades\.parquet is not sorted"),
    ],
)
def test_what_is_no_archive(archive: Path, tmp_path: Path, spoil: Callable[[Path], object], saying: str) -> None:
    folder = shutil.copytree(archive, tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(ValueError, match=saying):
        ArchiveWorld(folder)


def test_the_line_that_says_what_is_served(archive: Path) -> None:
    trades = sum(SOURCE.trade_count(ticker) for ticker in SOURCE.market_tickers())
    assert ArchiveWorld(archive).summary == (
        f"{len(SOURCE.market_tickers())} markets and {trades:,} trades of chicago, denver,"
        " event dates 2025-07-01 to 2025-07-05"
    )
